"""Replay recorded runs: how well does each surrogate rank mixtures it has not seen, and how fast is the best found?

    1. from each table take a few random runs (--runs), fit every surrogate, rank the mixtures left
    2. report Spearman and the regret of the top pick, on the composite and averaged over single metrics: by family of
       tables and in the mean over families, beside the noise ceiling and the coverage of 80 % intervals
    3. for each family, choose one surrogate by all other families, and report it on the family left out
    4. with --sequential FIRST LAST: start from FIRST random runs, let each method choose the next, run by run
    5. write replay.csv, families.csv, tables.csv, choices.csv, replay.png, sequential.csv and .png; the last line is
       for machines

Tables have a column `w_<domain>` a domain and `y_<metric>` a metric, and `se_<metric>` where known; other columns do
not matter. The composite is the mean of the metrics, each standardised over the table. Regret is 0 for the best unseen
mixture and 1 for the worst. A table that is in no --family is a family of its own. family_means.py says what the
standard errors are of, noise_ceiling.py what the ceiling is.

What happens to odd tables: rows of equal weights become one row with their mean scores. A metric that is constant, or
known in less than half of the rows, is left out. A row without some score is learnt from, but only ranked by the
scores it has. Where a table is too small for --runs or --sequential, it is left out there. Each is said on stderr.

Examples:
    python benchmarks/replay.py tables/regmix_test_60m.csv --lower-is-better --runs 8 16 32 --seeds 20 \\
        --sequential 6 24
    python benchmarks/replay.py --family worlds=benchmarks/tables/*.csv --family losses=a.csv b.csv \\
        --lower-is-better losses --surrogates gp_average gp_sqrt ridge_sqrt --seeds 8
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from family_means import MEAN, family_means, figures_left_out, leave_one_family_out
from ranking import COMPARED, COVERAGES, CURVES, RANKS, SEARCHES, fitting, rank_unseen, search
from recorded_tables import Table, family_files, read_families
from replay_figures import draw_families, draw_searches

from modomodo import command_line, console
from modomodo.errors import InputError, nearest
from modomodo.files import write_csv
from modomodo.mixtures.surrogates.calibration import DEFAULT


def main() -> None:
    arguments = options().parse_args()
    names = list(dict.fromkeys(arguments.surrogates))
    check(arguments)
    # Given without names it is of all families, not given of none.
    losses = () if arguments.lower_is_better is None else arguments.lower_is_better or None
    tables = read_families(
        families(arguments.tables, arguments.family), losses, arguments.losses, arguments.anonymous
    )
    judged = names if arguments.coverage is None else arguments.coverage
    ranks = ranked(tables, names, arguments.runs, arguments.seeds, judged)
    searches = searched(tables, arguments.sequential, arguments.seeds)
    write_csv(arguments.output / "replay.csv", ranks)
    ceilings = table_rows(tables)
    write_csv(arguments.output / "tables.csv", ceilings)
    print(ceilings.round(3).to_string(index=False))
    means = pd.DataFrame()
    if len(ranks):
        means = family_means(ranks, tables)
        choices = leave_one_family_out(means)
        write_csv(arguments.output / "families.csv", means.round(4))
        draw_families(means, arguments.output / "replay.png")
        report(means, choices)
        if len(choices):
            write_csv(arguments.output / "choices.csv", choices.round(4))
    if len(searches):
        write_csv(arguments.output / "sequential.csv", searches)
        draw_searches(searches, arguments.output / "sequential.png")
        report_searches(searches)
    print(headline(means, arguments.runs))


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(__doc__)
    parser.add_argument("tables", type=Path, nargs="*", help="CSV tables of recorded runs")
    parser.add_argument(
        "--family",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME=FILE", "FILE"),
        help="tables of one kind, which weigh as much as any other family; patterns are expanded",
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[8, 16, 32], help="runs to learn from")
    parser.add_argument("--seeds", type=int, default=20, help="random choices of those runs")
    parser.add_argument(
        "--surrogates", nargs="+", default=list(COMPARED), help=f"which (default: {' '.join(COMPARED)})"
    )
    parser.add_argument(
        "--coverage",
        nargs="*",
        metavar="SURROGATE",
        help="only judge the intervals of these: those of trees and laws take ten fits each (default: of all)",
    )
    parser.add_argument(
        "--sequential", type=int, nargs=2, metavar=("FIRST", "LAST"), help="also search, run by run"
    )
    parser.add_argument(
        "--lower-is-better",
        nargs="*",
        metavar="FAMILY",
        help="the metrics of these families are losses; without a name, of all",
    )
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
        "--output", type=Path, default=Path("results/replay"), help="folder of CSVs and figures"
    )
    return parser


def check(arguments: argparse.Namespace) -> None:
    """Raises InputError for unknown surrogates, numbers that make no replay, and where no table is given."""
    for name in arguments.surrogates:
        fitting(name)
    for name in arguments.coverage or ():
        if name not in arguments.surrogates:
            raise InputError(f"--coverage {name}: not compared: {nearest(name, arguments.surrogates)}")
    if not arguments.tables and not arguments.family:
        raise InputError("no table: give CSV files, or --family NAME=FILE …")
    if min(arguments.runs) < 1 or arguments.seeds < 1:
        raise InputError("--runs and --seeds: expected numbers of at least 1")
    if arguments.sequential and not 1 <= arguments.sequential[0] < arguments.sequential[1]:
        first, last = arguments.sequential
        raise InputError(f"--sequential {first} {last}: expected FIRST of at least 1, and LAST above it")


def families(tables: Sequence[Path], named: Sequence[Sequence[str]]) -> dict[str, list[Path]]:
    """The files of each family; a table without one is a family of its own name.

    Raises InputError for a family that is named twice or like the mean over families.
    """
    found: dict[str, list[Path]] = {}
    for words in named:
        name, files = family_files(words)
        if name in found:
            raise InputError(f"--family {name}: given twice: write all its files after one --family")
        found[name] = files
    if MEAN in found:
        raise InputError(f"--family {MEAN}: the mean over families is called so: choose another name")
    for path in tables:
        found.setdefault(path.stem if path.stem not in (MEAN, *found) else str(path), []).append(path)
    return found


def ranked(
    tables: Sequence[Table], names: Sequence[str], counts: Sequence[int], seeds: int, intervals: Sequence[str]
) -> pd.DataFrame:
    """A row a (table, surrogate, number of runs, choice of runs), with coverage for `intervals`; columns RANKS."""
    jobs = [
        (table, name, count, seed, name in intervals)
        for table in tables
        for count in counts
        if table.replayable(count, "--runs")
        for name in names
        for seed in range(seeds)
    ]
    return pd.DataFrame([rank_unseen(*job) for job in console.progress(jobs, "ranking")], columns=RANKS)


def searched(tables: Sequence[Table], ends: Sequence[int] | None, seeds: int) -> pd.DataFrame:
    """A row a (table, method, choice of first runs, run); columns CURVES. Empty without `ends`, first and last run."""
    rows: list[dict] = []
    if ends:
        first, last = ends
        jobs = [
            (table, name, acquisition, first, last, seed)
            for table in tables
            if table.replayable(last, "--sequential")
            for name, acquisition in SEARCHES
            for seed in range(seeds)
        ]
        for job in console.progress(jobs, "searching"):
            rows += search(*job)
    return pd.DataFrame(rows, columns=CURVES)


def table_rows(tables: Sequence[Table]) -> pd.DataFrame:
    """What each table is, with its noise ceilings."""
    return pd.DataFrame(
        [
            {
                "family": table.family,
                "table": table.name,
                "mixtures": len(table.runs),
                "domains": len(table.runs.domains),
                "metrics": len(table.runs.benchmarks),
                "noise_from": table.ceiling.noise,
                "composite_ceiling": table.ceiling.composite,
                "metric_ceiling": table.ceiling.metric,
            }
            for table in tables
        ]
    )


def report(means: pd.DataFrame, choices: pd.DataFrame) -> None:
    """Print the means by family, and what leaving a family out chooses."""
    for title, figure in (("Spearman", "spearman"), ("regret of the top pick", "regret")):
        for kind in ("composite", "metric"):
            print(
                f"\n{title}, {kind} ± standard error over choices of runs (ahead of the default ± its own):"
            )
            print(figure_table(means, f"{kind}_{figure}"))
    print("\ncoverage of 80 % intervals for a run, composite / metric:")
    judged = means.dropna(subset=COVERAGES)
    pairs = judged.apply(lambda r: f"{r.composite_coverage_80:.2f} / {r.metric_coverage_80:.2f}", axis=1)
    print(wide(judged, pairs) if len(judged) else "not judged")
    if len(choices):
        print("\nleaving a family out: chosen by all others, and on the family itself (best with hindsight):")
        left = figures_left_out(means, choices)
        print(left.round(3).to_string(index=False))


def figure_table(means: pd.DataFrame, figure: str) -> str:
    """One figure as text, a row a surrogate and a column a (family, runs); Spearman's under its noise ceiling."""

    def cell(row: pd.Series) -> str:
        text = f"{row[figure]:.3f}±{row[f'{figure}_se']:.3f}"
        if f"{figure}_ahead" in row and row["surrogate"] != DEFAULT:
            text += f" ({row[f'{figure}_ahead']:+.3f}±{row[f'{figure}_ahead_se']:.3f})"
        return text

    table = wide(means, means.apply(cell, axis=1))
    if not figure.endswith("spearman"):
        return table
    kind = figure.split("_")[0]
    ceilings = means.groupby("family", sort=False)[f"{kind}_ceiling"].first()
    known = [
        f"{family} {'unknown' if value != value else f'{value:.3f}'}" for family, value in ceilings.items()
    ]
    return f"{table}\nnoise ceiling: {', '.join(known)}"


def wide(means: pd.DataFrame, cells: pd.Series) -> str:
    """Cells of the rows of `means` as text: a block a family, a row a surrogate, a column a number of runs."""
    frame = means[["family", "surrogate", "runs"]].assign(cell=cells)
    table = frame.pivot_table(
        index=["family", "surrogate"], columns="runs", values="cell", aggfunc="first", sort=False
    )
    return table.to_string()


def report_searches(searches: pd.DataFrame) -> None:
    """Print the curves, and when each search reaches the quadratic surface's last regret."""
    curves = searches.groupby(["table", "method", "runs"], sort=False)["regret"].mean().unstack().round(3)
    print(curves.iloc[:, :: max(1, len(curves.columns) // 9)].to_string())
    regrets = searches.groupby(["method", "runs"], sort=False)["regret"].mean()
    last = float(regrets["quadratic greedy"].iloc[-1])
    for method in dict.fromkeys(searches["method"]):
        reached = regrets[method].index[regrets[method] <= last]
        when = f"at run {reached[0]}" if len(reached) else "not"
        print(f"{method}: the quadratic surface's last regret ({last:.3f}) is reached {when}")


def headline(means: pd.DataFrame, counts: Sequence[int]) -> str:
    """The line for machines: Spearman on the composite, mean over families."""
    known: dict[tuple[str, int], float] = {}
    if len(means):
        rows = means[means["family"] == (MEAN if MEAN in set(means["family"]) else means["family"].iloc[0])]
        known = dict(
            zip(zip(rows["surrogate"], rows["runs"], strict=True), rows["composite_spearman"], strict=True)
        )

    def figures(name: str) -> list[str]:
        return [f"{known[name, count]:.3f}" if (name, count) in known else "nan" for count in counts]

    default = " ".join(f"k={count} {figure}" for count, figure in zip(counts, figures(DEFAULT), strict=True))
    return (
        f"default composite spearman {default}; quadratic {' '.join(figures('quadratic'))}; "
        f"lightgbm {' '.join(figures('lightgbm_small'))}"
    )


if __name__ == "__main__":
    command_line.run(main)
