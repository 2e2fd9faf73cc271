"""Scores at earlier steps as cheaper witnesses of the last one.

A run scored at 500 and 1500 steps says something of 2000, the more the nearer. Each step's scores are
standardised by themselves, so what training adds for every mixture alike drops out, and how far a run has come is
one more coordinate of the kernel: τ · (1 - step / last step), with τ chosen by marginal likelihood among a few.
"""

from dataclasses import dataclass, replace

import numpy as np

from modomodo.mixtures.surrogates.base import Observations, Prediction, Predictor, Standard, surrogates
from modomodo.mixtures.surrogates.gaussian_processes import ProcessPredictor, fit_processes
from modomodo.mixtures.surrogates.kernels import SQRT

REACH = (0.3, 1.0, 3.0)  # τ: how fast earlier steps stop telling of later ones
FEWEST = 3  # runs at a step, below which it cannot be standardised


@dataclass(frozen=True)
class StepsPredictor:
    """A process over mixtures and progress, asked at the last step."""

    observations: Observations
    standard: Standard
    inner: ProcessPredictor

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the weight columns."""
        return self.observations.domains

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the scores."""
        return self.observations.benchmarks

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        return self.inner.mean(_with_progress(weights)) * self.standard.scale + self.standard.center

    def predict(self, weights: np.ndarray) -> Prediction:
        """Expected scores with their uncertainty."""
        inner = self.inner.predict(_with_progress(weights))
        square = np.outer(self.standard.scale, self.standard.scale)
        mean = inner.mean * self.standard.scale + self.standard.center
        return Prediction(mean, inner.covariance * square, inner.noise * square)

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Whole surfaces [count, n, benchmarks]."""
        surfaces = self.inner.draw(_with_progress(weights), count, random)
        return surfaces * self.standard.scale + self.standard.center


def _with_progress(weights: np.ndarray) -> np.ndarray:
    return np.column_stack([weights, np.zeros(len(weights))])


@surrogates.register("gp_steps")
def gp_steps(observations: Observations, seed: int) -> Predictor:
    """A Gaussian process on √w in which scores at earlier steps count as cheaper fidelities of the last."""
    final = observations.final()
    standard = Standard.of(final)
    marks = np.round(observations.progress, 6)
    parts = [(final, np.zeros(len(final)), standard)]
    for mark in np.unique(marks[marks < 1]):
        early = observations.rows(marks == mark)
        if len(early) >= FEWEST:
            parts.append((early, np.full(len(early), 1 - mark), Standard.of(early)))
    whole = replace(
        observations,
        weights=np.concatenate([part.weights for part, _, _ in parts]),
        scores=np.concatenate([one.scores for _, _, one in parts]),
        errors=np.concatenate([part.errors / one.scale for part, _, one in parts]),
        progress=np.ones(sum(len(part) for part, _, _ in parts)),
        mixtures=sum((part.mixtures for part, _, _ in parts), ()),
    )
    left = np.concatenate([missing for _, missing, _ in parts])
    fits = []
    # The kernel's coordinate is the square root of what stands in the column.
    for reach in REACH if len(parts) > 1 else REACH[:1]:
        placed = replace(whole, weights=np.column_stack([whole.weights, (reach * left) ** 2]))
        fits.append(fit_processes(placed, SQRT))
    best = max(fits, key=lambda fit: fit.evidence)
    return StepsPredictor(final, standard, best)
