"""How far a surrogate can be trusted on the records given, and how others compare with it.

Each mixture is left out in turn, with all its repeats, and predicted from the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from modomodo.mixtures.surrogates.base import (
    DEFAULT,
    Delegating,
    Observations,
    Predictor,
    Surrogate,
    mixture_folds,
    surrogates,
)
from modomodo.mixtures.surrogates.left_out import leave_out
from modomodo.mixtures.surrogates.threads import one_blas_thread

BESIDE = ("gp_sqrt", "ridge_sqrt", "quadratic")  # what a replay compares the default with
LEVELS = (0.5, 0.8, 0.95)
OBJECTIVE = "objective"
MOST_GROUPS = 20  # mixtures beyond this number are left out several at a time
LARGE = 60  # and beyond this one by formula where the surrogate has one: refits would take minutes
LATEST = 8  # answers that are cached


@dataclass(frozen=True)
class LeftOut:
    """Scores of runs and what was predicted for them without their mixture.

    Columns are the objective and then the benchmarks: all arrays are [runs, 1 + benchmarks].
    """

    names: tuple[str, ...]
    mixtures: tuple[str, ...]
    actual: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray  # of one run's score: uncertainty and noise
    constant: np.ndarray  # the mean score of the others
    how: str  # each mixture was predicted, in words

    def error(self, column: int = 0) -> np.ndarray:
        """Squared errors of the scored runs."""
        return _known((self.actual[:, column] - self.mean[:, column]) ** 2)

    def constant_error(self, column: int = 0) -> np.ndarray:
        """Squared errors of the constant predictor on the same runs."""
        return _known((self.actual[:, column] - self.constant[:, column]) ** 2)

    @property
    def beats_mean(self) -> bool:
        """Whether the objective's squared error is below the constant predictor's by one standard error or more.

        The least of several errors is below it on every other table of noise.
        """
        gain = self.constant_error() - self.error()
        return len(gain) > 1 and bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))


@one_blas_thread()
def leave_one_mixture_out(
    observations: Observations, fit: Surrogate, seed: int, most_groups: int | None = MOST_GROUPS
) -> LeftOut:
    """Predict each mixture from all others.

    With more mixtures than `most_groups` they are left out in so many random groups; None leaves out one at a
    time. With more than `LARGE`, surrogates that need no refit for it answer by `left_out.leave_out`. A single mixture
    has nothing to be predicted from: its predictions are NaN.
    """
    final = observations.final()
    folds = mixture_folds(final.weights)
    every = np.random.default_rng(seed).permutation(folds.max() + 1)
    groups = np.array_split(every, min(most_groups or len(every), len(every)))
    shape = (len(final), 1 + len(final.benchmarks))
    mean, variance, constant = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    how = "from all others" if len(groups) == len(every) else f"from others, left out in {len(groups)} groups"
    formula = leave_out(fit(final, seed), folds) if most_groups and len(every) > LARGE else None
    if formula:
        how = formula.how
        groups = list(np.arange(len(every))[:, None])
    for group in groups:
        out = np.isin(folds, group)
        if out.all():
            continue
        rest = final.rows(~out)
        prediction = formula.rows(out) if formula else fit(rest, seed).predict(final.weights[out])
        mean[out, 1:] = prediction.mean
        mean[out, 0], _ = prediction.aggregate(final.shares)
        spread = np.einsum("nbb->nb", prediction.covariance) + np.diag(prediction.noise)
        variance[out, 1:] = spread
        variance[out, 0] = prediction.run_spread(final.shares) ** 2
        level = np.array([_mean(column) for column in rest.scores.T])
        constant[out] = np.concatenate([[level @ final.shares], level])
    actual = np.column_stack([final.scores @ final.shares, final.scores])
    names = (OBJECTIVE, *final.benchmarks)
    return LeftOut(names, final.mixtures, actual, mean, np.sqrt(variance), constant, how)


def summary(left: LeftOut) -> pd.DataFrame:
    """One row for the objective and one a benchmark.

    Columns: name, runs, spearman, rmse, rmse_constant, coverage_50, coverage_80, coverage_95 (the share of runs
    inside the predicted interval of that level).
    """
    from scipy.stats import norm, spearmanr

    rows = []
    for column, name in enumerate(left.names):
        known = np.isfinite(left.actual[:, column]) & np.isfinite(left.mean[:, column])
        actual, mean = left.actual[known, column], left.mean[known, column]
        varies = known.sum() > 2 and np.ptp(actual) > 0 and np.ptp(mean) > 0
        row: dict[str, float | str | int] = {
            "name": name,
            "runs": int(known.sum()),
            "spearman": float(spearmanr(actual, mean).statistic) if varies else np.nan,
            "rmse": _root(left.error(column)),
            "rmse_constant": _root(left.constant_error(column)),
        }
        distance = np.abs(actual - mean) / np.maximum(left.deviation[known, column], 1e-12)
        for level in LEVELS:
            inside = distance <= norm.ppf(0.5 + level / 2)
            row[f"coverage_{100 * level:.0f}"] = float(inside.mean()) if len(inside) else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class CrossValidated(Delegating):
    """A fitted surrogate and its name, with what it predicts of left-out mixtures.

    `comparison` has a row about the objective: surrogate, runs, spearman, rmse, rmse_constant, coverage_50,
    coverage_80, coverage_95, beats_mean.
    """

    name: str
    left: LeftOut

    @property
    def informed(self) -> bool:
        """Whether it predicts mixtures it has not seen better than their mean does, beyond luck."""
        return self.left.beats_mean


def is_large(observations: Observations) -> bool:
    """Whether a refit takes seconds, so that what needs many takes shortcuts."""
    return len(set(observations.mixtures)) > LARGE


def refit(predictor: Predictor, name: str, observations: Observations) -> Surrogate:
    """The surrogate `name` for parts of `observations`, of a large table with the kernels of `predictor` alone."""
    return (predictor.refitting() if is_large(observations) else None) or surrogates[name]


Asked = tuple[str, int, str, Surrogate]
"""Digest of the observations, seed, name, function."""

_latest: dict[Asked, CrossValidated] = {}


def cross_validated(observations: Observations, seed: int, name: str = DEFAULT) -> CrossValidated:
    """A surrogate fitted to all runs, and what it predicts of those that it was not shown.

    The latest answers are cached: a study's strategies ask the same of the same runs.
    """
    key = (observations.digest(), seed, name, surrogates[name])
    if key not in _latest:
        left = leave_one_mixture_out(observations, surrogates[name], seed)
        row = {"surrogate": name} | summary(left).iloc[0].drop("name").to_dict()
        _latest[key] = CrossValidated(
            observations,
            surrogates[name](observations, seed),
            name,
            left,
            reason=_reason(row),
            comparison=pd.DataFrame([row | {"beats_mean": left.beats_mean}]),
        )
        if len(_latest) > LATEST:
            del _latest[next(iter(_latest))]
    return _latest[key]


def _reason(row: Mapping[str, Any]) -> str:
    """Its left-out error in one line."""
    if not np.isfinite(row["rmse"]):
        return f"{row['surrogate']}: one mixture cannot be left out"
    return f"{row['surrogate']}: left-out RMSE {row['rmse']:.3g}, constant {row['rmse_constant']:.3g}"


def compared(observations: Observations, seed: int, beside: Sequence[str] = BESIDE) -> pd.DataFrame:
    """The default and others by what they predict of left-out mixtures, a row each; `chosen` marks the default.

    It is shown, not followed: with few mixtures the smallest of several errors is often the luckiest. With fewer than
    four mixtures nothing can be compared, and the default stands alone.
    """
    enough = mixture_folds(observations.final().weights).max() + 1 >= 4
    names = (DEFAULT, *(beside if enough else ()))
    rows = [cross_validated(observations, seed, name).comparison for name in names]
    return pd.concat(rows, ignore_index=True).assign(chosen=[name == DEFAULT for name in names])


@surrogates.register("auto")
def auto(observations: Observations, seed: int) -> Predictor:
    """The default, gp_average; searches explore where it predicts left-out mixtures no better than their mean."""
    return surrogates[DEFAULT](observations, seed)


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _mean(values: np.ndarray) -> float:
    known = _known(values)
    return float(known.mean()) if len(known) else np.nan


def _root(squares: np.ndarray) -> float:
    return float(np.sqrt(squares.mean())) if len(squares) else float("nan")
