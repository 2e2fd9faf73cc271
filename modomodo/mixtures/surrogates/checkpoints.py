"""Scores of earlier checkpoints as cheaper approximations of the last one.

A run scored at 500 and 1500 steps says something about 2000, the more the nearer. The scores at each checkpoint step
are standardised by themselves, so what training adds for every mixture alike drops out, and how far a run has come is
one more coordinate of the kernel: τ · (1 - step / last step), with τ chosen by marginal likelihood among a few.
"""

from dataclasses import dataclass, replace

import numpy as np

from modomodo.mixtures.surrogates.base import (
    Observations,
    Prediction,
    Predictor,
    StandardScaler,
    surrogates,
)
from modomodo.mixtures.surrogates.gaussian_processes import ProcessPredictor, fit_processes
from modomodo.mixtures.surrogates.kernels import SQRT

REACH = (0.3, 1.0, 3.0)  # τ: how fast earlier scores stop predicting later ones
FEWEST = 3  # runs at a checkpoint step, below which it cannot be standardised


@dataclass(frozen=True)
class CheckpointsPredictor(Predictor):
    """A process over mixtures and progress, asked about the last checkpoint."""

    scaler: StandardScaler
    inner: ProcessPredictor

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        return self.scaler.inverse(self.inner.mean(_with_progress(weights)))

    def predict(self, weights: np.ndarray) -> Prediction:
        """Expected scores with their uncertainty."""
        inner = self.inner.predict(_with_progress(weights))
        square = np.outer(self.scaler.scale, self.scaler.scale)
        return Prediction(self.scaler.inverse(inner.mean), inner.covariance * square, inner.noise * square)

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Complete surfaces [count, n, benchmarks]."""
        return self.scaler.inverse(self.inner.draw(_with_progress(weights), count, random))


@dataclass(frozen=True)
class _Checkpoint:
    """Runs scored at one checkpoint step, the share of the training that then remains, and their scale."""

    runs: Observations
    remaining: float
    scaler: StandardScaler


def _with_progress(weights: np.ndarray) -> np.ndarray:
    return np.column_stack([weights, np.zeros(len(weights))])


@surrogates.register("gp_steps")
def gp_steps(observations: Observations, seed: int) -> Predictor:
    """A Gaussian process on √w in which scores of earlier checkpoints count as cheaper fidelities of the last."""
    final = observations.final()
    progress = np.round(observations.progress, 6)
    parts = [_Checkpoint(final, 0.0, StandardScaler.of(final))]
    for reached in np.unique(progress[progress < 1]):
        early = observations.rows(progress == reached)
        if len(early) >= FEWEST:
            parts.append(_Checkpoint(early, 1 - reached, StandardScaler.of(early)))
    together = replace(
        observations,
        weights=np.concatenate([part.runs.weights for part in parts]),
        scores=np.concatenate([part.scaler.scores for part in parts]),
        errors=np.concatenate([part.runs.errors / part.scaler.scale for part in parts]),
        progress=np.ones(sum(len(part.runs) for part in parts)),
        mixtures=sum((part.runs.mixtures for part in parts), ()),
    )
    remaining = np.concatenate([np.full(len(part.runs), part.remaining) for part in parts])
    fits = []
    # The kernel's coordinate is the square root of what the column holds.
    for reach in REACH if len(parts) > 1 else REACH[:1]:
        placed = replace(together, weights=np.column_stack([together.weights, (reach * remaining) ** 2]))
        fits.append(fit_processes(placed, SQRT))
    best = max(fits, key=lambda fit: fit.log_evidence)
    return CheckpointsPredictor(final, parts[0].scaler, best)
