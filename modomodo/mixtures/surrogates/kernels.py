"""Covariances between mixtures and prior means of their scores, as data: what Gaussian processes average over.

A kernel is a weighted sum of terms that are scaled to mean 1 over the runs, a prior mean one of terms standardised
over them. gaussian_processes.py says what they stand for.
"""

from dataclasses import dataclass

import numpy as np

LEVEL = 1.0  # prior variance of the mean score, relative to v · s
FLAT = 1e-5  # a term that varies less between the runs cannot be scaled
FARTHEST = 3.0  # standard deviations beyond which nothing more is expected


@dataclass(frozen=True)
class KernelTerm:
    """The mean over blocks of domains of exp(-Σ_{i in block} (w_iᵖ - w'_iᵖ)² / 2ℓ²)."""

    power: float
    length: float
    blocks: tuple[tuple[int, ...], ...]

    def __call__(self, points: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Between mixtures [n, domains] and others [k, domains]: [n, k]."""
        curves = [
            np.exp(-np.maximum(self._distances(points, others, block), 0.0) / (2 * self.length**2))
            for block in self.blocks
        ]
        return curves[0] if len(curves) == 1 else np.mean(curves, axis=0)

    def _distances(self, points: np.ndarray, others: np.ndarray, block: tuple[int, ...]) -> np.ndarray:
        """Squared, [n, k]."""
        if len(block) == 1:
            (domain,) = block
            return (points[:, [domain]] ** self.power - others[:, domain] ** self.power) ** 2
        if len(block) < points.shape[1]:
            points, others = points[:, block], others[:, block]
        left, right = points**self.power, others**self.power
        return (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T


@dataclass(frozen=True)
class MeanTerm:
    """w_jᵖ of one domain, or Σ_i w_iᵖ of all (`domain` None)."""

    power: float
    domain: int | None

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Of mixtures [n, domains]: [n]."""
        chosen = points if self.domain is None else points[:, [self.domain]]
        return (chosen**self.power).sum(axis=1)


@dataclass(frozen=True)
class KernelSpec:
    """One kernel of the grid: p, ℓ, whether domains add up, and, where one dominates, its column j, λ and r."""

    power: float
    length: float
    additive: bool = False
    dominant: int | None = None
    dominant_length: float = 1.0
    dominant_share: float = 0.0

    @property
    def shape(self) -> tuple[float, float, bool, float, float]:
        """Everything but which domain dominates."""
        return (self.power, self.length, self.additive, self.dominant_length, self.dominant_share)

    def terms(self, width: int) -> list[tuple[KernelTerm, float]]:
        """The terms for `width` domains, each with its weight."""
        everyone = tuple(range(width))
        blocks = tuple((domain,) for domain in everyone) if self.additive else (everyone,)
        base = KernelTerm(self.power, self.length, blocks)
        if self.dominant is None:
            return [(base, 1.0)]
        dominant = KernelTerm(self.power, self.dominant_length, ((self.dominant,),))
        return [(base, 1 - self.dominant_share), (dominant, self.dominant_share)]


@dataclass(frozen=True)
class PriorMean:
    """Standard deviations of a score expected of one standard deviation of Σ_i w_iᵖ and of the dominant w_jᵖ."""

    total: float = 0.0
    dominant: float = 0.0

    def terms(self, spec: KernelSpec) -> list[tuple[MeanTerm, float]]:
        """The terms that go with a kernel, each with its weight."""
        found = [(MeanTerm(spec.power, None), (1 - spec.dominant_share) * self.total)]
        if spec.dominant is not None:
            found.append((MeanTerm(spec.power, spec.dominant), spec.dominant_share * self.dominant))
        return [(term, weight) for term, weight in found if weight]


@dataclass(frozen=True)
class KernelGrid:
    """The kernels averaged over, and how benchmarks share what they learn about them."""

    powers: tuple[float, ...]
    lengths: tuple[float, ...]
    additive_lengths: tuple[float, ...] = ()
    dominant_lengths: tuple[float, ...] = ()
    dominant_shares: tuple[float, ...] = ()
    # Weight of the other benchmarks' evidence on the shape of the kernel (not on which domain dominates): below 1
    # because benchmarks scored on the same runs are not independent.
    sharing: float = 0.0
    # Prior log-odds that a benchmark named like a domain is dominated by it.
    namesake: float = 0.0
    prior_mean: PriorMean = PriorMean()

    def specs(self, width: int) -> list[KernelSpec]:
        """All kernels for `width` domains."""
        found = []
        bases = [(length, False) for length in self.lengths] + [
            (length, True) for length in self.additive_lengths
        ]
        for power in self.powers:
            for length, additive in bases:
                found.append(KernelSpec(power, length, additive))
                found += [
                    KernelSpec(power, length, additive, domain, dominant_length, share)
                    for dominant_length in self.dominant_lengths
                    for share in self.dominant_shares
                    for domain in range(width)
                ]
        return found


SQRT = KernelGrid(powers=(0.5,), lengths=(0.25, 0.4, 0.63, 1.0, 1.6, 2.5))
DOMINANT = KernelGrid(
    powers=(0.4, 1.0),
    lengths=(0.63, 1.6),
    additive_lengths=(0.3, 0.8),
    dominant_lengths=(0.2, 0.6),
    dominant_shares=(0.5, 0.8),
    sharing=0.6,
    namesake=2.0,
    prior_mean=PriorMean(total=0.25, dominant=0.6),
)


@dataclass(frozen=True)
class ScaledTerm:
    """A kernel term between the runs, divided by `scale`; `flat` where it hardly varies between them."""

    kernel: np.ndarray  # [runs, runs]
    scale: float
    flat: bool


class Kernels:
    """Kernels and prior means scaled on some runs [runs, domains]; each term is computed once."""

    def __init__(self, runs: np.ndarray, prior_mean: PriorMean) -> None:
        self.runs = runs
        self.prior_mean = prior_mean
        self._scaled: dict[KernelTerm, ScaledTerm] = {}

    def terms(self, spec: KernelSpec) -> list[tuple[KernelTerm, float]]:
        """What the kernel is a weighted sum of, with the weights."""
        return spec.terms(self.runs.shape[1])

    def scaled(self, term: KernelTerm) -> ScaledTerm:
        """A term between the runs."""
        if term not in self._scaled:
            kernel = term(self.runs, self.runs)
            variation = float(1 - kernel.mean())
            flat = variation <= FLAT
            scale = 1.0 if flat else variation
            self._scaled[term] = ScaledTerm(kernel / scale, scale, flat)
        return self._scaled[term]

    def usable(self, spec: KernelSpec) -> bool:
        """Whether each of its terms varies between the runs."""
        return not any(self.scaled(term).flat for term, _ in self.terms(spec))

    def between_runs(self, spec: KernelSpec, rows: np.ndarray) -> np.ndarray:
        """[rows, rows] of the runs, with the level."""
        place = np.ix_(rows, rows)
        return LEVEL + sum(weight * self.scaled(term).kernel[place] for term, weight in self.terms(spec))

    def peak(self, spec: KernelSpec) -> float:
        """Prior variance at any mixture, relative to v · s."""
        return LEVEL + sum(weight / self.scaled(term).scale for term, weight in self.terms(spec))

    def cross(self, term: KernelTerm, points: np.ndarray) -> np.ndarray:
        """Scaled, between mixtures [n, domains] and the runs: [n, runs]."""
        return term(points, self.runs) / self.scaled(term).scale

    def center_and_spread(self, term: MeanTerm) -> tuple[float, float]:
        """Mean and standard deviation over the runs."""
        values = term(self.runs)
        return float(values.mean()), float(values.std())

    def standardised(self, term: MeanTerm, points: np.ndarray) -> np.ndarray:
        """Of mixtures [n, domains]: [n]; 0 where the term hardly differs between the runs."""
        center, spread = self.center_and_spread(term)
        if spread <= FLAT:
            return np.zeros(len(points))
        return np.clip((term(points) - center) / spread, -FARTHEST, FARTHEST)


class KernelsAt:
    """Kernels between mixtures [n, domains] and the runs, and prior means there; each term is computed once."""

    def __init__(self, kernels: Kernels, points: np.ndarray) -> None:
        self.kernels, self.points = kernels, points
        self._cross: dict[KernelTerm, np.ndarray] = {}
        self._between: dict[KernelTerm, np.ndarray] = {}
        self._means: dict[MeanTerm, np.ndarray] = {}

    def cross(self, spec: KernelSpec) -> np.ndarray:
        """[n, runs], with the level."""
        total = np.full((len(self.points), len(self.kernels.runs)), LEVEL)
        for term, weight in self.kernels.terms(spec):
            if term not in self._cross:
                self._cross[term] = self.kernels.cross(term, self.points)
            total += weight * self._cross[term]
        return total

    def between(self, spec: KernelSpec) -> np.ndarray:
        """[n, n], with the level."""
        total = np.full((len(self.points), len(self.points)), LEVEL)
        for term, weight in self.kernels.terms(spec):
            if term not in self._between:
                self._between[term] = term(self.points, self.points) / self.kernels.scaled(term).scale
            total += weight * self._between[term]
        return total

    def prior_mean(self, spec: KernelSpec) -> np.ndarray:
        """Standardised scores [n] expected before any run."""
        total = np.zeros(len(self.points))
        for term, weight in self.kernels.prior_mean.terms(spec):
            if term not in self._means:
                self._means[term] = self.kernels.standardised(term, self.points)
            total += weight * self._means[term]
        return total
