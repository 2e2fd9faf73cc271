"""Gaussian processes on √w, with the hyperparameters averaged over rather than chosen.

For runs i, j the covariance of the scores is

    variance · (signal · k(wᵢ, wⱼ) + (1 - signal) · [i = j]) + [i = j] · se²ᵢ,
    k(w, v) = 1 + exp(-‖√w - √v‖² / 2 length²) scaled to mean 1 over the runs after centering,

on standardised scores. With a dozen runs the marginal likelihood hardly tells one length from another and
its maximum is a gamble; so `length`, `signal` and `variance` run over a grid and every prediction is the
average weighted by marginal likelihood (times a flat prior on the grid). scikit-learn's and GPyTorch's
processes offer the maximum only. ‖√w - √v‖² is twice the squared Hellinger distance of the mixtures.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from modomodo.surrogates.base import (
    Observations,
    Prediction,
    Predictor,
    Standard,
    shrunk_correlation,
    surrogates,
)

LENGTHS = (0.25, 0.4, 0.63, 1.0, 1.6, 2.5)
SIGNALS = (0.2, 0.5, 0.75, 0.9, 0.97, 0.995)
VARIANCES = (0.5, 1.0, 2.0, 4.0)
LEVEL = 1.0  # prior variance of the mean of the standardised scores
KEPT = 1e-3  # grid points of less weight are dropped


def squared_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """‖√w - √v‖² between rows [n, domains] and [k, domains]: [n, k], from 0 to 2."""
    return np.maximum(
        points.sum(axis=1)[:, None] + others.sum(axis=1) - 2 * np.sqrt(points) @ np.sqrt(others).T, 0
    )


@dataclass(frozen=True)
class Fitted:
    """One grid point, conditioned on the runs of one benchmark."""

    weight: float
    length: float
    gain: float  # variance · signal / scaling of the kernel
    level: float
    noise: float
    factor: np.ndarray  # Cholesky factor of the covariance of the runs
    solved: np.ndarray  # covariance⁻¹ · scores

    def kernel(self, distances: np.ndarray) -> np.ndarray:
        """Covariance of the expected score for squared distances."""
        return self.level + self.gain * np.exp(-distances / (2 * self.length**2))


def fit_grid(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray) -> list[Fitted]:
    """Grid points in order, their weights summing to 1, for one benchmark's standardised scores [runs]."""
    distances = squared_distances(weights, weights)
    count = len(scores)
    settings = []
    for length in LENGTHS:
        kernel = np.exp(-distances / (2 * length**2))
        centred = float(np.mean(np.diag(kernel)) - kernel.mean())
        scaling = max(centred, 1e-3)
        for signal in SIGNALS:
            for variance in VARIANCES:
                settings.append((length, variance * signal / scaling, LEVEL, variance * (1 - signal), kernel))
    fitted, evidence = [], []
    for length, gain, level, noise, kernel in settings:
        covariance = level + gain * kernel + np.diag(noise + variances + 1e-9 * gain)
        factor = np.linalg.cholesky(covariance)
        half = solve_triangular(factor, scores, lower=True)
        solved = solve_triangular(factor.T, half, lower=False)
        evidence.append(-0.5 * float(half @ half) - float(np.log(np.diag(factor)).sum()))
        fitted.append((length, gain, level, noise, factor, solved))
    shares = np.exp(np.array(evidence) - max(evidence)) if count else np.ones(len(fitted))
    shares = np.where(shares / shares.sum() >= KEPT, shares, 0.0)
    shares /= shares.sum()
    return [Fitted(float(share), *rest) for share, rest in zip(shares, fitted, strict=True) if share > 0]


@dataclass(frozen=True)
class ProcessPredictor:
    """One process a benchmark; benchmarks correlate as their left-out errors do."""

    observations: Observations
    standard: Standard
    known: tuple[np.ndarray, ...]  # per benchmark, the runs that scored it
    grids: tuple[list[Fitted], ...]
    correlation: np.ndarray

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the weight columns."""
        return self.observations.domains

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the scores."""
        return self.observations.benchmarks

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]. Grid points of one length share their kernel."""
        values = np.zeros((len(weights), len(self.benchmarks)))
        for b, (known, grid) in enumerate(zip(self.known, self.grids, strict=True)):
            distances = squared_distances(weights, self.observations.weights[known])
            for length in sorted({point.length for point in grid}):
                same = [point for point in grid if point.length == length]
                solved = sum(
                    (point.weight * point.gain * point.solved for point in same), np.zeros(len(known))
                )
                values[:, b] += np.exp(-distances / (2 * length**2)) @ solved
            values[:, b] += sum(point.weight * point.level * float(point.solved.sum()) for point in grid)
        return values * self.standard.scale + self.standard.center

    def predict(self, weights: np.ndarray) -> Prediction:
        """Mean and covariance of the mixture of Gaussians over the grid."""
        means, deviations, noises = [], [], []
        for known, grid in zip(self.known, self.grids, strict=True):
            distances = squared_distances(weights, self.observations.weights[known])
            mean, square, noise = np.zeros(len(weights)), np.zeros(len(weights)), 0.0
            for point in grid:
                cross = point.kernel(distances)
                value = cross @ point.solved
                reduced = solve_triangular(point.factor, cross.T, lower=True)
                spread = np.maximum(point.level + point.gain - (reduced**2).sum(axis=0), 0.0)
                mean += point.weight * value
                square += point.weight * (spread + value**2)
                noise += point.weight * point.noise
            means.append(mean)
            deviations.append(np.sqrt(np.maximum(square - mean**2, 0.0)))
            noises.append(np.sqrt(noise))
        scale = self.standard.scale
        deviation = np.column_stack(deviations) * scale
        run = np.array(noises) * scale
        return Prediction(
            np.column_stack(means) * scale + self.standard.center,
            self.correlation * deviation[:, :, None] * deviation[:, None, :],
            self.correlation * np.outer(run, run),
        )

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Each surface takes one grid point a benchmark by its weight, then one draw from that process."""
        mixing = np.linalg.cholesky(self.correlation + 1e-9 * np.eye(len(self.benchmarks)))
        shared = random.standard_normal((count, len(weights), len(self.benchmarks))) @ mixing.T
        choices = random.random(count)
        own = squared_distances(weights, weights)
        surfaces = np.empty_like(shared)
        for b, (known, grid) in enumerate(zip(self.known, self.grids, strict=True)):
            distances = squared_distances(weights, self.observations.weights[known])
            chosen = np.searchsorted(np.cumsum([point.weight for point in grid])[:-1], choices)
            for k in np.unique(chosen):
                point = grid[k]
                cross = point.kernel(distances)
                reduced = solve_triangular(point.factor, cross.T, lower=True)
                covariance = point.kernel(own) - reduced.T @ reduced
                jitter = 1e-8 * (point.level + point.gain) * np.eye(len(weights))
                factor = np.linalg.cholesky(covariance + jitter)
                surfaces[chosen == k, :, b] = cross @ point.solved + shared[chosen == k, :, b] @ factor.T
        return surfaces * self.standard.scale + self.standard.center


@surrogates.register("gp_sqrt")
def gp_sqrt(observations: Observations, seed: int) -> Predictor:
    """One Gaussian process on √w a benchmark; aggregates are sums of its predictions."""
    final = observations.final()
    standard = Standard.of(final)
    known, grids = [], []
    residuals = np.zeros(standard.scores.shape)
    for b in range(len(final.benchmarks)):
        rows = np.flatnonzero(np.isfinite(standard.scores[:, b]))
        grid = fit_grid(final.weights[rows], standard.scores[rows, b], standard.variances[rows, b])
        # Leave-one-run-out residual: (K⁻¹y)ᵢ / (K⁻¹)ᵢᵢ (Rasmussen and Williams, equation 5.12).
        for point in grid:
            inverse = solve_triangular(point.factor, np.eye(len(rows)), lower=True)
            residuals[rows, b] += point.weight * point.solved / (inverse**2).sum(axis=0)
        known.append(rows)
        grids.append(grid)
    return ProcessPredictor(final, standard, tuple(known), tuple(grids), shrunk_correlation(residuals))
