"""Gaussian processes on mixtures, averaged over what their kernel looks like rather than fitted to one.

The covariance of two runs' standardised scores on one benchmark is

    v · (s · k(w, w') + (1 - s) · [same run]),    k = 1 + (1 - r) · base(w, w') + r · dominant(w_j, w'_j)

    base = exp(-‖wᵖ - w'ᵖ‖² / 2ℓ²)      every domain counts alike; p = 1/2 measures the Hellinger distance
        or mean_i exp(-(w_iᵖ - w'_iᵖ)² / 2ℓ²): each domain adds a curve of its own, whatever else is there
    dominant = exp(-(w_jᵖ - w'_jᵖ)² / 2λ²)  one domain j dominates this benchmark; r = 0: none does

with base and dominant each scaled to mean 1 over the runs after centring. The mean before any run is

    μ(w) = (1 - r) · a · z(Σ_i w_iᵖ) + r · b · z(w_jᵖ),    z standardises over the runs

domains help: the dominant one its benchmark, and many together more than one alone, as the first examples of each
teach most. With p = 1 the sum is the same for every mixture, and nothing is expected of it; nor is anything of a
benchmark that was the same in all runs.

A dozen runs hardly tell one kernel (p, ℓ, j, r, λ) from another, and the maximum of the marginal likelihood is a
gamble; so all of a grid are fitted, and every prediction is their average weighted by marginal likelihood.
scikit-learn's and GPyTorch's processes offer the maximum only, which is why this is ours;
benchmarks/gaussian_processes.py compares it with BoTorch's. One eigendecomposition a kernel gives its marginal
likelihood for every signal share s and variance v.

Standard errors of the records set the relative noise of the runs and a floor to its level, OWN_QUESTIONS of their
squares: all mixtures answer the same questions, so most of what a standard error counts is common to them and cancels.

kernels.py has the kernels, posterior.py conditions one on the runs (its axes are named there), evidence.py weighs them;
here they are fitted and averaged.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from modomodo.mixtures.surrogates.base import (
    Observations,
    Prediction,
    Predictor,
    StandardScaler,
    Surrogate,
    shrunk_correlation,
    surrogates,
)
from modomodo.mixtures.surrogates.evidence import EvidenceTable, average_evidence, kernel_weights
from modomodo.mixtures.surrogates.kernels import (
    FLAT,
    LEVEL,
    SQRT,
    KernelGrid,
    Kernels,
    KernelsAt,
    KernelSpec,
    KernelTerm,
    MeanTerm,
)
from modomodo.mixtures.surrogates.posterior import ConditionedKernel, EigenDecomposition, log_evidence

# Of a squared standard error, what differs between runs that answer the same questions. On seven tables with repeats
# the variance between these was 0.03 to 1.5 of the squared standard error, median 0.13 (docs/research/strategies.md).
OWN_QUESTIONS = 0.25
KEPT = 1e-3  # kernels of less weight are dropped
LETTERS = 3  # of a word that says which domain a benchmark is named after
AT_ONCE = 400  # mixtures predicted together: what one kernel says of them stays in the cache
SCREENED = 120  # with more runs than this, kernels are first screened on so many


# --- benchmarks that were scored on the same runs ------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """Hypotheses with the same kernel, fitted to the runs of a group and not yet weighed."""

    specs: list[KernelSpec]
    eigen: EigenDecomposition
    rotated: np.ndarray  # [hypothesis, benchmark, eigenvector], scores less what was expected before any run
    spread: np.ndarray  # [signal, variance, benchmark, eigenvector]
    log: np.ndarray  # [hypothesis, signal, variance, benchmark], log marginal likelihood


@dataclass(frozen=True)
class BenchmarkGroup:
    """Benchmarks that were scored on the same runs, and what of them enters a fit."""

    columns: np.ndarray  # [benchmark], places among all benchmarks
    rows: np.ndarray  # [run], places among all runs
    grid: KernelGrid
    varies: bool  # whether the scores do; of a constant nothing is expected before the runs
    kernels: Kernels
    scores: np.ndarray  # [run, benchmark], standardised
    noise: np.ndarray  # [run], of each run relative to the others
    floor: np.ndarray  # [benchmark], least noise variance
    log_odds: np.ndarray  # [domain, benchmark], prior odds that the domain dominates

    def usable(self, specs: list[KernelSpec]) -> list[KernelSpec]:
        """Kernels that vary between the runs, or the first, which knows the noise, where all runs have one mixture."""
        found = [
            spec for spec in specs if self.kernels.usable(spec) and (self.varies or not spec.mean_terms())
        ]
        return found or [specs[0].covariance]

    def evidence(self, specs: list[KernelSpec], rows: np.ndarray | None = None) -> Iterator[Evidence]:
        """Of each hypothesis, on all runs of the group or some of them."""
        rows = np.arange(len(self.rows)) if rows is None else rows
        at = KernelsAt(self.kernels, self.kernels.runs[rows])
        scores, noise = self.scores[rows], self.noise[rows]
        for covariance, alike in groupby(specs, key=lambda spec: spec.covariance):
            hypotheses = list(alike)
            eigen = EigenDecomposition.of(self.kernels.between_runs(covariance, rows), noise)
            expected = np.stack([at.prior_mean(spec) for spec in hypotheses], axis=1)
            rotated, spread = eigen.rotated(scores, expected), eigen.spread(self.floor)
            yield Evidence(hypotheses, eigen, rotated, spread, log_evidence(spread, rotated))

    def table(self, evidence: list[Evidence]) -> EvidenceTable:
        """What the hypotheses are weighed by."""
        specs = [spec for found in evidence for spec in found.specs]
        likelihood = np.concatenate([found.log for found in evidence])
        return EvidenceTable(specs, likelihood, self.grid.log_prior(specs, self.log_odds))


@dataclass(frozen=True)
class SummedTerms:
    """The posterior mean, averaged over kernels, as a sum over terms."""

    level: np.ndarray  # [benchmark]
    slopes: dict[MeanTerm, np.ndarray]  # [benchmark] each
    coefficients: dict[KernelTerm, np.ndarray]  # [run, benchmark] each


@dataclass(frozen=True)
class FittedGroup:
    """A group of benchmarks and the kernels it is averaged over."""

    group: BenchmarkGroup
    table: EvidenceTable  # of all hypotheses that were fitted
    kept: np.ndarray  # places of the hypotheses among the specs
    kernels: list[ConditionedKernel]  # theirs, in this order

    @classmethod
    def of(
        cls, group: BenchmarkGroup, evidence: list[Evidence], table: EvidenceTable, weights: np.ndarray
    ) -> "FittedGroup":
        """Keep the hypotheses of some weight; `weights` [hypothesis, signal, variance, benchmark]."""
        chosen = weights.sum(axis=(1, 2)).max(axis=1) > KEPT
        mass = weights[chosen].sum(axis=(0, 1, 2))
        kernels, start = [], 0
        for found in evidence:
            own = start + np.arange(len(found.specs))
            start += len(own)
            mine = np.flatnonzero(chosen[own])
            if len(mine):
                kernels.append(
                    ConditionedKernel(
                        [found.specs[i] for i in mine],
                        group.kernels.peak(found.specs[0].covariance),
                        found.eigen,
                        found.rotated[mine],
                        found.spread,
                        weights[own[mine]] / mass,
                    )
                )
        return cls(group, table, np.flatnonzero(chosen), kernels)

    def mean(self, points: np.ndarray) -> np.ndarray:
        """Standardised scores [n, benchmark]: each term is computed once, with its coefficients summed."""
        kernels, summed = self.group.kernels, self._summed
        mean = np.tile(summed.level, (len(points), 1))
        for mean_term, slope in summed.slopes.items():
            mean += kernels.standardised(mean_term, points)[:, None] * slope
        for term, coefficients in summed.coefficients.items():
            mean += kernels.cross(term, points) @ coefficients
        return mean

    @cached_property
    def _summed(self) -> SummedTerms:
        kernels = self.group.kernels
        level = np.zeros(len(self.group.columns))
        slopes: dict[MeanTerm, np.ndarray] = {}
        coefficients: dict[KernelTerm, np.ndarray] = {}
        for kernel in self.kernels:
            averaged = kernel.coefficients()
            level += LEVEL * averaged.sum(axis=0)
            for spec, mass in zip(kernel.specs, kernel.weights.sum(axis=(1, 2)), strict=True):
                for mean_term, weight in spec.mean_terms():
                    slopes[mean_term] = slopes.get(mean_term, 0.0) + weight * mass
            for term, weight in kernels.terms(kernel.covariance):
                coefficients[term] = coefficients.get(term, 0.0) + weight * averaged
        return SummedTerms(level, slopes, coefficients)

    def moments(self, points: np.ndarray, less: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the expected scores, [n, benchmark]; with `less`, of the differences from there."""
        mean = np.zeros((len(points), len(self.group.columns)))
        square = np.zeros_like(mean)
        for start in range(0, len(points), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            at = KernelsAt(self.group.kernels, points[rows])
            others = None if less is None else KernelsAt(self.group.kernels, less[rows])
            for kernel in self.kernels:
                posterior = kernel.posterior(at, others)
                mean[rows] += posterior.mean
                square[rows] += posterior.square + posterior.variance
        return mean, np.maximum(square - mean**2, 0.0)

    def noise_variance(self) -> np.ndarray:
        """What one run adds, [benchmark]."""
        return sum(
            (kernel.noise_variance(self.group.floor) for kernel in self.kernels),
            start=np.zeros(len(self.group.columns)),
        )

    def left_out_errors(self) -> np.ndarray:
        """Leave-one-run-out residuals [run, benchmark], averaged over kernels by weight."""
        return sum(
            (kernel.left_out_errors() for kernel in self.kernels), start=np.zeros(self.group.scores.shape)
        )

    def draw(self, points: np.ndarray, choices: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """Surfaces [count, n, benchmark] for uniform `choices` [count] and `normal` [count, n, benchmark].

        Each surface takes one hypothesis, signal and variance a benchmark, by weight: one draw from that process.
        """
        surfaces = np.empty(normal.shape)
        at = KernelsAt(self.group.kernels, points)
        weights = np.concatenate([kernel.weights for kernel in self.kernels])
        owners = [(kernel, m) for kernel in self.kernels for m in range(len(kernel.specs))]
        for b in range(len(self.group.columns)):
            edges = np.cumsum(weights[..., b].ravel())
            chosen = np.searchsorted(edges[:-1] / edges[-1], choices)
            for place in np.unique(chosen):
                hypothesis, s, v = np.unravel_index(place, weights.shape[:3])
                kernel, m = owners[hypothesis]
                mean, factor = kernel.surface(at, (m, s, v), b)
                surfaces[chosen == place, :, b] = mean + normal[chosen == place, :, b] @ factor.T
        return surfaces


# --- all benchmarks -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProcessPredictor(Predictor):
    """Processes for every benchmark; the benchmarks correlate as their left-out errors do."""

    scaler: StandardScaler
    groups: list[FittedGroup]
    correlation: np.ndarray  # [benchmark, benchmark]
    log_evidence: np.ndarray  # [benchmark], averaged over the kernels; of the scores as they are
    grid: KernelGrid

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmark]; the average score for a benchmark that was never scored."""
        values = np.zeros((len(weights), len(self.benchmarks)))
        for fitted in self.groups:
            values[:, fitted.group.columns] = fitted.mean(weights)
        return self.scaler.inverse(values)

    def predict(self, weights: np.ndarray) -> Prediction:
        """Mean and covariance of the average over kernels."""
        mean = np.zeros((len(weights), len(self.benchmarks)))
        variance = np.ones_like(mean)
        for fitted in self.groups:
            columns = fitted.group.columns
            mean[:, columns], variance[:, columns] = fitted.moments(weights)
        return self.scaler.prediction(mean, variance, self.noise_variance(), self.correlation)

    def difference(self, weights: np.ndarray, less: np.ndarray) -> Prediction:
        """How far mixtures are expected ahead of as many others [n, domains]: their errors are shared.

        A benchmark that was never scored differs in none. `noise` is that of one run of each.
        """
        mean = np.zeros((len(weights), len(self.benchmarks)))
        variance = np.zeros_like(mean)
        for fitted in self.groups:
            columns = fitted.group.columns
            mean[:, columns], variance[:, columns] = fitted.moments(weights, less)
        found = self.scaler.prediction(mean, variance, 2 * self.noise_variance(), self.correlation)
        return Prediction(mean * self.scaler.scale, found.covariance, found.noise)

    def noise_variance(self) -> np.ndarray:
        """What one run adds to a standardised score, [benchmark]; 1 where none was scored."""
        noise = np.ones(len(self.benchmarks))
        for fitted in self.groups:
            noise[fitted.group.columns] = fitted.noise_variance()
        return noise

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Complete surfaces; between benchmarks they correlate as the left-out errors do."""
        mixing = np.linalg.cholesky(self.correlation + 1e-9 * np.eye(len(self.benchmarks)))
        surfaces = random.standard_normal((count, len(weights), len(self.benchmarks))) @ mixing.T
        choices = random.random(count)
        for fitted in self.groups:
            columns = fitted.group.columns
            surfaces[:, :, columns] = fitted.draw(weights, choices, surfaces[:, :, columns])
        return self.scaler.inverse(surfaces)

    def specs(self) -> list[KernelSpec]:
        """The hypotheses of the grid that were kept; those that share a covariance follow each other."""
        kept = {spec for fitted in self.groups for kernel in fitted.kernels for spec in kernel.specs}
        every = self.grid.specs(len(self.domains))
        return [spec for spec in every if spec in kept] or list(kept)

    def refitting(self) -> Surrogate | None:
        """The same grid, only with the kernels that this fit has kept."""
        return lambda observations, seed: fit_processes(observations.final(), self.grid, self.specs())


def fit_processes(
    observations: Observations, grid: KernelGrid, specs: list[KernelSpec] | None = None
) -> ProcessPredictor:
    """Average over a grid of kernels, or only some `specs` of it, benchmark by benchmark."""
    scaler = StandardScaler.of(observations)
    groups = _groups(observations, scaler, grid)
    every = specs or grid.specs(len(observations.domains))
    choices = [group.usable(every) for group in groups]
    if specs is None and all(len(group.rows) > SCREENED for group in groups):
        choices = _screened(groups, choices, grid)
    evidence = [list(group.evidence(chosen)) for group, chosen in zip(groups, choices, strict=True)]
    tables = [group.table(found) for group, found in zip(groups, evidence, strict=True)]
    weights = kernel_weights(tables, grid)
    fitted = [FittedGroup.of(*each) for each in zip(groups, evidence, tables, weights, strict=True)]
    errors = np.zeros(scaler.scores.shape)
    log_evidence = np.zeros(len(observations.benchmarks))
    for each in fitted:
        rows, columns = each.group.rows, each.group.columns
        errors[np.ix_(rows, columns)] = each.left_out_errors()
        log_evidence[columns] = average_evidence(each.table) - len(rows) * np.log(scaler.scale[columns])
    return ProcessPredictor(observations, scaler, fitted, shrunk_correlation(errors), log_evidence, grid)


def _screened(
    groups: list[BenchmarkGroup], choices: list[list[KernelSpec]], grid: KernelGrid
) -> list[list[KernelSpec]]:
    """The kernels that have some weight on SCREENED of the runs, evenly chosen."""
    tables = []
    for group, specs in zip(groups, choices, strict=True):
        rows = np.linspace(0, len(group.rows) - 1, SCREENED).astype(int)
        tables.append(group.table(list(group.evidence(specs, rows))))
    weights = kernel_weights(tables, grid)
    return [
        [spec for spec, w in zip(specs, table, strict=True) if w.sum(axis=(0, 1)).max() > KEPT / 100]
        for specs, table in zip(choices, weights, strict=True)
    ]


def _groups(observations: Observations, scaler: StandardScaler, grid: KernelGrid) -> list[BenchmarkGroup]:
    """The benchmarks that were scored on the same runs; unscored ones are in none.

    Those that vary between the runs and those that do not are separate: nothing is expected of the latter.
    """
    known = np.isfinite(scaler.scores)
    varies = np.abs(np.where(known, scaler.scores, 0.0)).max(axis=0, initial=0.0) > FLAT
    members: dict[tuple[bytes, bool], list[int]] = {}
    for column in np.flatnonzero(known.any(axis=0)):
        members.setdefault((known[:, column].tobytes(), bool(varies[column])), []).append(int(column))
    relative = _relative_noise(scaler.variances, known)
    log_odds = _log_odds(grid.namesake, observations)
    groups = []
    for columns in map(np.array, members.values()):
        rows = np.flatnonzero(known[:, columns[0]])
        groups.append(
            BenchmarkGroup(
                columns,
                rows,
                grid,
                bool(varies[columns[0]]),
                Kernels(observations.weights[rows]),
                scaler.scores[np.ix_(rows, columns)],
                relative[rows],
                OWN_QUESTIONS * scaler.variances[rows][:, columns].mean(axis=0),
                log_odds[:, columns],
            )
        )
    return groups


def _relative_noise(variances: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Noise of each run relative to the others, mean about 1: [run].

    Half of it follows the standard errors, half is the training's own and the same for all.
    """
    masked = np.where(known, variances, 0.0)
    count = np.maximum(known.sum(axis=0), 1)
    average = masked.sum(axis=0) / count
    ratio = np.where(average > 0, masked / np.where(average > 0, average, 1.0), 1.0)
    mean = np.where(known, ratio, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return 0.5 + 0.5 * mean


def _log_odds(namesake: float, observations: Observations) -> np.ndarray:
    """What a benchmark's name says of the domain that dominates it, [domain, benchmark]."""
    return namesake * namesakes(observations.domains, observations.benchmarks)


def namesakes(domains: Sequence[str], benchmarks: Sequence[str]) -> np.ndarray:
    """How far each benchmark is named after each domain, from 0 to 1, [domain, benchmark].

    1 where the benchmark's name begins with the domain's, word by word: SAT and sat_test, not SAT and SATURN. Else the
    share of the benchmark's words that the domain's name has too, of three letters or more and not in most names.
    """
    left, right = [_words(name) for name in domains], [_words(name) for name in benchmarks]
    common = _common(left) | _common(right)
    found = np.zeros((len(domains), len(benchmarks)))
    for i, domain in enumerate(left):
        for j, benchmark in enumerate(right):
            if domain and benchmark[: len(domain)] == domain:
                found[i, j] = 1.0
                continue
            telling = {word for word in benchmark if len(word) >= LETTERS and not word.isdigit()} - common
            found[i, j] = len(telling & set(domain)) / max(len(telling), 1)
    return found


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _common(names: Sequence[Sequence[str]]) -> set[str]:
    """Words that more than one and more than half of the names have."""
    count = Counter(word for name in names for word in set(name))
    return {word for word, found in count.items() if found > max(1, len(names) / 2)}


# --- surrogates ----------------------------------------------------------------------------------------------


@surrogates.register("gp_sqrt")
def gp_sqrt(observations: Observations, seed: int) -> Predictor:
    """A Gaussian process on √w for each benchmark, averaged over length scale, noise and variance."""
    return fit_processes(observations.final(), SQRT)
