"""Predictor → the next mixtures: Algorithm 4, search by CMA-ES, and acquisition from candidates."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from modomodo.errors import InputError
from modomodo.mixtures.constraints import Constraints, allowed, bounds, project
from modomodo.mixtures.surrogates.base import Objective, Predictor
from modomodo.mixtures.surrogates.baselines import best_split, quadratic_features
from modomodo.mixtures.surrogates.threads import one_blas_thread

AcquisitionName = Literal[
    "greedy", "expected_improvement", "noisy_expected_improvement", "ucb", "thompson", "explore", "worst"
]


@dataclass(frozen=True)
class Candidate:
    """A chosen mixture: weights [domains], and the objective expected there."""

    weights: np.ndarray
    mean: float
    deviation: float | None


# --- Algorithm 4 ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class QuadraticSearch:
    """How Algorithm 4 searches: mixtures wanted, draws at a time, random train/test splits."""

    count: int
    seed: int
    samples: int = 10_000
    splits: int = 5


@dataclass(frozen=True)
class QuadraticOptima:
    """Candidates, best first, and the test R² of the surface that ranked them (NaN without a test part)."""

    candidates: list[Candidate]
    test_r2: float


@one_blas_thread()
def quadratic_surface(
    weights: np.ndarray, scores: np.ndarray, usable: Sequence[int], search: QuadraticSearch
) -> QuadraticOptima:
    """Algorithm 4: the best of many mixtures under the quadratic surface that tested best.

    `weights` [runs, domains] and `scores` [runs] are the observations, `usable` the columns that may get
    weight. Five random 80/20 splits each fit [1, w, w ⊗ w] by least squares; the fit of greatest R² on its
    test part ranks the candidates: draws from one Gaussian fitted to the observed mixtures, those with a
    negative weight rejected, divided by their sum.

    As in the paper the surface is fitted however few the runs are: below 1 + m + m(m+1)/2 - (m+1)
    distinct mixtures least squares interpolates them with the solution of least norm. Fewer than four
    runs cannot be split: all are fitted. The paper draws candidates until some are left; where a thousand
    rounds do not give enough, negative weights are set to 0 instead.
    """
    surface, quality = best_split(weights, scores, search.seed, search.splits)
    drawn = _near_observed(weights[:, list(usable)], search)
    mixtures = np.zeros((len(drawn), weights.shape[1]))
    mixtures[:, list(usable)] = drawn
    mixtures /= mixtures.sum(axis=1, keepdims=True)
    expected = quadratic_features(mixtures) @ surface
    top = np.argsort(-expected, kind="stable")[: search.count]
    return QuadraticOptima([Candidate(mixtures[i], float(expected[i]), None) for i in top], quality)


def _near_observed(observed: np.ndarray, search: QuadraticSearch) -> np.ndarray:
    """At least `count` draws [n, domains] without a negative weight from a Gaussian fitted to [runs, domains]."""
    from sklearn.mixture import GaussianMixture

    width = observed.shape[1]
    if len(observed) > 1:
        mixture = GaussianMixture(n_components=1, random_state=search.seed).fit(observed)
        center, covariance = mixture.means_[0], mixture.covariances_[0]
    else:
        # One run has no covariance: GaussianMixture's own floor would keep every candidate at that run.
        center, covariance = observed[0], np.eye(width) / width**2
    random = np.random.default_rng(search.seed)

    def draw() -> np.ndarray:
        return random.multivariate_normal(center, covariance, size=search.samples, method="eigh")

    kept: list[np.ndarray] = []
    found = 0
    for _ in range(1000):
        drawn = draw()
        valid = drawn[(drawn >= 0).all(axis=1) & (drawn.sum(axis=1) > 1e-9)]
        kept.append(valid)
        found += len(valid)
        if found >= search.count:
            return np.concatenate(kept)
    clipped = np.maximum(draw(), 0.0)
    return np.concatenate([*kept, clipped[clipped.sum(axis=1) > 1e-9]])


# --- candidates ----------------------------------------------------------------------------------------------


def sample_mixtures(
    domains: Sequence[str],
    constraints: Constraints,
    count: int,
    random: np.random.Generator,
    observed: np.ndarray | None = None,
) -> np.ndarray:
    """About `count` mixtures [n, domains] that keep to the constraints, spread over the simplex.

    A third each from Dirichlet distributions of concentration 1 (even over the simplex), 0.3 (near its faces)
    and, when there are observed mixtures, 60 · w + 0.3 around them; and the corners, faces and centre. All are
    projected onto the bounds.

    Raises InputError for infeasible constraints.
    """
    lower, upper = bounds(constraints, domains)
    width = len(domains)
    part = count // 3
    parts = [random.dirichlet(np.ones(width), part), random.dirichlet(np.full(width, 0.3), part)]
    if observed is not None and len(observed):
        around = observed[random.integers(len(observed), size=part)]
        gammas = random.gamma(60 * around + 0.3)
        parts.append(gammas / gammas.sum(axis=1, keepdims=True))
    parts.append(np.eye(width))
    if width > 1:
        parts.append((1 - np.eye(width)) / (width - 1))
    parts.append(np.full((1, width), 1 / width))
    mixtures = project(np.concatenate(parts), lower, upper)
    test = allowed(constraints, domains)
    kept = mixtures[test(mixtures)]
    if constraints.prior_distance is not None:
        # Kullback-Leibler balls can be small: mixtures on the way to the prior are inside at some point.
        prior = np.array([constraints.prior.get(domain, 0.0) for domain in domains])
        for fraction in (0.5, 0.75, 0.9, 1.0):
            nearer = (1 - fraction) * mixtures + fraction * prior
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


def spread_apart(candidates: np.ndarray, order: np.ndarray, count: int, min_distance: float) -> list[int]:
    """The first `count` of `order` at least `min_distance` from those before; the distance is halved as needed."""
    chosen: list[int] = []
    while len(chosen) < min(count, len(order)):
        for i in order:
            if len(chosen) == count:
                break
            if i in chosen:
                continue
            if not chosen or min(distance(candidates[chosen], candidates[i])) >= min_distance:
                chosen.append(int(i))
        min_distance = min_distance / 2 if min_distance > 1e-3 else 0.0
    return chosen


# --- search ---------------------------------------------------------------------------------------------------

Value = Callable[[np.ndarray], np.ndarray]
"""Mixtures [n, domains] → what each is worth [n]."""


@dataclass(frozen=True)
class CmaSearch:
    """CMA-ES over the mixtures of some domains that keep to the constraints.

    CMA-ES walks freely in m dimensions; a point becomes a mixture by softmax, which knows no border (weights
    below 1e-6 count as none, so corners and faces are reached), then by projection onto the bounds.
    """

    domains: Sequence[str]
    constraints: Constraints
    seed: int
    min_distance: float = 0.0  # total variation from mixtures that are taken
    restarts: int = 2
    evaluations: int = 2000  # a restart

    def best(self, value: Value, taken: Sequence[np.ndarray] = ()) -> np.ndarray:
        """The mixture [domains] of greatest value that is found.

        Mixtures too near to a `taken` one or too far from the prior are penalised. The searches start from the
        best of a thousand spread mixtures that lie apart from each other; the best end counts.
        """
        spread = sample_mixtures(self.domains, self.constraints, 1000, np.random.default_rng(self.seed))
        if len(self.domains) == 1:
            return spread[0]
        values, penalties = value(spread), self._penalty(spread, taken)
        # Larger than any gain in value: a penalised mixture never beats one that keeps its distance.
        unit = 10 * (float(np.ptp(values)) + 1e-9)
        order = np.argsort(penalties * unit * 100 - values, kind="stable")
        best = (-math.inf, spread[order[0]])
        if penalties[order[0]] == 0:
            best = (float(values[order[0]]), spread[order[0]])
        for restart, start in enumerate(spread_apart(spread, order, self.restarts, 0.3)):
            search = self._start(spread[start], restart, 1e-7 * unit)
            while not search.stop():
                points = search.ask()
                rows = self._mixtures(np.array(points))
                values, penalties = value(rows), self._penalty(rows, taken)
                search.tell(points, list(penalties * unit - values))
                for i in np.flatnonzero(penalties == 0):
                    if values[i] > best[0]:
                        best = (float(values[i]), rows[i])
        return best[1]

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return bounds(self.constraints, self.domains)

    @cached_property
    def _allowed(self) -> Callable[[np.ndarray], np.ndarray]:
        return allowed(self.constraints, self.domains)

    def _start(self, mixture: np.ndarray, restart: int, tolerance: float):
        import cma

        point = np.log(mixture + 1e-4)
        return cma.CMAEvolutionStrategy(
            np.clip(point - point.mean(), -15, 15),
            1.0,
            {
                "seed": self.seed % 2**31 + restart + 1,
                "verbose": -9,
                "maxfevals": self.evaluations,
                "bounds": [-16, 16],
                "tolfun": tolerance,
            },
        )

    def _penalty(self, rows: np.ndarray, taken: Sequence[np.ndarray]) -> np.ndarray:
        missing = np.zeros(len(rows))
        for other in taken:
            missing += np.maximum(0.0, self.min_distance - distance(rows, other))
        return missing + ~self._allowed(rows)

    def _mixtures(self, points: np.ndarray) -> np.ndarray:
        lower, upper = self._bounds
        shifted = np.exp(points - points.max(axis=1, keepdims=True))
        shares = shifted / shifted.sum(axis=1, keepdims=True)
        shares = np.where(shares < 1e-6, 0.0, shares)
        return project(shares / shares.sum(axis=1, keepdims=True), lower, upper)


@one_blas_thread()
def cma_candidates(
    predictor: Predictor, objective: Objective, search: CmaSearch, count: int
) -> list[Candidate]:
    """`count` mixtures of greatest predicted objective that keep their distance from each other, best first."""
    place = [predictor.domains.index(domain) for domain in search.domains]

    def complete(rows: np.ndarray) -> np.ndarray:
        full = np.zeros((len(rows), len(predictor.domains)))
        full[:, place] = rows
        return full

    def value(rows: np.ndarray) -> np.ndarray:
        return predictor.mean(complete(rows)) @ objective.shares

    taken: list[np.ndarray] = []
    for i in range(count):
        taken.append(replace(search, seed=search.seed + 100 * i).best(value, taken))
    points = complete(np.array(taken))
    mean, deviation = predictor.predict(points).aggregate(objective.shares)
    order = np.argsort(-mean, kind="stable")
    return [Candidate(points[i], float(mean[i]), float(deviation[i])) for i in order]


# --- acquisition ----------------------------------------------------------------------------------------------

PROMISING_DRAWS = (
    400  # a joint draw costs the cube of the number of mixtures: only where the objective may be greatest
)
PROMISING_IMPROVEMENTS = 300  # the same, together with the observed mixtures
SURFACES = 128  # drawn for noisy_expected_improvement


@dataclass(frozen=True)
class Acquisition:
    """How a batch of `count` mixtures is chosen from candidates, `min_distance` apart where these allow it.

    greedy: greatest mean. expected_improvement: expected gain of the expected score over the best expected
    score of an observed mixture (so noise in the records is no gain). ucb: mean + `exploration` standard
    deviations. thompson: each pick is the best mixture of one drawn surface. noisy_expected_improvement: the
    gain over the best observed mixture, averaged over drawn surfaces, each with a best of its own (Letham et al.
    2019). explore: farthest from what was observed, whatever is predicted. worst: least mean, the check whether
    the surrogate knows bad from good.
    """

    name: AcquisitionName
    count: int
    min_distance: float = 0.05  # total variation
    exploration: float = 1.0


@dataclass(frozen=True)
class Scored:
    """Candidates [n, domains] and the objective expected of them, [n]."""

    candidates: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def promising(self, count: int) -> np.ndarray:
        """Places of those in which the objective may be greatest."""
        return np.argsort(-(self.mean + 2 * self.deviation), kind="stable")[:count]


@one_blas_thread()
def acquire(
    predictor: Predictor,
    objective: Objective,
    candidates: np.ndarray,
    acquisition: Acquisition,
    random: np.random.Generator,
) -> list[Candidate]:
    """A batch from candidates [n, predictor.domains]; what was observed are the predictor's runs."""
    scored = Scored(candidates, *predictor.predict(candidates).aggregate(objective.shares))
    if acquisition.name == "thompson":
        chosen = _thompson(predictor, objective, scored, acquisition, random)
    elif acquisition.name == "explore":
        observed = predictor.observations.final().weights
        chosen = farthest(np.sqrt(candidates), acquisition.count, np.sqrt(observed))
    else:
        value = _value(predictor, objective, scored, acquisition, random)
        order = np.argsort(-value, kind="stable")
        chosen = spread_apart(candidates, order, acquisition.count, acquisition.min_distance)
    return [Candidate(candidates[i], float(scored.mean[i]), float(scored.deviation[i])) for i in chosen]


def _value(
    predictor: Predictor,
    objective: Objective,
    scored: Scored,
    acquisition: Acquisition,
    random: np.random.Generator,
) -> np.ndarray:
    """What each candidate is worth by itself, [n]."""
    match acquisition.name:
        case "greedy":
            return scored.mean
        case "worst":
            return -scored.mean
        case "ucb":
            return scored.mean + acquisition.exploration * scored.deviation
        case "noisy_expected_improvement":
            return _noisy_improvement(predictor, objective, scored, random)
        case _:
            observed = predictor.observations.final().weights
            known, _ = predictor.predict(observed).aggregate(objective.shares)
            return expected_improvement(scored.mean, scored.deviation, float(known.max()))


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """E[max(0, f - best)] for f ~ Normal(mean, deviation²), [n]."""
    from scipy.stats import norm

    safe = np.maximum(deviation, 1e-12)
    z = (mean - best) / safe
    return safe * (z * norm.cdf(z) + norm.pdf(z))


def _noisy_improvement(
    predictor: Predictor, objective: Objective, scored: Scored, random: np.random.Generator
) -> np.ndarray:
    """E[max(0, f(w) - max f(observed))] over drawn surfaces, [n]; -∞ for the candidates that promise least."""
    observed = np.unique(predictor.observations.final().weights, axis=0)
    promising = scored.promising(PROMISING_IMPROVEMENTS)
    points = np.concatenate([scored.candidates[promising], observed])
    surfaces = predictor.draw(points, SURFACES, random) @ objective.shares
    gain = surfaces[:, : len(promising)] - surfaces[:, len(promising) :].max(axis=1, keepdims=True)
    value = np.full(len(scored.candidates), -np.inf)
    value[promising] = np.maximum(gain, 0.0).mean(axis=0)
    return value


def _thompson(
    predictor: Predictor,
    objective: Objective,
    scored: Scored,
    acquisition: Acquisition,
    random: np.random.Generator,
) -> list[int]:
    """The best candidate of each drawn surface that keeps its distance from those chosen before."""
    promising = scored.promising(PROMISING_DRAWS)
    points = scored.candidates[promising]
    chosen: list[int] = []
    for surface in predictor.draw(points, acquisition.count, random) @ objective.shares:
        order = promising[np.argsort(-surface, kind="stable")]
        far = (i for i in order if _keeps_distance(scored.candidates, i, chosen, acquisition.min_distance))
        pick = next(far, None)
        chosen.append(int(next(i for i in order if i not in chosen) if pick is None else pick))
    return chosen


def _keeps_distance(candidates: np.ndarray, place: int, chosen: list[int], min_distance: float) -> bool:
    return all(distance(candidates[[other]], candidates[place])[0] >= min_distance for other in chosen)


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
    shorter than `count` is returned complete.
    """
    front = pareto_front(values)
    scaled = values[front] / np.maximum(np.ptp(values[front], axis=0), 1e-12)
    if count == 1:
        return [int(front[((scaled.max(axis=0) - scaled) ** 2).sum(axis=1).argmin()])]
    ends = [0, len(front) - 1]
    between = [i for i in farthest(scaled, count + 2, scaled[ends]) if i not in ends]
    return [int(front[i]) for i in dict.fromkeys([*ends, *between])][:count]
