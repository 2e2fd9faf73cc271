"""One surrogate on one choice of runs: how it ranks the mixtures left, and how a search by it goes on, run by run."""

import time

import numpy as np
from recorded_tables import Table

from modomodo.mixtures.acquisition import expected_improvement
from modomodo.mixtures.surrogates.base import Observations, Prediction, Predictor, Surrogate, surrogates
from modomodo.mixtures.surrogates.calibration import DEFAULT
from modomodo.mixtures.surrogates.points import Mean, point_predictor


def breadth(observations: Observations, seed: int) -> Predictor:
    """What no run at all tells: every score by Σ√w, the more domains the better. A surrogate should beat it."""

    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        return lambda points: np.sqrt(points).sum(axis=1)

    return point_predictor(observations, fit, seed)


BASELINES = {"breadth": breadth}
COMPARED = (
    *(DEFAULT, "gp_sqrt", "ridge_sqrt", "lightgbm_small", "lightgbm", "log_linear"),
    *("quadratic", "quadratic_split", "linear", *BASELINES),
)
# Surrogate and what it chooses the next run by; "random" chooses without any.
SEARCHES = ((DEFAULT, "greedy"), (DEFAULT, "expected_improvement"), ("quadratic", "greedy"), ("random", ""))

FIGURES = ["composite_spearman", "composite_regret", "metric_spearman", "metric_regret"]
COVERAGES = ["composite_coverage_80", "metric_coverage_80"]
RANKS = ["family", "table", "surrogate", "runs", "seed", *FIGURES, *COVERAGES, "seconds"]
CURVES = ["table", "method", "seed", "runs", "regret"]
NORMAL_80 = 1.2816  # half the width of a normal's central 80 %, in standard deviations


def fitting(name: str) -> Surrogate:
    """The surrogate or baseline of a name. Raises InputError for an unknown one."""
    return BASELINES.get(name) or surrogates[name]


def rank_unseen(table: Table, name: str, count: int, seed: int, intervals: bool = True) -> dict:
    """Fit one surrogate on `count` random mixtures and judge its ranking of the others.

    The coverage is of 80 % intervals for one run's score, chance included, where a row that repeats counts as one run,
    as it does in what was learnt. It takes some functions ten times as long as the ranking: NaN without `intervals`.
    """
    order = np.random.default_rng(seed).permutation(len(table.runs))
    seen, unseen = order[:count], order[count:]
    start = time.process_time()
    fitted = fitting(name)(table.runs.rows(seen), seed)
    predicted = fitted.mean(table.runs.weights[unseen])
    seconds = time.process_time() - start
    actual = table.runs.scores[unseen]
    composite = predicted.mean(axis=1)
    judged = {
        "composite_spearman": rank(composite, table.composite[unseen]),
        "composite_regret": regret(composite, table.composite[unseen]),
        "metric_spearman": float(np.mean([rank(p, a) for p, a in zip(predicted.T, actual.T, strict=True)])),
        "metric_regret": float(np.mean([regret(p, a) for p, a in zip(predicted.T, actual.T, strict=True)])),
    }
    inside = [np.nan, np.nan]
    if intervals:
        inside = coverage(fitted.predict(table.runs.weights[unseen]), actual)
    row = {"family": table.family, "table": table.name, "surrogate": name, "runs": count, "seed": seed}
    return row | judged | dict(zip(COVERAGES, inside, strict=True)) | {"seconds": round(seconds, 4)}


def rank(predicted: np.ndarray, actual: np.ndarray) -> float:
    """Spearman's correlation where the actual score is known; 0 for a constant, which ranks nothing."""
    from scipy.stats import spearmanr

    predicted, actual = predicted[np.isfinite(actual)], actual[np.isfinite(actual)]
    if len(actual) < 2 or np.ptp(predicted) < 1e-12 or np.ptp(actual) == 0:
        return 0.0
    return float(spearmanr(predicted, actual).statistic)


def regret(predicted: np.ndarray, actual: np.ndarray) -> float:
    """How far the top pick is from the best, 0 to 1; the mean over all top picks that tie."""
    predicted, actual = predicted[np.isfinite(actual)], actual[np.isfinite(actual)]
    spread = np.ptp(actual) if len(actual) else 0.0
    if spread == 0:
        return 0.0
    top = predicted >= predicted.max() - 1e-12
    return float((actual.max() - actual[top].mean()) / spread)


def coverage(prediction: Prediction, actual: np.ndarray) -> list[float]:
    """Shares of scores [n, metrics] inside the 80 % interval of a run: of the mean over metrics, and of the metrics."""
    width = actual.shape[1]
    spread = np.column_stack(
        [prediction.run_spread(shares) for shares in (np.full(width, 1 / width), *np.eye(width))]
    )
    missed = np.column_stack([(prediction.mean - actual).mean(axis=1), prediction.mean - actual])
    known = np.isfinite(missed)
    inside = np.abs(np.where(known, missed, 0.0)) <= NORMAL_80 * spread
    shares = (inside & known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return [float(shares[0]), float(shares[1:].mean())]


def search(table: Table, name: str, acquisition: str, first: int, last: int, seed: int) -> list[dict]:
    """The regret of the best run so far, run by run, when the method chooses from the table's rows."""
    random = np.random.default_rng(seed)
    runs, composite = table.runs.rows(table.complete), table.composite[table.complete]
    seen = list(random.permutation(len(runs))[:first])
    rows = []
    for count in range(first, last + 1):
        rows.append(
            {
                "table": table.name,
                "method": name if name == "random" else f"{name} {acquisition}",
                "seed": seed,
                "runs": count,
                "regret": float((composite.max() - composite[seen].max()) / np.ptp(composite)),
            }
        )
        if count == last:
            break
        left = np.setdiff1d(np.arange(len(runs)), seen)
        if name == "random":
            seen.append(int(random.choice(left)))
            continue
        fitted = surrogates[name](runs.rows(np.array(seen)), seed)
        if acquisition == "greedy":
            value = fitted.mean(runs.weights[left]) @ runs.shares
        else:
            mean, deviation = fitted.predict(runs.weights[left]).aggregate(runs.shares)
            known = fitted.mean(runs.weights[seen]) @ runs.shares
            value = expected_improvement(mean, deviation, float(known.max()))
        seen.append(int(left[np.argmax(value)]))
    return rows
