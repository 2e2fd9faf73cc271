"""Covariances between mixtures: the kernels that Gaussian processes choose from, and their prior means."""

from dataclasses import dataclass

import numpy as np

LEVEL = 1.0  # prior variance of the mean score, relative to v · s
FLAT = 1e-5  # a kernel that varies less between the runs cannot be scaled
FARTHEST = 3.0  # standard deviations beyond which nothing more is expected


@dataclass(frozen=True)
class KernelSpec:
    """One shape of the kernel: p, ℓ, whether domains add up, and, when one leads, its column j, λ and r."""

    power: float
    length: float
    additive: bool = False
    lead: int | None = None
    lead_length: float = 1.0
    lead_share: float = 0.0

    @property
    def shape(self) -> tuple[float, float, bool, float, float]:
        """Everything but which domain leads."""
        return (self.power, self.length, self.additive, self.lead_length, self.lead_share)


@dataclass(frozen=True)
class Family:
    """The structures averaged over, and how benchmarks share what they learn about them."""

    powers: tuple[float, ...]
    lengths: tuple[float, ...]
    additive_lengths: tuple[float, ...] = ()
    lead_lengths: tuple[float, ...] = ()
    lead_shares: tuple[float, ...] = ()
    # Weight of the other benchmarks' evidence on the shape of the kernel (not on which domain leads): below 1
    # because benchmarks scored on the same runs are not independent witnesses.
    sharing: float = 0.0
    # Prior log-odds that a benchmark named like a domain is led by it.
    namesake: float = 0.0
    # Standard deviations of a score that are expected of one standard deviation of Σ wᵖ, and of the leading wᵖ.
    breadth: float = 0.0
    rise: float = 0.0

    def structures(self, width: int) -> list[KernelSpec]:
        """All structures for `width` domains."""
        found = []
        bases = [(length, False) for length in self.lengths] + [
            (length, True) for length in self.additive_lengths
        ]
        for power in self.powers:
            for length, additive in bases:
                found.append(KernelSpec(power, length, additive))
                found += [
                    KernelSpec(power, length, additive, lead, lead_length, share)
                    for lead_length in self.lead_lengths
                    for share in self.lead_shares
                    for lead in range(width)
                ]
        return found


SQRT = Family(powers=(0.5,), lengths=(0.25, 0.4, 0.63, 1.0, 1.6, 2.5))
LEADING = Family(
    powers=(0.4, 1.0),
    lengths=(0.63, 1.6),
    additive_lengths=(0.3, 0.8),
    lead_lengths=(0.2, 0.6),
    lead_shares=(0.5, 0.8),
    sharing=0.6,
    namesake=2.0,
    breadth=0.25,
    rise=0.6,
)


class Kernels:
    """Base and lead kernels against the runs, scaled on them and kept for the structures that share them."""

    def __init__(self, runs: np.ndarray, breadth: float = 0.0, rise: float = 0.0) -> None:
        self.runs = runs
        self.breadth, self.rise = breadth, rise
        self._scales: dict[tuple, float] = {}
        self._flat: dict[tuple, bool] = {}
        self._own: dict[tuple, np.ndarray] = {}

    def trends(self, structure: KernelSpec) -> list[tuple[tuple, float]]:
        """Keys of what the mean before any run is a weighted sum of, and their weights."""
        found: list[tuple[tuple, float]] = [
            ((structure.power, None), (1 - structure.lead_share) * self.breadth)
        ]
        if structure.lead is not None:
            found.append(((structure.power, structure.lead), structure.lead_share * self.rise))
        return [(key, weight) for key, weight in found if weight]

    def trend(self, key: tuple, points: np.ndarray) -> np.ndarray:
        """Of points [n, domains]: a domain's wᵖ, or the sum of all, standardised over the runs: [n].

        0 where it hardly differs between the runs.
        """
        center, spread = self.standing(key)
        if spread <= FLAT:
            return np.zeros(len(points))
        return np.clip((_powers(key, points) - center) / spread, -FARTHEST, FARTHEST)

    def standing(self, key: tuple) -> tuple[float, float]:
        """Mean and standard deviation of a trend over the runs, before it is standardised by them."""
        values = _powers(key, self.runs)
        return float(values.mean()), float(values.std())

    def expected(
        self, structure: KernelSpec, points: np.ndarray, kept: dict[tuple, np.ndarray] | None = None
    ) -> np.ndarray:
        """Standardised scores of points [n, domains] before any run: [n]. `kept`: trends at them, to look up."""
        kept = {} if kept is None else kept
        total = np.zeros(len(points))
        for key, weight in self.trends(structure):
            if key not in kept:
                kept[key] = self.trend(key, points)
            total += weight * kept[key]
        return total

    def parts(self, structure: KernelSpec) -> list[tuple[tuple, float]]:
        """Keys of the kernels that a structure is a weighted sum of, and their weights."""
        base = ("sum" if structure.additive else "base", structure.power, structure.length)
        if structure.lead is None:
            return [(base, 1.0)]
        lead = ("lead", structure.power, structure.lead_length, structure.lead)
        return [(base, 1 - structure.lead_share), (lead, structure.lead_share)]

    def raw(self, key: tuple, points: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The kernel before scaling, [n, k]."""
        if key[0] == "lead":
            _, power, length, domain = key
            distances = (points[:, [domain]] ** power - others[:, domain] ** power) ** 2
        elif key[0] == "sum":
            _, power, length = key
            width = points.shape[1]
            curves = [self.raw(("lead", power, length, domain), points, others) for domain in range(width)]
            return np.mean(curves, axis=0)
        else:
            _, power, length = key
            left, right = points**power, others**power
            distances = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
        return np.exp(-np.maximum(distances, 0.0) / (2 * length**2))

    def own(self, key: tuple) -> np.ndarray:
        """Between the runs, scaled: [runs, runs]."""
        if key not in self._own:
            kernel = self.raw(key, self.runs, self.runs)
            variation = float(1 - kernel.mean())
            self._scales[key] = variation if variation > FLAT else 1.0
            self._flat[key] = variation <= FLAT
            self._own[key] = kernel / self._scales[key]
        return self._own[key]

    def scale(self, key: tuple) -> float:
        """What the kernel is divided by; its value at distance 0 is the inverse."""
        self.own(key)
        return self._scales[key]

    def usable(self, structure: KernelSpec) -> bool:
        """Whether each of its kernels varies between the runs."""
        for key, _ in self.parts(structure):
            self.own(key)
        return not any(self._flat[key] for key, _ in self.parts(structure))

    def between_runs(self, structure: KernelSpec, rows: np.ndarray) -> np.ndarray:
        """[rows, rows] of the runs, with the level."""
        place = np.ix_(rows, rows)
        return LEVEL + sum(weight * self.own(key)[place] for key, weight in self.parts(structure))

    def cross(self, key: tuple, points: np.ndarray) -> np.ndarray:
        """Scaled, between points [n, domains] and the runs: [n, runs]."""
        return self.raw(key, points, self.runs) / self.scale(key)

    def peak(self, structure: KernelSpec) -> float:
        """Prior variance of a structure at any mixture, relative to v · s."""
        return LEVEL + sum(weight / self.scale(key) for key, weight in self.parts(structure))


def _powers(key: tuple, points: np.ndarray) -> np.ndarray:
    power, domain = key
    chosen = points if domain is None else points[:, [domain]]
    return (chosen**power).sum(axis=1)
