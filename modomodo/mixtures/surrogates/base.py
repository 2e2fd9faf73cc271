"""What every surrogate shares: what it learns from, what it answers, and the objective it serves."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from modomodo.errors import InputError, nearest
from modomodo.mixtures.mixture import tried
from modomodo.mixtures.records import (
    Records,
    aggregate_shares,
    is_stopped,
    target_values,
    trained,
    weights_matrix,
)
from modomodo.mixtures.surrogates.threads import one_blas_thread
from modomodo.registry import Registry

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class MergedScores:
    """Scores of merged experts on every question, columns as in the observations they go with."""

    alphas: np.ndarray  # [merges]
    weights: np.ndarray  # [merges, domains]
    scores: np.ndarray  # [merges, benchmarks]


@dataclass(frozen=True)
class Observations:
    """Scored runs as arrays. Domains, benchmarks and rows are in the order of their names.

    So the same table with its columns or rows in another order gives the same fit, bit for bit.
    """

    weights: np.ndarray  # [runs, domains], rows sum to 1
    scores: np.ndarray  # [runs, benchmarks], higher is better, NaN where not scored
    errors: np.ndarray  # [runs, benchmarks], standard errors, NaN where unknown
    progress: np.ndarray  # [runs], step over the last step of its run, in (0, 1]
    mixtures: tuple[str, ...]  # the mixture of each run: repeats share it
    domains: tuple[str, ...]
    benchmarks: tuple[str, ...]
    shares: np.ndarray  # [benchmarks], what each counts in the objective: for surrogates that choose by it
    merged: MergedScores | None = None  # of any mixtures, for the surrogate that knows merged experts
    # Runs of a cheaper kind by name, with the same columns.
    fidelities: tuple[tuple[str, "Observations"], ...] = ()

    def __len__(self) -> int:
        return len(self.weights)

    def rows(self, chosen: np.ndarray) -> "Observations":
        """The runs of a mask or an index array."""
        index = np.arange(len(self))[chosen]
        return Observations(
            self.weights[index],
            self.scores[index],
            self.errors[index],
            self.progress[index],
            tuple(self.mixtures[i] for i in index),
            self.domains,
            self.benchmarks,
            self.shares,
            self.merged,
            self.fidelities,
        )

    @property
    def untried(self) -> tuple[str, ...]:
        """Domains that no run gave weight: nothing is known of them."""
        seen = tried(self.weights)
        return tuple(domain for domain, known in zip(self.domains, seen, strict=True) if not known)

    def supports(self, weights: np.ndarray) -> np.ndarray:
        """Which mixtures [n, domains] are made of tried domains only, [n]."""
        return ~tried(weights[:, ~tried(self.weights)].T)

    @property
    def undetermined(self) -> str:
        """Why nothing is known of how far mixtures differ; empty where something is."""
        if mixture_folds(self.weights).max() == 0:
            return "all runs have the same mixture"
        columns = self.scores[:, self.shares > 0].T
        varies = any(len(np.unique(column[np.isfinite(column)])) > 1 for column in columns)
        return "" if varies else "all runs scored the same"

    def digest(self) -> str:
        """Names the content: equal for equal observations."""
        content = sha256(repr((self.mixtures, self.domains, self.benchmarks, self.merged is None)).encode())
        arrays = [self.weights, self.scores, self.errors, self.progress, self.shares]
        if self.merged is not None:
            arrays += [self.merged.alphas, self.merged.weights, self.merged.scores]
        for name, runs in self.fidelities:
            content.update(repr((name, runs.digest())).encode())
        for array in arrays:
            content.update(repr(array.shape).encode() + np.ascontiguousarray(array, float).tobytes())
        return content.hexdigest()

    def final(self) -> "Observations":
        """Only the scores at the last step of each run."""
        return self if (self.progress >= 1).all() else self.rows(self.progress >= 1)


@dataclass(frozen=True)
class Prediction:
    """What a surrogate expects of some mixtures.

    `mean` [n, benchmarks] and `covariance` [n, benchmarks, benchmarks] are of the expected score; `noise`
    [benchmarks, benchmarks] is what one training run adds to it.
    """

    mean: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray

    def rows(self, chosen: np.ndarray) -> "Prediction":
        """Of the mixtures of a mask or an index array."""
        return Prediction(self.mean[chosen], self.covariance[chosen], self.noise)

    def aggregate(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation [n] of the expected weighted sum of scores, `shares` [benchmarks]."""
        variance = np.einsum("b,nbc,c->n", shares, self.covariance, shares)
        return self.mean @ shares, np.sqrt(np.maximum(variance, 0.0))

    def run_spread(self, shares: np.ndarray) -> np.ndarray:
        """Standard deviation [n] of the weighted sum of one run's scores: the expectation's and the run's."""
        _, deviation = self.aggregate(shares)
        return np.sqrt(deviation**2 + max(float(shares @ self.noise @ shares), 0.0))


@dataclass(frozen=True)
class LeftOutPrediction:
    """Every run predicted without its mixture, and in words how."""

    prediction: Prediction
    how: str

    def rows(self, chosen: np.ndarray) -> Prediction:
        """Of the runs of a mask or an index array."""
        return self.prediction.rows(chosen)


@dataclass(frozen=True)
class Predictor(ABC):
    """A fitted surrogate. Every BLAS has one thread while `mean`, `predict` or `draw` of a subclass runs."""

    observations: Observations  # what it was fitted to
    # Why the surrogate answers as it does, in one line, and the table that this was chosen by; only some have them.
    reason: str = field(default="", kw_only=True)
    comparison: "pd.DataFrame | None" = field(default=None, kw_only=True)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("mean", "predict", "draw"):
            if name in vars(cls):
                setattr(cls, name, one_blas_thread()(vars(cls)[name]))

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the columns that `mean`, `predict` and `draw` take."""
        return self.observations.domains

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the scores they give."""
        return self.observations.benchmarks

    @abstractmethod
    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks] of mixtures [n, domains]; much cheaper than `predict`."""

    @abstractmethod
    def predict(self, weights: np.ndarray) -> Prediction:
        """Expected scores of mixtures [n, domains] with their uncertainty."""

    @abstractmethod
    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """`count` complete surfaces from the posterior at mixtures [n, domains]: [count, n, benchmarks]."""

    def refitting(self) -> "Surrogate | None":
        """The surrogate with only those kernels that this fit has kept, which is faster; None where it has none."""
        return None


Surrogate = Callable[[Observations, int], Predictor]
"""(observations, seed) → predictor."""


class Surrogates(Registry[Surrogate]):
    """Surrogates by name; every BLAS has one thread while one is fitted."""

    def register(self, name: str) -> Callable[[Surrogate], Surrogate]:
        """Decorator. Raises InputError when another function already has the name."""
        register = super().register(name)

        def decorate(surrogate: Surrogate) -> Surrogate:
            @wraps(surrogate)
            def fit(observations: Observations, seed: int) -> Predictor:
                with one_blas_thread():
                    return surrogate(observations, seed)

            register(fit)
            return fit

        return decorate


PACKAGE = "modomodo.mixtures.surrogates"
MEMBERS = {
    "baselines": (
        *("constant", "lightgbm", "lightgbm_small", "linear", "log_linear"),
        *("quadratic", "quadratic_split", "ridge_sqrt"),
    ),
    "calibration": ("auto",),
    "fidelities": ("gp_average", "gp_steps"),
    "gaussian_processes": ("gp_sqrt",),
    "merged": ("merged",),
}

# Of these, those that learn from cheaper runs too, and how many mixtures in full, and runs of a kind, that takes.
CALIBRATING = ("auto", "gp_average", "gp_steps")
FEWEST = 3

DEFAULT = "gp_average"  # what `auto` is
SUCCESSORS = dict.fromkeys(("gp_lead", "gp_components", "ensemble"), "gp_average")

surrogates = Surrogates(
    "surrogate", {f"{PACKAGE}.{module}": names for module, names in MEMBERS.items()}, successors=SUCCESSORS
)


@dataclass(frozen=True)
class Delegating(Predictor):
    """A predictor that another one answers for."""

    predictor: Predictor

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        return self.predictor.mean(weights)

    def predict(self, weights: np.ndarray) -> Prediction:
        """Expected scores with their uncertainty."""
        return self.predictor.predict(weights)

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Complete surfaces [count, n, benchmarks]."""
        return self.predictor.draw(weights, count, random)


@dataclass(frozen=True)
class Objective:
    """A weighted sum of benchmarks, to be made large. `benchmarks` are sorted, `shares` [benchmarks]."""

    name: str
    benchmarks: tuple[str, ...]
    shares: np.ndarray


def objective(
    records: Records, target: str, aggregates: Mapping[str, Mapping[str, float]] | None = None
) -> Objective:
    """What a target is made of.

    An aggregate is modelled benchmark by benchmark and then summed, with the weights that `aggregates` gives
    ({"out_score": {benchmark: size}}), else those that the records carry. For a stranger's table that has neither,
    they are solved for; where the rows do not determine them the aggregate's own column is modelled. Besides the
    records' targets, `aggregates` may define new ones by any name.

    Raises InputError for an unknown target or benchmark.
    """
    known = {**records.aggregates, **(aggregates or {})}
    if target in known:
        sizes = known[target]
        for benchmark in sizes:
            if benchmark not in records.benchmarks:
                raise InputError(
                    f"target '{target}': unknown benchmark '{benchmark}': {nearest(benchmark, records.benchmarks)}"
                )
        total = float(sum(sizes.values()))
        shares: dict[str, float] | None = {benchmark: size / total for benchmark, size in sizes.items()}
    else:
        if target not in records.targets:
            raise InputError(f"no target '{target}': {nearest(target, [*records.targets, *known])}")
        shares = aggregate_shares(trained(records), target)
    if shares is None:
        return Objective(target, (target,), np.ones(1))
    names = tuple(sorted(shares))
    return Objective(target, names, np.array([shares[name] for name in names]))


def observe(records: Records, objective: Objective, merged: Records | None = None) -> Observations:
    """The trained runs of the records, for the benchmarks of an objective, as arrays.

    Runs in which none of them was scored are left out. `merged`: records of merged experts, with a column
    `alpha`; those scored on a part of the questions (`questions` below 1) are left out. A run that was stopped has no
    score at the last step. Of the records' fidelities the last steps count, and those that scored none of the
    benchmarks are left out.

    Raises InputError when no run is left, and for a fidelity of other domains.
    """
    domains = tuple(sorted(records.domains))
    runs = trained(records)
    frame = runs.frame.sort_values(["mixture", "seed", "step"]).reset_index(drop=True)
    runs = Records(frame, runs.domains, runs.benchmarks)
    scores = np.column_stack([target_values(runs, name) for name in objective.benchmarks])
    errors = np.column_stack([frame[f"se_{name}"].to_numpy(float) for name in objective.benchmarks])
    steps = frame["step"].to_numpy(float)
    last = frame.groupby(["mixture", "seed"])["step"].transform("max").to_numpy(float)
    last = np.where(is_stopped(runs.frame), last.max(initial=0), last)
    progress = np.divide(steps, last, out=np.ones(len(frame)), where=last > 0)
    observations = Observations(
        weights_matrix(runs, domains),
        scores,
        errors,
        progress,
        tuple(frame["mixture"]),
        domains,
        objective.benchmarks,
        objective.shares,
        None if merged is None else _merged_scores(merged, objective, domains),
        tuple(_fidelities(records, objective)),
    )
    kept = np.isfinite(scores).any(axis=1)
    if not kept.any():
        names = ", ".join(objective.benchmarks)
        raise InputError(f"records: no trained run has a score of {names}: nothing to learn from")
    return observations if kept.all() else observations.rows(kept)


def _fidelities(records: Records, objective: Objective) -> Iterator[tuple[str, Observations]]:
    """Each fidelity of the records that scored something, with columns as the objective's; NaN where it did not."""
    for name, cheap in records.fidelities.items():
        if differing := sorted(set(cheap.domains) ^ set(records.domains)):
            raise InputError(
                f"{name}: other domains than the runs it is to help: {', '.join(differing)} differ"
            )
        known = [target in cheap.targets for target in objective.benchmarks]
        shared = tuple(itertools.compress(objective.benchmarks, known))
        if not np.isfinite([target_values(trained(cheap), target) for target in shared]).any():
            continue
        own = observe(cheap, replace(objective, benchmarks=shared, shares=objective.shares[known])).final()
        scores, errors = np.full((2, len(own), len(known)), np.nan)
        scores[:, known], errors[:, known] = own.scores, own.errors
        own = replace(own, benchmarks=objective.benchmarks, shares=objective.shares)
        yield name, replace(own, scores=scores, errors=errors)


def _merged_scores(merged: Records, objective: Objective, domains: tuple[str, ...]) -> MergedScores:
    """Raises InputError for a table without the column `alpha`."""
    for name in ("alpha", "questions"):
        if name not in merged.frame:
            raise InputError(
                f"merged records: no column '{name}': not a table that scripts/score_merges.py or screen.py wrote"
            )
    complete = merged.frame["questions"].astype(float) >= 1
    runs = Records(merged.frame[complete].reset_index(drop=True), merged.domains, merged.benchmarks)
    return MergedScores(
        runs.frame["alpha"].to_numpy(float),
        weights_matrix(runs, domains),
        np.column_stack([target_values(runs, name) for name in objective.benchmarks]),
    )


@dataclass(frozen=True)
class StandardScaler:
    """Scores [runs, benchmarks] brought to mean 0 and standard deviation 1, column by column.

    As scikit-learn's, but of the sample's standard deviation (n - 1), and with the standard errors on that scale.
    """

    center: np.ndarray
    scale: np.ndarray
    scores: np.ndarray
    variances: np.ndarray  # squared standard errors on that scale, 0 where unknown

    @classmethod
    def of(cls, observations: Observations) -> "StandardScaler":
        """Unscored columns get scale 1 and center 0.

        A constant column says nothing of its scale: it gets that of its standard errors, else of the other columns,
        else 1.
        """
        known = np.isfinite(observations.scores)
        filled = np.where(known, observations.scores, 0.0)
        count = np.maximum(known.sum(axis=0), 1)
        center = filled.sum(axis=0) / count
        spread = np.sqrt(np.where(known, (filled - center) ** 2, 0.0).sum(axis=0) / np.maximum(count - 1, 1))
        varies = spread > 1e-12 * np.maximum(1.0, np.abs(center))
        errors = np.sqrt(np.mean(np.nan_to_num(observations.errors) ** 2, axis=0))
        others = np.sqrt(np.mean(spread[varies] ** 2)) if varies.any() else 1.0
        unknown = np.where(errors > 0, errors, np.where(known.any(axis=0), others, 1.0))
        scale = np.where(varies, spread, unknown)
        variances = np.nan_to_num((observations.errors / scale) ** 2, nan=0.0)
        return cls(center, scale, (observations.scores - center) / scale, variances)

    def inverse(self, scores: np.ndarray) -> np.ndarray:
        """Standardised scores [..., benchmarks] as scores."""
        return scores * self.scale + self.center

    def prediction(
        self, mean: np.ndarray, variance: np.ndarray, noise: np.ndarray, correlation: np.ndarray
    ) -> Prediction:
        """From standardised moments [n, benchmarks], noise variance [benchmarks] and a correlation of benchmarks."""
        deviation, run = np.sqrt(variance) * self.scale, np.sqrt(noise) * self.scale
        return Prediction(
            self.inverse(mean),
            correlation * deviation[:, :, None] * deviation[:, None, :],
            correlation * np.outer(run, run),
        )


def mixture_folds(weights: np.ndarray) -> np.ndarray:
    """A number for each run, the same for runs of equal weights: what is left out together.

    Two names with the same weights are one mixture: with one of them in the training set, leaving out the
    other would test nothing.
    """
    keys = [tuple(row) for row in np.round(weights, 4)]
    order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([order[key] for key in keys])


def shrunk_correlation(residuals: np.ndarray) -> np.ndarray:
    """Correlation between the columns of residuals [runs, benchmarks], pulled towards 0 when runs are few.

    The weight of the sample is n / (n + benchmarks + 1).
    """
    count, width = residuals.shape
    if width == 1 or count < 3:
        return np.eye(width)
    spread = np.sqrt((residuals**2).mean(axis=0))
    scaled = residuals / np.where(spread > 0, spread, 1.0)
    correlation = scaled.T @ scaled / count
    trust = count / (count + width + 1)
    return trust * correlation + (1 - trust * np.diag(correlation)) * np.eye(width)
