"""The replay of successive halving (benchmarks/halving.py): what a race costs, and whose score a pick is judged by."""

import runpy

import numpy as np
import pandas as pd
import pytest
from running import ROOT

replay = runpy.run_path(str(ROOT / "benchmarks/halving.py"), run_name="replay")


@pytest.fixture
def table(tmp_path):
    """Eight mixtures under two seeds, at a quarter, a half and all of the steps; the other seed's scores are shifted."""
    random = np.random.default_rng(0)
    rows = []
    for number, first in enumerate(random.random(8)):
        for seed in (1, 2):
            for step in (10, 20, 40):
                score = 0.4 + 0.1 * first * step / 40 + 0.3 * (seed - 1)
                rows.append(
                    {"mixture": f"m{number}", "seed": seed, "step": step, "w_a": first, "w_b": 1 - first}
                    | {"y_quiz": score, "se_quiz": 0.01}
                )
    pd.DataFrame(rows).to_csv(tmp_path / "world.csv", index=False)
    return next(replay["read_tables"](tmp_path / "world.csv", "quiz"))


def test_a_race_pays_for_the_steps_that_were_trained():
    reached = [["a"] * 16, ["a"] * 8, ["a"] * 4]
    assert replay["_share"]((10, 20, 40), reached, 16) == (16 * 10 + 8 * 10 + 4 * 20) / (16 * 40)


def test_a_pick_is_judged_by_the_other_seed_and_only_what_was_reached_is_known(table):
    assert table.judged.min() > 0.7 > table.scores[40].max()
    known = table.until([sorted(table.scores.index), ["m1", "m2"]]).frame
    assert sorted(set(known["step"])) == [10, 20] and len(known) == 10
    assert set(known["seed"]) == {1}


def test_every_method_finds_the_best_where_scores_tell_and_random_need_not(table, monkeypatch):
    monkeypatch.setitem(replay["races"].__globals__, "RUNGS", ((4, 2),))
    rows = pd.DataFrame(row for seed in range(3) for row in replay["races"](table, 8, seed))
    regret = rows.groupby("method")["regret"].max()
    assert (regret[["full", "full, expected", "halving", "ASHA"]] == 0).all() and regret["random"] > 0
    summary = replay["summarise"](rows)
    halving = summary[summary["method"] == "halving"].iloc[0]
    assert halving["share of steps"] == 0.5 and halving["difference"] == 0
