"""The worlds of benchmarks/tables: studies of enough mixtures, and a table that any replay reads."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rlvr_tables
import yaml
from in_process import World
from running import ROOT

from modomodo.files import write_json
from modomodo.mixtures.records import write_records
from modomodo.mixtures.records_csv import read_records
from modomodo.replay.config import replay_from
from modomodo.study.checks import study_from

WORLDS = sorted((ROOT / "config/worlds").glob("*.yaml"))
MADE = {(mixture, seed): 0.1 * seed for mixture in ("single-boxes", "single-science") for seed in (1, 2)}


@pytest.mark.parametrize("path", WORLDS, ids=lambda path: path.stem)
def test_a_world_has_a_hundred_different_mixtures_of_every_kind(path: Path) -> None:
    world = rlvr_tables.world_of(path)
    planned, study = world.plan(), world.study
    assert study.name == path.stem
    matrix = np.array([[row[domain] for domain in study.domains] for row in planned.weights.values()])
    assert len(np.unique(matrix.round(6), axis=0)) == len(matrix) == len(planned.mixtures) >= 100
    number = len(study.domains)
    share = (matrix > 0).sum(axis=1)
    assert (share == 1).sum() == number  # corners, each drawn mixture having some of every domain
    assert (share == 2).sum() == number * (number - 1) // 2
    assert ((share == number - 1) & (matrix.max(axis=1) < 0.34)).sum() >= number
    assert [np.ptp(row) < 1e-9 for row in matrix].count(True) == 1
    assert len(study.training.scored_steps) == 3
    runs = rlvr_tables.runs(world, [42, 43])
    assert len(runs) == len(set(runs)) == 1 + 2 * len(matrix)
    again = rlvr_tables.world_of(path).plan().weights
    assert again == planned.weights, "seeded"


def test_the_worlds_differ_in_more_than_their_seeds() -> None:
    studies = [rlvr_tables.world_of(path).study for path in WORLDS]
    assert len({tuple(study.domains) for study in studies}) == len(studies) >= 3
    kinds = [{d.options.get("answers", "right") for d in study.domains.values()} for study in studies]
    assert sum("wrong_format" in found for found in kinds) >= 1, "one where domains interfere"
    assert sum("unreachable" in found for found in kinds) >= 1, "one with a domain that is worth nothing"


@pytest.fixture
def world(study_data, tmp_path) -> World:
    """Two singles under two seeds, scored by hand: the second domain ran out at step 3."""
    study_data["strategies"] = {"single": {"propose": "single", "group": "seed", "without": ["relation"]}}
    made = World(study_from(study_data, "small"), tmp_path, tmp_path)
    steps = made.study.training.scored_steps

    def scored(mixture: str, seed: int, value: float, at: list[int]) -> None:
        score = {"metric": "exact_match", "version": 1, "n": 10, "standard_error": 0.05, "unparsed": 0}
        values = {"science_test": value, "chart": 1 - value}
        rows = {str(step): {name: {**score, "score": v} for name, v in values.items()} for step in at}
        write_json(
            tmp_path / f"scores/{mixture}/{seed}.json", {"mixture": mixture, "seed": seed, "steps": rows}
        )

    scored("base", 0, 0.5, [0])
    for (mixture, seed), value in MADE.items():
        scored(mixture, seed, value, steps)
        last = 3 if mixture == "single-science" else 9
        checkpoints = {str(step): {"step": min(step, last)} for step in steps}
        write_json(tmp_path / f"runs/{mixture}/{seed}/run.json", {"checkpoints": checkpoints})
    for mixture, weights in made.plan().weights.items():
        found = {"name": mixture, "weights": weights, "strategy": "single", "round": 0}
        write_json(tmp_path / f"mixtures/{mixture}.json", found | {"observed": None, "predicted": None})
    return made


def test_a_table_holds_every_run_and_reads_as_recorded_runs(world: World, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_records(path, rlvr_tables.table(world, [1, 2]))
    read = read_records(path)
    frame = read.frame.set_index(["mixture", "seed", "step"])
    assert len(frame) == 1 + 4 * 3
    assert read.domains == ["boxes", "science", "relation"] and read.benchmarks == ["science_test", "chart"]
    row = frame.loc[("single-science", 2, 7)]
    assert (row["w_science"], row["y_science_test"], row["y_chart"]) == (
        1.0,
        pytest.approx(0.2),
        pytest.approx(0.8),
    )
    assert row["se_chart"] == 0.05 and read.aggregates["out_score"] == {"chart": 10}
    assert (row["strategy"], int(row["trained_steps"])) == ("single", 3)
    assert (
        np.isnan(frame.loc[("base", 0, 0), "w_boxes"])
        and int(frame.loc[("base", 0, 0), "trained_steps"]) == 0
    )
    config = {"name": "x", "records": {"path": str(path)}, "strategies": {"next": {"propose": "acquire"}}}
    assert replay_from(yaml.safe_load(yaml.safe_dump(config)), "x").records.path == str(path)


def test_half_a_table_is_not_written(world: World, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(rlvr_tables, "world_of", lambda path: world)
    words = [
        "rlvr_tables",
        "--worlds",
        "x",
        "--seeds",
        "1",
        "2",
        "--write-only",
        "--output",
        str(tmp_path / "out"),
    ]
    monkeypatch.setattr("sys.argv", words)
    (tmp_path / "scores/single-boxes/2.json").rename(tmp_path / "kept.json")
    rlvr_tables.main()
    assert "small: 1 of 5 runs are missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "kept.json").rename(tmp_path / "scores/single-boxes/2.json")
    rlvr_tables.main()
    assert (tmp_path / "out/small.csv").exists()


@pytest.mark.parametrize("path", WORLDS, ids=lambda path: path.stem)
def test_the_published_table_has_every_run_of_its_world(path: Path) -> None:
    """The base model, then 104 mixtures under two seeds at three steps, with the weights that the study proposes (to six digits)."""
    world = rlvr_tables.world_of(path)
    table = pd.read_csv(ROOT / f"benchmarks/tables/{path.stem}.csv")
    runs = table[table.mixture != "base"]
    assert len(table) == len(runs) + 1
    steps = runs.groupby(["mixture", "seed"]).step.apply(list)
    assert {("base", 0), *steps.index} == set(rlvr_tables.runs(world, [42, 43]))
    assert all(scored == list(world.study.training.scored_steps) for scored in steps)
    planned = world.plan().weights
    for domain in world.study.domains:
        wanted = [planned[mixture][domain] for mixture in runs.mixture]
        np.testing.assert_allclose(runs[f"w_{domain}"], wanted, atol=5e-6)
    scores = runs[[column for column in runs if column.startswith("y_")]]
    assert scores.notna().all(axis=None) and scores.to_numpy().min() >= 0 and scores.to_numpy().max() <= 1
