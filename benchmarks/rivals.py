"""The study that answers: equal weights, online mixtures, the paper's pipeline and ours, at equal time, all trained.

    1. a world of benchmarks/tables with the strategies of config/rivals.yaml, by GRPO on the world's base model
       (results/<world>, made where `make tables` left none), with dynamic sampling and without. Under each of the
       --seeds the searches: 11 seed mixtures (in conflict), then five heuristics and three mixtures of the quadratic
       surface (the paper's), or a batch by expected improvement (ours). Under --restarts seeds from the first on, what
       needs one run: equal weights, DUMP, learnability, Thompson
    2. what each arm has picked by when (pipelines.py): the checkpoint with the best Out-Score so far. A race ends with
       the bytes of runs trained straight through (tests/training/test_stretches.py), so the batch is trained to the
       end, and the race takes what it would have trained and answered
    3. the picks answer held-out questions: fresh boards, of the Out-Score's benchmarks, that no choice saw
    4. rivals_runs.csv, a row a run; rivals_curves.csv and rivals.png, held-out Out-Score against time; rivals.csv, what
       was picked at equal time; in --output

Every step is a script of the rules, called inside long-lived processes (in_process.py). What is trained is not trained
again: stop it when you like.

Example:
    python benchmarks/rivals.py --workers 2 --output build/rivals
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor as Pool
from dataclasses import dataclass
from pathlib import Path

from in_process import (
    World,
    answer,
    call,
    make_base,
    make_examples,
    make_mixtures,
    needed,
    run_mixture,
    wait,
    worker_pool,
)
from pipelines import (
    BATCH,
    GENERATION,
    RACES,
    RUNGS,
    Restarts,
    Result,
    Run,
    Search,
    Stage,
    begun,
    race,
    runs_table,
    tables,
    together,
    whole,
)
from rivals_figure import draw

from modomodo import command_line
from modomodo.config.schema import DynamicSampling, Study
from modomodo.evaluation.scores import BenchmarkScore, read_run_scores, read_scored
from modomodo.files import read_json, read_jsonl, write_csv, write_json
from modomodo.mixtures.plan import plan
from modomodo.mixtures.records import Records
from modomodo.mixtures.settings import ProposeSettings, RecordsSettings
from modomodo.study.checks import read_study

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("results/rivals")
FIRST = 42  # seed of the first restart
RESTARTED = {"all": "equal weights", "dump": "DUMP", "learnability": "learnability", "thompson": "Thompson"}
SAMPLING = (True, False)  # with dynamic sampling, and without
HELD_OUT = 250  # fresh questions of each benchmark
OTHER_BOARDS = 1000  # added to a benchmark's seed


@dataclass(frozen=True)
class Setting:
    """A world, a seed, and whether prompts that teach nothing are replaced."""

    world: str
    seed: int
    resampled: bool

    @property
    def folder(self) -> Path:
        """Of all its runs."""
        name = f"{self.seed}-resampled" if self.resampled else str(self.seed)
        return RESULTS / self.world / name


def study_of(world: str) -> Study:
    """A world of benchmarks/tables with the strategies of config/rivals.yaml, of which the last step is scored."""
    rivals = read_study(ROOT / "config/rivals.yaml")
    study = read_study(ROOT / f"config/worlds/{world}.yaml")
    kept = {"scored_steps": rivals.training.scored_steps, "keep_weights": rivals.training.keep_weights}
    changed = {"strategies": rivals.strategies, "training": study.training.model_copy(update=kept)}
    return study.model_copy(update={"name": f"rivals-{world}", **changed})


def out_benchmarks(study: Study) -> dict:
    """Those of the Out-Score."""
    return {name: one for name, one in study.benchmarks.items() if one.group == "out"}


def world_of(study: Study, setting: Setting, strategy: str = "all") -> World:
    """The files of a setting; a strategy's runs are scored as often, and on as many benchmarks, as it needs.

    Heuristics ask for the seed mixtures' In-Scores, and a race for the scores at its rungs.
    """
    last = study.training.scored_steps
    training = {
        "seed": setting.seed,
        "dynamic_sampling": DynamicSampling() if setting.resampled else None,
        "scored_steps": list(RUNGS) if strategy == "search" else last,
    }
    asked = study.benchmarks if study.strategies[strategy].group == "seed" else out_benchmarks(study)
    changed = {"training": study.training.model_copy(update=training), "benchmarks": asked}
    return World(study.model_copy(update=changed), setting.folder, Path("results") / setting.world)


# --- training --------------------------------------------------------------------------------------------------------


def propose(study: Study, setting: Setting, name: str) -> None:
    """The mixtures of a strategy, from the scores that it learns from."""
    planned = plan(study)
    outputs = [setting.folder / f"mixtures/{mixture}.json" for mixture in planned.by_strategy[name]]
    learned = [mixture for other in study.depends_on(name) for mixture in planned.by_strategy[other]]
    scores = [setting.folder / f"scores/{mixture}/{setting.seed}.json" for mixture in learned]
    if any(needed(output, *scores) for output in outputs):
        call(
            "propose",
            *("--settings", ProposeSettings.of(study, name).text(), "--strategy", name),
            *("--records-settings", RecordsSettings.of(study).text(), "--scores", *scores),
            *("--mixtures", *[setting.folder / f"mixtures/{mixture}.json" for mixture in learned]),
            *("--output", *outputs),
        )


def search(study: Study, settings: Sequence[Setting], pool: Pool) -> None:
    """All runs of the searches under some settings, which share a seed."""
    for groups in (("seed",), ("heuristic", "ours"), ("paper",)):
        names = [name for name, strategy in study.strategies.items() if strategy.group in groups]
        asked = [(each, name) for each in settings for name in names if study.strategies[name].learns_from]
        for done in [pool.submit(propose, study, each, name) for each, name in asked]:
            done.result()
        mixtures = [(name, mixture) for name in names for mixture in plan(study).by_strategy[name]]
        label = f"seed {settings[0].seed}: {', '.join(groups)}"
        run(study, [(each, *mixture) for mixture in mixtures for each in settings], pool, label)


def run(study: Study, jobs: Sequence[tuple[Setting, str, str]], pool: Pool, label: str) -> None:
    """Train and score (setting, strategy, mixture)."""
    done = [
        pool.submit(run_mixture, world_of(study, setting, strategy), mixture, setting.seed)
        for setting, strategy, mixture in jobs
    ]
    wait((each.result() for each in done), label, len(done))


def train(study: Study, world: str, seeds: Sequence[int], restarts: int, pool: Pool) -> None:
    """Everything, a seed's search and a part of the restarts at a time: where it is stopped, that is balanced."""
    settings = {
        seed: [Setting(world, seed, resampled) for resampled in SAMPLING]
        for seed in dict.fromkeys([*seeds, *range(FIRST, FIRST + restarts)])
    }
    every = [world_of(study, setting) for both in settings.values() for setting in both]
    wait(pool.map(make_base, every[:1]), "base model", 1)
    wait(pool.map(make_mixtures, every), "mixtures", len(every))
    for number, seed in enumerate(seeds):
        search(study, settings[seed], pool)
        part = range(*(FIRST + restarts * place // len(seeds) for place in (number, number + 1)))
        jobs = [(setting, name, name) for each in part for name in RESTARTED for setting in settings[each]]
        run(study, jobs, pool, f"restarts, part {number + 1}")


# --- what was trained ------------------------------------------------------------------------------------------------


def read_run(study: Study, setting: Setting, mixture: str) -> Run:
    """A run's score, and the work it took."""
    folder, seed = setting.folder, setting.seed
    work, done = {0: 0.0}, 0.0
    for _, row in read_jsonl(folder / f"runs/{mixture}/{seed}/log.jsonl"):
        if "step" in row:
            prompts = study.training.prompts_per_step
            done += 1 + GENERATION * (row.get("prompts_generated", prompts) / prompts - 1)
            work[row["step"]] = done
    kept = read_json(folder / f"runs/{mixture}/{seed}/run.json", "checkpoints")["checkpoints"]
    scores = read_run_scores(folder / f"scores/{mixture}/{seed}.json").steps
    return Run(
        mixture,
        seed,
        setting.resampled,
        {int(step): work[one["step"]] for step, one in kept.items()},
        study.training.steps,
        mean_score(scores[max(scores)], out_benchmarks(study)),
    )


def records_of(study: Study, setting: Setting, mixtures: Sequence[str]) -> Records:
    """All that was scored of some mixtures."""
    asked = RecordsSettings.of(study)
    scores = [setting.folder / f"scores/{mixture}/{setting.seed}.json" for mixture in mixtures]
    files = [setting.folder / f"mixtures/{mixture}.json" for mixture in mixtures]
    return read_scored(scores, files, asked.domains, dict(asked.benchmarks))


def mean_score(scores: Mapping[str, BenchmarkScore], names: Iterable[str]) -> float:
    """Over benchmarks, weighted by questions."""
    kept = [scores[name] for name in names]
    return sum(one.score * one.n for one in kept) / sum(one.n for one in kept)


def budget_of(study: Study) -> float:
    """Full runs that each arm may take: what is begun by then is finished."""
    return float(len(of_group(study, "seed")) + BATCH)


def searches(
    study: Study, world: str, seeds: Sequence[int], resampled: bool
) -> dict[tuple[str, float], Search]:
    """(arm, budget) → search. Without a budget to keep, all that was planned is trained, and the race is larger."""
    stages: dict[tuple[str, float], list[tuple[Stage, ...]]] = {}
    limit = budget_of(study)
    for seed in seeds:
        setting = Setting(world, seed, resampled)
        runs = {
            group: [read_run(study, setting, mixture) for mixture in of_group(study, group)]
            for group in ("seed", "heuristic", "paper", "ours")
        }
        first = together(runs["seed"])
        records = records_of(study, setting, [run.mixture for run in runs["seed"] + runs["ours"]])
        left = len(begun(whole(runs["ours"][:BATCH]), limit - first.time))
        for budget, count in ((limit, left), (math.inf, BATCH)):
            raced = race(runs["ours"], records, RACES[count])
            for arm, then in (
                ("the paper's", whole(runs["heuristic"] + runs["paper"])),
                ("ours", whole(runs["ours"][:BATCH])),
                ("ours with halving", [raced]),
            ):
                stages.setdefault((arm, budget), []).append((first, *begun(then, budget - first.time)))
    return {key: Search(tuple(of_arm)) for key, of_arm in stages.items()}


def of_group(study: Study, group: str) -> list[str]:
    """The mixtures of a group of strategies, in the study's order."""
    planned = plan(study)
    names = [name for name, strategy in study.strategies.items() if strategy.group == group]
    return [mixture for name in names for mixture in planned.by_strategy[name]]


# --- held out --------------------------------------------------------------------------------------------------------


def held_out_world(study: Study, setting: Setting) -> World:
    """The benchmarks of the Out-Score on boards that nothing was chosen by."""
    fresh = {
        name: one.model_copy(
            update={"options": one.options | {"size": HELD_OUT, "seed": one.options["seed"] + OTHER_BOARDS}}
        )
        for name, one in out_benchmarks(study).items()
    }
    folder = RESULTS / setting.world / "held_out"
    return World(study.model_copy(update={"benchmarks": fresh}), setting.folder / "held_out", folder)


def answer_held_out(study: Study, setting: Setting, mixture: str) -> None:
    """The answers of a run's last checkpoint alone, as those of a base model."""
    world = held_out_world(study, setting)
    run = setting.folder / f"runs/{mixture}/{setting.seed}/run.json"
    kept = read_json(run, "checkpoints")["checkpoints"]
    last = kept[max(kept, key=int)]
    info = world.folder / f"checkpoints/{mixture}.json"
    if needed(info, run):
        info.parent.mkdir(parents=True, exist_ok=True)
        write_json(info, {"weights": last["weights"]})
    answer(world, mixture, setting.seed, info, ("--base", run.parent / last["path"], "--base-info", info))


def held_out_scores(study: Study, world: str, runs: Iterable[Run], pool: Pool) -> dict[tuple, float]:
    """(mixture, seed, resampled) → Out-Score on the held-out questions."""
    keys = sorted({run.key for run in runs})
    make_examples(held_out_world(study, Setting(world, FIRST, False)), out_benchmarks(study))
    settings = [Setting(world, seed, resampled) for _, seed, resampled in keys]
    done = [
        pool.submit(answer_held_out, study, setting, key[0])
        for setting, key in zip(settings, keys, strict=True)
    ]
    wait((each.result() for each in done), "held-out answers", len(done))
    found = {}
    for setting, key in zip(settings, keys, strict=True):
        scores = read_run_scores(setting.folder / f"held_out/scores/{key[0]}/{setting.seed}.json").steps
        found[key] = mean_score(scores[max(scores)], out_benchmarks(study))
    return found


def results(study: Study, world: str, seeds: Sequence[int], restarts: int) -> Iterator[tuple[float, Result]]:
    """With the budget each has kept; infinite: all that was planned, with a larger race."""
    for resampled in SAMPLING:
        settings = [Setting(world, FIRST + number, resampled) for number in range(restarts)]
        for strategy, name in RESTARTED.items():
            pool = tuple(read_run(study, setting, strategy) for setting in settings)
            yield budget_of(study), Result(name, resampled, Restarts(pool))
        for (name, budget), found in searches(study, world, seeds, resampled).items():
            yield budget, Result(name, resampled, found)


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--world", default="conflict", help="a world of config/worlds (conflict)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46], help="of the searches (42 to 46)"
    )
    parser.add_argument(
        "--restarts", type=int, default=21, help="of what needs one run, from seed 42 on (21)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (2)")
    parser.add_argument("--output", type=Path, required=True, help="folder of the tables and the figure")
    arguments = parser.parse_args()
    world, seeds, restarts = arguments.world, arguments.seeds, arguments.restarts
    study = study_of(world)
    with worker_pool(arguments.workers) as pool:
        train(study, world, seeds, restarts, pool)
        found = list(results(study, world, seeds, restarts))
        picked = [run for _, result in found for run in result.arm.asked]
        scores = held_out_scores(study, world, picked, pool)
    arguments.output.mkdir(parents=True, exist_ok=True)
    made = tables(found, budget_of(study), scores) | {"rivals_runs": runs_table(found, scores)}
    for name, table in made.items():
        write_csv(arguments.output / f"{name}.csv", table)
    draw(made["rivals"], made["rivals_curves"], arguments.output / "rivals.png")
    print(made["rivals"].to_string(index=False))


if __name__ == "__main__":
    command_line.run(main)
