"""Would a budget do better to score merges than to train? Replayed on a world's table, at equal hours.

Of a world under one seed its singles and the equal mixture are known (6 in `conflict`), or all but one domain too (11),
and a random half of the others may be trained. `new` spends two, four or eight runs on a batch by expected improvement
on the default surrogate. With merges the scores of merged experts on all of these are known first
(scripts/score_merges.py), and the batch is chosen by the surrogate that knows them: `free` trains as many, as if
merges cost nothing, and a price of so many merges a run leaves so many runs fewer. The best score is picked, and judged
by that mixture's run under the table's other seed; so are all that were trained (`batch`).

--merged has the merges of a world's mixtures under each of its seeds: SEED=merged.csv.

Example:
    python benchmarks/merge_budget.py --table benchmarks/tables/conflict.csv \
        --merged 42=42/merged.csv 43=43/merged.csv --output /tmp/merge_budget.csv
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from repeats import TARGET, Recorded, means, read_world

from modomodo import command_line, console
from modomodo.files import write_csv
from modomodo.mixtures.acquisition import Acquisition, acquire
from modomodo.mixtures.records import Records
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.surrogates.base import objective, observe, surrogates
from modomodo.mixtures.surrogates.calibration import DEFAULT

FEW = ("single", "all")
BUDGETS = (2, 4, 8)  # runs


def batch(
    world: Recorded, known: Sequence[str], pool: Sequence[str], merged: Records | None, seed: int
) -> list[str]:
    """Eight mixtures of a pool, the most wanted first."""
    seen = world.of(known)
    aim = objective(seen, TARGET)
    surrogate = surrogates["merged" if merged else DEFAULT](observe(seen, aim, merged), seed)
    weights = world.weights(pool)
    wanted = Acquisition("expected_improvement", max(BUDGETS))
    found = acquire(surrogate, aim, weights, wanted, np.random.default_rng(seed))
    return [pool[int(np.abs(weights - one.weights).sum(axis=1).argmin())] for one in found]


def replayed(
    worlds: tuple[Recorded, Recorded], merges: Records, prices: Sequence[int], repeat: int
) -> Iterator[dict]:
    """What each arm picks, by the seed mixtures known."""
    own, other = worlds
    random = np.random.default_rng(repeat)
    pool = sorted(random.permutation(own.others)[: len(own.others) // 2])
    judged = means(other.records)
    kinds = own.records.frame.set_index("mixture")["strategy"]
    for start in (tuple(name for name in own.seeds if kinds[name] in FEW), own.seeds):
        named = merges.frame["mixture"].str.partition("@")[0]
        scored = replace(merges, frame=merges.frame[named.isin([*start, *pool])].reset_index(drop=True))
        alone = batch(own, start, pool, None, repeat)
        with_merges = batch(own, start, pool, scored, repeat)
        for budget in BUDGETS:
            arms = {"new": alone[:budget], "free": with_merges[:budget]}
            for price in prices:
                if (runs := budget - math.ceil(len(scored) / price)) > 0:
                    arms[f"{price} a run"] = with_merges[:runs]
            for arm, trained in arms.items():
                pick = means(own.of([*start, *trained])).idxmax()
                about = {
                    "seed": own.seed,
                    "repeat": repeat,
                    "known": len(start),
                    "budget": budget,
                    "arm": arm,
                }
                found = {"runs": len(trained), "mixture": pick, "judged": float(judged[pick])}
                yield about | found | {"batch": float(judged[trained].mean())}


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the replays; ahead of `new`, paired, with its standard error."""
    groups = ["known", "budget"]
    wide = rows.pivot_table(index=[*groups, "seed", "repeat"], columns="arm", values="judged")
    found = []
    for (*group, arm), part in rows.groupby([*groups, "arm"], sort=False):
        at = wide.xs(tuple(group), level=groups)
        ahead = at[arm] - at["new"]
        row = dict(zip(groups, group, strict=True)) | {"arm": arm, "runs": part["runs"].mean()}
        row |= {"batch": part["batch"].mean(), "judged": part["judged"].mean(), "ahead": ahead.mean()}
        found.append(row | {"standard_error": ahead.std(ddof=1) / np.sqrt(len(ahead))})
    return pd.DataFrame(found).round(4)


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--table", type=Path, required=True, help="a world's table")
    parser.add_argument(
        "--merged", nargs="+", required=True, metavar="SEED=CSV", help="its merges under a seed"
    )
    parser.add_argument(
        "--prices", type=int, nargs="+", default=[26, 100], help="merges that cost a run (26 100)"
    )
    parser.add_argument("--replays", type=int, default=20, help="under each seed (20)")
    parser.add_argument("--output", type=Path, required=True, help="CSV, a row a pick")
    arguments = parser.parse_args()
    merges = {int(seed): Path(path) for seed, _, path in (given.partition("=") for given in arguments.merged)}
    pair = read_world(arguments.table)
    rows: list[dict] = []
    for worlds in (pair, pair[::-1]):
        if worlds[0].seed in merges:
            merged = read_records(merges[worlds[0].seed], of_cheaper=True)
            for repeat in console.progress(range(arguments.replays), f"seed {worlds[0].seed}"):
                rows += replayed(worlds, merged, arguments.prices, repeat)
    frame = pd.DataFrame(rows)
    write_csv(arguments.output, frame)
    print(summarise(frame).to_string(index=False))


if __name__ == "__main__":
    command_line.run(main)
