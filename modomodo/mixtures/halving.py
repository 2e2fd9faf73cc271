"""Which runs go on, of those that have been trained to some step: successive halving by what is expected at the end.

A run's score at a step, less the level that all runs have there, is

    growth(s) · (f(w, s) + u(run, s)) + noise        f: of the mixture, u: of this run (its seed, its draw)

f and u are Gaussian: f as the surrogates' processes on √w (surrogates/kernels.py), and both keep a correlation of
exp(-|log(t / s)| / τ) from step s to step t, as a process that forgets. How long τ is, how the spread grows with the
steps, and how much of it is mixture, run and noise is not known from a dozen runs: every combination of a grid is a
hypothesis, weighed by marginal likelihood. In one of them the early scores tell nothing of the later ones (τ = 0), in
others nearly all is noise. Full runs of other mixtures, and runs that were stopped before, count as they are: a level
of its own for each step keeps those that went on, the better ones, from shifting what is expected of the others.

Successive halving (Jamieson and Talwalkar 2016, AISTATS) and ASHA (Li et al. 2020, MLSys) let the best at a step go on.
An early rank can be worth nothing, so here those go on that are probably among the best at the last step.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modomodo.errors import InputError, nearest
from modomodo.mixtures.records import Records, target_values, trained, weights_matrix
from modomodo.mixtures.surrogates.gaussian_processes import OWN_QUESTIONS
from modomodo.mixtures.surrogates.kernels import LEVEL as KERNEL_LEVEL
from modomodo.mixtures.surrogates.kernels import KernelGrid, Kernels
from modomodo.mixtures.surrogates.threads import one_blas_thread

KERNELS = KernelGrid(powers=(0.5,), lengths=(0.4, 1.0), additive_lengths=(0.5,))
# Values of the hypotheses and how probable each is before any score. τ: 0, 1, 3 and ∞ keep a correlation of 0, 0.25,
# 0.63 and 1 from a quarter of the steps to the last.
MEMORY = ((0.0, 0.1), (1.0, 0.3), (3.0, 0.3), (math.inf, 0.3))
NOISE = (0.05, 0.3, 0.7, 1.0)  # share of the spread at a step that the next step knows nothing of
OF_MIXTURE = (0.1, 0.5, 0.9)  # share of the rest that the mixture decides, and not the run
GROWTH = (-0.5, 0.0, 0.5, 1.0)  # exponent of the step by which scores spread
LEVEL = 10.0  # variance of the level at a step, in that of the runs
CLIMB = 1.0  # and what a step e times as late adds to it
BEFOREHAND = 2.0  # runs that the prior of the variance is worth
# Probability, below which nobody chooses by the scores. Scores at one step say nothing of how long they last, so that
# after the first rung it is near that of the hypotheses: half would leave it to chance (docs/research/halving.md).
LEAST_SIGNAL = 0.25
TELLING = 0.25  # least correlation of a run's latest score with its last one that is called a signal
DRAWS = 4000
NUGGET = 1e-9  # for scores that have no noise at all
KEPT = 1e-3  # hypotheses of less weight are dropped

IfUninformative = Literal["spread", "finish"]


@dataclass(frozen=True)
class Expected:
    """What is expected of a run's score at the last step; `probability`: of being among those asked for."""

    mixture: str
    mean: float
    standard_deviation: float
    probability: float


@dataclass(frozen=True)
class Decision:
    """Which mixtures go on, best first, and why."""

    chosen: tuple[str, ...]
    expected: tuple[Expected, ...]  # of every candidate, most probable first
    signal: float  # probability that the latest scores have to do with the last ones
    reason: str

    @property
    def informed(self) -> bool:
        """Whether it is not improbable that they do."""
        return self.signal >= LEAST_SIGNAL


@dataclass(frozen=True)
class Trajectories:
    """Scores of runs at steps, as arrays of one row a score."""

    weights: np.ndarray  # [runs, domains]
    run: np.ndarray  # [scores], whose it is
    steps: np.ndarray  # [scores]
    scores: np.ndarray  # [scores]
    errors: np.ndarray  # [scores], standard errors, 0 where unknown


@dataclass(frozen=True)
class Forecast:
    """The last scores of some runs by one hypothesis."""

    log_weight: float  # log probability of hypothesis and scores, up to a constant
    tells: bool  # whether the latest scores have to do with the last ones
    mean: np.ndarray  # [runs]
    covariance: np.ndarray  # [runs, runs], the noise of the last scores included


def go_on(
    records: Records,
    candidates: Sequence[str],
    count: int,
    last: int,
    target: str = "out_score",
    seed: int = 0,
    if_uninformative: IfUninformative = "spread",
) -> Decision:
    """The `count` of the candidates (mixtures) that go on, by the probability of being the best at step `last`.

    `records` holds what was scored until now, a row for each run and step, of the candidates and of any other runs.
    Where that tells nothing of the last step: 'spread' chooses candidates far from each other; 'finish' chooses all.

    Raises InputError for a candidate without a score, and for more to go on than there are.
    """
    trajectories, places = _trajectories(records, candidates, target)
    if not 1 <= count <= len(candidates):
        raise InputError(f"{count} runs are to go on, of {len(candidates)}")
    with one_blas_thread():
        forecasts = list(_forecasts(trajectories, places, last))
    weights = np.array([each.log_weight for each in forecasts])
    weights = np.exp(weights - weights.max())
    weights /= weights.sum()
    signal = float(weights @ [each.tells for each in forecasts])
    expected = _expected(candidates, forecasts, weights, count, np.random.default_rng(seed))
    reached = sorted({int(step) for step in trajectories.steps[np.isin(trajectories.run, places)]})
    told = f"that scores at {_steps(reached)} tell anything of step {last} has a probability of {signal:.2f}"
    if signal >= LEAST_SIGNAL:
        return Decision(tuple(each.mixture for each in expected[:count]), expected, signal, told)
    if if_uninformative == "finish":
        return Decision(tuple(candidates), expected, signal, f"{told}: all go on")
    chosen = tuple(candidates[i] for i in _spread(trajectories.weights[places], count))
    return Decision(chosen, expected, signal, f"{told}: mixtures far from each other go on")


def _steps(steps: Sequence[int]) -> str:
    return f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"


def _trajectories(
    records: Records, candidates: Sequence[str], target: str
) -> tuple[Trajectories, np.ndarray]:
    """What was scored, and which of its runs the candidates are: of a mixture's repeats the first."""
    rows = trained(records)
    frame = rows.frame.reset_index(drop=True)
    scores = target_values(rows, target)
    known = np.isfinite(scores)
    keys = list(zip(frame["mixture"], frame["seed"].astype(int), strict=True))
    runs = sorted({key for key, scored in zip(keys, known, strict=True) if scored})
    number = {key: place for place, key in enumerate(runs)}
    first = {mixture: number[mixture, seed] for mixture, seed in reversed(runs)}
    for mixture in candidates:
        if mixture not in first:
            raise InputError(f"no score of '{mixture}': {nearest(mixture, first)}")
    weights = weights_matrix(rows, sorted(rows.domains))
    of_run = {number[key]: weights[row] for row, key in enumerate(keys) if known[row]}
    column = f"se_{target}"
    errors = frame[column].to_numpy(float) if column in frame else np.zeros(len(frame))
    order = sorted(np.flatnonzero(known), key=lambda row: (number[keys[row]], frame["step"][row]))
    return (
        Trajectories(
            np.array([of_run[place] for place in range(len(runs))]),
            np.array([number[keys[row]] for row in order]),
            frame["step"].to_numpy(float)[order],
            scores[order],
            np.nan_to_num(errors[order]),
        ),
        np.array([first[mixture] for mixture in candidates]),
    )


def _forecasts(found: Trajectories, places: np.ndarray, last: int) -> Iterator[Forecast]:
    """The last scores of the runs at `places`, by each hypothesis."""
    levels = _levels(found)
    scores = found.scores - np.array([levels[step] for step in found.steps])
    scale = float(scores[found.steps == found.steps.min()].std()) or float(scores.std()) or 1.0
    floor = OWN_QUESTIONS * (found.errors / scale) ** 2
    floor = np.concatenate([floor, np.full(len(places), np.median(floor))])
    run = np.concatenate([found.run, places])
    steps = np.maximum(np.concatenate([found.steps, np.full(len(places), float(last))]), 1.0)
    late = np.log(steps / steps.min())
    apart = np.abs(late[:, None] - late)
    level = LEVEL + CLIMB * np.minimum(late[:, None], late)
    latest = np.flatnonzero(np.isin(found.run, places))
    latest = latest[found.steps[latest].argmax()]
    center = levels[max(step for step in levels if step <= last)]
    for own in _of_runs(found.weights, run):
        for (memory, probable), growth, noise in itertools.product(MEMORY, GROWTH, NOISE):
            kept = np.exp(-apart / memory) if memory else 1.0 * (apart == 0)
            spread = np.exp(growth * late)
            covariance = (1 - noise) * own * kept * np.outer(spread, spread) + level
            covariance[np.diag_indices_from(covariance)] += noise * spread**2 + floor + NUGGET
            log_weight, mean, left = _condition(covariance, scores / scale)
            yield Forecast(
                log_weight + math.log(probable),
                (1 - noise) * float(kept[latest, -1]) >= TELLING,
                center + scale * mean,
                scale**2 * left,
            )


def _levels(found: Trajectories) -> dict[float, float]:
    """Step → about where the scores lie there: the runs that are scored at two steps tell how far it climbs between.

    So those that went on, the better ones, do not pass for all.
    """
    steps = np.unique(found.steps)
    levels = {float(steps[0]): float(found.scores[found.steps == steps[0]].mean())}
    for before, step in itertools.pairwise(steps):
        earlier, now = found.steps == before, found.steps == step
        both = np.intersect1d(found.run[earlier], found.run[now])
        if len(both):
            climb = found.scores[now & np.isin(found.run, both)].mean()
            climb -= found.scores[earlier & np.isin(found.run, both)].mean()
            levels[float(step)] = levels[float(before)] + float(climb)
        else:
            levels[float(step)] = float(found.scores[now].mean())
    return levels


def _of_runs(weights: np.ndarray, run: np.ndarray) -> Iterator[np.ndarray]:
    """Covariances of the scores of `run` at one step, by kernel and share of the mixture."""
    kernels = Kernels(weights)
    same = 1.0 * (run[:, None] == run)
    surfaces = [
        kernels.between_runs(spec, run) - KERNEL_LEVEL
        for spec in KERNELS.specs(weights.shape[1])
        if kernels.usable(spec)
    ]
    if not surfaces:  # all of the same mixture
        yield same
    for surface, share in itertools.product(surfaces, OF_MIXTURE):
        yield share * surface + (1 - share) * same


def _condition(covariance: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log likelihood of the scores, mean and covariance of the rows after them; the variance is integrated out."""
    known = len(scores)
    factor = np.linalg.cholesky(covariance[:known, :known])
    white = np.linalg.solve(factor, np.column_stack([scores, covariance[:known, known:]]))
    answer, cross = white[:, 0], white[:, 1:]
    square = BEFOREHAND + float(answer @ answer)
    log_likelihood = -np.log(np.diag(factor)).sum() - (BEFOREHAND + known) / 2 * math.log(square)
    left = covariance[known:, known:] - cross.T @ cross
    return float(log_likelihood), cross.T @ answer, square / (BEFOREHAND + known) * left


def _expected(
    candidates: Sequence[str],
    forecasts: Sequence[Forecast],
    weights: np.ndarray,
    count: int,
    random: np.random.Generator,
) -> tuple[Expected, ...]:
    """The average of the hypotheses, the most probable candidate first."""
    weights = np.where(weights > KEPT * weights.max(), weights, 0.0)
    drawn = random.multinomial(DRAWS, weights / weights.sum())
    surfaces = np.concatenate(
        [
            random.multivariate_normal(each.mean, each.covariance, number, method="eigh")
            for each, number in zip(forecasts, drawn, strict=True)
            if number
        ]
    )
    mean, deviation = surfaces.mean(axis=0), surfaces.std(axis=0)
    among = np.zeros(len(candidates))
    for best in np.argsort(-surfaces, axis=1)[:, :count]:
        among[best] += 1
    among /= len(surfaces)
    order = sorted(range(len(candidates)), key=lambda i: (-among[i], -mean[i], candidates[i]))
    return tuple(Expected(candidates[i], float(mean[i]), float(deviation[i]), float(among[i])) for i in order)


def _spread(weights: np.ndarray, count: int) -> list[int]:
    """Rows of [runs, domains] far from each other in Hellinger distance, the most central first."""
    from modomodo.mixtures.acquisition import farthest

    return farthest(np.sqrt(weights), count)
