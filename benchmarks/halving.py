"""Successive halving replayed: what stopping runs early costs and saves, on recorded tables with several steps.

    1. from each table take --start random mixtures, many times (--seeds)
    2. race them to the last step by each --rungs: those go on that modomodo.mixtures.halving expects to be best there
       ("halving"), those with the best score so far ("ASHA": Li et al. 2020, MLSys), or any ("random"); or train all
       to the end ("full"), or so many mixtures as the same steps allow ("fewer")
    3. pick the one with the best last score, or with the best that is expected ("…, expected"); its regret is the
       distance of its score to the best of the mixtures that were started, in standard deviations of the table's
    4. write halving.csv, a row a race, and halving_summary.csv with the difference from "full", paired over the races,
       and its standard error; draw halving.png

A pick is judged by a run that it was not chosen by: the same mixture's under the other seed, where the table has two;
else by its own last score. A table has rows as records.csv (mixture, seed, step, w_…, y_…); --prepare brings the public
tables into this form, in which the second seed of a jobs run is the mean of its checkpoints before and after the last.

Example:
    python benchmarks/halving.py --output build/halving --table benchmarks/tables/conflict.csv@out_score \\
        benchmarks/tables/worthless.csv@out_score build/steps/*.csv
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from modomodo import command_line, console
from modomodo.errors import InputError
from modomodo.files import write_csv
from modomodo.mixtures.halving import go_on
from modomodo.mixtures.records import Records, target_values, trained
from modomodo.mixtures.records_csv import read_records

# Of 16: those that get to the second step and to the last.
RUNGS = ((4, 2), (8, 4), (13, 3), (10, 6), (13, 10))
PROMOTED = {"halving": True, "ASHA": False, "random": False}  # whether the pick is by what is expected
SUMMARY = ["family", "method", "share of steps", "races", "regret", "difference", "standard error"]


@dataclass(frozen=True)
class StepTable:
    """One seed of a table: rows to race with, and by mixture the score that a pick is judged by."""

    name: str
    family: str
    runs: Records  # one row a (mixture, step)
    steps: tuple[int, ...]  # the rungs, the last of which is the end
    target: str
    scores: pd.DataFrame  # [mixture, step]
    judged: pd.Series  # [mixture]

    def until(self, reached: Sequence[Sequence[str]]) -> Records:
        """What is known once `reached` [rung] mixtures were trained to each rung."""
        frame = self.runs.frame
        known = np.zeros(len(frame), bool)
        for step, mixtures in zip(self.steps, reached, strict=False):
            known |= ((frame["step"] == step) & frame["mixture"].isin(mixtures)).to_numpy()
        return replace(self.runs, frame=frame[known].reset_index(drop=True))

    def go_on(self, reached: Sequence[Sequence[str]], count: int) -> tuple[str, ...]:
        """The mixtures at the last rung that was reached which are expected to be the best at the end."""
        return go_on(self.until(reached), sorted(reached[-1]), count, self.steps[-1], self.target).chosen

    def expected_best(self, reached: Sequence[Sequence[str]]) -> str:
        """That of the mixtures at the last rung whose score is expected to be the best."""
        decision = go_on(self.until(reached), sorted(reached[-1]), 1, self.steps[-1], self.target)
        return max(decision.expected, key=lambda each: each.mean).mixture

    def best(self, mixtures: Sequence[str], rung: int) -> list[str]:
        """Mixtures by their score at a rung, the best first."""
        return list(self.scores.loc[sorted(mixtures), self.steps[rung]].sort_values(ascending=False).index)


def read_tables(path: Path, target: str) -> Iterator[StepTable]:
    """A table for each seed that was scored at three steps or more; of more steps than three those at 30 and 50 %."""
    records = trained(read_records(path))
    frame = records.frame
    frame = frame.assign(value=target_values(records, target))
    scores = frame.pivot_table(index="mixture", columns=["seed", "step"], values="value")
    for seed in sorted(set(frame["seed"])):
        of_seed = scores[seed].dropna(axis=1, how="all")
        if of_seed.shape[1] < 3:
            continue
        steps = _three(sorted(of_seed.columns))
        others = [other for other in sorted(set(frame["seed"])) if other != seed]
        last = scores[others[0]].iloc[:, -1] if others else of_seed[steps[-1]]
        whole = of_seed[list(steps)].assign(judged=last).dropna()
        rows = (frame["seed"] == seed) & frame["mixture"].isin(whole.index) & frame["step"].isin(steps)
        name = f"{path.stem} {target}" + (f" {seed}" if others else "")
        family = path.stem.partition("-")[0]
        runs = replace(records, frame=records.frame[rows.to_numpy()].reset_index(drop=True))
        yield StepTable(name, family, runs, steps, target, whole[list(steps)], whole["judged"])


def _three(steps: Sequence[int]) -> tuple[int, ...]:
    if len(steps) == 3:
        return tuple(steps)
    near = [min(steps, key=lambda step: abs(step - share * steps[-1])) for share in (0.3, 0.5)]
    return (*near, steps[-1])


def races(table: StepTable, start: int, seed: int) -> Iterator[dict]:
    """The regret of every method on one choice of mixtures."""
    chosen = sorted(np.random.default_rng(seed).permutation(sorted(table.scores.index))[:start])
    spread = float(table.judged.std())
    best = float(table.judged[chosen].max())

    def row(method: str, reached: Sequence[Sequence[str]], pick: str) -> dict:
        regret = (best - float(table.judged[pick])) / spread
        about = {"family": table.family, "table": table.name, "seed": seed, "method": method}
        return about | {"share of steps": _share(table.steps, reached, start), "regret": regret}

    everything = [chosen] * len(table.steps)
    yield row("full", everything, table.best(chosen, -1)[0])
    yield row("full, expected", everything, table.expected_best(everything))
    for counts in RUNGS:
        random = np.random.default_rng([seed, *counts])
        for method, by_expectation in PROMOTED.items():
            reached: list[Sequence[str]] = [chosen]
            for rung, count in enumerate(counts):
                if method == "halving":
                    reached.append(table.go_on(reached, count))
                elif method == "ASHA":
                    reached.append(table.best(reached[-1], rung)[:count])
                else:
                    reached.append(list(random.permutation(sorted(reached[-1]))[:count]))
            yield row(method, reached, table.best(reached[-1], -1)[0])
            if by_expectation:
                yield row(f"{method}, expected", reached, table.expected_best(reached))
        afford = max(1, round(_share(table.steps, reached, start) * start))
        few = [list(random.permutation(chosen)[:afford])] * len(table.steps)
        yield row("fewer", few, table.best(few[-1], -1)[0])


def _share(steps: Sequence[int], reached: Sequence[Sequence[str]], start: int) -> float:
    """Of the steps of full training."""
    trained_steps = sum(
        len(mixtures) * (step - before)
        for mixtures, step, before in zip(reached, steps, (0, *steps), strict=False)
    )
    return round(trained_steps / (start * steps[-1]), 3)


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the races of a family and of all families; differences from full training are paired."""
    keys = ["family", "table", "seed"]
    full = rows[rows["method"] == "full"].set_index(keys)["regret"]
    rows = rows.assign(
        difference=rows["regret"] - full.reindex(pd.MultiIndex.from_frame(rows[keys])).to_numpy()
    )
    found = []
    for (family, method, share), group in rows.groupby(["family", "method", "share of steps"], sort=False):
        # Races of one table share its runs: their scatter is not that of new tables.
        error = group["difference"].std(ddof=1) / np.sqrt(len(group))
        means = (group["regret"].mean(), group["difference"].mean(), error)
        found.append((family, method, share, len(group), *(round(float(value), 4) for value in means)))
    return pd.DataFrame(found, columns=SUMMARY)


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
        for number, method in enumerate(("halving", "halving, expected", "ASHA", "fewer", "random")):
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
    for spec in arguments.table:
        path, _, target = spec.partition("@")
        records = read_records(path)
        for table in read_tables(Path(path), target or _only(path, records)):
            for seed in console.progress(range(arguments.seeds), table.name):
                rows += races(table, arguments.start, seed)
            # After every table, so that a stopped replay has the tables it got through.
            frame = pd.DataFrame(rows)
            write_csv(arguments.output / "halving.csv", frame)
            summary = summarise(frame)
            write_csv(arguments.output / "halving_summary.csv", summary)
            draw(summary, arguments.output / "halving.png")
    print(summary.to_string(index=False))


def _only(path: str, records: Records) -> str:
    if len(records.benchmarks) != 1:
        raise InputError(f"{path}: several scores: name one as {path}@{records.benchmarks[0]}")
    return records.benchmarks[0]


if __name__ == "__main__":
    command_line.run(main)
