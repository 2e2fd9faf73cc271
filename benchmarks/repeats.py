"""What repeats are worth in a budget: the same hours with and without them, replayed on worlds, picks trained again.

    1. On a world's table, under one of its seeds, 11 seed mixtures are known and a random half of the others may be
       trained. Eight runs are spent in two batches of four by expected gain an hour (modomodo.mixtures.budget): `new`
       on new mixtures alone, `repeat` on repeats too, which score what the table has under its other seed. `top` spends
       five on new mixtures, and then repeats the three with the best scores, as the verdict advises.
    2. Both ways of picking: the best mean score, which is the verdict's, and what the default surrogate expects.
    3. A pick has been chosen by both of its scores, so it is judged without them: by the default surrogate through
       both seeds of all other mixtures of the table (`left_out`), and by runs under the seeds --judges, which are
       trained on the world's base model (results/<world>, made where `make tables` left none).
    4. repeats.csv, a row a pick, repeats_judged.csv, a row a run of step 3, and repeats_summary.csv in --output

What is trained is not trained again: stop it when you like. Picks in --output are not replayed again.

Example:
    python benchmarks/repeats.py --output build/repeats
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from in_process import World, make_base, make_mixtures, run_mixture, wait, worker_pool

from modomodo import command_line, console
from modomodo.evaluation.scores import read_scored
from modomodo.files import write_csv
from modomodo.mixtures.budget import Action, spend
from modomodo.mixtures.records import (
    Records,
    average_seeds,
    last_step,
    target_values,
    trained,
    weights_matrix,
)
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.settings import RecordsSettings
from modomodo.mixtures.strategies.acquire import believed
from modomodo.mixtures.surrogates.base import Objective, Predictor, objective, observe, surrogates
from modomodo.mixtures.surrogates.calibration import DEFAULT, leave_one_mixture_out
from modomodo.study.checks import read_study

ROOT = Path(__file__).resolve().parents[1]
WORLDS = ("conflict", "worthless", "aside")
TARGET = "out_score"
BATCH = 8  # runs that are spent
AT_ONCE = 4  # of them in a batch
TOP = 3  # mixtures that `top` repeats
Run = tuple[str, bool]  # a mixture, and whether it is its repeat


@dataclass(frozen=True)
class Recorded:
    """The last scores of a world's runs under one seed. `seeds`: the seed mixtures, `others` the rest."""

    records: Records
    seeds: tuple[str, ...]
    others: tuple[str, ...]
    seed: int

    def of(self, mixtures: Sequence[str]) -> Records:
        """The runs of some mixtures."""
        kept = self.records.frame["mixture"].isin(mixtures)
        return replace(self.records, frame=self.records.frame[kept].reset_index(drop=True))

    def weights(self, mixtures: Sequence[str]) -> np.ndarray:
        """Of mixtures, [n, domains], domains by name."""
        rows = self.records.frame.set_index("mixture").loc[list(mixtures)].reset_index()
        return weights_matrix(replace(self.records, frame=rows), sorted(self.records.domains))


def read_world(path: Path) -> tuple[Recorded, Recorded]:
    """A world under each of its two seeds."""
    records = last_step(trained(read_records(path)))
    frame = records.frame
    kind = frame.drop_duplicates("mixture").set_index("mixture")["strategy"].sort_index()
    first = tuple(kind.index[kind.isin(["single", "exclude", "all"])])
    others = tuple(kind.index.difference(first))
    one, other = (
        Recorded(
            replace(records, frame=frame[frame["seed"] == seed].reset_index(drop=True)),
            first,
            others,
            int(seed),
        )
        for seed in sorted(set(frame["seed"]))
    )
    return one, other


def scored(worlds: tuple[Recorded, Recorded], runs: Sequence[Run]) -> Records:
    """The last scores of some runs: first ones under a world's seed, repeats under its other one."""
    own, other = (
        world.of([name for name, again in runs if again == repeat])
        for world, repeat in zip(worlds, (False, True), strict=True)
    )
    frame = pd.concat([own.frame, other.frame], ignore_index=True)
    return replace(own, frame=frame)


def fitted(known: Records, seed: int) -> tuple[Predictor, Objective]:
    """The default surrogate."""
    aim = objective(known, TARGET)
    return surrogates[DEFAULT](observe(known, aim), seed), aim


def chosen(
    worlds: tuple[Recorded, Recorded], runs: Sequence[Run], pool: Sequence[str], again: bool, seed: int
) -> list[Run]:
    """A batch by expected gain: mixtures of the pool, and with `again` those known or just chosen once more."""
    surrogate, aim = fitted(scored(worlds, runs), seed)
    first = [name for name, repeat in runs if not repeat]
    new = [name for name in pool if name not in first]
    points = worlds[0].weights([*new, *first])
    belief, _ = believed(surrogate, aim.shares, points, np.random.default_rng(seed))
    open_ = [int(again and (name, True) not in runs) for name in first]
    actions = [*[Action(1.0, 1 + again)] * len(new), *(Action(1.0, times) for times in open_)]
    found: list[Run] = []
    excludes = np.zeros((len(actions), len(actions)), bool)
    for one in spend(belief, actions, AT_ONCE, AT_ONCE, excludes):
        name = [*new, *first][one.action]
        found.append((name, name in first or (name, False) in found))
    return found


def replayed(worlds: tuple[Recorded, Recorded], repeat: int) -> Iterator[dict]:
    """What each arm would use after its eight runs."""
    own = worlds[0]
    random = np.random.default_rng(repeat)
    pool = sorted(random.permutation(own.others)[: len(own.others) // 2])
    start: list[Run] = [(name, False) for name in own.seeds]
    ends = {"seed mixtures": start}
    for arm, again in (("new", False), ("repeat", True)):
        runs = list(start)
        for batch in range(BATCH // AT_ONCE):
            runs += chosen(worlds, runs, pool, again, 100 * repeat + batch)
        ends[arm] = runs
    few = ends["new"][: len(start) + BATCH - TOP]
    best = means(scored(worlds, few)).sort_values(ascending=False, kind="stable").index[:TOP]
    ends["top"] = [*few, *((str(name), True) for name in best)]
    for arm, runs in ends.items():
        known = scored(worlds, runs)
        found = means(known)
        surrogate, aim = fitted(known, repeat)
        names = list(found.index)
        expected = surrogate.mean(own.weights(names)) @ aim.shares
        about = {"seed": own.seed, "repeat": repeat, "arm": arm, "repeats": sum(again for _, again in runs)}
        for rule, pick in (("score", found.idxmax()), ("expected", names[int(np.argmax(expected))])):
            yield about | {"pick": rule, "mixture": pick, "score": float(found[pick])}


def means(known: Records) -> pd.Series:
    """Mixture → its mean over seeds, by name."""
    averaged = average_seeds(replace(known, frame=known.frame.assign(step=0)))
    return pd.Series(target_values(averaged, TARGET), averaged.frame["mixture"].astype(str)).sort_index()


def judged(world: World, mixtures: Sequence[str], seeds: Sequence[int]) -> Iterator[dict]:
    """The scores of a world's mixtures under seeds, of runs that are there."""
    settings = RecordsSettings.of(world.study)
    files = [world.folder / f"scores/{mixture}/{seed}.json" for mixture in mixtures for seed in seeds]
    described = [world.folder / f"mixtures/{mixture}.json" for mixture in mixtures]
    records = last_step(read_scored(files, described, settings.domains, dict(settings.benchmarks)))
    for (mixture, seed), value in zip(
        records.frame[["mixture", "seed"]].itertuples(index=False),
        target_values(records, TARGET),
        strict=True,
    ):
        yield {"world": world.study.name, "mixture": mixture, "seed": int(seed), "out_score": float(value)}


def train(worlds: Sequence[World], runs: Sequence[tuple[World, str, int]], workers: int) -> None:
    """All that is missing."""
    with worker_pool(workers) as pool:
        wait(pool.map(make_base, worlds), "base models", len(worlds))
        wait(pool.map(make_mixtures, worlds), "mixtures", len(worlds))
        jobs = [pool.submit(run_mixture, *run) for run in runs]
        wait((job.result() for job in jobs), "runs", len(jobs))


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the replays of a world, and how far they are ahead of `new`, paired, with standard errors."""
    keys = ["world", "seed", "repeat", "pick"]
    judges = [name for name in ("left_out", "trained_again") if name in rows]
    found = []
    for (world, pick, arm), part in rows.groupby(["world", "pick", "arm"], sort=False):
        row = {
            "world": world,
            "pick": pick,
            "arm": arm,
            "repeats": part["repeats"].mean(),
            "score": part["score"].mean(),
        }
        for judge in judges:
            at = rows.pivot_table(index=keys, columns="arm", values=judge).xs(
                (world, pick), level=("world", "pick")
            )
            ahead = at[arm] - at["new"]
            error = ahead.std(ddof=1) / np.sqrt(len(ahead))
            row |= {judge: part[judge].mean(), f"{judge}_ahead": ahead.mean(), f"{judge}_error": error}
        found.append(row)
    return pd.DataFrame(found).round(4)


def left_out(world: tuple[Recorded, Recorded]) -> pd.Series:
    """Mixture → its Out-Score as expected from both seeds of all others."""
    frame = pd.concat([one.records.frame for one in world], ignore_index=True)
    both = replace(world[0].records, frame=frame)
    aim = objective(both, TARGET)
    seen = observe(both, aim)
    left = leave_one_mixture_out(seen, surrogates[DEFAULT], 0)
    return pd.Series(left.mean[:, 0], list(seen.mixtures)).groupby(level=0).first()


def picks_of(names: Sequence[str], replays: int) -> pd.DataFrame:
    """All replays of some worlds."""
    rows = []
    for name in names:
        pair = read_world(ROOT / f"benchmarks/tables/{name}.csv")
        expected = left_out(pair)
        for worlds in (pair, pair[::-1]):
            for repeat in console.progress(range(replays), f"{name}, seed {worlds[0].seed}"):
                rows += [
                    {"world": name, **row, "left_out": float(expected[row["mixture"]])}
                    for row in replayed(worlds, repeat)
                ]
    return pd.DataFrame(rows)


def trained_again(picks: pd.DataFrame, seeds: Sequence[int], workers: int) -> pd.DataFrame:
    """The scores of all picks under further seeds."""
    wanted = picks[["world", "mixture"]].drop_duplicates().sort_values(["world", "mixture"])
    names = sorted(set(wanted["world"]))
    print(f"{len(wanted)} mixtures are picked", flush=True)
    places = {name: Path("results") / name for name in names}
    made = {
        name: World(read_study(ROOT / f"config/worlds/{name}.yaml"), place, place)
        for name, place in places.items()
    }
    runs = [
        (made[world], mixture, seed) for seed in seeds for world, mixture in wanted.itertuples(index=False)
    ]
    train(list(made.values()), runs, workers)
    of_world = wanted.groupby("world")["mixture"]
    return pd.DataFrame([row for name, of in of_world for row in judged(made[name], list(of), seeds)])


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--worlds", nargs="+", default=WORLDS, help="names of tables (all three)")
    parser.add_argument("--replays", type=int, default=20, help="under each seed of a table (20)")
    parser.add_argument(
        "--judges", type=int, nargs="*", default=[44], help="further seeds; none: train nothing (44)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (2)")
    parser.add_argument("--output", type=Path, required=True, help="folder of the tables")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "repeats.csv"
    picks = pd.read_csv(path) if path.exists() else picks_of(arguments.worlds, arguments.replays)
    write_csv(path, picks)
    if arguments.judges:
        scores = trained_again(picks, arguments.judges, arguments.workers)
        write_csv(arguments.output / "repeats_judged.csv", scores)
        mean = scores.groupby(["world", "mixture"])["out_score"].mean()
        keys = zip(picks["world"], picks["mixture"], strict=True)
        picks["trained_again"] = [float(mean[key]) for key in keys]
        write_csv(path, picks)
    summary = summarise(picks)
    write_csv(arguments.output / "repeats_summary.csv", summary)
    print(summary.to_string(index=False))


if __name__ == "__main__":
    command_line.run(main)
