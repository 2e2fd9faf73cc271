"""The replay of successive halving (benchmarks/halving.py): what a race costs, and whose score a pick is judged by."""

import halving as replay
import numpy as np
import pandas as pd
import pytest


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
    return next(replay.read_tables(tmp_path / "world.csv", "quiz"))


def test_a_race_pays_for_the_steps_that_were_trained():
    rungs = replay.rungs_of((10, 20, 40), {0.25: 16, 0.5: 8, 1: 4})
    assert rungs == {0: 16, 1: 8, 2: 4}
    assert replay._share((10, 20, 40), rungs, 16) == (16 * 10 + 8 * 10 + 4 * 20) / (16 * 40)
    assert replay.rungs_of((10, 20, 40), {0.25: 16, 0.75: 8, 1: 4}) is None


def test_a_pick_is_judged_by_the_other_seed_and_only_what_was_reached_is_known(table, monkeypatch):
    assert table.judged.min() > 0.7 > table.found.scores.max()
    seen = []
    decide = replay.decide
    monkeypatch.setattr(replay, "decide", lambda known, *rest: seen.append(known) or decide(known, *rest))
    table.decision({0: np.arange(4), 1: np.array([1, 2])}, given=np.array([6]))
    known = np.isfinite(seen[0].scores)
    assert known[:, 0].tolist() == [True] * 4 + [False, False, True, False]
    assert np.flatnonzero(known[:, 1]).tolist() == [1, 2, 6]
    assert np.flatnonzero(known[:, 2]).tolist() == [6]


def test_every_method_finds_the_best_where_scores_tell_and_random_need_not(table, monkeypatch):
    monkeypatch.setattr(replay, "RACES", ({0.25: 6, 0.5: 4, 1: 2},))
    rows = pd.DataFrame(row for seed in range(3) for row in replay.races(table, 6, seed))
    regret = rows.groupby("method")["regret"].max()
    assert (regret[["full", "full, expected", "halving", "halving, alone", "ASHA", "hindsight"]] == 0).all()
    assert regret["random"] > 0
    summary = replay.by_family(replay.summarise(rows, {table.name: table}, 6))
    halving = summary[summary["method"] == "halving"].iloc[0]
    assert halving["share of steps"] == round((6 * 10 + 4 * 10 + 2 * 20) / 240, 3)
    assert halving["difference"] == 0
    assert (replay.without_signal(rows)["no signal"] == 0).all()


def test_a_standard_error_is_that_over_new_tables_and_not_over_new_races():
    """Races whose value is the mean over their mixtures: in sum the mean of the table, known to sd / √n."""
    random = np.random.default_rng(0)
    scores = random.normal(0, 1, 50)
    within = np.array([random.permutation(np.arange(50) < 10) for _ in range(3000)], float)
    values = within @ scores / 10
    assert replay.jackknife(values, within, 50) == pytest.approx(scores.std() / 50**0.5, rel=0.15)
    assert values.std() / 3000**0.5 < 0.1 * scores.std() / 50**0.5
