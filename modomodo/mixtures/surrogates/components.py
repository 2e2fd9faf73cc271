"""A multi-output Gaussian process: benchmarks learn from each other through what they have in common.

The standardised scores are turned to their principal components, Z = S V with V orthogonal, and each component
gets a process of its own (the orthogonal linear model of coregionalisation; Bruinsma et al. 2020). What several
benchmarks share is one component with little noise, what none shares is noise of its own and shrunk away.
It helps when benchmarks are many, alike and noisy; a benchmark that follows one domain is predicted less well than by
a process of its own.
"""

from dataclasses import dataclass, replace

import numpy as np

from modomodo.mixtures.surrogates.base import (
    Observations,
    Prediction,
    Predictor,
    StandardScaler,
    Surrogate,
    surrogates,
)
from modomodo.mixtures.surrogates.gaussian_processes import ProcessPredictor, fit_processes
from modomodo.mixtures.surrogates.kernels import DOMINANT, KernelSpec, PriorMean


@dataclass(frozen=True)
class ComponentsPredictor(Predictor):
    """Processes on principal components, turned back to benchmarks."""

    scaler: StandardScaler
    loadings: np.ndarray  # [benchmarks, components]
    inner: ProcessPredictor
    rest: np.ndarray  # [benchmarks], standardised variance outside of the components

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        return self.scaler.inverse(self.inner.mean(weights) @ self.loadings.T)

    def predict(self, weights: np.ndarray) -> Prediction:
        """Covariances between benchmarks come from the components they share."""
        return self.turned(self.inner.predict(weights))

    def turned(self, inner: Prediction) -> Prediction:
        """What is expected of the components, as scores."""
        turn = self.loadings * self.scaler.scale[:, None]
        outside = np.diag(self.rest * self.scaler.scale**2)
        return Prediction(
            inner.mean @ turn.T + self.scaler.center,
            turn @ inner.covariance @ turn.T + outside,
            turn @ inner.noise @ turn.T,
        )

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Complete surfaces [count, n, benchmarks]."""
        return self.scaler.inverse(self.inner.draw(weights, count, random) @ self.loadings.T)

    def refitting(self) -> Surrogate | None:
        """Only with the kernels that this fit has kept."""
        return lambda observations, seed: fit_components(observations, self.inner.specs())


@surrogates.register("gp_components")
def gp_components(observations: Observations, seed: int) -> Predictor:
    """Gaussian processes on the principal components of the scores; a missing score counts as average."""
    return fit_components(observations)


def fit_components(observations: Observations, specs: list[KernelSpec] | None = None) -> ComponentsPredictor:
    """Averaged over all kernels of the default, or only over some."""
    final = observations.final()
    scaler = StandardScaler.of(final)
    known = np.isfinite(scaler.scores)
    scores = np.where(known, scaler.scores, 0.0)
    variances = np.where(known, scaler.variances, 0.0)
    count, width = scores.shape
    _, _, right = np.linalg.svd(scores, full_matrices=False)
    loadings = right[: max(1, min(count - 1, width))].T
    # The sign of a component is arbitrary: fix it, so that the same table gives the same bytes.
    loadings = loadings * np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(loadings.shape[1])])
    turned = replace(
        final,
        scores=scores @ loadings,
        errors=np.where(
            (np.nan_to_num(final.errors) > 0).any(axis=1, keepdims=True),
            np.sqrt(variances @ loadings**2),
            np.nan,
        ),
        benchmarks=tuple(f"component {i:03d}" for i in range(loadings.shape[1])),
        shares=np.full(loadings.shape[1], 1 / loadings.shape[1]),
    )
    # A benchmark that was never scored has no loading; it stays as unsure as its standardised spread of 1.
    rest = np.maximum(1 - (loadings**2).sum(axis=1), 0.0) * ~known.any(axis=0)
    # Their signs being arbitrary, nothing is expected of components before the runs; more powers serve them better.
    grid = replace(DOMINANT, powers=(0.3, 0.5, 1.0), prior_mean=PriorMean())
    return ComponentsPredictor(final, scaler, loadings, fit_processes(turned, grid, specs), rest)
