"""Gaussian processes on mixtures, averaged over what their kernel looks like rather than fitted to one.

The covariance of two runs' standardised scores on one benchmark is

    v · (s · k(w, w') + (1 - s) · [same run]),    k = 1 + (1 - r) · base(w, w') + r · lead(w_j, w'_j)

    base = exp(-‖wᵖ - w'ᵖ‖² / 2ℓ²)      every domain counts alike; p = 1/2 measures the Hellinger distance
        or mean_i exp(-(w_iᵖ - w'_iᵖ)² / 2ℓ²): each domain adds a curve of its own, whatever else is there
    lead = exp(-(w_jᵖ - w'_jᵖ)² / 2λ²)  one domain j leads this benchmark; r = 0: none does

with base and lead each scaled to mean 1 over the runs after centring. The mean before any run is

    μ(w) = (1 - r) · breadth · z(Σ_i w_iᵖ) + r · rise · z(w_jᵖ),    z standardises over the runs

domains help: the leading one its benchmark, and many together more than one alone, as the first examples of each
teach most. With p = 1 the sum is the same for every mixture, and nothing is expected of breadth; nor is anything of
a benchmark that was the same in all runs.

A dozen runs hardly tell one structure (p, ℓ, j, r, λ) from another, and the maximum of the marginal likelihood is a
gamble; so all of a grid are fitted, and every prediction is their average weighted by marginal likelihood.
scikit-learn's and GPyTorch's processes offer the maximum only, which is why this is ours;
benchmarks/gaussian_processes.py sets BoTorch's beside it. One eigendecomposition a structure gives its marginal
likelihood for every signal share s and variance v.

Standard errors of the records set the relative noise of the runs and a floor to its level.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modomodo.mixtures.surrogates.base import (
    Observations,
    Prediction,
    Predictor,
    Standard,
    shrunk_correlation,
    surrogates,
)
from modomodo.mixtures.surrogates.kernels import FLAT, LEADING, LEVEL, SQRT, Family, Kernels, KernelSpec

SIGNALS = np.array([0.2, 0.5, 0.75, 0.9, 0.97, 0.995])
VARIANCES = np.array([0.5, 1.0, 2.0, 4.0])
KEPT = 1e-3  # structures of less weight are dropped
USED = 1e-13  # signals and variances of less weight in every benchmark do not count
SCREENED = 120  # with more runs than this, structures are first screened on so many


@dataclass(frozen=True)
class Spectrum:
    """The eigendecomposition of one structure's kernel, runs divided by the root of their noise."""

    values: np.ndarray  # [runs]
    vectors: np.ndarray  # [runs, runs], rows already divided by the root of the relative noise
    scores: np.ndarray  # [runs, benchmarks], standardised, less what was expected, in the eigenbasis

    @classmethod
    def of(cls, kernel: np.ndarray, scores: np.ndarray, relative_noise: np.ndarray) -> "Spectrum":
        root = 1 / np.sqrt(relative_noise)
        values, vectors = np.linalg.eigh(kernel * root[:, None] * root)
        vectors = vectors * root[:, None]
        return cls(np.maximum(values, 0.0), vectors, vectors.T @ scores)

    def spread(self, floor: np.ndarray) -> np.ndarray:
        """Eigenvalues of the covariance over v, [signals, variances, benchmarks, runs]."""
        noise = noise_share(floor)
        return SIGNALS[:, None, None, None] * self.values + noise[..., None]

    def evidence(self, floor: np.ndarray) -> np.ndarray:
        """Log marginal likelihood, up to a constant of the noise: [signals, variances, benchmarks]."""
        spread = self.spread(floor)
        squares = np.einsum("svbr,rb->svb", 1 / spread, self.scores**2)
        count = len(self.values)
        return -0.5 * (
            squares / VARIANCES[:, None] + count * np.log(VARIANCES)[:, None] + np.log(spread).sum(axis=-1)
        )


def noise_share(floor: np.ndarray) -> np.ndarray:
    """Noise variance over v, at least what the standard errors say: [signals, variances, benchmarks]."""
    free = np.broadcast_to((1 - SIGNALS)[:, None, None], (len(SIGNALS), len(VARIANCES), len(floor)))
    return np.maximum(free, floor / VARIANCES[:, None]) + 1e-9


@dataclass(frozen=True)
class Component:
    """A structure that is kept, conditioned on the runs, for the benchmarks of one group."""

    structure: KernelSpec
    spectrum: Spectrum
    spread: np.ndarray  # [signals, variances, benchmarks, runs]
    weights: np.ndarray  # [signals, variances, benchmarks]

    def solved(self) -> np.ndarray:
        """Coefficients over the runs of each signal and variance, times s: [runs, signals, variances, benchmarks]."""
        scaled = SIGNALS[:, None, None, None] * self.spectrum.scores.T / self.spread
        return np.tensordot(self.spectrum.vectors, scaled, (1, 3))


@dataclass(frozen=True)
class Group:
    """Benchmarks that were scored on the same runs, with the structures they are averaged over."""

    columns: np.ndarray  # their places among the benchmarks
    rows: np.ndarray  # the runs
    kernels: Kernels
    floor: np.ndarray  # [benchmarks], least noise variance
    relative: np.ndarray  # [runs], noise of each run relative to the others
    components: list[Component]
    # All structures that were fitted, the places of the components among them, and what `posterior` weighs them by.
    structures: list[KernelSpec]
    kept: np.ndarray
    table: np.ndarray  # [structures, signals, variances, benchmarks]

    def mean(self, points: np.ndarray) -> np.ndarray:
        """Standardised scores [n, benchmarks]: each kernel is computed once, its coefficients summed."""
        coefficients: dict[tuple, np.ndarray] = {}
        slopes: dict[tuple, np.ndarray] = {}
        level = np.zeros(len(self.columns))
        for component in self.components:
            averaged = np.einsum("isvb,svb->ib", component.solved(), component.weights)
            level += LEVEL * averaged.sum(axis=0)
            for key, weight in self.kernels.trends(component.structure):
                slopes[key] = slopes.get(key, 0.0) + weight * component.weights.sum(axis=(0, 1))
            for key, weight in self.kernels.parts(component.structure):
                coefficients[key] = coefficients.get(key, 0.0) + weight * averaged
        mean = np.tile(level, (len(points), 1))
        for key, slope in slopes.items():
            mean += self.kernels.trend(key, points)[:, None] * slope
        for key, value in coefficients.items():
            mean += self.kernels.cross(key, points) @ value
        return mean

    def moments(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and variance of the expected scores [n, benchmarks], and the noise variance [benchmarks]."""
        mean = np.zeros((len(points), len(self.columns)))
        square, noise = np.zeros_like(mean), np.zeros(len(self.columns))
        crosses: dict[tuple, np.ndarray] = {}
        trends: dict[tuple, np.ndarray] = {}
        share = noise_share(self.floor)
        for component in self.components:
            cross = self._cross(component.structure, points, crosses)
            # Most signals and variances have next to no weight in a given structure: leave them out.
            used = component.weights.max(axis=2) > USED
            weights = component.weights[used]
            means = np.tensordot(cross, component.solved()[:, used], 1)
            means += self.kernels.expected(component.structure, points, trends)[:, None, None]
            weighted = means * weights
            mean += weighted.sum(axis=1)
            square += (weighted * means).sum(axis=1)
            scale = component.weights * SIGNALS[:, None, None] * VARIANCES[:, None]
            rotated = (cross @ component.spectrum.vectors) ** 2
            explained = np.einsum("svb,svbr->rb", scale * SIGNALS[:, None, None], 1 / component.spread)
            prior = self.kernels.peak(component.structure) * scale.sum(axis=(0, 1))
            square += np.maximum(prior - rotated @ explained, 0.0)
            noise += (component.weights * VARIANCES[:, None] * share).sum(axis=(0, 1))
        return mean, np.maximum(square - mean**2, 0.0), noise

    def left_out(self) -> np.ndarray:
        """Leave-one-run-out residuals [runs, benchmarks].

        Of each structure (C⁻¹y)ᵢ / (C⁻¹)ᵢᵢ (Rasmussen and Williams 2006, equation 5.12), averaged by weight.
        """
        residuals = np.zeros((len(self.rows), len(self.columns)))
        for component in self.components:
            spectrum = component.spectrum
            solved = np.tensordot(spectrum.vectors, spectrum.scores.T / component.spread, (1, 3))
            inverse = np.tensordot(spectrum.vectors**2, 1 / component.spread, (1, 3))
            residuals += np.einsum("isvb,svb->ib", solved / inverse, component.weights)
        return residuals

    def draw(self, points: np.ndarray, choices: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """Surfaces [count, n, benchmarks] for uniform `choices` [count] and `normal` [count, n, benchmarks].

        Each surface takes one structure, signal and variance a benchmark, by weight, and is one draw from that
        process.
        """
        surfaces = np.empty(normal.shape)
        crosses: dict[tuple, np.ndarray] = {}
        whole: dict[tuple, np.ndarray] = {}
        trends: dict[tuple, np.ndarray] = {}
        stacked = np.stack([component.weights for component in self.components])
        for b in range(len(self.columns)):
            edges = np.cumsum(stacked[..., b].ravel())
            chosen = np.searchsorted(edges[:-1] / edges[-1], choices)
            for flat in np.unique(chosen):
                c, s, v = np.unravel_index(flat, stacked.shape[:3])
                component = self.components[c]
                cross = self._cross(component.structure, points, crosses)
                rotated = cross @ component.spectrum.vectors
                spread = component.spread[s, v, b]
                prior = np.full((len(points), len(points)), LEVEL)
                for key, weight in self.kernels.parts(component.structure):
                    if key not in whole:
                        whole[key] = self.kernels.raw(key, points, points) / self.kernels.scale(key)
                    prior += weight * whole[key]
                covariance = VARIANCES[v] * SIGNALS[s] * (prior - SIGNALS[s] * (rotated / spread) @ rotated.T)
                jitter = 1e-8 * VARIANCES[v] * self.kernels.peak(component.structure)
                factor = np.linalg.cholesky(covariance + jitter * np.eye(len(points)))
                mean = rotated @ (SIGNALS[s] * component.spectrum.scores[:, b] / spread)
                mean += self.kernels.expected(component.structure, points, trends)
                surfaces[chosen == flat, :, b] = mean + normal[chosen == flat, :, b] @ factor.T
        return surfaces

    def _cross(self, structure: KernelSpec, points: np.ndarray, kept: dict[tuple, np.ndarray]) -> np.ndarray:
        total = np.full((len(points), len(self.rows)), LEVEL)
        for key, weight in self.kernels.parts(structure):
            if key not in kept:
                kept[key] = self.kernels.cross(key, points)
            total += weight * kept[key]
        return total


@dataclass(frozen=True)
class ProcessPredictor:
    """Processes for every benchmark; the benchmarks correlate as their left-out errors do."""

    observations: Observations
    standard: Standard
    groups: list[Group]
    correlation: np.ndarray  # [benchmarks, benchmarks]
    evidence: float  # log marginal likelihood of all benchmarks, averaged over the structures
    family: Family

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the weight columns."""
        return self.observations.domains

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the scores."""
        return self.observations.benchmarks

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]; the average score for a benchmark that was never scored."""
        values = np.zeros((len(weights), len(self.benchmarks)))
        for group in self.groups:
            values[:, group.columns] = group.mean(weights)
        return values * self.standard.scale + self.standard.center

    def predict(self, weights: np.ndarray) -> Prediction:
        """Mean and covariance of the average over structures."""
        mean = np.zeros((len(weights), len(self.benchmarks)))
        variance = np.ones_like(mean)
        noise = np.ones(len(self.benchmarks))
        for group in self.groups:
            mean[:, group.columns], variance[:, group.columns], noise[group.columns] = group.moments(weights)
        scale = self.standard.scale
        deviation, run = np.sqrt(variance) * scale, np.sqrt(noise) * scale
        return Prediction(
            mean * scale + self.standard.center,
            self.correlation * deviation[:, :, None] * deviation[:, None, :],
            self.correlation * np.outer(run, run),
        )

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Whole surfaces; between benchmarks they correlate as the left-out errors do."""
        mixing = np.linalg.cholesky(self.correlation + 1e-9 * np.eye(len(self.benchmarks)))
        surfaces = random.standard_normal((count, len(weights), len(self.benchmarks))) @ mixing.T
        choices = random.random(count)
        for group in self.groups:
            surfaces[:, :, group.columns] = group.draw(weights, choices, surfaces[:, :, group.columns])
        return surfaces * self.standard.scale + self.standard.center


def same_name(domain: str, benchmark: str) -> bool:
    """Whether a benchmark's name begins with the domain's, word by word: SAT and sat_test, not SAT and SATURN."""
    left, right = (re.findall(r"[a-z0-9]+", name.lower()) for name in (domain, benchmark))
    return bool(left) and right[: len(left)] == left


def fit_processes(
    observations: Observations, family: Family, structures: list[KernelSpec] | None = None
) -> ProcessPredictor:
    """Average over a family of structures, or only some of its `structures`, benchmark by benchmark."""
    standard = Standard.of(observations)
    known = np.isfinite(standard.scores)
    relative = _relative_noise(standard.variances, known)
    screens = structures is None
    structures = structures or family.structures(len(observations.domains))
    parts = []
    varies = np.abs(np.where(known, standard.scores, 0.0)).max(axis=0, initial=0.0) > FLAT
    for columns, rows in _groups(known, varies):
        means = (family.breadth, family.rise) if varies[columns[0]] else (0.0, 0.0)
        kernels = Kernels(observations.weights[rows], *means)
        usable = [structure for structure in structures if kernels.usable(structure)]
        # Runs that all have one mixture leave no structure: the first then says what noise says.
        parts.append((columns, rows, kernels, usable or structures[:1]))
    prior = _prior(family, observations)

    def evidence(
        part: tuple, rows: np.ndarray, chosen: list[KernelSpec]
    ) -> Iterator[tuple[Spectrum, np.ndarray]]:
        columns, every, kernels, _ = part
        scores = standard.scores[np.ix_(every[rows], columns)]
        noise = relative[every[rows]]
        floor = _floor(standard.variances[every], columns)
        trends: dict[tuple, np.ndarray] = {}
        for structure in chosen:
            expected = kernels.expected(structure, kernels.runs[rows], trends)
            spectrum = Spectrum.of(kernels.between_runs(structure, rows), scores - expected[:, None], noise)
            odds = np.array([prior(structure, column) for column in columns])
            yield spectrum, spectrum.evidence(floor) + odds

    groups = []
    if screens and all(len(part[1]) > SCREENED for part in parts):
        screened = []
        for part in parts:
            rows = np.linspace(0, len(part[1]) - 1, SCREENED).astype(int)
            tables = [table for _, table in evidence(part, rows, part[3])]
            screened.append((part, np.stack(tables)))
        weights = posterior(
            [table for _, table in screened], [part[3] for part, _ in screened], family.sharing
        )
        parts = [
            (
                *part[:3],
                [s for s, w in zip(part[3], table, strict=True) if w.sum(axis=(0, 1)).max() > KEPT / 100],
            )
            for (part, _), table in zip(screened, weights, strict=True)
        ]
    fitted = [list(evidence(part, np.arange(len(part[1])), part[3])) for part in parts]
    tables = [np.stack([table for _, table in part]) for part in fitted]
    weights = posterior(tables, [part[3] for part in parts], family.sharing)
    for (columns, rows, kernels, chosen), spectra, whole, table in zip(
        parts, fitted, tables, weights, strict=True
    ):
        keep = [i for i in range(len(chosen)) if table[i].sum(axis=(0, 1)).max() > KEPT]
        mass = table[keep].sum(axis=(0, 1, 2))
        floor = _floor(standard.variances[rows], columns)
        components = [
            Component(chosen[i], spectra[i][0], spectra[i][0].spread(floor), table[i] / mass) for i in keep
        ]
        groups.append(
            Group(columns, rows, kernels, floor, relative[rows], components, chosen, np.array(keep), whole)
        )
    total = 0.0
    for each in tables:
        top = each.max(axis=(0, 1, 2))
        total += float((top + np.log(np.exp(each - top).mean(axis=(0, 1, 2)))).sum())
    residuals = np.zeros(standard.scores.shape)
    for group in groups:
        residuals[np.ix_(group.rows, group.columns)] = group.left_out()
    return ProcessPredictor(observations, standard, groups, shrunk_correlation(residuals), total, family)


def _groups(known: np.ndarray, varies: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(columns, rows) of the benchmarks that were scored on the same runs; unscored ones are in none.

    Those that vary between the runs and those that do not stand apart.
    """
    masks: dict[tuple[bytes, bool], list[int]] = {}
    for column in range(known.shape[1]):
        if known[:, column].any():
            masks.setdefault((known[:, column].tobytes(), bool(varies[column])), []).append(column)
    return [(np.array(columns), np.flatnonzero(known[:, columns[0]])) for columns in masks.values()]


def _relative_noise(variances: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Noise of each run relative to the others, mean about 1.

    Half of it follows the standard errors, half is the training's own and the same for all.
    """
    masked = np.where(known, variances, 0.0)
    count = np.maximum(known.sum(axis=0), 1)
    average = masked.sum(axis=0) / count
    ratio = np.where(average > 0, masked / np.where(average > 0, average, 1.0), 1.0)
    mean = np.where(known, ratio, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return 0.5 + 0.5 * mean


def _floor(variances: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return variances[:, columns].mean(axis=0)


def _prior(family: Family, observations: Observations):
    """(structure, column) → log-odds: what a benchmark's name says of the domain that leads it."""
    matches = {
        (lead, column)
        for lead, domain in enumerate(observations.domains)
        for column, benchmark in enumerate(observations.benchmarks)
        if family.namesake and same_name(domain, benchmark)
    }

    def odds(structure: KernelSpec, column: int) -> float:
        return family.namesake if (structure.lead, column) in matches else 0.0

    return odds


def posterior(
    tables: list[np.ndarray], structures: list[list[KernelSpec]], sharing: float
) -> list[np.ndarray]:
    """Weights [structures, signals, variances, benchmarks] of each group, summing to 1 for each benchmark.

    With `sharing`, the evidence for a shape of the kernel is raised by that power of the evidence that the
    other benchmarks give it.
    """
    if sharing and sum(table.shape[-1] for table in tables) > 1:
        shapes = sorted({structure.shape for part in structures for structure in part})
        place = {shape: i for i, shape in enumerate(shapes)}
        evidence = []
        for table, part in zip(tables, structures, strict=True):
            index = np.array([place[structure.shape] for structure in part])
            flat = table.reshape(len(part), -1, table.shape[-1])
            top = flat.max(axis=(0, 1))
            sums = np.zeros((len(shapes), table.shape[-1]))
            counts = np.zeros(len(shapes))
            np.add.at(sums, index, np.exp(flat - top).sum(axis=1))
            np.add.at(counts, index, 1)
            # A shape that no run of this group can test (or that screening dropped) is as good as the average.
            mean = sums.sum(axis=0) / max(counts.sum(), 1)
            each = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], mean)
            evidence.append(np.log(np.maximum(each, 1e-300)))
        everyone = np.concatenate(evidence, axis=1)
        total = everyone.sum(axis=1, keepdims=True)
        shared = []
        for table, part, own in zip(tables, structures, evidence, strict=True):
            others = sharing * (total - own)
            index = np.array([place[structure.shape] for structure in part])
            shared.append(table + (others - others.max(axis=0))[index][:, None, None, :])
        tables = shared
    weights = []
    for table in tables:
        raised = np.exp(table - table.max(axis=(0, 1, 2)))
        weights.append(raised / raised.sum(axis=(0, 1, 2)))
    return weights


@surrogates.register("gp_sqrt")
def gp_sqrt(observations: Observations, seed: int) -> Predictor:
    """One Gaussian process on √w a benchmark, averaged over its length, noise and variance."""
    return fit_processes(observations.final(), SQRT)


@surrogates.register("gp_lead")
def gp_lead(observations: Observations, seed: int) -> Predictor:
    """Gaussian processes on powers of w in which one domain may lead each benchmark: the default.

    Averaged over which domain leads, and over the kernel's shape with the evidence of all benchmarks.
    """
    return fit_processes(observations.final(), LEADING)
