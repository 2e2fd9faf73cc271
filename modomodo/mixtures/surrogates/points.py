"""From a function that only predicts a mean to a predictor with uncertainty.

The uncertainty is measured, not assumed: each mixture is left out in turn (in at most ten groups), and the
errors made on those left out give the covariance between benchmarks, the same for every mixture. A drawn
surface is a refit on mixtures drawn with replacement.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from modomodo.mixtures.surrogates.base import (
    Observations,
    Prediction,
    Predictor,
    StandardScaler,
    mixture_folds,
    shrunk_correlation,
)

Mean = Callable[[np.ndarray], np.ndarray]
"""Weights [n, domains] → standardised scores [n]."""

Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, int], Mean]
"""(weights [runs, domains], standardised scores [runs], squared standard errors [runs], seed) → mean."""

GROUPS = 10


@dataclass(frozen=True)
class PointPredictor(Predictor):
    """One fitted mean a benchmark, with the covariance of left-out errors."""

    fit: Fit
    seed: int
    scaler: StandardScaler
    means: tuple[Mean, ...]

    @cached_property
    def left_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Standardised scores predicted without the run's group [runs, benchmarks], and that group [runs].

        NaN where all runs are of one mixture. Only made when asked for.
        """
        weights = self.observations.weights
        folds = mixture_folds(weights)
        groups = np.random.default_rng(self.seed).permutation(folds.max() + 1)
        means, group = np.full(self.scaler.scores.shape, np.nan), np.zeros(len(weights), int)
        for number, part in enumerate(np.array_split(groups, min(GROUPS, len(groups)))):
            out = np.isin(folds, part)
            group[out] = number
            if out.all():
                continue
            rest = np.flatnonzero(~out)
            for b, mean in enumerate(_fit_each(self.fit, weights, self.scaler, rest, self.seed)):
                means[out, b] = mean(weights[out])
        return means, group

    @cached_property
    def covariance(self) -> np.ndarray:
        """Of standardised left-out errors, [benchmarks, benchmarks]; only measured when asked for."""
        return _covariance(self.scaler.scores - self.left_out[0])

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        values = np.column_stack([mean(weights) for mean in self.means])
        return self.scaler.inverse(values)

    def predict(self, weights: np.ndarray) -> Prediction:
        """The left-out error holds model error and a run's noise together: half is counted as each."""
        half = self.covariance * np.outer(self.scaler.scale, self.scaler.scale) / 2
        return Prediction(self.mean(weights), np.broadcast_to(half, (len(weights), *half.shape)), half)

    def predict_left_out(self) -> Prediction:
        """Each run without its group; its covariance is that of the errors in the other groups."""
        means, group = self.left_out
        errors = self.scaler.scores - means
        square = np.outer(self.scaler.scale, self.scaler.scale)
        halves = np.stack([_covariance(errors[group != number]) for number in range(group.max() + 1)])
        return Prediction(
            self.scaler.inverse(means),
            halves[group] * square / 2,
            halves.mean(axis=0) * square / 2,
        )

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Refits on mixtures drawn with replacement."""
        folds = mixture_folds(self.observations.weights)
        members = [np.flatnonzero(folds == fold) for fold in range(folds.max() + 1)]
        surfaces = np.empty((count, len(weights), len(self.benchmarks)))
        for i in range(count):
            chosen = random.integers(len(members), size=len(members))
            rows = np.concatenate([members[fold] for fold in chosen])
            for b, mean in enumerate(
                _fit_each(self.fit, self.observations.weights, self.scaler, rows, self.seed)
            ):
                surfaces[i, :, b] = mean(weights)
        return self.scaler.inverse(surfaces)


def _covariance(errors: np.ndarray) -> np.ndarray:
    known = np.isfinite(errors)
    # Without anything to test on, the spread of the scores themselves (1, standardised) is the honest answer.
    tested = known.sum(axis=0)
    squares = np.where(known, errors, 0.0) ** 2
    variance = np.where(tested > 0, squares.sum(axis=0) / np.maximum(tested, 1), 1.0)
    correlation = shrunk_correlation(np.where(known, errors, 0.0))
    return correlation * np.sqrt(np.outer(variance, variance))


def point_predictor(observations: Observations, fit: Fit, seed: int) -> PointPredictor:
    """Fit every benchmark to the scores at the last step."""
    final = observations.final()
    scaler = StandardScaler.of(final)
    means = _fit_each(fit, final.weights, scaler, np.arange(len(final)), seed)
    return PointPredictor(final, fit, seed, scaler, tuple(means))


def _fit_each(
    fit: Fit, weights: np.ndarray, scaler: StandardScaler, rows: np.ndarray, seed: int
) -> list[Mean]:
    """One fit a benchmark on the runs that scored it; the mean of nothing is 0, the standardised average."""
    means: list[Mean] = []
    for scores, variances in zip(scaler.scores.T, scaler.variances.T, strict=True):
        known = rows[np.isfinite(scores[rows])]
        means.append(fit(weights[known], scores[known], variances[known], seed) if len(known) else _nothing)
    return means


def _nothing(weights: np.ndarray) -> np.ndarray:
    return np.zeros(len(weights))
