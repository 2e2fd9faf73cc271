"""What cheaper runs are worth: k full runs and many cheap ones against full runs alone.

    1. from each full table take a few random runs (--runs), rank the mixtures left: with the full runs alone, with the
       cheap ones alone, with both, and with both where the cheap scores are shuffled and so tell nothing
    2. find how many full runs alone (--alone) rank as well as k with the cheap ones: what these are worth
    3. write fidelities.csv, worth.csv and fidelities.png

Where the cheap table has mixtures of the full one, all of this is done twice: with every cheap mixture, and with cheap
runs of half of the mixtures and full runs of the other half alone ("other mixtures").

Example:
    python benchmarks/fidelities.py --lower-is-better --pair 122M-310M=slimpajama_122m.csv,slimpajama_310m.csv
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from ranking import rank
from recorded_tables import FEWEST, Table, read_table

from modomodo import command_line, console
from modomodo.errors import InputError
from modomodo.files import write_csv
from modomodo.mixtures.surrogates.base import Observations, mixture_folds, surrogates
from modomodo.mixtures.surrogates.calibration import DEFAULT
from modomodo.mixtures.surrogates.fidelities import Surface

COLUMNS = ["pair", "method", "runs", "seed", "composite_spearman", "metric_spearman"]
OTHER = "other mixtures"
METHODS = ("full alone", "cheap alone", "full and cheap", "full and shuffled")


def read_pair(text: str, lower_is_better: bool) -> tuple[str, Observations, Table]:
    """Name, cheap runs and full table of NAME=CHEAP.csv,FULL.csv. Raises InputError."""
    name, _, files = text.partition("=")
    paths = [Path(path) for path in files.split(",")]
    if not name or len(paths) != 2:
        raise InputError(f"--pair {text}: expected NAME=CHEAP.csv,FULL.csv")
    cheap, full = (read_table(path, lower_is_better) for path in paths)
    for kind, left, right in (
        ("domains", cheap.runs.domains, full.runs.domains),
        ("metrics", cheap.runs.benchmarks, full.runs.benchmarks),
    ):
        if left != right:
            raise InputError(f"--pair {name}: {kind} differ: {', '.join(sorted(set(left) ^ set(right)))}")
    return name, cheap.runs, full


def is_among(cheap: Observations, weights: np.ndarray) -> np.ndarray:
    """Which cheap runs [runs] have one of some mixtures [n, domains]."""
    folds = mixture_folds(np.concatenate([cheap.weights, weights]))
    return np.isin(folds[: len(cheap)], folds[len(cheap) :])


def replay(
    name: str, cheap: Observations, full: Table, seed: int, options: argparse.Namespace
) -> Iterator[dict]:
    """Rows of one order of the full runs, with all cheap runs and, where mixtures are the same, with other ones."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(full.runs))
    yield from rank_by_each(name, cheap, full, order, seed, options)
    if is_among(cheap, full.runs.weights).any():
        half = len(order) // 2
        kept = cheap.rows(is_among(cheap, full.runs.weights[order[half:]]))
        yield from rank_by_each(f"{name}, {OTHER}", kept, full, order[:half], seed, options)


def rank_by_each(
    name: str, cheap: Observations, full: Table, order: np.ndarray, seed: int, options: argparse.Namespace
) -> Iterator[dict]:
    """Rows of each method and count of full runs: the first of `order` are learnt from, the others ranked."""
    shuffled = replace(cheap, scores=cheap.scores[np.random.default_rng(seed + 1000).permutation(len(cheap))])
    witnesses = {
        "full alone": (),
        "full and cheap": (("cheap", cheap),),
        "full and shuffled": (("cheap", shuffled),),
    }
    for count in sorted({*options.runs, *options.alone}):
        if count > len(order) - FEWEST:
            continue
        seen, unseen = full.runs.rows(order[:count]), order[count:]
        points = full.runs.weights[unseen]
        for method in METHODS if count in options.runs else METHODS[:1]:
            if method == "cheap alone":
                predicted = Surface.fit("cheap", cheap).mean(points)
            else:
                predicted = surrogates[DEFAULT](replace(seen, fidelities=witnesses[method]), seed).mean(
                    points
                )
            actual = full.runs.scores[unseen]
            single = [rank(p, a) for p, a in zip(predicted.T, actual.T, strict=True)]
            composite = rank(predicted.mean(axis=1), full.composite[unseen])
            yield dict(zip(COLUMNS, (name, method, count, seed, composite, np.mean(single)), strict=True))


def worth(rows: pd.DataFrame, counts: list[int]) -> pd.DataFrame:
    """Spearman of the composite, mean over seeds, and how many full runs alone reach that of both.

    `worth` is between two counts by interpolation; infinite where no count that was tried reaches it.
    """
    found = []
    for pair, of_pair in rows.groupby("pair", sort=False):
        means = of_pair.groupby(["method", "runs"])["composite_spearman"].mean()
        alone = means["full alone"].cummax()
        for count in counts:
            if ("full and cheap", count) not in means:
                continue
            both = means["full and cheap", count]
            reached = (
                np.interp(both, alone.to_numpy(), alone.index.to_numpy(float))
                if both <= alone.max()
                else np.inf
            )
            row = {"pair": pair, "runs": count} | {method: means[method, count] for method in METHODS}
            found.append(row | {"worth": max(float(reached), 0.0)})
    return pd.DataFrame(found).round(4)


def draw(rows: pd.DataFrame, path: Path) -> None:
    """A panel a pair: Spearman by full runs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pairs = list(dict.fromkeys(rows["pair"]))
    across = min(len(pairs), 4)
    down = -(-len(pairs) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(3.4 * across, 3.1 * down), layout="constrained", squeeze=False
    )
    for axis in axes.flat[len(pairs) :]:
        axis.axis("off")
    for axis, pair in zip(axes.flat, pairs, strict=False):
        means = rows[rows["pair"] == pair].groupby(["method", "runs"])["composite_spearman"].mean()
        for method in METHODS:
            if method in means:
                line = means[method]
                axis.plot(line.index, line, "o-" if method == "full and cheap" else ".--", label=method)
        axis.set(title=pair, xlabel="full runs", ylabel="Spearman on unseen mixtures", ylim=(None, 1))
        axis.set_xscale("log", base=2)
        axis.set_xticks(means.index.levels[1], [str(count) for count in means.index.levels[1]])
    axes.flat[0].legend(fontsize=7)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--pair", action="append", required=True, metavar="NAME=CHEAP.csv,FULL.csv", help="may be repeated"
    )
    parser.add_argument(
        "--runs", type=int, nargs="+", default=[4, 8, 16, 32], help="full runs beside cheap ones"
    )
    parser.add_argument(
        "--alone", type=int, nargs="+", default=[4, 8, 16, 24, 32, 48, 64, 96], help="full runs without"
    )
    parser.add_argument("--seeds", type=int, default=10, help="random choices of the full runs")
    parser.add_argument("--lower-is-better", action="store_true", help="all metrics are losses")
    parser.add_argument(
        "--output", type=Path, default=Path("results/fidelities"), help="folder of CSVs and figure"
    )
    arguments = parser.parse_args()
    pairs = [read_pair(text, arguments.lower_is_better) for text in arguments.pair]
    jobs = [(*pair, seed, arguments) for pair in pairs for seed in range(arguments.seeds)]
    rows = pd.DataFrame(
        [row for job in console.progress(jobs, "replaying") for row in replay(*job)], columns=COLUMNS
    )
    write_csv(arguments.output / "fidelities.csv", rows)
    found = worth(rows, arguments.runs)
    write_csv(arguments.output / "worth.csv", found)
    draw(rows, arguments.output / "fidelities.png")
    print(found.round(3).to_string(index=False))


if __name__ == "__main__":
    command_line.run(main)
