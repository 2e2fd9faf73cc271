"""Replay recorded runs: how well does each surrogate rank mixtures it has not seen, and how fast is the best found?

    1. from each table take a few random runs (--runs), fit every surrogate, rank the mixtures left
    2. report Spearman and the regret of the top pick, on the composite and averaged over single metrics
    3. with --sequential FIRST LAST: start from FIRST random runs, let each method choose the next, run by run
    4. write replay.csv, means.csv, sequential.csv and replay.png; the last line is for machines

Tables have a column `w_<domain>` a domain and `y_<metric>` a metric; other columns do not matter. The composite is
the mean of the metrics, each standardised over the table. Regret is 0 for the best unseen mixture and 1 for the worst.

What happens to odd tables: rows of equal weights become one row with their mean scores. A metric that is constant, or
known in less than half of the rows, is left out. A row without some score is learnt from, but only ranked by the
scores it has. Where a table is too small for --runs or --sequential, it is left out there. Each is said on stderr.

Example:
    python benchmarks/replay.py tables/regmix_test_60m.csv --lower-is-better --runs 8 16 32 --seeds 20 \\
        --sequential 6 24
"""

import argparse
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from modomodo import command_line, console
from modomodo.errors import InputError
from modomodo.files import write_csv
from modomodo.mixtures.acquisition import expected_improvement
from modomodo.mixtures.records import last_step
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.surrogates.base import (
    Objective,
    Observations,
    Predictor,
    mixture_folds,
    observe,
    surrogates,
)
from modomodo.mixtures.surrogates.calibration import DEFAULT
from modomodo.mixtures.surrogates.points import Mean, point_predictor


def breadth(observations: Observations, seed: int) -> Predictor:
    """What no run at all tells: every score by Σ√w, the more domains the better. A surrogate should beat it."""

    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        return lambda points: np.sqrt(points).sum(axis=1)

    return point_predictor(observations, fit, seed)


BASELINES = {"breadth": breadth}
COMPARED = (
    *(DEFAULT, "gp_components", "gp_sqrt", "ridge_sqrt", "lightgbm_small", "lightgbm", "log_linear"),
    *("quadratic", "quadratic_split", "linear", *BASELINES),
)
# Surrogate and what it chooses the next run by; "random" chooses without any.
SEARCHES = ((DEFAULT, "greedy"), (DEFAULT, "expected_improvement"), ("quadratic", "greedy"), ("random", ""))


RANKS = ["table", "surrogate", "runs", "seed", "composite_spearman", "composite_regret"]
RANKS += ["metric_spearman", "metric_regret", "seconds"]
CURVES = ["table", "method", "seed", "runs", "regret"]
FEWEST = 5  # unseen mixtures that a ranking is judged on, at least


@dataclass(frozen=True)
class Table:
    """A recorded table: a row a mixture, with standardised scores (NaN where unknown)."""

    name: str
    runs: Observations
    composite: np.ndarray  # [runs], NaN where a score is missing

    @property
    def complete(self) -> np.ndarray:
        """The rows that have every score."""
        return np.flatnonzero(np.isfinite(self.composite))


def read_table(path: Path, lower_is_better: bool | Collection[str] = False, anonymous: bool = False) -> Table:
    """A table as the replay needs it; what is left out is said on stderr.

    `anonymous` takes the metrics' names away, so that no surrogate can use that one is called like a domain.

    Raises InputError for a damaged table, and for one in which too little varies.
    """
    records = last_step(read_records(path, lower_is_better=lower_is_better))
    metrics = tuple(sorted(records.benchmarks))
    runs = observe(records, Objective("composite", metrics, np.full(len(metrics), 1 / len(metrics))))
    runs = _one_row_a_mixture(runs)
    if len(runs) < len(records):
        print(f"{path}: {len(records)} rows, {len(runs)} mixtures with scores", file=sys.stderr)
    useful = []
    for column, metric in enumerate(metrics):
        values = runs.scores[np.isfinite(runs.scores[:, column]), column]
        if 2 * len(values) < len(runs):
            reason = f"known of {len(values)} of {len(runs)} mixtures"
        elif np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
            reason = "constant"
        else:
            useful.append(column)
            continue
        print(f"{path}: y_{metric}: {reason}: left out", file=sys.stderr)
    if not useful:
        raise InputError(f"{path}: no column 'y_…' varies over the mixtures: nothing to rank")
    scores = runs.scores[:, useful]
    scale = np.nanstd(scores, axis=0)
    complete = np.isfinite(scores).all(axis=1)
    if complete.sum() < 2 * FEWEST:
        gaps = np.isnan(scores).sum(axis=0)
        worst = int(gaps.argmax())
        hint = f": y_{metrics[useful[worst]]} lacks {gaps[worst]}, fill or remove it" if gaps.any() else ""
        raise InputError(
            f"{path}: {complete.sum()} mixtures have every score, {2 * FEWEST} are the fewest to replay{hint}"
        )
    names = tuple(f"metric{i:03d}" if anonymous else metrics[column] for i, column in enumerate(useful))
    runs = replace(
        runs,
        scores=(scores - np.nanmean(scores, axis=0)) / scale,
        errors=runs.errors[:, useful] / scale,
        benchmarks=names,
        shares=np.full(len(names), 1 / len(names)),
    )
    runs = runs.rows(np.isfinite(runs.scores).any(axis=1))
    return Table(path.stem, runs, runs.scores.mean(axis=1))


def _one_row_a_mixture(runs: Observations) -> Observations:
    """Rows of equal weights become one, with the means of their known scores."""
    folds = mixture_folds(runs.weights)
    if folds.max() + 1 == len(runs):
        return runs

    def means(values: np.ndarray) -> np.ndarray:
        return pd.DataFrame(values).groupby(folds).mean().to_numpy()

    known = pd.DataFrame(runs.scores).groupby(folds).count().to_numpy()
    errors = np.sqrt(means(runs.errors**2) / np.maximum(known, 1))
    first = np.unique(folds, return_index=True)[1]
    return replace(runs.rows(first), scores=means(runs.scores), errors=errors)


def rank_unseen(table: Table, name: str, count: int, seed: int) -> dict:
    """Fit one surrogate on `count` random mixtures and judge its ranking of the others."""
    order = np.random.default_rng(seed).permutation(len(table.runs))
    seen, unseen = order[:count], order[count:]
    fit = BASELINES.get(name) or surrogates[name]
    start = time.process_time()
    predicted = fit(table.runs.rows(seen), seed).mean(table.runs.weights[unseen])
    seconds = time.process_time() - start
    actual = table.runs.scores[unseen]
    composite = predicted.mean(axis=1)
    return {
        "table": table.name,
        "surrogate": name,
        "runs": count,
        "seed": seed,
        "composite_spearman": rank(composite, table.composite[unseen]),
        "composite_regret": regret(composite, table.composite[unseen]),
        "metric_spearman": float(np.mean([rank(p, a) for p, a in zip(predicted.T, actual.T, strict=True)])),
        "metric_regret": float(np.mean([regret(p, a) for p, a in zip(predicted.T, actual.T, strict=True)])),
        "seconds": round(seconds, 4),
    }


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


def replayable(table: Table, count: int, option: str) -> bool:
    """Whether enough mixtures with every score are sure to be left after `count`; says so if not."""
    if count <= len(table.complete) - FEWEST:
        return True
    print(
        f"{option} {count}: '{table.name}' has {len(table.complete)} mixtures with every score, {FEWEST} of which must "
        "stay unseen: left out",
        file=sys.stderr,
    )
    return False


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


def draw(ranks: pd.DataFrame, searches: pd.DataFrame, path: Path) -> None:
    """Spearman and regret of the top pick by runs, and the regret of a search run by run; means over all else."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(ranks["surrogate"]))
    colours = {name: f"C{i}" if i < 10 else "black" for i, name in enumerate(names)}
    figure, axes = plt.subplots(1, 3 if len(searches) else 2, figsize=(12, 4.6), layout="constrained")
    for axis, column, label in (
        (axes[0], "composite_spearman", "Spearman on unseen mixtures"),
        (axes[1], "composite_regret", "regret of the top pick"),
    ):
        means = ranks.groupby(["surrogate", "runs"])[column].mean().unstack(0)
        for name in names:
            width = 2.8 if name == DEFAULT else 1.2
            axis.plot(means.index, means[name], "o-", color=colours[name], label=name, linewidth=width)
        axis.set(xlabel="runs learnt from", ylabel=label, title="Composite")
        axis.set_xscale("log", base=2)
        axis.set_xticks(means.index, [str(count) for count in means.index])
    axes[0].set_ylim(None, 1)
    axes[1].set_ylim(0, None)
    if len(searches):
        curves = searches.groupby(["method", "runs"], sort=False)["regret"].mean().unstack(0)
        for method in curves:
            name, _, how = str(method).partition(" ")
            axes[2].plot(
                curves.index,
                curves[method],
                "--" if name == DEFAULT and how == "greedy" else "-",
                color=colours.get(name, "black"),
                label=f"{name}, {how.replace('_', ' ')}" if how else name,
                linewidth=2.8 if name == DEFAULT else 1.2,
            )
        axes[2].set(
            xlabel="runs", ylabel="regret of the best run so far", title="Sequential search", ylim=(0, None)
        )
        axes[2].xaxis.get_major_locator().set_params(integer=True)
        axes[2].legend(fontsize=8)
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=min(len(names), 6), fontsize=8)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def headline(ranks: pd.DataFrame, counts: Sequence[int]) -> str:
    """The line for machines: Spearman on the composite, mean over tables and seeds."""
    means = ranks.groupby(["surrogate", "runs"])["composite_spearman"].mean()

    def figures(name: str) -> list[str]:
        return [f"{means[name, count]:.3f}" if (name, count) in means else "nan" for count in counts]

    default = " ".join(f"k={count} {figure}" for count, figure in zip(counts, figures(DEFAULT), strict=True))
    return (
        f"default composite spearman {default}; quadratic {' '.join(figures('quadratic'))}; "
        f"lightgbm {' '.join(figures('lightgbm_small'))}"
    )


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("tables", type=Path, nargs="+", help="CSV tables of recorded runs")
    parser.add_argument("--runs", type=int, nargs="+", default=[8, 16, 32], help="runs to learn from")
    parser.add_argument("--seeds", type=int, default=20, help="random choices of those runs")
    parser.add_argument(
        "--surrogates", nargs="+", default=list(COMPARED), help=f"which (default: {' '.join(COMPARED)})"
    )
    parser.add_argument(
        "--sequential", type=int, nargs=2, metavar=("FIRST", "LAST"), help="also search, run by run"
    )
    parser.add_argument("--lower-is-better", action="store_true", help="all metrics are losses")
    parser.add_argument(
        "--losses",
        nargs="+",
        default=[],
        metavar="METRIC",
        help="or only these, in the tables that have them",
    )
    parser.add_argument(
        "--anonymous", action="store_true", help="take away the metrics' names, which may be those of domains"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("results/replay"), help="folder of CSVs and figure"
    )
    arguments = parser.parse_args()
    names = list(dict.fromkeys(arguments.surrogates))
    for name in names:
        BASELINES.get(name) or surrogates[name]
    check(arguments)
    tables = read_tables(arguments.tables, arguments.lower_is_better, arguments.losses, arguments.anonymous)

    jobs = [
        (table, name, count, seed)
        for table in tables
        for count in arguments.runs
        if replayable(table, count, "--runs")
        for name in names
        for seed in range(arguments.seeds)
    ]
    ranks = pd.DataFrame([rank_unseen(*job) for job in console.progress(jobs, "ranking")], columns=RANKS)
    rows: list[dict] = []
    if arguments.sequential:
        first, last = arguments.sequential
        chosen = [
            (table, name, acquisition, first, last, seed)
            for table in tables
            if replayable(table, last, "--sequential")
            for name, acquisition in SEARCHES
            for seed in range(arguments.seeds)
        ]
        for job in console.progress(chosen, "searching"):
            rows += search(*job)
    searches = pd.DataFrame(rows, columns=CURVES)

    write_csv(arguments.output / "replay.csv", ranks)
    means = ranks.groupby(["table", "surrogate", "runs"], sort=False)[RANKS[4:]].mean().round(4)
    write_csv(arguments.output / "means.csv", means.reset_index())
    if len(searches):
        write_csv(arguments.output / "sequential.csv", searches)
    if len(ranks):
        draw(ranks, searches, arguments.output / "replay.png")
    report(means, searches)
    print(headline(ranks, arguments.runs))


def check(arguments: argparse.Namespace) -> None:
    """Raises InputError for numbers that make no replay."""
    if min(arguments.runs) < 1 or arguments.seeds < 1:
        raise InputError("--runs and --seeds: expected numbers of at least 1")
    if arguments.sequential and not 1 <= arguments.sequential[0] < arguments.sequential[1]:
        first, last = arguments.sequential
        raise InputError(f"--sequential {first} {last}: expected FIRST of at least 1, and LAST above it")


def read_tables(
    paths: Sequence[Path], all_losses: bool, losses: Sequence[str], anonymous: bool
) -> list[Table]:
    """Every table, under a name of its own. Raises InputError also for a loss that no table has."""
    tables: list[Table] = []
    found: set[str] = set()
    for path in paths:
        own = [name for name in losses if name in read_records(path).benchmarks]
        found.update(own)
        table = read_table(path, all_losses or own, anonymous)
        names = [other.name for other in tables]
        tables.append(replace(table, name=str(path)) if table.name in names else table)
    for name in losses:
        if name not in found:
            raise InputError(f"--losses {name}: no table has a column 'y_{name}'")
    return tables


def report(means: pd.DataFrame, searches: pd.DataFrame) -> None:
    """Print the means over seeds, and when each search reaches the quadratic surface's last regret."""
    if len(means):
        print(means.round(3).to_string())
    if not len(searches):
        return
    curves = searches.groupby(["table", "method", "runs"], sort=False)["regret"].mean().unstack().round(3)
    print(curves.iloc[:, :: max(1, len(curves.columns) // 9)].to_string())
    regrets = searches.groupby(["method", "runs"], sort=False)["regret"].mean()
    last = float(regrets["quadratic greedy"].iloc[-1])
    for method in dict.fromkeys(searches["method"]):
        reached = regrets[method].index[regrets[method] <= last]
        when = f"at run {reached[0]}" if len(reached) else "not"
        print(f"{method}: the quadratic surface's last regret ({last:.3f}) is reached {when}")


if __name__ == "__main__":
    command_line.run(main)
