"""Makes benchmarks/tables/: what mixtures of training domains score after GRPO, in tiny worlds that a laptop trains.

    1. examples, base model and mixtures of each world (a study: config/worlds/*.yaml)
    2. train, predict and score every mixture under each of the --seeds
    3. once nothing of a world is missing, write its table: <world>.csv in --output

Each step is the very script of the rules, with its files in results/<world>/, called inside --workers long-lived
processes of one thread each (benchmarks/in_process.py). What is done is not done again: stop it when you like, and
start it again to go on. benchmarks/tables/README.md says what the tables are and how long they took.

Example:
    python benchmarks/rlvr_tables.py --worlds config/worlds/conflict.yaml --output /tmp/tables
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from in_process import World, answer_base, make_base, make_mixtures, run_mixture, wait, worker_pool

from modomodo import command_line
from modomodo.evaluation.scores import read_scored
from modomodo.files import read_json
from modomodo.mixtures.records import BASE, Records, write_records
from modomodo.mixtures.settings import RecordsSettings
from modomodo.study.checks import read_study

ROOT = Path(__file__).resolve().parents[1]
Run = tuple[str, int]  # mixture and seed


def main() -> None:
    parser = command_line.parser(__doc__)
    everything = sorted((ROOT / "config/worlds").glob("*.yaml"))
    parser.add_argument(
        "--worlds", type=Path, nargs="+", default=everything, help="studies (config/worlds/*)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43], help="training seeds (42 43)")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (2)")
    parser.add_argument(
        "--write-only", action="store_true", help="train nothing, write the tables that are complete"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/tables", help="(benchmarks/tables)")
    arguments = parser.parse_args()
    worlds = [world_of(path) for path in arguments.worlds]
    if not arguments.write_only:
        make(worlds, arguments.seeds, arguments.workers)
    for world in worlds:
        wanted = runs(world, arguments.seeds)
        missing = sum(not scores_of(world, run).exists() for run in wanted)
        if missing:
            print(
                f"{world.study.name}: {missing} of {len(wanted)} runs are missing: no table", file=sys.stderr
            )
            continue
        records = table(world, arguments.seeds)
        path = arguments.output / f"{world.study.name}.csv"
        write_records(path, records)
        print(f"{path}: {len(records)} rows")


def world_of(path: Path) -> World:
    """The world of a study; its files lie where the rules would put them."""
    study = read_study(path)
    folder = Path("results") / study.name
    return World(study, folder, folder)


def runs(world: World, seeds: Sequence[int]) -> list[Run]:
    """The base model, then every mixture, seed by seed."""
    return [(BASE, 0), *((mixture, seed) for seed in seeds for mixture in world.plan().mixtures)]


def scores_of(world: World, run: Run) -> Path:
    mixture, seed = run
    return world.folder / f"scores/{mixture}/{seed}.json"


def make(worlds: Sequence[World], seeds: Sequence[int], workers: int) -> None:
    """All that is missing: world by world within a seed, so that a stopped study has whole seeds first."""
    with worker_pool(workers) as pool:
        for function in (make_base, make_mixtures, answer_base):
            wait(pool.map(function, worlds), function.__name__, len(worlds))
        for seed in seeds:
            for world in worlds:
                jobs = [pool.submit(run_mixture, world, mixture, seed) for mixture in world.plan().mixtures]
                wait((job.result() for job in jobs), f"{world.study.name}, seed {seed}", len(jobs))


def table(world: World, seeds: Sequence[int]) -> Records:
    """The records of a world with one column more: `trained_steps`, fewer than `step` where a domain ran out."""
    step = RecordsSettings.of(world.study)
    records = read_scored(
        [scores_of(world, run) for run in runs(world, seeds)],
        [world.folder / f"mixtures/{mixture}.json" for mixture in world.plan().mixtures],
        step.domains,
        dict(step.benchmarks),
    )
    keys = zip(*(records.frame[key] for key in ("mixture", "seed", "step")), strict=True)
    trained = [trained_steps(world, mixture, seed, step) for mixture, seed, step in keys]
    return Records(
        records.frame.assign(trained_steps=trained), records.domains, records.benchmarks, records.aggregates
    )


def trained_steps(world: World, mixture: str, seed: int, step: int) -> int:
    """The steps that a checkpoint was trained for."""
    if mixture == BASE:
        return 0
    return read_json(world.folder / f"runs/{mixture}/{seed}/run.json")["checkpoints"][str(step)]["step"]


if __name__ == "__main__":
    command_line.run(main)
