"""Which runs of a race go on: successive halving by what is expected of the mixture at the last step.

A score at a step, less the level that all runs have there, is taken for

    f(w) + u        f: of the mixture, a Gaussian process on √w (surrogates/kernels.py); u: of this run, luck included

How much of the spread is the mixture's, and how far neighbours resemble each other, is averaged over by marginal
likelihood, on all runs that were scored at that step, whole runs of other mixtures as well. Those go on whose
f + LUCK · u is expected to be best, and not those with the best score: nobody can train a run's luck again. Errors of
the questions are no part of u, because all runs answer the same.

An early score can be worth nothing. How far scores at this step go with those at the last is told by the runs that
were scored at both, such as seed mixtures trained before: the probability of each correlation, by Fisher's z. Where it
is improbable that there is any to speak of, nothing is chosen by the scores.

Successive halving (Jamieson and Talwalkar 2016, AISTATS) and ASHA (Li et al. 2020, MLSys) let the best at a step go on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modomodo.errors import InputError, nearest
from modomodo.mixtures.records import Records, target_values, trained, weights_matrix
from modomodo.mixtures.surrogates.kernels import KernelGrid
from modomodo.mixtures.surrogates.threads import one_blas_thread

KERNELS = KernelGrid(powers=(0.5,), lengths=(0.4, 1.0), additive_lengths=(0.5,))
OF_MIXTURE = (0.05, 0.3, 0.6, 0.9)  # shares of the spread that the mixture decides, each as probable
# How much of a run's own part counts: none would ask for the mixture under another seed, all for this run, in which
# its luck goes on (docs/research/halving.md).
LUCK = 0.4
LEVEL = 10.0  # variance of the level, in that of the scores
BEFOREHAND = 2.0  # runs that the prior of the variance is worth
CORRELATIONS = np.linspace(0.0, 1.0, 21)  # of the scores with the last ones
NOTHING = 0.1  # probability that there is none, before any run is scored at both steps; others are alike
HIGHEST = 0.999  # correlation of runs, beyond which z says no more
TELLING = 0.25  # least correlation that is called a signal
LEAST_SIGNAL = 0.25  # probability of one, below which nobody chooses by the scores
FLAT = 1e-9  # scores that spread less are all alike
DRAWS = 1000

IfUninformative = Literal["spread", "finish"]


@dataclass(frozen=True)
class Expected:
    """What is expected of a mixture's score at the last step; `probability`: of being among those asked for.

    As long as no run has been scored at both steps, the level is that of the step that was reached.
    """

    mixture: str
    mean: float
    standard_deviation: float
    probability: float


@dataclass(frozen=True)
class Decision:
    """Which mixtures go on, best first, and why."""

    chosen: tuple[str, ...]
    expected: tuple[Expected, ...]  # of every candidate, the best first
    signal: float  # probability that the scores have to do with the last ones
    reason: str

    @property
    def informed(self) -> bool:
        """Whether it is not improbable that they do."""
        return self.signal >= LEAST_SIGNAL


@dataclass(frozen=True)
class Trajectories:
    """Scores of runs at steps, NaN where a run was not scored."""

    weights: np.ndarray  # [runs, domains]
    steps: tuple[int, ...]
    scores: np.ndarray  # [runs, steps]


@dataclass(frozen=True)
class Lasting:
    """How scores at a step go on to the last, by the runs that were scored at both."""

    runs: int
    probabilities: np.ndarray  # of CORRELATIONS
    now: tuple[float, float]  # center and spread of the scores, in which the correlation is one
    last: tuple[float, float]

    @property
    def signal(self) -> float:
        return float(self.probabilities[CORRELATIONS >= TELLING].sum())


def go_on(
    records: Records,
    candidates: Sequence[str],
    count: int,
    last: int,
    target: str = "out_score",
    seed: int = 0,
    if_uninformative: IfUninformative = "spread",
) -> Decision:
    """The `count` of the candidates (mixtures) that go on to step `last`, those that are expected to be best there.

    `records` holds what was scored until now, a row for each run and step, of the candidates and of any other runs.
    Where that tells nothing of the last step: 'spread' chooses candidates far from each other; 'finish' chooses all.

    Raises InputError for a candidate without a score, for candidates that were never scored at the same step, and for
    more to go on than there are.
    """
    found, places = _trajectories(records, candidates, target)
    if not 1 <= count <= len(candidates):
        raise InputError(f"{count} runs are to go on, of {len(candidates)}")
    return decide(found, dict(zip(candidates, places, strict=True)), count, last, seed, if_uninformative)


def decide(
    found: Trajectories,
    candidates: Mapping[str, int],
    count: int,
    last: int,
    seed: int = 0,
    if_uninformative: IfUninformative = "spread",
) -> Decision:
    """The same from arrays; `candidates`: mixture → its run."""
    names, places = list(candidates), np.array(list(candidates.values()))
    common = np.flatnonzero(np.isfinite(found.scores[places]).all(axis=0))
    if not len(common):
        raise InputError("no step at which all candidates were scored")
    now = int(common[-1])
    lasting = _lasting(found, now, last)
    with one_blas_thread():
        mixtures = _mixtures(found, now, places)
        expected = _expected(names, mixtures, lasting, count, np.random.default_rng(seed))
    told = (
        f"that scores at step {found.steps[now]} tell anything of step {last} has a probability of "
        f"{lasting.signal:.2f}, by {lasting.runs} runs scored at both"
    )
    if lasting.signal >= LEAST_SIGNAL:
        return Decision(tuple(each.mixture for each in expected[:count]), expected, lasting.signal, told)
    if if_uninformative == "finish":
        return Decision(tuple(names), expected, lasting.signal, f"{told}: all go on")
    chosen = tuple(names[i] for i in _spread(found.weights[places], count))
    return Decision(chosen, expected, lasting.signal, f"{told}: mixtures far from each other go on")


def _trajectories(records: Records, candidates: Sequence[str], target: str) -> tuple[Trajectories, list[int]]:
    """What was scored, and which of its runs the candidates are: of a mixture's repeats the first."""
    rows = trained(records)
    frame, scores = rows.frame.reset_index(drop=True), target_values(rows, target)
    keys = list(zip(frame["mixture"], frame["seed"].astype(int), strict=True))
    known = np.flatnonzero(np.isfinite(scores))
    runs = {key: place for place, key in enumerate(sorted({keys[row] for row in known}))}
    first = {mixture: runs[mixture, seed] for mixture, seed in reversed(runs)}
    for mixture in candidates:
        if mixture not in first:
            raise InputError(f"no score of '{mixture}': {nearest(mixture, first)}")
    steps = sorted({int(step) for step in frame["step"][known]})
    weights = weights_matrix(rows, sorted(rows.domains))
    found = Trajectories(
        np.zeros((len(runs), weights.shape[1])),
        tuple(steps),
        np.full((len(runs), len(steps)), np.nan),
    )
    for row in known:
        place = runs[keys[row]], steps.index(int(frame["step"][row]))
        found.scores[place] = scores[row]
        found.weights[place[0]] = weights[row]
    return found, [first[mixture] for mixture in candidates]


def _lasting(found: Trajectories, now: int, last: int) -> Lasting:
    """How scores at the step of index `now` go on to step `last`."""
    scores = found.scores[np.isfinite(found.scores[:, now])]
    end = scores[:, found.steps.index(last)] if last in found.steps else np.full(len(scores), np.nan)
    both = np.isfinite(end)
    pairs = np.column_stack([scores[:, now], end])[both]
    probabilities = np.full(len(CORRELATIONS), (1 - NOTHING) / (len(CORRELATIONS) - 1))
    probabilities[0] = NOTHING
    if len(pairs) < 2 or (pairs.std(axis=0) < FLAT).any():
        level = (float(scores[:, now].mean()), float(scores[:, now].std()))
        return Lasting(len(pairs), probabilities, level, level)
    correlation = float(np.clip(np.corrcoef(pairs.T)[0, 1], -HIGHEST, HIGHEST))
    off = np.arctanh(np.minimum(CORRELATIONS, HIGHEST)) - math.atanh(correlation)
    probabilities *= np.exp(-max(0, len(pairs) - 3) / 2 * (off**2 - (off**2).min()))
    (now_center, last_center), (now_spread, last_spread) = pairs.mean(axis=0), pairs.std(axis=0)
    return Lasting(
        *(len(pairs), probabilities / probabilities.sum()),
        *((now_center, now_spread), (last_center, last_spread)),
    )


def _mixtures(found: Trajectories, now: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is known of the candidates at a step: probabilities of the hypotheses, means [hypotheses, candidates] and
    covariances of f + LUCK · u, with the level.
    """
    rows = np.flatnonzero(np.isfinite(found.scores[:, now]))
    scores, weights = found.scores[rows, now], found.weights[rows]
    center, scale = float(scores.mean()), float(scores.std())
    scale = scale if scale > FLAT else 1.0
    scores = (scores - center) / scale
    specs = KERNELS.specs(weights.shape[1])
    terms = [term for spec in specs for term, _ in spec.terms(weights.shape[1])]
    # [hypotheses, runs, runs]
    of_mixture = LEVEL + np.concatenate(
        [share * np.stack([term(weights, weights) for term in terms]) for share in OF_MIXTURE]
    )
    own = np.repeat(1 - np.array(OF_MIXTURE), len(terms))[:, None, None] * np.eye(len(rows))
    asked = np.searchsorted(rows, places)
    observed = of_mixture + own
    across = (of_mixture + LUCK * own)[:, asked]
    known = np.broadcast_to(scores[:, None], (len(observed), len(rows), 1))
    solved = np.linalg.solve(observed, np.concatenate([known, across.swapaxes(1, 2)], axis=2))
    square = BEFOREHAND + solved[:, :, 0] @ scores
    log_weights = -np.linalg.slogdet(observed)[1] / 2 - (BEFOREHAND + len(rows)) / 2 * np.log(square)
    probabilities = np.exp(log_weights - log_weights.max())
    means = (across @ solved[:, :, :1])[..., 0]
    covariances = (of_mixture + LUCK**2 * own)[:, asked[:, None], asked] - across @ solved[:, :, 1:]
    covariances *= (square / (BEFOREHAND + len(rows)))[:, None, None]
    return probabilities / probabilities.sum(), center + scale * means, scale**2 * covariances


def _expected(
    candidates: Sequence[str],
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
    lasting: Lasting,
    count: int,
    random: np.random.Generator,
) -> tuple[Expected, ...]:
    """What `found` by `_mixtures` leads to expect at the last step, the best first."""
    (center, spread), (last_center, last_spread) = lasting.now, lasting.last
    if spread < FLAT:
        spread = last_spread = 1.0
    probabilities, means, covariances = found
    means, covariances = (means - center) / spread, covariances / spread**2
    mean = probabilities @ means
    variance = probabilities @ (np.diagonal(covariances, axis1=1, axis2=2) + (means - mean) ** 2)
    correlation = float(lasting.probabilities @ CORRELATIONS)
    square = float(lasting.probabilities @ CORRELATIONS**2)
    deviation = square * (variance + mean**2) + 1 - square - (correlation * mean) ** 2
    deviation = np.sqrt(np.maximum(deviation, 0.0))

    hypotheses = random.choice(len(probabilities), DRAWS, p=probabilities)
    used, place = np.unique(hypotheses, return_inverse=True)
    values, vectors = np.linalg.eigh(covariances[used])
    factors = vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
    normal = random.standard_normal((2, DRAWS, len(candidates)))
    drawn = means[hypotheses] + (factors[place] @ normal[0][..., None])[..., 0]
    lasts = random.choice(CORRELATIONS, (DRAWS, 1), p=lasting.probabilities)
    drawn = lasts * drawn + np.sqrt(1 - lasts**2) * normal[1]
    among = np.zeros(len(candidates))
    np.add.at(among, np.argsort(-drawn, axis=1)[:, :count], 1 / DRAWS)

    order = sorted(range(len(candidates)), key=lambda i: (-mean[i], candidates[i]))
    ends, deviations = last_center + last_spread * correlation * mean, last_spread * deviation
    return tuple(
        Expected(candidates[i], float(ends[i]), float(deviations[i]), float(among[i])) for i in order
    )


def _spread(weights: np.ndarray, count: int) -> list[int]:
    """Rows of [runs, domains] far from each other in Hellinger distance, the most central first."""
    from modomodo.mixtures.acquisition import farthest

    return farthest(np.sqrt(weights), count)
