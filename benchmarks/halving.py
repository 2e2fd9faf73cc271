"""Successive halving replayed: what stopping runs early costs and saves, on recorded tables with several steps.

    1. from each table take --start random mixtures, many times (--seeds)
    2. race them to the last step by each of RACES: those go on that modomodo.mixtures.halving expects to be best
       ("halving", which knows whole runs of other mixtures, as of a study's seed mixtures; "halving, alone", which
       knows none), those with the best score so far ("ASHA": Li et al. 2020, MLSys), any ("random"), or those that
       will be judged best ("hindsight"); or train all to the end ("full"), or so many as the same steps allow ("fewer")
    3. pick the one with the best last score, or with the best that is expected ("…, expected"); its regret is the
       distance of its score to the best of the mixtures that were started, in standard deviations of the table's
    4. write halving_races.csv, a row a race; halving.csv, a row a table with the difference from "full", paired over
       the races, and halving_summary.csv, a row a family; no_signal.csv, in how many races scores at some rung were
       said to tell nothing; draw halving.png

A pick is judged by a run that it was not chosen by: the same mixture's under the other seed, where the table has two;
else by its own last score. A table has rows as records.csv (mixture, seed, step, w_…, y_…); --prepare brings the public
tables into this form, in which the second seed of a jobs run is the mean of its checkpoints before and after the last.

Standard errors are those over new tables of the same size, not over new races: races of one table share its runs. They
are the infinitesimal jackknife's of subsampling (Wager and Athey 2018, JASA, eq. 8) over the table's mixtures, and the
families' those of their tables on average, as if tables of one family told the same.

Example:
    python benchmarks/halving.py --output build/halving --table benchmarks/tables/conflict.csv@out_score \\
        benchmarks/tables/worthless.csv@out_score build/steps/*.csv
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from modomodo import command_line, console
from modomodo.errors import InputError
from modomodo.files import write_csv
from modomodo.mixtures.halving import Decision, Trajectories, decide
from modomodo.mixtures.records import Records, target_values, trained, weights_matrix
from modomodo.mixtures.records_csv import read_records

# Share of the steps → how many of 16 get there. A table without scored steps near to all of them has no such race.
RACES: tuple[Mapping[float, int], ...] = (
    {0.25: 16, 0.5: 8, 1: 4},
    {0.25: 16, 0.5: 12, 1: 4},
    {0.25: 16, 0.5: 12, 0.75: 6, 1: 3},
    {0.25: 16, 0.5: 13, 1: 10},
)
NEAR = 0.06  # of the steps
SEEDS = ("single", "exclude", "all")  # strategies of a world's mixtures that a study trains first
GIVEN = 11  # whole runs that halving knows where a table has none of these
KEYS = ["family", "table", "seed"]
SUMMARY = ["family", "method", "share of steps", "races", "regret", "difference", "standard error"]


@dataclass(frozen=True)
class StepTable:
    """One seed of a table: scores to race with, and those that a pick is judged by."""

    name: str
    family: str
    found: Trajectories
    judged: np.ndarray  # [runs]
    seeds: np.ndarray  # runs of the mixtures that a study trains first; may be none
    _decisions: dict[tuple, Decision] = field(default_factory=dict)

    def chosen(self, start: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The runs of a race, and the whole runs that it may know."""
        order = np.random.default_rng(seed).permutation(len(self.judged))
        if len(self.seeds):
            return np.sort(order[~np.isin(order, self.seeds)][:start]), self.seeds
        return np.sort(order[:start]), np.sort(order[start : start + GIVEN])

    def decision(self, reached: Mapping[int, np.ndarray], given: np.ndarray) -> Decision:
        """All that reached the last step of `reached` (index → runs), the most promising first."""
        key = (given.tobytes(), *((step, runs.tobytes()) for step, runs in reached.items()))
        if key not in self._decisions:
            scores = np.full_like(self.found.scores, np.nan)
            scores[given] = self.found.scores[given]
            for step, runs in reached.items():
                scores[runs, step] = self.found.scores[runs, step]
            known = Trajectories(self.found.weights, self.found.steps, scores)
            candidates = {str(run): int(run) for run in list(reached.values())[-1]}
            self._decisions[key] = decide(known, candidates, len(candidates), self.found.steps[-1])
        return self._decisions[key]


def read_tables(path: Path, target: str) -> Iterator[StepTable]:
    """A table for each seed that was scored at three steps or more."""
    records = trained(read_records(path))
    frame = records.frame.reset_index(drop=True)
    weights = weights_matrix(records, records.domains)
    frame = frame.assign(value=target_values(records, target), row=frame.index)
    for seed in sorted(set(frame["seed"])):
        table = frame[frame["seed"] == seed].pivot(index="mixture", columns="step", values=["value", "row"])
        scores = table["value"].dropna(axis=1, how="all")
        if scores.shape[1] < 3:
            continue
        others = sorted(set(frame["seed"]) - {seed})
        end = frame[(frame["seed"] == others[0]) & (frame["step"] == scores.columns[-1])] if others else None
        last = scores.iloc[:, -1] if end is None else end.set_index("mixture")["value"].reindex(scores.index)
        whole = (scores.notna().all(axis=1) & last.notna()).to_numpy()
        rows = table["row"].iloc[:, -1][whole].astype(int)
        name = f"{path.stem} {target}" + (f" {seed}" if others else "")
        strategies = frame["strategy"][rows] if "strategy" in frame else pd.Series([""] * len(rows))
        yield StepTable(
            name,
            path.stem.partition("-")[0],
            Trajectories(
                weights[rows],
                tuple(map(int, scores.columns)),
                scores[whole].to_numpy(),
            ),
            last[whole].to_numpy(),
            np.flatnonzero(strategies.isin(SEEDS)),
        )


def rungs_of(steps: Sequence[int], shares: Mapping[float, int]) -> dict[int, int] | None:
    """Index of a step → how many get there; None where no step is near."""
    rungs = {}
    for share, count in shares.items():
        off = [abs(step / steps[-1] - share) for step in steps]
        if min(off) > NEAR:
            return None
        rungs[int(np.argmin(off))] = count
    return rungs


def races(table: StepTable, start: int, seed: int) -> Iterator[dict]:
    """The regret of every method on one choice of mixtures."""
    chosen, given = table.chosen(start, seed)
    none, scores, end = given[:0], table.found.scores, len(table.found.steps) - 1
    spread, best = float(table.judged.std(ddof=1)), float(table.judged[chosen].max())
    shuffle = np.random.default_rng([seed, start])
    table._decisions.clear()

    def row(method: str, share: float, pick: int, silent: float = float("nan")) -> dict:
        about = {"family": table.family, "table": table.name, "seed": seed, "method": method}
        regret = (best - float(table.judged[pick])) / spread
        return about | {"share of steps": share, "regret": regret, "no signal": silent}

    def top(runs: np.ndarray) -> int:
        return int(runs[np.argmax(scores[runs, end])])

    def expected(reached: Mapping[int, np.ndarray]) -> int:
        return int(table.decision(reached, given).expected[0].mixture)

    yield row("full", 1.0, top(chosen))
    yield row("full, expected", 1.0, expected(dict.fromkeys(range(end + 1), chosen)))
    for shares in RACES:
        rungs = rungs_of(table.found.steps, shares)
        if rungs is None:
            continue
        share = _share(table.found.steps, rungs, start)
        for method in ("halving", "halving, alone", "ASHA", "random", "hindsight"):
            reached, silent = {next(iter(rungs)): chosen}, False
            for step, count in list(rungs.items())[1:]:
                before, runs = list(reached.items())[-1]
                if method.startswith("halving"):
                    decision = table.decision(reached, given if method == "halving" else none)
                    silent |= not decision.informed
                    order = np.array([int(name) for name in decision.chosen])
                elif method == "random":
                    order = shuffle.permutation(runs)
                else:
                    order = runs[
                        np.argsort(-(scores[runs, before] if method == "ASHA" else table.judged[runs]))
                    ]
                reached[step] = np.sort(order[:count])
            finalists = reached[end]
            yield row(method, share, top(finalists), float(silent))
            if method == "halving":
                yield row("halving, expected", share, expected(reached))
        yield row("fewer", share, top(shuffle.permutation(chosen)[: max(1, round(share * start))]))


def _share(steps: Sequence[int], rungs: Mapping[int, int], start: int) -> float:
    """Of the steps of full training."""
    ends = [steps[index] for index in rungs]
    parts = zip(rungs.values(), ends, [0, *ends], strict=False)
    return round(sum(count * (end - before) for count, end, before in parts) / (start * steps[-1]), 3)


def summarise(rows: pd.DataFrame, tables: Mapping[str, StepTable], start: int) -> pd.DataFrame:
    """A row a table, method and share of steps; differences from full training are paired."""
    full = rows[rows["method"] == "full"].set_index(KEYS)["regret"]
    rows = rows.assign(
        difference=rows["regret"] - full.reindex(pd.MultiIndex.from_frame(rows[KEYS])).to_numpy()
    )
    found = []
    for (family, name, method, share), group in rows.groupby(
        ["family", "table", "method", "share of steps"], sort=False
    ):
        within = np.zeros((len(group), len(tables[name].judged)))
        for race, seed in zip(within, group["seed"], strict=True):
            race[tables[name].chosen(start, seed)[0]] = 1
        open_to = within.shape[1] - len(tables[name].seeds)
        error = jackknife(group["difference"].to_numpy(), within, open_to)
        means = (group["regret"].mean(), group["difference"].mean(), error)
        found.append((family, name, method, share, len(group), *map(float, means)))
    return pd.DataFrame(found, columns=["family", "table", *SUMMARY[1:]])


def jackknife(values: np.ndarray, within: np.ndarray, size: int) -> float:
    """Standard error of the mean of races, `within` [races, mixtures], over new tables of `size` mixtures.

    Infinitesimal jackknife with its correction for the number of races, and the error of that number.
    """
    races, start = len(values), int(within[0].sum())
    if races < 2:
        return float("nan")
    covariances = (within - within.mean(axis=0)).T @ (values - values.mean()) / races
    chance = values.var() / races
    of_table = float((covariances**2).sum()) - start * (1 - start / size) * chance
    factor = (size - 1) / size * (size / (size - start)) ** 2
    return float(np.sqrt(max(0.0, factor * of_table) + chance))


def by_family(tables: pd.DataFrame) -> pd.DataFrame:
    """Means over the tables of a family."""
    return (
        tables.groupby(["family", "method", "share of steps"], sort=False)
        .agg({"races": "sum", "regret": "mean", "difference": "mean", "standard error": "mean"})
        .round(4)
        .reset_index()
    )


def without_signal(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of the races in which scores at some rung were said to tell nothing, by family and what was known."""
    told = rows[rows["method"].isin(["halving", "halving, alone"])]
    return told.groupby(["family", "method"], sort=False)["no signal"].mean().round(4).reset_index()


def draw(summary: pd.DataFrame, path: Path) -> None:
    """Regret against the share of steps, a panel a family; the band is full training's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    families = list(dict.fromkeys(summary["family"]))
    figure, axes = plt.subplots(
        1, len(families), figsize=(0.6 + 2.6 * len(families), 3.0), layout="constrained", squeeze=False
    )
    for axis, family in zip(axes[0], families, strict=True):
        of_family = summary[summary["family"] == family]
        full = of_family[of_family["method"] == "full"].iloc[0]
        axis.axhline(full["regret"], color="black", linewidth=0.8, linestyle="--", label="full")
        for number, method in enumerate(("halving", "halving, alone", "ASHA", "fewer", "random")):
            line = of_family[of_family["method"] == method].sort_values("share of steps")
            axis.errorbar(
                100 * line["share of steps"],
                line["regret"],
                line["standard error"],
                color=f"C{number}",
                marker="o",
                markersize=3,
                linewidth=1.6 if number < 2 else 0.9,
                elinewidth=0.7,
                label=method,
            )
        axis.set_title(family, fontsize=9)
        axis.set_xlabel("% of the steps")
    axes[0][0].set_ylabel("regret (SD of the table)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def prepare_jobs(jobs: Path, output: Path) -> None:
    """The public table of fine-tuning jobs with steps as records: a file a task."""
    frame = pd.read_csv(jobs)
    for task, rows in frame.groupby("task"):
        weights = {
            name: rows[name] / rows.filter(regex="^w_").sum(axis=1) for name in rows if name.startswith("w_")
        }
        last = sorted(set(rows["step"]))[-2]
        kept = rows.assign(**weights, mixture=[f"run{run:03d}" for run in rows["run"]])
        near = kept[kept["step"].isin([last - 25, last + 25])]
        mean = near.groupby("mixture", as_index=False).agg(
            {name: "first" for name in weights} | {"performance": "mean"}
        )
        kept = pd.concat([kept[kept["step"].between(1, last)].assign(seed=0), mean.assign(seed=1, step=last)])
        score = kept["performance"]
        kept = kept.assign(**{f"y_{task}": score, f"se_{task}": np.sqrt(score * (1 - score) / 100)})
        names = ["mixture", "seed", "step", *weights, f"y_{task}", f"se_{task}"]
        write_csv(output / f"jobs-{task}.csv", kept[names])


def prepare_slimpajama(slimpajama: Path, output: Path) -> None:
    """The public table of pre-training with steps as records: a file a model size."""
    for size, rows in pd.read_csv(slimpajama).groupby("model_size"):
        losses = [name for name in rows if name.startswith("y_")]
        end = rows[rows["step"] == rows["step"].max()]
        standard = (rows[losses] - end[losses].mean()) / end[losses].std()
        weights = rows.filter(regex="^w_")
        kept = pd.concat([rows[["mixture"]], weights.div(weights.sum(axis=1), axis=0), -standard], axis=1)
        kept = kept.assign(seed=0, step=(rows["step"] / 1e6).astype(int), y_mean=-standard.mean(axis=1))
        kept = kept.drop_duplicates(["mixture", "step"])
        write_csv(output / f"slimpajama-{size / 1e6:.0f}M.csv", kept)


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--table",
        nargs="*",
        default=[],
        metavar="CSV[@TARGET]",
        help="tables; the target is y_'s name (the only one)",
    )
    parser.add_argument("--start", type=int, default=16, help="mixtures of a race (16)")
    parser.add_argument("--seeds", type=int, default=40, help="races of each table (40)")
    parser.add_argument("--prepare", nargs=2, type=Path, metavar=("JOBS", "SLIMPAJAMA"), help="public tables")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder of the results, or of prepared tables"
    )
    arguments = parser.parse_args()
    if arguments.prepare:
        arguments.output.mkdir(parents=True, exist_ok=True)
        jobs, slimpajama = arguments.prepare
        prepare_jobs(jobs, arguments.output)
        prepare_slimpajama(slimpajama, arguments.output)
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    tables: dict[str, StepTable] = {}
    for spec in arguments.table:
        path, _, target = spec.partition("@")
        for table in read_tables(Path(path), target or _only(path, read_records(path))):
            tables[table.name] = table
            for seed in console.progress(range(arguments.seeds), table.name):
                rows += races(table, arguments.start, seed)
            # After every table, so that a stopped replay has the tables it got through.
            frame = pd.DataFrame(rows)
            write_csv(arguments.output / "halving_races.csv", frame)
            each = summarise(frame, tables, arguments.start)
            write_csv(arguments.output / "halving.csv", each.round(4))
            write_csv(arguments.output / "no_signal.csv", without_signal(frame))
    summary = by_family(each)
    write_csv(arguments.output / "halving_summary.csv", summary)
    draw(summary, arguments.output / "halving.png")
    print(summary.to_string(index=False))
    print(without_signal(frame).to_string(index=False))


def _only(path: str, records: Records) -> str:
    if len(records.benchmarks) != 1:
        raise InputError(f"{path}: several scores: name one as {path}@{records.benchmarks[0]}")
    return records.benchmarks[0]


if __name__ == "__main__":
    command_line.run(main)
