"""The paper's pipeline, ours with and without halving, equal weights, and runs that change their mixture, by time.

    1. config/rivals.yaml, trained by GRPO under each of the --seeds, with dynamic sampling and without, on the base
       model of the world conflict (results/conflict, made where `make tables` left none): equal weights and the online
       mixtures. Nothing is chosen by their scores, so these count as they are.
    2. the pipelines, replayed on the world's table, many times (pipelines.py): each proposes from a random half of the
       recorded mixtures, under one seed; the mixture that it would use is judged by its run under the other seed. The
       paper's: 11 seed mixtures, the recorded ones nearest to its five heuristics, three by the quadratic surface.
       Ours: the same seed mixtures and a batch by expected improvement, or with halving a larger batch in a race of the
       same time (modomodo.mixtures.halving). The pick is the mixture with the best score, or the one expected best.
    3. rivals.csv, a row a pick, rivals_summary.csv and rivals.png in --output

Time is told in full runs: optimiser steps and answered checkpoints, weighed as benchmarks/tables/README.md has the
seconds of a quiet machine. A prompt that is replaced costs its completions, two thirds of its share of a step. What is
trained is not trained again: stop it when you like.

Example:
    python benchmarks/rivals.py --workers 2 --output build/rivals
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from in_process import World, make_base, make_mixtures, run_mixture, wait, worker_pool
from pipelines import ANSWERING, TARGET, TRAINING, read_world, replayed

from modomodo import command_line, console
from modomodo.config.schema import DynamicSampling, Study
from modomodo.evaluation.scores import read_scored
from modomodo.files import read_json, write_csv
from modomodo.mixtures.plan import plan
from modomodo.mixtures.records import last_step, target_values
from modomodo.mixtures.settings import RecordsSettings
from modomodo.study.checks import read_study

ROOT = Path(__file__).resolve().parents[1]
BASE = Path("results/conflict")  # the base model and the examples of the world
GENERATION = 2 / 3  # share of a step that completions take on this model


def world_of(study: Study, seed: int, resampled: bool) -> World:
    """The study under a seed, with dynamic sampling or without."""
    name = f"{seed}-resampled" if resampled else str(seed)
    sampling = DynamicSampling() if resampled else None
    training = study.training.model_copy(update={"seed": seed, "dynamic_sampling": sampling})
    own = study.model_copy(update={"name": f"{study.name}-{name}", "training": training})
    return World(own, Path("results") / study.name / name, BASE)


def train(worlds: Sequence[World], workers: int) -> None:
    """All that is missing."""
    with worker_pool(workers) as pool:
        wait(pool.map(make_base, worlds[:1]), "base model", 1)
        wait(pool.map(make_mixtures, worlds), "mixtures", len(worlds))
        jobs = [
            pool.submit(run_mixture, world, mixture, world.study.training.seed)
            for world in worlds
            for mixture in plan(world.study).mixtures
        ]
        wait((job.result() for job in jobs), "runs", len(jobs))


def runs_of(world: World) -> Iterator[dict]:
    """A row a run: its Out-Score, and its time with the prompts that were replaced."""
    study, seed = world.study, world.study.training.seed
    resampled = study.training.dynamic_sampling is not None
    planned = plan(study)
    settings = RecordsSettings.of(study)
    files = [world.folder / f"scores/{mixture}/{seed}.json" for mixture in planned.mixtures]
    mixtures = [world.folder / f"mixtures/{mixture}.json" for mixture in planned.mixtures]
    records = last_step(read_scored(files, mixtures, settings.domains, dict(settings.benchmarks)))
    scores = dict(zip(records.frame["mixture"], target_values(records, TARGET), strict=True))
    for name, strategy in study.strategies.items():
        stream = read_json(world.folder / f"runs/{name}/{seed}/run.json")["stream"]
        replaced = stream.get("prompts_generated", stream["prompts"]) / stream["prompts"] - 1
        arm = f"{strategy.label}, resampled" if resampled else str(strategy.label)
        about = {"arm": arm, "seed": seed, "repeat": 0, "place": 0, "pick": "score", "mixture": name}
        runs = 1 + replaced * GENERATION * TRAINING / (TRAINING + ANSWERING)
        yield about | {"runs": round(runs, 3), "out_score": float(scores[name])}


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Means, and the lowest and highest of the seeds; of a pipeline's seed the mean of its replays counts."""
    of_seed = rows.groupby(["arm", "pick", "place", "seed"], sort=False)[["runs", "out_score"]].mean()
    found = of_seed.groupby(["arm", "pick", "place"], sort=False).agg(
        runs=("runs", "mean"),
        seeds=("out_score", "size"),
        out_score=("out_score", "mean"),
        lowest=("out_score", "min"),
        highest=("out_score", "max"),
    )
    return found.round(4).reset_index()


def draw(summary: pd.DataFrame, path: Path) -> None:
    """Out-Score against time: means, and the seeds between the lowest and the highest."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    summary = summary[summary["pick"] == "score"]
    arms = list(dict.fromkeys(summary["arm"]))
    for number, arm in enumerate(arms):
        points = summary[summary["arm"] == arm]
        # Runs of nearly the same time side by side.
        shift = 1 + 0.04 * (number - len(arms) / 2)
        mean = points["out_score"]
        axis.errorbar(
            points["runs"] * shift,
            mean,
            [mean - points["lowest"], points["highest"] - mean],
            color=plt.colormaps["tab20"](number),
            marker="s" if arm.endswith("resampled") else "o",
            markersize=4,
            linewidth=1,
            capsize=2,
            label=arm,
        )
    axis.set_xscale("log")
    axis.set_xticks([1, 2, 5, 11, 19], ["1", "2", "5", "11", "19"])
    axis.minorticks_off()
    axis.set_xlabel("time, in full runs")
    axis.set_ylabel("Out-Score")
    figure.legend(loc="outside right upper", fontsize=7)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], help="(42 43 44)")
    parser.add_argument(
        "--repeats", type=int, default=30, help="replays of the pipelines under each seed (30)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (2)")
    parser.add_argument("--output", type=Path, required=True, help="folder of rivals.csv and rivals.png")
    arguments = parser.parse_args()
    study = read_study(ROOT / "config/rivals.yaml")
    worlds = [world_of(study, seed, resampled) for resampled in (False, True) for seed in arguments.seeds]
    train(worlds, arguments.workers)
    rows = [row for world in worlds for row in runs_of(world)]
    for recorded in read_world(ROOT / "benchmarks/tables/conflict.csv"):
        for repeat in console.progress(range(arguments.repeats), f"replays, seed {recorded.seed}"):
            rows += replayed(recorded, repeat)
    arguments.output.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows)
    write_csv(arguments.output / "rivals.csv", frame)
    summary = summarise(frame)
    write_csv(arguments.output / "rivals_summary.csv", summary)
    draw(summary, arguments.output / "rivals.png")
    print(summary.to_string(index=False))


if __name__ == "__main__":
    command_line.run(main)
