"""Does merging experts predict what training a mixture would give? Trains, merges, scores, compares, in few processes.

    1. for each base model (--worlds: seeds of its builder) and each --seeds: train and score the mixtures of the
       study's strategies that learn from nothing, and score merged experts on all of them
    2. learn from some of the mixtures of the strategies --learned, predict all others: by the surface of the paper, by
       surrogates without merging, by merging alone, by the surrogate that knows merged experts
    3. write comparison.csv, alphas.csv, between_seeds.csv, costs.csv and by_runs.svg into --output, and
       what --screen leaves

Each step is the very script of the rules, with its files in results/STUDY/world-N/, called inside a few long-lived
processes: a run of seconds need not wait for its imports. What is done is not done again, so a study that was
stopped goes on. --compare only compares what is there.

Example:
    python benchmarks/merge_study.py --worlds 0 1 --seeds 42 43 44 --workers 2 --output results/merge-study

--settings NAME=JSON trains all that is learned from and the first ten unseen mixtures of the first world under other
training settings too, to see what learning rate and length do to merging, e.g. slow='{"learning_rate": 5e-5}':
settings.csv for merging alone, settings_comparison.csv for the rest.
--screen COUNT lets merge_screen, with so many candidates, and acquire on gp_average choose three mixtures each under
the first seed, from the singles and the equal mixture and from all that is learned from, and trains these under every
seed: chosen.csv. What the screening took is in costs.csv.
--finished FOLDER compares studies that ran by the rules: their records.csv and merged.csv (snakemake merged).
"""

import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from in_process import (
    World,
    call,
    counted,
    make_base,
    make_mixtures,
    needed,
    run_mixture,
    tests,
    wait,
    worker_pool,
)
from matplotlib.ticker import LogLocator, NullLocator
from scipy.stats import norm, spearmanr

from modomodo import command_line, console
from modomodo.config.loading import parse
from modomodo.config.schema import Strategy, Study, Training
from modomodo.errors import InputError
from modomodo.files import read_json, write_csv, write_json
from modomodo.merging.settings import MergeSettings, ScreenSettings
from modomodo.mixtures.plan import plan
from modomodo.mixtures.records import Records, last_step, target_values, trained
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.settings import ProposeSettings, RecordsSettings
from modomodo.mixtures.surrogates.base import Observations, objective, observe, surrogates
from modomodo.mixtures.surrogates.merged import ALPHA, is_expert
from modomodo.reporting.figures.style import MARKERS, save
from modomodo.reporting.results import COLOURS
from modomodo.study.checks import read_study

PLAIN = ("quadratic", "gp_average", "gp_sqrt", "ridge_sqrt")
LEARNED = ("single", "exclude", "all", "random")
SIZES = (5, 8, 11, 16)
DRAWS = 5  # random choices of the mixtures learned from, where there is a choice
LEVEL_80 = float(norm.ppf(0.9))
FEW = 10  # unseen mixtures of another setting
FIRST = {"few": ["single", "all"], "all": list(LEARNED)}  # whose runs the strategies of --screen learn from
CHOOSERS: dict[str, dict[str, Any]] = {
    "merge_screen": {"propose": "merge_screen"},
    "gp_average": {"propose": "acquire", "options": {"surrogate": "gp_average", "acquisition": "greedy"}},
}
CHOSEN = 3  # mixtures that each of them chooses


def merge(world: World, seed: int, mixtures: Sequence[str]) -> None:
    """Records of one seed, and what merging says of the same mixtures."""
    collect(world, seed, mixtures, world.folder / f"records-{seed}.csv")
    score_merges(world, seed, mixtures, world.folder / f"merged-{seed}.csv")


def collect(world: World, seed: int, mixtures: Sequence[str], records: Path) -> None:
    """Records of these mixtures as trained under one seed."""
    chosen = [world.folder / f"mixtures/{mixture}.json" for mixture in mixtures]
    scores = [world.folder / f"scores/{mixture}/{seed}.json" for mixture in mixtures]
    if needed(records, *scores):
        step = RecordsSettings.of(world.study)
        call(
            "collect_records",
            *("--settings", step.text(), "--scores", *scores, "--mixtures", *chosen, "--output", records),
        )


def experts(world: World, seed: int) -> list[Path]:
    """The run of each domain alone."""
    return [world.folder / f"runs/{expert}/{seed}/run.json" for expert in world.plan().experts.values()]


def score_merges(world: World, seed: int, mixtures: Sequence[str], output: Path) -> None:
    """What merging says of these mixtures."""
    runs = experts(world, seed)
    if needed(output, *runs):
        chosen = [world.folder / f"mixtures/{mixture}.json" for mixture in mixtures]
        scored = output.parent / "merged/scored"
        before = len(list(scored.glob("*.json")))
        started = time.process_time()
        call(
            "score_merges",
            *("--settings", MergeSettings.of(world.study).text(), "--base", world.base / "base"),
            *("--base-info", world.base / "base.json", "--experts", *runs, "--mixtures", *chosen),
            *("--benchmarks", *tests(world), "--output", output),
        )
        made = len(list(scored.glob("*.json"))) - before
        if made:
            spent = (time.process_time() - started) / made
            write_json(world.folder / f"costs/merge-{seed}.json", {"merge": spent})


def unseen(world: World) -> list[str]:
    """The mixtures that nothing is learned from."""
    planned = world.plan()
    return [m for name in planned.by_strategy if name not in LEARNED for m in planned.by_strategy[name]]


def choosing(world: World, candidates: int) -> World:
    """The world with the strategies of --screen, each called by what chooses and what it learns from."""
    strategies = {name: s for name, s in world.study.strategies.items() if not s.learns_from}
    for chooser, data in CHOOSERS.items():
        for first, learned in FIRST.items():
            name = f"{chooser}-{first}"
            there = [each for each in learned if each in strategies]
            data = {**data, "group": "chosen", "count": CHOSEN, "learns_from": there}
            if chooser == "merge_screen":
                data["options"] = {"candidates": candidates}
            strategies[name] = parse(data, Strategy, f"strategies.{name}")
    return replace(world, study=world.study.model_copy(update={"strategies": strategies}))


def choose(world: World, seed: int, strategy: str) -> None:
    """The mixtures that one strategy of --screen chooses; what the screening took is counted."""
    study, folder = world.study, world.folder
    known = [mixture for name in study.depends_on(strategy) for mixture in plan(study).by_strategy[name]]
    scores = [folder / f"scores/{mixture}/{seed}.json" for mixture in known]
    mixtures = [folder / f"mixtures/{mixture}.json" for mixture in known]
    outputs = [folder / f"mixtures/{mixture}.json" for mixture in plan(study).by_strategy[strategy]]
    merged = folder / f"screened/{strategy}/merged.csv"
    words: list[object] = []
    if study.strategies[strategy].propose == "merge_screen":
        words = ["--merged", merged]
        if needed(merged, *scores):
            with counted(world, "screen", strategy):
                call(
                    "screen",
                    *("--settings", ScreenSettings.of(study, strategy).text(), "--base", world.base / "base"),
                    *("--base-info", world.base / "base.json", "--experts", *experts(world, seed)),
                    *("--scores", *scores, "--mixtures", *mixtures, "--benchmarks", *tests(world)),
                    *("--output", merged),
                )
    if any(needed(output, *scores) for output in outputs):
        call(
            "propose",
            *("--settings", ProposeSettings.of(study, strategy).text(), "--strategy", strategy),
            *(
                "--records-settings",
                RecordsSettings.of(study).text(),
                "--scores",
                *scores,
                "--mixtures",
                *mixtures,
            ),
            *(*words, "--output", *outputs),
        )


def train_and_merge(
    worlds: Sequence[World],
    seeds: Sequence[int],
    settings: Sequence[World],
    workers: int,
    candidates: int,
) -> None:
    """Everything, in the order that lets a stopped study be compared: world by world within a seed."""
    with worker_pool(workers) as pool:
        for function in (make_base, make_mixtures):
            wait(pool.map(function, worlds), function.__name__, len(worlds))
        blocks = [(world, seed, list(world.plan().support)) for seed in seeds for world in worlds]
        if settings:
            wait(pool.map(make_mixtures, settings), "other settings", len(settings))
            blocks[1:1] = [(world, seeds[0], few(world)) for world in settings]
        for world, seed, mixtures in blocks:
            jobs = [pool.submit(run_mixture, world, mixture, seed) for mixture in mixtures]
            label = f"{world.folder.name}, seed {seed}"
            wait((job.result() for job in jobs), label, len(jobs))
            # One job a block: its merges share the loaded model; the next block trains meanwhile.
            pool.submit(merge, world, seed, mixtures).add_done_callback(report_failure)
    # In a pool of its own: when the other has ended, all that is chosen from is there.
    with worker_pool(workers) as pool:
        for world in [choosing(world, candidates) for world in worlds] if candidates else []:
            chosen = plan(world.study).by_strategy
            choosers = [name for name in chosen if world.study.strategies[name].learns_from]
            jobs = [pool.submit(choose, world, seeds[0], name) for name in choosers]
            wait((job.result() for job in jobs), f"{world.folder.name}, screen", len(jobs))
            chosen_mixtures = [mixture for name in choosers for mixture in chosen[name]]
            for seed in seeds:
                jobs = [pool.submit(run_mixture, world, mixture, seed) for mixture in chosen_mixtures]
                wait((job.result() for job in jobs), f"{world.folder.name}, chosen, seed {seed}", len(jobs))
                pool.submit(
                    collect, world, seed, chosen_mixtures, world.folder / f"chosen-{seed}.csv"
                ).result()


def report_failure(job: Any) -> None:
    """A merge that failed is reported at once; the comparison then lacks it."""
    if job.exception():
        print(f"merge: {job.exception()}", file=sys.stderr, flush=True)


def few(world: World) -> list[str]:
    """All that is learned from, and some unseen mixtures."""
    planned = world.plan().by_strategy
    learned = [mixture for name in planned if name in LEARNED for mixture in planned[name]]
    return [*learned, *unseen(world)[:FEW]]


# --- the comparison --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """One world under one seed, for one target: what was trained, and what merging says."""

    world: str
    seed: int
    target: str
    learned: Observations  # mixtures of group `seed`, with the merged scores of all
    unseen: Observations
    elsewhere: np.ndarray | None = None  # truth of the same mixtures, the mean of this world's other seeds

    @property
    def truth(self) -> np.ndarray:
        """The target of the unseen mixtures."""
        return self.unseen.scores @ self.unseen.shares

    def alone(self, alpha: float) -> np.ndarray:
        """What merging says of the unseen mixtures, [mixtures, benchmarks]."""
        merged = self.learned.merged
        assert merged is not None
        chosen = np.isclose(merged.alphas, alpha)
        apart = np.abs(self.unseen.weights[:, None, :] - merged.weights[chosen][None, :, :]).max(axis=2)
        return merged.scores[chosen][apart.argmin(axis=1)]

    @property
    def alphas(self) -> list[float]:
        """All that were merged with."""
        assert self.learned.merged is not None
        return sorted(set(self.learned.merged.alphas.tolist()))


def read_blocks(folder: Path, learned: Sequence[str]) -> list[Block]:
    """For each seed that was trained and merged, one block a target; the last scored step counts."""
    blocks = []
    for merged_path in sorted(folder.glob("merged*.csv")):
        path = folder / merged_path.name.replace("merged", "records")
        records = last_step(trained(read_records(path)))
        merged = read_records(merged_path, of_cheaper=True)
        seed = int(merged.frame["seed"].iloc[0])
        frame = records.frame[records.frame["seed"] == seed].reset_index(drop=True)
        records = Records(frame, records.domains, records.benchmarks)
        strategies = dict(zip(frame["mixture"], frame["strategy"], strict=True))
        means = {"mean of all": dict.fromkeys(records.benchmarks, 1.0)}
        for target in ("out_score", "mean of all"):
            runs = observe(records, objective(records, target, means), merged)
            seen = np.array([strategies[name] in learned for name in runs.mixtures])
            blocks.append(Block(str(folder), seed, target, runs.rows(seen), runs.rows(~seen)))
    return [with_other_seeds(block, blocks) for block in blocks]


def with_other_seeds(block: Block, blocks: Sequence[Block]) -> Block:
    """The block with what the other seeds made of its unseen mixtures.

    Experts and mixtures of one seed see examples in one order, so a prediction may share that seed's luck. Against
    the mean of seeds it knows nothing of, it cannot.
    """
    columns = []
    for other in blocks:
        if other.target == block.target and other.seed != block.seed:
            truth = dict(zip(other.unseen.mixtures, other.truth, strict=True))
            columns.append([truth.get(name, np.nan) for name in block.unseen.mixtures])
    mean = np.mean(columns, axis=0) if columns else None
    return replace(block, elsewhere=None if mean is None or np.isnan(mean).any() else mean)


def measure(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Spearman, root mean square error, and the regret of the top candidate: 0 the best unseen mixture, 1 the worst."""
    varies = np.ptp(predicted) > 0
    spread = truth.max() - truth.min()
    return {
        "spearman": float(spearmanr(predicted, truth).statistic) if varies else 0.0,
        "rmse": float(np.sqrt(np.mean((predicted - truth) ** 2))),
        "regret": float((truth.max() - truth[predicted.argmax()]) / spread) if spread > 0 else 0.0,
    }


def measure_both(predicted: np.ndarray, block: Block) -> dict[str, float]:
    """Against the block's own seed, and against the mean of the others where there are any."""
    measured = measure(predicted, block.truth)
    if block.elsewhere is not None:
        measured |= {f"{k}_other_seeds": v for k, v in measure(predicted, block.elsewhere).items()}
    return measured


def compare(block: Block) -> Iterator[dict[str, Any]]:
    """A row for each number of trained runs, draw of them and method."""
    key = {"world": block.world, "seed": block.seed, "target": block.target}
    experts = np.flatnonzero(is_expert(block.learned))
    others = np.flatnonzero(~is_expert(block.learned))
    alone = {**key, "runs": len(experts), "draw": 0, "method": "merge alone", "note": f"alpha {ALPHA:g}"}
    yield alone | measure_both(block.alone(ALPHA) @ block.unseen.shares, block)
    for runs in SIZES:
        extra = runs - len(experts)
        if not 0 <= extra <= len(others):
            continue
        for draw in range(1 if extra in (0, len(others)) else DRAWS):
            drawn = np.random.default_rng(draw).permutation(others)[:extra]
            learned = block.learned.rows(np.sort(np.concatenate([experts, drawn])))
            for method in (*PLAIN, "merged"):
                predictor = surrogates[method](learned, 0)
                answer = predictor.predict(block.unseen.weights)
                mean, _ = answer.aggregate(block.unseen.shares)
                inside = np.abs(mean - block.truth) <= LEVEL_80 * answer.run_spread(block.unseen.shares)
                row = {**key, "runs": runs, "draw": draw, "method": method, "note": predictor.reason}
                yield row | measure_both(mean, block) | {"coverage_80": float(inside.mean())}


def merging_alone(block: Block) -> Iterator[dict[str, Any]]:
    """What merging says without any calibration, by alpha: of the target, and of each benchmark."""
    for alpha in block.alphas:
        said = block.alone(alpha)
        key = {"world": block.world, "seed": block.seed, "target": block.target, "alpha": alpha}
        columns = [("target", said @ block.unseen.shares, block.truth)]
        columns += [(n, said[:, b], block.unseen.scores[:, b]) for b, n in enumerate(block.unseen.benchmarks)]
        for name, predicted, truth in columns:
            row = {**key, "score": name} | measure(predicted, truth)
            yield row | {"bias": float(np.mean(predicted - truth)), "spread": float(truth.std())}


def between_seeds(blocks: Sequence[Block]) -> pd.DataFrame:
    """How well one seed's training ranks the mixtures of another: no prediction can be expected to do better."""
    rows = []
    for first, second in itertools.combinations(blocks, 2):
        if (first.world, first.target) == (second.world, second.target):
            key = {"world": first.world, "target": first.target, "seeds": f"{first.seed}, {second.seed}"}
            rows.append(key | measure(first.truth, second.truth))
    return pd.DataFrame(rows)


def costs(folders: Sequence[Path]) -> pd.DataFrame:
    """Seconds of training a mixture, of its predictions, of a merge with its predictions, of a screening; medians."""
    rows = []
    for folder in folders:
        found = [read_json(path) for path in sorted(folder.glob("costs/*.json"))]
        for name in dict.fromkeys(key for entry in found for key in entry if key != "wall"):
            entries = [entry for entry in found if name in entry]
            row = {"world": str(folder), "work": name, "jobs": len(entries)}
            row["cpu_seconds"] = float(np.median([entry[name] for entry in entries]))
            row["wall_seconds"] = float(np.median([entry.get("wall", np.nan) for entry in entries]))
            rows.append(row)
    return pd.DataFrame(rows)


def chosen(folder: Path, learned: Sequence[str], first: int) -> Iterator[dict[str, Any]]:
    """How well the mixtures of --screen do beside the unseen random ones: Out-Score.

    By seed, in the mean of all, and in that of the others than the `first`, by whose runs they were chosen.
    `better` counts the random ones that do better; `best`, `mean` and `spread` (standard deviation) are theirs.
    """
    found, random = {}, {}
    for path in sorted(folder.glob("chosen-*.csv")):
        name = path.stem.removeprefix("chosen-")
        others = last_step(trained(read_records(folder / f"records-{name}.csv")))
        scores = pd.Series(target_values(others, "out_score"), index=others.frame["mixture"])
        random[name] = scores[~others.frame["strategy"].isin(learned).to_numpy()]
        candidates = last_step(trained(read_records(path)))
        index = pd.MultiIndex.from_frame(candidates.frame[["strategy", "mixture"]])
        found[name] = pd.Series(target_values(candidates, "out_score"), index=index)
    seeds = list(found)
    means = {"mean": seeds, "other seeds": [seed for seed in seeds if seed != str(first)]}
    for name, parts in means.items():
        if len(parts) > 1:
            for scores in (random, found):
                scores[name] = pd.concat([scores[seed] for seed in parts], axis=1).mean(axis=1)
    for seed, candidates in found.items():
        others = random[seed]
        for (strategy, mixture), score in candidates.items():
            row = {
                "world": str(folder),
                "seed": seed,
                "strategy": strategy,
                "mixture": mixture,
                "score": score,
            }
            row |= {"better": int((others > score).sum()), "of": len(others)}
            yield row | {"best": others.max(), "mean": others.mean(), "spread": others.std()}


PANELS = {
    "spearman": "Spearman, unseen mixtures",
    "spearman_other_seeds": "Spearman, other seeds' mean",
    "rmse": "RMSE, unseen mixtures",
}


def draw(table: pd.DataFrame) -> plt.Figure:
    """Spearman and error on unseen mixtures against the number of trained runs: the mean of all blocks."""
    shown = table[table["target"] == "out_score"]
    panels = {name: label for name, label in PANELS.items() if name in shown}
    figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 2.8), layout="constrained")
    for place, (method, rows) in enumerate(shown.groupby("method", sort=False)):
        means = rows.groupby("runs")[list(panels)].mean()
        for axis, name in zip(axes, panels, strict=True):
            style = {"marker": MARKERS[place], "color": COLOURS[place], "markersize": 4, "linewidth": 1}
            axis.plot(means.index, means[name], label=method, **style)
    for axis, (name, label) in zip(axes, panels.items(), strict=True):
        axis.set_xticks(sorted(shown["runs"].unique()))
        axis.set_xlabel("trained runs", fontsize=8)
        axis.set_ylabel(label, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        if name == "rmse":
            axis.set_yscale("log")  # the quadratic surface may be ten times off
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_locator(NullLocator())
    axes[0].legend(fontsize=6, frameon=False)
    return figure


def report(
    output: Path, folders: Sequence[Path], settings: Sequence[Path], learned: Sequence[str], first: int
) -> None:
    """Compare what is there and write the tables and the figure. `first`: the seed that --screen learned from."""
    blocks = [block for folder in folders for block in read_blocks(folder, learned)]
    if not blocks:
        names = ", ".join(map(str, folders))
        raise InputError(f"{names}: nothing is trained, scored and merged there yet: run without --compare")
    table = pd.DataFrame([row for block in console.progress(blocks, "compare") for row in compare(block)])
    others = [block for folder in settings for block in read_blocks(folder, learned)]
    tables = {
        "comparison": table,
        "alphas": pd.DataFrame([row for block in blocks for row in merging_alone(block)]),
        "settings": pd.DataFrame([row for block in others for row in merging_alone(block)]),
        "settings_comparison": pd.DataFrame([row for block in others for row in compare(block)]),
        "between_seeds": between_seeds(blocks),
        "costs": costs([*folders, *settings]),
        "chosen": pd.DataFrame([row for folder in folders for row in chosen(folder, learned, first)]),
    }
    for name, frame in tables.items():
        if len(frame):
            write_csv(output / f"{name}.csv", frame)
    measures = ["spearman", "rmse", "regret", "coverage_80"]
    measures += [column for column in table if str(column).endswith("_other_seeds")]
    means = table.groupby(["target", "runs", "method"])[measures].mean()
    save(draw(table), means.reset_index(), output / "by_runs.svg")
    for block in blocks[::2]:
        print(f"{block.world}, seed {block.seed}: {len(block.learned)} learned, {len(block.unseen)} unseen")
    print(means.reindex(list(dict.fromkeys(table["method"])), level="method").round(3).to_string())
    for name in ("between_seeds", "costs", "chosen"):
        if len(tables[name]):
            print(tables[name].round(3).to_string(index=False))


def read_worlds(
    study: Study, numbers: Sequence[int], settings: Sequence[str]
) -> tuple[list[World], list[World]]:
    """The worlds, and the first of them under other settings."""
    root = Path("results") / study.name
    worlds = []
    for number in numbers:
        options = {**study.model.options, "seed": number}
        changed = study.model_copy(update={"model": study.model.model_copy(update={"options": options})})
        worlds.append(World(changed, root / f"world-{number}", root / f"world-{number}"))
    others = []
    for pair in settings:
        name, _, values = pair.partition("=")
        try:
            training = {**study.training.model_dump(), **json.loads(values)}
        except (ValueError, TypeError):
            raise InputError(
                f"--settings {pair}: expected NAME=JSON, e.g. slow='{{\"learning_rate\": 5e-5}}'"
            ) from None
        update = {"training": parse(training, Training, f"--settings {name}")}
        others.append(
            World(worlds[0].study.model_copy(update=update), root / f"setting-{name}", worlds[0].base)
        )
    return worlds, others


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--study", default="config/merge-study.yaml", help="its YAML (config/merge-study.yaml)"
    )
    parser.add_argument("--worlds", type=int, nargs="+", default=[0, 1], help="base models (0 1)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[42, 43, 44], help="training seeds (42 43 44)"
    )
    parser.add_argument("--settings", nargs="*", default=[], help="NAME=JSON: other training settings to try")
    parser.add_argument(
        "--screen", type=int, default=0, metavar="COUNT", help="screen so many, and train the chosen ones"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (2)")
    parser.add_argument("--compare", action="store_true", help="only compare what is there")
    parser.add_argument("--finished", type=Path, nargs="*", default=[], help="compare these studies instead")
    parser.add_argument(
        "--learned", nargs="+", default=LEARNED, help="strategies whose mixtures are learned from"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the tables and the figure")
    arguments = parser.parse_args()
    if arguments.finished:
        report(arguments.output, arguments.finished, [], arguments.learned, arguments.seeds[0])
        return
    worlds, settings = read_worlds(read_study(arguments.study), arguments.worlds, arguments.settings)
    if not arguments.compare:
        train_and_merge(worlds, arguments.seeds, settings, arguments.workers, arguments.screen)
    folders = [world.folder for world in worlds]
    others = [world.folder for world in settings]
    report(arguments.output, folders, others, arguments.learned, arguments.seeds[0])


if __name__ == "__main__":
    command_line.run(main)
