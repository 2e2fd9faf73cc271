"""Predictor → the next mixtures: Algorithm 4, search by CMA-ES, and acquisition from a pool of candidates."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from modomodo.errors import InputError, nearest
from modomodo.mixtures.constraints import Constraints, allowed, bounds, project
from modomodo.mixtures.surrogates.base import Objective, Observations, Predictor

ACQUISITIONS = (
    *("greedy", "expected_improvement", "noisy_expected_improvement", "ucb", "thompson"),
    *("explore", "worst"),
)


@dataclass(frozen=True)
class Candidate:
    """A chosen mixture: weights [domains], and the objective expected there."""

    weights: np.ndarray
    mean: float
    deviation: float | None


# --- Algorithm 4 ---------------------------------------------------------------------------------------------


def quadratic_surface(
    weights: np.ndarray,
    scores: np.ndarray,
    usable: Sequence[int],
    count: int,
    seed: int,
    samples: int = 10_000,
    splits: int = 5,
) -> tuple[list[Candidate], float]:
    """Algorithm 4: the `count` best of `samples` mixtures under the quadratic surface that tested best.

    `weights` [runs, domains] and `scores` [runs] are the observations, `usable` the columns that may get
    weight. Five random 80/20 splits each fit [1, w, w ⊗ w] by least squares; the fit of greatest R² on its
    test part ranks the candidates: draws from one Gaussian fitted to the observed mixtures, those with a
    negative weight rejected, divided by their sum. Returns the picks, best first, and the test R² (NaN
    without a test part).

    As in the paper the surface is fitted however few the runs are: below 1 + m + m(m+1)/2 - (m+1)
    distinct mixtures least squares interpolates them with the solution of least norm. Fewer than four
    runs cannot be split: all are fitted. The paper draws candidates until some are left; where a thousand
    rounds of `samples` do not give `count`, negative weights are set to 0 instead.
    """
    from sklearn.mixture import GaussianMixture

    from modomodo.mixtures.surrogates.baselines import best_split, quadratic_features

    surface, quality = best_split(weights, scores, seed, splits)
    observed = weights[:, list(usable)]
    if len(observed) > 1:
        mixture = GaussianMixture(n_components=1, random_state=seed).fit(observed)
        center, covariance = mixture.means_[0], mixture.covariances_[0]
    else:
        # One run has no covariance: GaussianMixture's own floor would keep every candidate at that run.
        center, covariance = observed[0], np.eye(len(usable)) / len(usable) ** 2
    random = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    found = 0
    for _ in range(1000):
        drawn = random.multivariate_normal(center, covariance, size=samples, method="eigh")
        valid = drawn[(drawn >= 0).all(axis=1) & (drawn.sum(axis=1) > 1e-9)]
        kept.append(valid)
        found += len(valid)
        if found >= count:
            break
    else:
        clipped = np.maximum(random.multivariate_normal(center, covariance, size=samples, method="eigh"), 0.0)
        kept.append(clipped[clipped.sum(axis=1) > 1e-9])
    candidates = np.zeros((sum(map(len, kept)), weights.shape[1]))
    candidates[:, list(usable)] = np.concatenate(kept)
    candidates /= candidates.sum(axis=1, keepdims=True)
    expected = quadratic_features(candidates) @ surface
    top = np.argsort(-expected, kind="stable")[:count]
    return [Candidate(candidates[i], float(expected[i]), None) for i in top], quality


# --- candidates ----------------------------------------------------------------------------------------------


def candidates(
    domains: Sequence[str],
    constraints: Constraints,
    count: int,
    random: np.random.Generator,
    observed: np.ndarray | None = None,
) -> np.ndarray:
    """About `count` mixtures [n, domains] that keep to the constraints, spread over the whole simplex.

    A third each from Dirichlet distributions of concentration 1 (even over the simplex), 0.3 (near its faces)
    and, when there are observed mixtures, 60 · w + 0.3 around them; and the corners, faces and centre. All are
    projected onto the bounds.

    Raises InputError for infeasible constraints.
    """
    lower, upper = bounds(constraints, domains)
    width = len(domains)
    part = count // 3
    pools = [random.dirichlet(np.ones(width), part), random.dirichlet(np.full(width, 0.3), part)]
    if observed is not None and len(observed):
        around = observed[random.integers(len(observed), size=part)]
        gammas = random.gamma(60 * around + 0.3)
        pools.append(gammas / gammas.sum(axis=1, keepdims=True))
    pools.append(np.eye(width))
    if width > 1:
        pools.append((1 - np.eye(width)) / (width - 1))
    pools.append(np.full((1, width), 1 / width))
    pool = project(np.concatenate(pools), lower, upper)
    test = allowed(constraints, domains)
    kept = pool[test(pool)]
    if constraints.prior_distance is not None:
        # Kullback-Leibler balls can be small: mixtures on the way to the prior are inside at some point.
        prior = np.array([constraints.prior.get(domain, 0.0) for domain in domains])
        for step in (0.5, 0.75, 0.9, 1.0):
            nearer = (1 - step) * pool + step * prior
            kept = np.concatenate([kept, nearer[test(nearer)]])
    if not len(kept):
        raise InputError(
            f"constraints: no mixture keeps to the bounds and within prior_distance {constraints.prior_distance} of "
            "the prior: raise prior_distance or loosen the bounds"
        )
    return kept


def distance(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Total variation distance [n] between rows of [n, domains] and one mixture: the share that differs."""
    return np.abs(points - other).sum(axis=1) / 2


# --- search ---------------------------------------------------------------------------------------------------


def cma_search(
    value: Callable[[np.ndarray], np.ndarray],
    domains: Sequence[str],
    constraints: Constraints,
    seed: int,
    taken: Sequence[np.ndarray] = (),
    apart: float = 0.0,
    restarts: int = 2,
    evaluations: int = 2000,
) -> np.ndarray:
    """The mixture [domains] of greatest `value` ([n, domains] → [n]) that CMA-ES finds.

    CMA-ES walks freely in m dimensions; a point becomes a mixture by softmax, which knows no border (weights
    below 1e-6 count as none, so corners and faces are reached), then by projection onto the bounds. Mixtures
    nearer than `apart` (total variation) to a `taken` one or too far from the prior are penalised. The
    searches start from the best of a thousand spread mixtures that lie apart from each other; the best end
    counts.
    """
    import cma

    lower, upper = bounds(constraints, domains)
    test = allowed(constraints, domains)
    pool = candidates(domains, constraints, 1000, np.random.default_rng(seed))
    if len(domains) == 1:
        return pool[0]

    def penalty(rows: np.ndarray) -> np.ndarray:
        missing = np.zeros(len(rows))
        for other in taken:
            missing += np.maximum(0.0, apart - distance(rows, other))
        return missing + ~test(rows)

    def mixtures(points: np.ndarray) -> np.ndarray:
        shifted = np.exp(points - points.max(axis=1, keepdims=True))
        shares = shifted / shifted.sum(axis=1, keepdims=True)
        shares = np.where(shares < 1e-6, 0.0, shares)
        return project(shares / shares.sum(axis=1, keepdims=True), lower, upper)

    values, penalties = value(pool), penalty(pool)
    # Larger than any gain in value: a penalised mixture never beats one that keeps its distance.
    unit = 10 * (float(np.ptp(values)) + 1e-9)
    order = np.argsort(penalties * unit * 100 - values, kind="stable")
    best = (-math.inf, pool[order[0]])
    if penalties[order[0]] == 0:
        best = (float(values[order[0]]), pool[order[0]])
    for restart, start in enumerate(spread_apart(pool, order, restarts, 0.3)):
        point = np.log(pool[start] + 1e-4)
        search = cma.CMAEvolutionStrategy(
            np.clip(point - point.mean(), -15, 15),
            1.0,
            {
                "seed": seed % 2**31 + restart + 1,
                "verbose": -9,
                "maxfevals": evaluations,
                "bounds": [-16, 16],
                "tolfun": 1e-7 * unit,
            },
        )
        while not search.stop():
            points = search.ask()
            rows = mixtures(np.array(points))
            values, penalties = value(rows), penalty(rows)
            search.tell(points, list(penalties * unit - values))
            for i in np.flatnonzero(penalties == 0):
                if values[i] > best[0]:
                    best = (float(values[i]), rows[i])
    return best[1]


def cma_candidates(
    predictor: Predictor,
    aim: Objective,
    domains: Sequence[str],
    constraints: Constraints,
    count: int,
    seed: int,
    apart: float,
) -> list[Candidate]:
    """`count` mixtures of greatest predicted objective, each at least `apart` from the others, best first."""
    place = [predictor.domains.index(domain) for domain in domains]

    def whole(rows: np.ndarray) -> np.ndarray:
        full = np.zeros((len(rows), len(predictor.domains)))
        full[:, place] = rows
        return full

    def value(rows: np.ndarray) -> np.ndarray:
        return predictor.mean(whole(rows)) @ aim.shares

    taken: list[np.ndarray] = []
    for i in range(count):
        taken.append(cma_search(value, domains, constraints, seed + 100 * i, taken, apart))
    points = whole(np.array(taken))
    mean, deviation = predictor.predict(points).aggregate(aim.shares)
    order = np.argsort(-mean, kind="stable")
    return [Candidate(points[i], float(mean[i]), float(deviation[i])) for i in order]


# --- acquisition ----------------------------------------------------------------------------------------------


def acquire(
    predictor: Predictor,
    observations: Observations,
    aim: Objective,
    pool: np.ndarray,
    count: int,
    acquisition: str,
    random: np.random.Generator,
    apart: float = 0.05,
    exploration: float = 1.0,
) -> list[Candidate]:
    """`count` mixtures of a pool [n, predictor.domains], at least `apart` from each other where the pool allows.

    greedy: greatest mean. expected_improvement: expected gain of the expected score over the best expected
    score of an observed mixture (so noise in the records is no gain). ucb: mean + `exploration` standard
    deviations. thompson: each pick is the best mixture of one drawn surface. noisy_expected_improvement: the
    gain over the best observed mixture, averaged over drawn surfaces, each with a best of its own (Letham et al.
    2019). explore: farthest from what was observed, whatever is predicted. worst: least mean, the check whether
    the surrogate knows bad from good.

    Raises InputError for an unknown acquisition.
    """
    if acquisition not in ACQUISITIONS:
        raise InputError(f"unknown acquisition '{acquisition}': {nearest(acquisition, ACQUISITIONS)}")
    mean, deviation = predictor.predict(pool).aggregate(aim.shares)
    if acquisition == "thompson":
        return _thompson(predictor, aim, pool, mean, deviation, count, random, apart)
    if acquisition == "explore":
        chosen = farthest(np.sqrt(pool), count, np.sqrt(observations.weights))
        return [Candidate(pool[i], float(mean[i]), float(deviation[i])) for i in chosen]
    if acquisition == "greedy":
        value = mean
    elif acquisition == "worst":
        value = -mean
    elif acquisition == "noisy_expected_improvement":
        value = _noisy_improvement(predictor, observations, aim, pool, mean + 2 * deviation, random)
    elif acquisition == "ucb":
        value = mean + exploration * deviation
    else:
        seen, _ = predictor.predict(observations.weights).aggregate(aim.shares)
        value = expected_improvement(mean, deviation, float(seen.max()))
    order = np.argsort(-value, kind="stable")
    return [
        Candidate(pool[i], float(mean[i]), float(deviation[i]))
        for i in spread_apart(pool, order, count, apart)
    ]


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """E[max(0, f - best)] for f ~ Normal(mean, deviation²), [n]."""
    from scipy.stats import norm

    safe = np.maximum(deviation, 1e-12)
    z = (mean - best) / safe
    return safe * (z * norm.cdf(z) + norm.pdf(z))


def _noisy_improvement(
    predictor: Predictor,
    observations: Observations,
    aim: Objective,
    pool: np.ndarray,
    hope: np.ndarray,
    random: np.random.Generator,
    width: int = 300,
    draws: int = 128,
) -> np.ndarray:
    """E[max(0, f(w) - max f(observed))] over drawn surfaces, [n]; for the `width` mixtures of most `hope`."""
    seen = np.unique(observations.weights, axis=0)
    promising = np.argsort(-hope, kind="stable")[:width]
    surfaces = predictor.draw(np.concatenate([pool[promising], seen]), draws, random) @ aim.shares
    gain = surfaces[:, : len(promising)] - surfaces[:, len(promising) :].max(axis=1, keepdims=True)
    value = np.full(len(pool), -np.inf)
    value[promising] = np.maximum(gain, 0.0).mean(axis=0)
    return value


def farthest(points: np.ndarray, count: int, seen: np.ndarray | None = None) -> list[int]:
    """Rows of [n, d], each next one the farthest from all before it and from the `seen` ones [k, d].

    Without any the first is the one nearest to the middle (Kennard and Stone 1969).
    """
    chosen: list[int] = []
    if seen is None or not len(seen):
        chosen.append(int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin()))
        seen = points[chosen]
    gap = np.min([((points - row) ** 2).sum(axis=1) for row in seen], axis=0)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


def pareto_front(values: np.ndarray) -> np.ndarray:
    """Rows of [n, 2] that no other row matches in both objectives and beats in one; greatest first column first."""
    order = np.lexsort((-values[:, 1], -values[:, 0]))
    best, kept = -math.inf, []
    for i in order:
        if values[i, 1] > best:
            best = float(values[i, 1])
            kept.append(int(i))
    return np.array(kept)


def pareto_candidates(values: np.ndarray, count: int) -> list[int]:
    """`count` rows along the front of [n, 2]: its two ends, then the widest gaps halved.

    One row alone is the one nearest to the best of both. Distances are in units of the front's extent; a front
    shorter than `count` is given whole.
    """
    front = pareto_front(values)
    scaled = values[front] / np.maximum(np.ptp(values[front], axis=0), 1e-12)
    if count == 1:
        return [int(front[((scaled.max(axis=0) - scaled) ** 2).sum(axis=1).argmin()])]
    ends = [0, len(front) - 1]
    between = [i for i in farthest(scaled, count + 2, scaled[ends]) if i not in ends]
    return [int(front[i]) for i in dict.fromkeys([*ends, *between])][:count]


def spread_apart(pool: np.ndarray, order: np.ndarray, count: int, apart: float) -> list[int]:
    """The first `count` of `order` that lie `apart` from those before; the distance is halved as needed."""
    chosen: list[int] = []
    while len(chosen) < min(count, len(order)):
        for i in order:
            if len(chosen) == count:
                break
            if i in chosen:
                continue
            if not chosen or min(distance(pool[chosen], pool[i])) >= apart:
                chosen.append(int(i))
        apart = apart / 2 if apart > 1e-3 else 0.0
    return chosen


def _thompson(
    predictor: Predictor,
    aim: Objective,
    pool: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
    count: int,
    random: np.random.Generator,
    apart: float,
    width: int = 400,
) -> list[Candidate]:
    # A joint draw costs the cube of the number of mixtures: draw where the objective may be greatest.
    promising = np.argsort(-(mean + 2 * deviation), kind="stable")[:width]
    surfaces = predictor.draw(pool[promising], count, random) @ aim.shares
    chosen: list[int] = []
    for surface in surfaces:
        order = promising[np.argsort(-surface, kind="stable")]
        extended = [i for i in order if all(distance(pool[[j]], pool[i])[0] >= apart for j in chosen)]
        chosen.append(int(extended[0] if extended else next(i for i in order if i not in chosen)))
    return [Candidate(pool[i], float(mean[i]), float(deviation[i])) for i in chosen]
