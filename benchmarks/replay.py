"""Replay recorded runs: how well does each surrogate rank mixtures it has not seen, and how fast is the best found?

    1. from each table take a few random runs (--runs), fit every surrogate, rank the mixtures left
    2. report Spearman and the regret of the top pick, on the composite and averaged over single metrics
    3. with --sequential FIRST LAST: start from FIRST random runs, let each method choose the next, run by run
    4. write replay.csv, sequential.csv and replay.png; the last line is for machines

Tables have a column `w_<domain>` a domain and `y_<metric>` a metric. The composite is the mean of the metrics,
each standardised over the table. Regret is 0 for the best unseen mixture and 1 for the worst.

Example:
    python benchmarks/replay.py tables/regmix_test_60m.csv --lower-is-better --runs 8 16 32 --seeds 20 \\
        --sequential 6 24
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from modomodo import command_line
from modomodo.errors import InputError
from modomodo.proposals import expected_improvement
from modomodo.records import read_records
from modomodo.surrogates import Objective, Observations, observe, surrogates
from modomodo.surrogates.calibration import DEFAULT

COMPARED = (
    *(DEFAULT, "gp_components", "gp_sqrt", "ridge_sqrt", "lightgbm_small", "lightgbm", "log_linear"),
    *("quadratic", "quadratic_split", "linear"),
)
# Surrogate and what it chooses the next run by; "random" chooses without any.
SEARCHES = ((DEFAULT, "greedy"), (DEFAULT, "expected_improvement"), ("quadratic", "greedy"), ("random", ""))


@dataclass(frozen=True)
class Table:
    """A recorded table: its runs with standardised scores, and the composite of each."""

    name: str
    runs: Observations
    composite: np.ndarray


def read_table(path: Path, lower_is_better: bool) -> Table:
    """Raises InputError for a damaged table."""
    records = read_records(path, lower_is_better=lower_is_better)
    metrics = tuple(sorted(records.benchmarks))
    runs = observe(records, Objective("composite", metrics, np.full(len(metrics), 1 / len(metrics))))
    whole = np.isfinite(runs.scores).all(axis=1)
    if whole.sum() < 10:
        raise InputError(f"{path}: {int(whole.sum())} rows have every score: too few to replay")
    runs = runs.rows(whole)
    scores = (runs.scores - runs.scores.mean(axis=0)) / np.maximum(runs.scores.std(axis=0), 1e-12)
    return Table(path.stem, replace(runs, scores=scores), scores.mean(axis=1))


def rank_unseen(table: Table, name: str, count: int, seed: int) -> dict:
    """Fit one surrogate on `count` random runs and judge its ranking of the others."""
    order = np.random.default_rng(seed).permutation(len(table.runs))
    seen, unseen = order[:count], order[count:]
    start = time.process_time()
    predicted = surrogates[name](table.runs.rows(seen), seed).mean(table.runs.weights[unseen])
    seconds = time.process_time() - start
    actual = table.runs.scores[unseen]
    single = [(rank(p, a), regret(p, a)) for p, a in zip(predicted.T, actual.T, strict=True)]
    composite = predicted.mean(axis=1)
    return {
        "table": table.name,
        "surrogate": name,
        "runs": count,
        "seed": seed,
        "composite_spearman": rank(composite, table.composite[unseen]),
        "composite_regret": regret(composite, table.composite[unseen]),
        "metric_spearman": float(np.mean([correlation for correlation, _ in single])),
        "metric_regret": float(np.mean([loss for _, loss in single])),
        "seconds": round(seconds, 4),
    }


def rank(predicted: np.ndarray, actual: np.ndarray) -> float:
    """Spearman's correlation; 0 for a constant, which ranks nothing."""
    from scipy.stats import spearmanr

    if np.ptp(predicted) < 1e-12 or np.ptp(actual) == 0:
        return 0.0
    return float(spearmanr(predicted, actual).statistic)


def regret(predicted: np.ndarray, actual: np.ndarray) -> float:
    """How far the top pick is from the best, 0 to 1; the mean over all top picks that tie."""
    spread = np.ptp(actual)
    top = predicted >= predicted.max() - 1e-12
    return float((actual.max() - actual[top].mean()) / spread) if spread > 0 else 0.0


def search(table: Table, name: str, acquisition: str, first: int, last: int, seed: int) -> list[dict]:
    """The regret of the best run so far, run by run, when the method chooses from the table's rows."""
    random = np.random.default_rng(seed)
    seen = list(random.permutation(len(table.runs))[:first])
    spread = np.ptp(table.composite)
    rows = []
    for count in range(first, last + 1):
        best = table.composite[seen].max()
        rows.append(
            {
                "table": table.name,
                "method": name if name == "random" else f"{name} {acquisition}",
                "seed": seed,
                "runs": count,
                "regret": float((table.composite.max() - best) / spread),
            }
        )
        if count == last:
            break
        left = np.setdiff1d(np.arange(len(table.runs)), seen)
        if name == "random":
            seen.append(int(random.choice(left)))
            continue
        shares = table.runs.shares
        fitted = surrogates[name](table.runs.rows(np.array(seen)), seed)
        if acquisition == "greedy":
            value = fitted.mean(table.runs.weights[left]) @ shares
        else:
            mean, deviation = fitted.predict(table.runs.weights[left]).aggregate(shares)
            known = fitted.mean(table.runs.weights[seen]) @ shares
            value = expected_improvement(mean, deviation, float(known.max()))
        seen.append(int(left[np.argmax(value)]))
    return rows


def draw(ranks: pd.DataFrame, searches: pd.DataFrame, path: Path) -> None:
    """Spearman by runs, and regret by runs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    means = ranks.groupby(["surrogate", "runs"], sort=False)["composite_spearman"].mean().unstack(0)
    for name in means:
        axes[0].plot(
            means.index, means[name], marker="o", label=name, linewidth=2.5 if name == DEFAULT else 1.2
        )
    axes[0].set(xlabel="runs", ylabel="Spearman on unseen mixtures", title="Composite", ylim=(None, 1))
    axes[0].set_xscale("log", base=2)
    axes[0].set_xticks(means.index, [str(count) for count in means.index])
    axes[0].legend(fontsize=8)
    if len(searches):
        curves = searches.groupby(["method", "runs"], sort=False)["regret"].mean().unstack(0)
        for name in curves:
            axes[1].plot(curves.index, curves[name], label=name)
        axes[1].set(
            xlabel="runs", ylabel="regret of the best run so far", title="Sequential search", ylim=(0, None)
        )
        axes[1].legend(fontsize=8)
    else:
        axes[1].set_axis_off()
    figure.savefig(path, dpi=150, metadata={"Software": None})


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
    parser.add_argument("--lower-is-better", action="store_true", help="the metrics are losses")
    parser.add_argument(
        "--output", type=Path, default=Path("results/replay"), help="folder of CSVs and figure"
    )
    arguments = parser.parse_args()
    for name in arguments.surrogates:
        surrogates[name]
    tables = [read_table(path, arguments.lower_is_better) for path in arguments.tables]
    for table in tables:
        if max(arguments.runs) > len(table.runs) - 5:
            raise InputError(f"--runs {max(arguments.runs)}: '{table.name}' has only {len(table.runs)} rows")
    names = list(dict.fromkeys(arguments.surrogates))

    jobs = [
        (table, name, count, seed)
        for table in tables
        for count in arguments.runs
        for name in names
        for seed in range(arguments.seeds)
    ]
    ranks = pd.DataFrame([rank_unseen(*job) for job in tqdm(jobs, desc="ranking", disable=None)])
    rows: list[dict] = []
    if arguments.sequential:
        first, last = arguments.sequential
        chosen = [
            (table, name, acquisition, first, last, seed)
            for table in tables
            for name, acquisition in SEARCHES
            for seed in range(arguments.seeds)
        ]
        for job in tqdm(chosen, desc="searching", disable=None):
            rows += search(*job)
    searches = pd.DataFrame(rows)

    arguments.output.mkdir(parents=True, exist_ok=True)
    ranks.to_csv(arguments.output / "replay.csv", index=False)
    searches.to_csv(arguments.output / "sequential.csv", index=False)
    draw(ranks, searches, arguments.output / "replay.png")

    values = ["composite_spearman", "composite_regret", "metric_spearman", "metric_regret", "seconds"]
    means = ranks.groupby(["table", "surrogate", "runs"], sort=False)[values].mean().round(3)
    print(means.to_string())
    if len(searches):
        curves = searches.groupby(["table", "method", "runs"], sort=False)["regret"].mean().unstack().round(3)
        print(curves.iloc[:, :: max(1, len(curves.columns) // 9)].to_string())
        worst = searches[searches["method"] == "quadratic greedy"].groupby("runs")["regret"].mean().iloc[-1]
        for method in dict.fromkeys(searches["method"]):
            curve = searches[searches["method"] == method].groupby("runs")["regret"].mean()
            reached = curve.index[curve <= worst]
            when = f"at run {reached[0]}" if len(reached) else "not"
            print(f"{method}: the quadratic surface's last regret ({worst:.3f}) is reached {when}")
    print(headline(ranks, arguments.runs))


if __name__ == "__main__":
    command_line.run(main)
