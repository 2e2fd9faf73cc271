"""One kernel, conditioned on the runs: the posterior of a Gaussian process for every signal share and variance.

With K the kernel between the runs and N the diagonal of their noise, the covariance of scores over v is C = s · K + N.
One eigendecomposition of K serves every signal share s and variance v, every benchmark, and every run left out.

Axes, as einsum writes them: m hypothesis (of those that share the kernel and differ in what they expect before any
run), s signal share, v variance, b benchmark, r eigenvector, i run, n mixture asked about. They come in this order,
msvb.
"""

from dataclasses import dataclass
from functools import cached_property

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

    @classmethod
    def of(cls, kernel: np.ndarray, relative_noise: np.ndarray) -> "EigenDecomposition":
        """From a kernel [run, run] and noise [run]."""
        root = 1 / np.sqrt(relative_noise)
        values, vectors = np.linalg.eigh(kernel * root[:, None] * root)
        return cls(np.maximum(values, 0.0), vectors * root[:, None])

    def spread(self, floor: np.ndarray) -> np.ndarray:
        """Eigenvalues of the covariance over v, [signal, variance, benchmark, eigenvector]."""
        return SIGNALS[:, None, None, None] * self.values + noise_share(floor)[..., None]

    def rotated(self, scores: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Scores [run, benchmark] less what was expected [run, hypothesis]: [hypothesis, benchmark, eigenvector]."""
        return (scores.T @ self.vectors) - (expected.T @ self.vectors)[:, None]


def log_evidence(spread: np.ndarray, rotated: np.ndarray) -> np.ndarray:
    """Log marginal likelihood, up to a constant of the noise: [hypothesis, signal, variance, benchmark].

    `spread` [signal, variance, benchmark, eigenvector], `rotated` scores [hypothesis, benchmark, eigenvector].
    """
    signals, variances, width, count = spread.shape
    inverse = (1 / spread).reshape(signals * variances, width, count).transpose(1, 0, 2)
    squares = (inverse @ (rotated**2).transpose(1, 2, 0)).transpose(2, 1, 0)
    squares = squares.reshape(len(rotated), signals, variances, width)
    constant = count * np.log(VARIANCES)[:, None] + np.log(spread).sum(axis=-1)
    return -0.5 * (squares / VARIANCES[:, None] + constant)


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

    error: np.ndarray  # [run, hypothesis, signal, variance, benchmark], its score less the prediction
    variance: np.ndarray  # [run, signal, variance, benchmark] of that error, over v
    log_density: np.ndarray  # [fold, hypothesis, signal, variance, benchmark] of its scores, up to a constant

    def expected_variance(self, floor: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Of the expected scores, without the runs' own noise [run]: [run, signal, variance, benchmark]."""
        own = noise_share(floor) * noise[:, None, None, None]
        return np.maximum(self.variance - own, 0.0) * VARIANCES[:, None]


@dataclass(frozen=True)
class ConditionedKernel:
    """A kernel conditioned on the runs, for the benchmarks of one group, under hypotheses that share it."""

    specs: list[KernelSpec]  # the hypotheses: they differ in what was expected before any run
    peak: float  # prior variance at any mixture, over v · s
    eigen: EigenDecomposition
    rotated: np.ndarray  # [hypothesis, benchmark, eigenvector], scores less what was expected
    spread: np.ndarray  # [signal, variance, benchmark, eigenvector]
    weights: np.ndarray  # [hypothesis, signal, variance, benchmark]; over all kernels they sum to 1

    @property
    def covariance(self) -> KernelSpec:
        """What the hypotheses share."""
        return self.specs[0].covariance

    @cached_property
    def _weighted(self) -> np.ndarray:
        """C⁻¹ (y - μ) in the eigenbasis, weighed over hypotheses: [signal, variance, benchmark, eigenvector]."""
        return np.einsum("msvb,mbr->svbr", self.weights, self.rotated) / self.spread

    def coefficients(self) -> np.ndarray:
        """What the kernel with each run counts in the mean, s · C⁻¹ (y - μ), summed by weight: [run, benchmark]."""
        return self.eigen.vectors @ np.einsum("s,svbr->rb", SIGNALS, self._weighted)

    def prior_variance(self) -> np.ndarray:
        """Before any run, v · s · k(w, w), summed over signals and variances by weight: [benchmark]."""
        return self.peak * self._scale().sum(axis=(0, 1))

    @cached_property
    def explained(self) -> np.ndarray:
        """What squared coordinates take off it, v · s² · C⁻¹ in the eigenbasis, summed so: [eigenvector, benchmark]."""
        return np.einsum("svb,svbr->rb", self._scale() * SIGNALS[:, None, None], 1 / self.spread)

    def _scale(self) -> np.ndarray:
        return self.weights.sum(axis=0) * SIGNALS[:, None, None] * VARIANCES[:, None]

    def noise_variance(self, floor: np.ndarray) -> np.ndarray:
        """What one run adds, summed so: [benchmark]."""
        return (self.weights.sum(axis=0) * VARIANCES[:, None] * noise_share(floor)).sum(axis=(0, 1))

    @cached_property
    def _used(self) -> tuple[np.ndarray, ...]:
        """Places (hypotheses, signals, variances) of some weight: most have next to none."""
        return np.nonzero(self.weights.max(axis=-1) > USED)

    @cached_property
    def _solutions(self) -> np.ndarray:
        """S · C⁻¹ (y - μ) in the eigenbasis, [used, benchmark, eigenvector]."""
        hypotheses, signals, variances = self._used
        scale = SIGNALS[signals, None, None]
        return scale * self.rotated[hypotheses] / self.spread[signals, variances]

    def posterior(self, at: KernelsAt, less: KernelsAt | None = None) -> Posterior:
        """At some mixtures, with k the kernel between each and the runs (Rasmussen and Williams 2006, 2.25 and 2.26).

        mean = μ + s · kᵀ C⁻¹ (y - μ),    variance = v · s · (k(w, w) - s · kᵀ C⁻¹ k)

        With `less`, of the difference from as many others: μ and k are differences too, and the prior variance is
        v · s · (k(w, w) + k(w', w') - 2 k(w, w')).
        """
        weights = self.weights[self._used]
        cross, prior = at.cross(self.covariance), self.prior_variance()
        expected = np.stack([at.prior_mean(spec) for spec in self.specs], axis=1)
        if less is not None:
            cross = cross - less.cross(self.covariance)
            expected = expected - np.stack([less.prior_mean(spec) for spec in self.specs], axis=1)
            prior = (2 - 2 * at.paired(less, self.covariance)[:, None] / self.peak) * prior
        rotated = cross @ self.eigen.vectors
        means = np.tensordot(rotated, self._solutions, (1, 2)) + expected[:, self._used[0], None]
        weighted = means * weights
        return Posterior(
            weighted.sum(axis=1),
            np.einsum("nub,nub->nb", weighted, means),
            np.maximum(prior - rotated**2 @ self.explained, 0.0),
        )

    def surface(self, at: KernelsAt, place: tuple[int, int, int], b: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean [n] and Cholesky factor [n, n] for one hypothesis, signal share and variance, and one benchmark."""
        hypothesis, s, v = place
        rotated = at.cross(self.covariance) @ self.eigen.vectors
        spread = self.spread[s, v, b]
        left = at.between(self.covariance) - SIGNALS[s] * (rotated / spread) @ rotated.T
        covariance = VARIANCES[v] * SIGNALS[s] * left
        jitter = 1e-8 * VARIANCES[v] * self.peak
        mean = rotated @ (SIGNALS[s] * self.rotated[hypothesis, b] / spread)
        mean += at.prior_mean(self.specs[hypothesis])
        return mean, np.linalg.cholesky(covariance + jitter * np.eye(len(at.points)))

    def _precision(self, runs: np.ndarray | slice) -> np.ndarray:
        """The diagonal of C⁻¹ at some runs, [run, signal, variance, benchmark]."""
        return np.tensordot(self.eigen.vectors[runs] ** 2, 1 / self.spread, (1, 3))

    def left_out_errors(self) -> np.ndarray:
        """Each run less its prediction from all others, averaged by weight: [run, benchmark].

        (C⁻¹ (y - μ))ᵢ / (C⁻¹)ᵢᵢ, Rasmussen and Williams 2006, equation 5.12.
        """
        solved = np.tensordot(self.eigen.vectors, self._weighted, (1, 3))
        return (solved / self._precision(slice(None))).sum(axis=(1, 2))

    def leave_out(self, folds: list[np.ndarray]) -> LeftOutScores:
        """Each run given all runs but its fold's; `folds` are the rows of each.

        With A the rows and columns of a fold in C⁻¹, its scores y are expected at y - A⁻¹ (C⁻¹ y) with covariance
        A⁻¹ (Rasmussen and Williams 2006, 5.4.2): one eigendecomposition serves all folds.
        """
        vectors, spread = self.eigen.vectors, self.spread
        scale = VARIANCES[:, None]
        solved = np.tensordot(vectors, self.rotated[:, None, None] / spread, (1, 4))
        error, variance = np.empty_like(solved), np.empty_like(solved[:, 0])
        density = np.zeros((len(folds), *solved.shape[1:]))
        sizes = np.array([len(runs) for runs in folds])
        alone = np.array([runs[0] for runs in folds if len(runs) == 1], int)
        inverse = self._precision(alone)
        error[alone], variance[alone] = solved[alone] / inverse[:, None], 1 / inverse
        density[sizes == 1] = (np.log(inverse / scale)[:, None] - solved[alone] * error[alone] / scale) / 2
        for fold in np.flatnonzero(sizes > 1):
            runs = folds[fold]
            block = (vectors[runs] / spread[..., None, :]) @ vectors[runs].T
            covariance = np.linalg.inv(block)
            right = np.moveaxis(solved[runs], 0, -1)
            missed = (covariance @ right[..., None])[..., 0]
            error[runs] = np.moveaxis(missed, -1, 0)
            variance[runs] = np.moveaxis(np.einsum("svbii->svbi", covariance), -1, 0)
            misfit = (right * missed).sum(axis=-1) / scale
            determinant = np.linalg.slogdet(block)[1] - len(runs) * np.log(scale)
            density[fold] = (determinant - misfit) / 2
        return LeftOutScores(error, variance, density)
