"""One kernel, conditioned on the runs: the posterior of a Gaussian process for every signal share and variance.

With K the kernel between the runs and N the diagonal of their noise, the covariance of scores over v is C = s · K + N.
One eigendecomposition of K serves every signal share s and variance v, every benchmark, and every run left out.

Axes, as einsum writes them: s signal share, v variance, b benchmark, r eigenvector, i run, n mixture asked about.
[signal, variance, benchmark] come in this order, svb.
"""

from dataclasses import dataclass, replace

import numpy as np

from modomodo.mixtures.surrogates.kernels import KernelsAt, KernelSpec

SIGNALS = np.array([0.2, 0.5, 0.75, 0.9, 0.97, 0.995])
VARIANCES = np.array([0.5, 1.0, 2.0, 4.0])
USED = 1e-13  # signals and variances of less weight in every benchmark do not count


@dataclass(frozen=True)
class EigenDecomposition:
    """Of one kernel between the runs, each divided by the root of its relative noise."""

    values: np.ndarray  # [eigenvector]
    vectors: np.ndarray  # [run, eigenvector], rows divided once more by the root of the noise
    scores: np.ndarray  # [eigenvector, benchmark], standardised less their prior mean, in the eigenbasis

    @classmethod
    def of(cls, kernel: np.ndarray, scores: np.ndarray, relative_noise: np.ndarray) -> "EigenDecomposition":
        """From a kernel [run, run], scores less their prior mean [run, benchmark] and noise [run]."""
        root = 1 / np.sqrt(relative_noise)
        values, vectors = np.linalg.eigh(kernel * root[:, None] * root)
        vectors = vectors * root[:, None]
        return cls(np.maximum(values, 0.0), vectors, vectors.T @ scores)

    def of_scores(self, scores: np.ndarray) -> "EigenDecomposition":
        """The same kernel with other scores less their prior mean [run, benchmark]."""
        return replace(self, scores=self.vectors.T @ scores)

    def spread(self, floor: np.ndarray) -> np.ndarray:
        """Eigenvalues of the covariance over v, [signal, variance, benchmark, eigenvector]."""
        return SIGNALS[:, None, None, None] * self.values + noise_share(floor)[..., None]

    def log_evidence(self, spread: np.ndarray, log_determinant: np.ndarray) -> np.ndarray:
        """Log marginal likelihood, up to a constant of the noise: [signal, variance, benchmark].

        `log_determinant` [signal, variance, benchmark] is the sum of the logarithms of `spread`.
        """
        squares = np.einsum("svbr,rb->svb", 1 / spread, self.scores**2)
        count = len(self.values)
        return -0.5 * (squares / VARIANCES[:, None] + count * np.log(VARIANCES)[:, None] + log_determinant)


def noise_share(floor: np.ndarray) -> np.ndarray:
    """Noise variance over v, at least the `floor` [benchmark] of the standard errors: [signal, variance, benchmark]."""
    free = np.broadcast_to((1 - SIGNALS)[:, None, None], (len(SIGNALS), len(VARIANCES), len(floor)))
    return np.maximum(free, floor / VARIANCES[:, None]) + 1e-9


@dataclass(frozen=True)
class Posterior:
    """Of the expected score by one kernel: sums over signals and variances times their weights, [n, benchmark]."""

    mean: np.ndarray
    square: np.ndarray  # of the means
    variance: np.ndarray


@dataclass(frozen=True)
class LeftOutScores:
    """Each run predicted by one kernel from the runs outside its fold."""

    error: np.ndarray  # [run, signal, variance, benchmark], its score less the prediction
    variance: np.ndarray  # [run, signal, variance, benchmark] of that error, over v
    log_density: np.ndarray  # [fold, signal, variance, benchmark] of the fold's scores, up to a constant

    def expected_variance(self, floor: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Of the expected scores, without the runs' own noise [run]: [run, signal, variance, benchmark]."""
        own = noise_share(floor) * noise[:, None, None, None]
        return np.maximum(self.variance - own, 0.0) * VARIANCES[:, None]


@dataclass(frozen=True)
class ConditionedKernel:
    """A kernel conditioned on the runs, for the benchmarks of one group."""

    spec: KernelSpec
    peak: float  # prior variance at any mixture, over v · s
    eigen: EigenDecomposition
    spread: np.ndarray  # [signal, variance, benchmark, eigenvector]
    weights: np.ndarray  # [signal, variance, benchmark]; over all kernels they sum to 1

    @property
    def used(self) -> np.ndarray:
        """Mask [signal, variance]: most have next to no weight."""
        return self.weights.max(axis=2) > USED

    def coefficients(self) -> np.ndarray:
        """What the kernel with each run counts in the mean, s · C⁻¹ (y - μ): [run, signal, variance, benchmark]."""
        rotated = SIGNALS[:, None, None, None] * self.eigen.scores.T / self.spread
        return np.tensordot(self.eigen.vectors, rotated, (1, 3))

    def prior_variance(self) -> np.ndarray:
        """Before any run, v · s · k(w, w), summed over signals and variances by weight: [benchmark]."""
        return self.peak * self._scale().sum(axis=(0, 1))

    def explained(self) -> np.ndarray:
        """What squared coordinates take off it, v · s² · C⁻¹ in the eigenbasis, summed so: [eigenvector, benchmark]."""
        return np.einsum("svb,svbr->rb", self._scale() * SIGNALS[:, None, None], 1 / self.spread)

    def _scale(self) -> np.ndarray:
        return self.weights * SIGNALS[:, None, None] * VARIANCES[:, None]

    def noise_variance(self, floor: np.ndarray) -> np.ndarray:
        """What one run adds, summed so: [benchmark]."""
        return (self.weights * VARIANCES[:, None] * noise_share(floor)).sum(axis=(0, 1))

    def posterior(self, at: KernelsAt) -> Posterior:
        """At some mixtures, with k the kernel between each and the runs (Rasmussen and Williams 2006, 2.25 and 2.26).

        mean = μ + s · kᵀ C⁻¹ (y - μ),    variance = v · s · (k(w, w) - s · kᵀ C⁻¹ k)
        """
        cross, weights = at.cross(self.spec), self.weights[self.used]
        means = np.tensordot(cross, self.coefficients()[:, self.used], 1)
        means += at.prior_mean(self.spec)[:, None, None]
        weighted = means * weights
        rotated = (cross @ self.eigen.vectors) ** 2
        return Posterior(
            weighted.sum(axis=1),
            (weighted * means).sum(axis=1),
            np.maximum(self.prior_variance() - rotated @ self.explained(), 0.0),
        )

    def surface(self, at: KernelsAt, s: int, v: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean [n] and Cholesky factor [n, n] at one signal share and variance, for one benchmark."""
        rotated = at.cross(self.spec) @ self.eigen.vectors
        spread = self.spread[s, v, b]
        left = at.between(self.spec) - SIGNALS[s] * (rotated / spread) @ rotated.T
        covariance = VARIANCES[v] * SIGNALS[s] * left
        jitter = 1e-8 * VARIANCES[v] * self.peak
        mean = rotated @ (SIGNALS[s] * self.eigen.scores[:, b] / spread)
        mean += at.prior_mean(self.spec)
        return mean, np.linalg.cholesky(covariance + jitter * np.eye(len(at.points)))

    def _solved(self) -> np.ndarray:
        """C⁻¹ (y - μ), [run, signal, variance, benchmark]."""
        return np.tensordot(self.eigen.vectors, self.eigen.scores.T / self.spread, (1, 3))

    def _precision(self, runs: np.ndarray | slice) -> np.ndarray:
        """The diagonal of C⁻¹ at some runs, [run, signal, variance, benchmark]."""
        return np.tensordot(self.eigen.vectors[runs] ** 2, 1 / self.spread, (1, 3))

    def left_out_errors(self) -> np.ndarray:
        """Each run less its prediction from all others, averaged by weight: [run, benchmark].

        (C⁻¹ (y - μ))ᵢ / (C⁻¹)ᵢᵢ, Rasmussen and Williams 2006, equation 5.12.
        """
        return np.einsum("isvb,svb->ib", self._solved() / self._precision(slice(None)), self.weights)

    def leave_out(self, folds: list[np.ndarray]) -> LeftOutScores:
        """Each run given all runs but its fold's; `folds` are the rows of each.

        With A the rows and columns of a fold in C⁻¹, its scores y are expected at y - A⁻¹ (C⁻¹ y) with covariance
        A⁻¹ (Rasmussen and Williams 2006, 5.4.2): one eigendecomposition serves all folds.
        """
        vectors, spread = self.eigen.vectors, self.spread
        scale = VARIANCES[:, None]
        solved = self._solved()
        error, variance = np.empty_like(solved), np.empty_like(solved)
        density = np.zeros((len(folds), *solved.shape[1:]))
        sizes = np.array([len(runs) for runs in folds])
        alone = np.array([runs[0] for runs in folds if len(runs) == 1], int)
        inverse = self._precision(alone)
        error[alone], variance[alone] = solved[alone] / inverse, 1 / inverse
        density[sizes == 1] = (np.log(inverse / scale) - solved[alone] * error[alone] / scale) / 2
        for fold in np.flatnonzero(sizes > 1):
            runs = folds[fold]
            block = (vectors[runs] / spread[..., None, :]) @ vectors[runs].T
            covariance = np.linalg.inv(block)
            right = np.moveaxis(solved[runs], 0, -1)
            missed = (covariance @ right[..., None])[..., 0]
            error[runs] = np.moveaxis(missed, -1, 0)
            variance[runs] = np.moveaxis(np.einsum("svbii->svbi", covariance), -1, 0)
            misfit = (right * missed).sum(axis=-1) / scale
            density[fold] = (np.linalg.slogdet(block)[1] - len(runs) * np.log(scale) - misfit) / 2
        return LeftOutScores(error, variance, density)
