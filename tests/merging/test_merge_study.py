"""The study of when merging predicts what training gives: its comparison by hand, and a small one for real."""

import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from modomodo.mixtures.records import from_rows, write_records
from modomodo.mixtures.surrogates.base import MergedScores, Observations

ROOT = Path(__file__).parents[2]
study = runpy.run_path(str(ROOT / "benchmarks/merge_study.py"), run_name="study")


def test_the_verdict_by_hand():
    truth = np.array([0.1, 0.5, 0.3, 0.2])
    verdict = study["measure"](np.array([0.2, 0.4, 0.6, 0.1]), truth)
    # Ranks 2 3 4 1 against 1 4 3 2: squared differences 1 + 1 + 1 + 1, so 1 - 6 · 4 / (4 · 15).
    assert verdict["spearman"] == pytest.approx(0.6)
    assert verdict["rmse"] == pytest.approx(np.sqrt((0.01 + 0.01 + 0.09 + 0.01) / 4))
    assert verdict["regret"] == pytest.approx((0.5 - 0.3) / (0.5 - 0.1))
    assert study["measure"](np.full(4, 0.3), truth)["spearman"] == 0.0


def block(count=8):
    """Training does what merging at 1.5 says; six mixtures and three experts are learned from."""
    random = np.random.default_rng(0)
    weights = np.concatenate([np.eye(3), random.dirichlet(np.ones(3), 6 + count)])
    scores = np.column_stack([np.sin(7 * weights[:, 0]), weights[:, 1] ** 2])
    merged = MergedScores(
        np.repeat([1.0, 1.5], len(weights)),
        np.tile(weights, (2, 1)),
        np.concatenate([random.random(scores.shape), scores]),
    )
    every = Observations(
        weights,
        scores,
        np.full(scores.shape, np.nan),
        np.ones(len(weights)),
        tuple(map(str, range(len(weights)))),
        ("a", "b", "c"),
        ("x", "y"),
        np.array([0.5, 0.5]),
        merged,
    )
    chosen = np.arange(len(weights)) < 9
    return study["Block"]("world", 42, "out_score", every.rows(chosen), every.rows(~chosen))


def test_other_seeds_are_a_second_truth():
    first = block()
    # Another seed gives the unseen mixtures their rank in reverse; another target and another order must not mix in.
    other = replace(first.unseen, scores=1 - first.unseen.scores).rows(np.arange(len(first.unseen))[::-1])
    blocks = [
        first,
        replace(first, seed=43, unseen=other),
        replace(first, seed=43, target="mean of all", unseen=other),
    ]
    crossed = study["with_other_seeds"](first, blocks)
    assert crossed.elsewhere == pytest.approx(1 - first.truth)
    verdict = study["measure_both"](first.truth, crossed)
    assert verdict["spearman"] == pytest.approx(1) and verdict["spearman_other_seeds"] == pytest.approx(-1)
    alone = study["with_other_seeds"](first, [first])
    assert alone.elsewhere is None and "spearman_other_seeds" not in study["measure_both"](first.truth, alone)


def test_merging_alone_is_read_off_its_own_rows():
    assert block().alone(1.5) @ np.array([0.5, 0.5]) == pytest.approx(block().truth)
    table = pd.DataFrame(study["merging_alone"](block()))
    best = table[table["score"] == "target"].set_index("alpha")
    assert best.loc[1.5, "spearman"] == pytest.approx(1) and best.loc[1.5, "rmse"] == pytest.approx(0)
    assert best.loc[1.0, "spearman"] < 1
    assert set(table["score"]) == {"target", "x", "y"}


def test_every_method_is_compared_on_the_same_mixtures():
    table = pd.DataFrame(study["compare"](block()))
    assert table.groupby("method").size().to_dict() == {
        "merge alone": 1,
        # 5 and 8 of the 9 runs: five draws each
        **dict.fromkeys(("quadratic", "gp_average", "gp_sqrt", "ridge_sqrt", "merged"), 10),
    }
    means = table.groupby("method")["rmse"].mean()
    assert means["merged"] < 0.5 * means["gp_average"]


def test_chosen_mixtures_are_compared_with_the_random_ones(tmp_path):
    random = {"r1": 0.2, "r2": 0.4, "r3": 0.6}
    for seed, shift in ((42, 0.0), (43, 0.1), (44, 0.5)):
        for file, strategy, scores in (
            ("records", "unseen", random),
            ("chosen", "screened", {"screened-001": 0.5, "screened-002": 0.7}),
        ):
            rows = [
                {
                    "mixture": name,
                    "seed": seed,
                    "step": 9,
                    "strategy": strategy,
                    "weights": {"a": 0.5, "b": 0.5},
                    "scores": {"x": 0.0, "y": score + shift},
                }
                for name, score in scores.items()
            ]
            if file == "records":  # learned from, so not among those compared with
                rows.append({**rows[0], "mixture": "all", "strategy": "all", "scores": {"x": 0.0, "y": 0.9}})
            shares = {"in_score": {"x": 1}, "out_score": {"y": 1}}
            write_records(tmp_path / f"{file}-{seed}.csv", from_rows(rows, ["a", "b"], ["x", "y"], shares))
    table = pd.DataFrame(study["chosen"](tmp_path, ["all"], 42))
    assert table["better"].tolist() == [1, 0] * 5 and set(table["of"]) == {3}
    table = table.set_index(["seed", "mixture"])
    assert table.loc[("mean", "screened-002"), "score"] == pytest.approx(0.9)
    others = table.loc[("other seeds", "screened-002")]
    assert others["score"] == pytest.approx(1.0) and others["best"] == pytest.approx(0.9)
    assert others["mean"] == pytest.approx(0.7) and others["spread"] == pytest.approx(0.2)


@pytest.mark.slow
def test_a_small_study_is_trained_merged_and_compared(tmp_path):
    small = yaml.safe_load((ROOT / "config/test.yaml").read_text())
    small["training"]["scored_steps"] = [9]
    small["strategies"] = {
        "single": {"propose": "single", "group": "seed"},
        "all": {"propose": "all", "group": "seed"},
        "random": {"propose": "dirichlet", "group": "seed", "count": 2, "seed": 1},
        "unseen": {"propose": "dirichlet", "group": "unseen", "count": 3, "seed": 2},
    }
    small["merging"] = {"alphas": [1.0, 1.5]}
    small.pop("held_out", None)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    words = ["--study", "small.yaml", "--worlds", "0", "--seeds", "42", "--workers", "2", "--output", "out"]
    words += ["--screen", "6"]
    command = [sys.executable, str(ROOT / "benchmarks/merge_study.py"), *words]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1800)
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    table = pd.read_csv(tmp_path / "out/comparison.csv")
    assert set(table["method"]) == {
        "merge alone",
        "quadratic",
        "gp_average",
        "gp_sqrt",
        "ridge_sqrt",
        "merged",
    }
    costs = pd.read_csv(tmp_path / "out/costs.csv").set_index("work")
    assert (
        costs.loc["train", "jobs"] == 8 + 4 * 3
        and costs.loc["merge", "cpu_seconds"] < costs.loc["train", "cpu_seconds"]
    )
    assert costs.loc["screen", "jobs"] == 2 and costs.loc["screen", "wall_seconds"] > 0
    chosen = pd.read_csv(tmp_path / "out/chosen.csv")
    assert chosen.groupby("strategy").size().to_dict() == {
        f"{name}-{first}": 3 for name in ("merge_screen", "gp_average") for first in ("few", "all")
    }
    assert (tmp_path / "out/by_runs.svg").exists()
    # Again: nothing is trained.
    world = tmp_path / "results/test/world-0"
    runs = {path: path.stat().st_mtime_ns for path in world.glob("runs/*/*/run.json")}
    again = subprocess.run(
        [*command, "--compare"], cwd=tmp_path, capture_output=True, text=True, timeout=1800
    )
    assert again.returncode == 0 and len(runs) == 8 + 12
    assert {path: path.stat().st_mtime_ns for path in world.glob("runs/*/*/run.json")} == runs
