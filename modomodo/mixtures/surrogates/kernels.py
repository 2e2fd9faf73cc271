"""Covariances between mixtures and prior means of their scores, as data: what Gaussian processes average over.

A kernel is a weighted sum of terms that are scaled to mean 1 over the runs, a prior mean one of terms standardised
over them. gaussian_processes.py says what they stand for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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
    """One hypothesis: the kernel's p, ℓ, whether domains add up, where one dominates its column j, λ and r, and a, b.

    `breadth` and `dominant_mean` are standard deviations of a score expected of one standard deviation of Σ_i w_iᵖ
    and of the dominant w_jᵖ before any run.
    """

    power: float
    length: float
    additive: bool = False
    dominant: int | None = None
    dominant_length: float = 1.0
    dominant_share: float = 0.0
    breadth: float = 0.0
    dominant_mean: float = 0.0

    @property
    def shape(self) -> tuple[float, float, bool, float, float, float]:
        """Everything but which domain dominates, and what breadth is worth."""
        return (
            *(self.power, self.length, self.additive),
            *(self.dominant_length, self.dominant_share, self.dominant_mean),
        )

    @property
    def covariance(self) -> "KernelSpec":
        """The same with nothing expected before any run: hypotheses that share it share an eigendecomposition."""
        return replace(self, breadth=0.0, dominant_mean=0.0)

    def terms(self, width: int) -> list[tuple[KernelTerm, float]]:
        """The terms for `width` domains, each with its weight."""
        everyone = tuple(range(width))
        blocks = tuple((domain,) for domain in everyone) if self.additive else (everyone,)
        base = KernelTerm(self.power, self.length, blocks)
        if self.dominant is None:
            return [(base, 1.0)]
        dominant = KernelTerm(self.power, self.dominant_length, ((self.dominant,),))
        return [(base, 1 - self.dominant_share), (dominant, self.dominant_share)]

    def mean_terms(self) -> list[tuple[MeanTerm, float]]:
        """The terms of the prior mean, each with its weight."""
        found = [
            (MeanTerm(self.power, None), (1 - self.dominant_share) * self.breadth),
            (MeanTerm(self.power, self.dominant), self.dominant_share * self.dominant_mean),
        ]
        return [(term, weight) for term, weight in found if weight]


@dataclass(frozen=True)
class KernelGrid:
    """The hypotheses averaged over, how probable each is before any run, and how benchmarks share what they learn."""

    powers: tuple[float, ...]
    lengths: tuple[float, ...]
    additive_lengths: tuple[float, ...] = ()
    dominant_lengths: tuple[float, ...] = ()
    dominant_shares: tuple[float, ...] = ()
    dominant_means: tuple[float, ...] = (0.0,)
    # Probability that some domain dominates a benchmark that is named after none, each as likely as the others.
    dominance: float = 0.5
    # What a benchmark's name adds to the log-odds that the domain it is named after dominates it.
    namesake: float = 0.0
    # What breadth may be worth (`KernelSpec.breadth`), and how probable each value is.
    breadths: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    # Weight of the other benchmarks' evidence on the shape of the kernel (not on which domain dominates), and on what
    # breadth is worth: below 1 because benchmarks scored on the same runs are not independent.
    shape_sharing: float = 0.0
    breadth_sharing: float = 0.0

    def specs(self, width: int) -> list[KernelSpec]:
        """All hypotheses for `width` domains; those that share a covariance follow each other."""
        bases = [(length, False) for length in self.lengths]
        bases += [(length, True) for length in self.additive_lengths]
        covariances = []
        for power in self.powers:
            for length, additive in bases:
                covariances.append(KernelSpec(power, length, additive))
                covariances += [
                    KernelSpec(power, length, additive, domain, dominant_length, share)
                    for dominant_length in self.dominant_lengths
                    for share in self.dominant_shares
                    for domain in range(width)
                ]
        return [
            replace(spec, breadth=breadth, dominant_mean=mean)
            for spec in covariances
            for breadth, _ in self.breadths
            for mean in (self.dominant_means if spec.dominant is not None else (0.0,))
        ]

    def log_prior(self, specs: Sequence[KernelSpec], log_odds: np.ndarray) -> np.ndarray:
        """Log probability of hypotheses before any run, up to a constant; `log_odds` [domain, benchmark] of dominance.

        Returns [spec, benchmark].
        """
        breadths = np.log([[self._breadth[spec.breadth]] for spec in specs])
        if not self._dominants:
            return np.tile(breadths, (1, log_odds.shape[1]))
        even = np.log(self.dominance / (1 - self.dominance) / len(log_odds))
        domains = even + log_odds
        none = np.zeros(log_odds.shape[1])
        total = np.logaddexp(none, np.logaddexp.reduce(domains, axis=0))
        dominant = domains - np.log(self._dominants)
        shares = [none if spec.dominant is None else dominant[spec.dominant] for spec in specs]
        return breadths + np.stack(shares) - total

    @cached_property
    def _breadth(self) -> dict[float, float]:
        return dict(self.breadths)

    @property
    def _dominants(self) -> int:
        """Hypotheses with the same base, breadth and dominant domain."""
        return len(self.dominant_lengths) * len(self.dominant_shares) * len(self.dominant_means)


SQRT = KernelGrid(powers=(0.5,), lengths=(0.25, 0.4, 0.63, 1.0, 1.6, 2.5))
AVERAGE = KernelGrid(
    powers=(0.5,),
    lengths=(0.63, 1.6),
    additive_lengths=(0.3, 0.8),
    dominant_lengths=(0.2, 0.6),
    dominant_shares=(0.5, 0.8),
    dominant_means=(0.0, 0.6),
    dominance=0.95,
    namesake=4.0,
    breadths=((0.0, 0.98), (0.25, 0.01), (0.5, 0.01)),
    shape_sharing=0.2,
    breadth_sharing=0.6,
)


@dataclass(frozen=True)
class ScaledTerm:
    """A kernel term between the runs, divided by `scale`; `flat` where it hardly varies between them."""

    kernel: np.ndarray  # [runs, runs]
    scale: float
    flat: bool


class Kernels:
    """Kernels and prior means scaled on some runs [runs, domains]; each term is computed once."""

    def __init__(self, runs: np.ndarray) -> None:
        self.runs = runs
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

    def paired(self, others: "KernelsAt", spec: KernelSpec) -> np.ndarray:
        """Between each mixture and the other of the same place, [n], with the level."""
        terms = [
            weight * np.diagonal(term(self.points, others.points)) / self.kernels.scaled(term).scale
            for term, weight in self.kernels.terms(spec)
        ]
        return LEVEL + np.sum(terms, axis=0)

    def prior_mean(self, spec: KernelSpec) -> np.ndarray:
        """Standardised scores [n] expected before any run."""
        total = np.zeros(len(self.points))
        for term, weight in spec.mean_terms():
            if term not in self._means:
                self._means[term] = self.kernels.standardised(term, self.points)
            total += weight * self._means[term]
        return total
