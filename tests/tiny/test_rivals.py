"""The study of rivals (config/rivals.yaml, benchmarks/rivals.py): the world that it says it is, and equal times."""

import runpy
import sys

import pytest
from running import ROOT

from modomodo.study.checks import read_study


@pytest.fixture(scope="module")
def pipelines():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield runpy.run_path(str(ROOT / "benchmarks/pipelines.py"), run_name="pipelines")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_the_rivals_are_trained_in_the_world_conflict():
    """But for what is scored; so they share its base model, and runs of equal weights are those of its table."""
    world, rivals = (read_study(ROOT / f"config/{name}.yaml") for name in ("worlds/conflict", "rivals"))
    for part in ("model", "domains", "prompts", "draw", "evaluation"):
        assert getattr(rivals, part) == getattr(world, part)
    scored = {"scored_steps": world.training.scored_steps}
    assert rivals.training.model_copy(update=scored) == world.training
    out = {name: one for name, one in world.benchmarks.items() if one.group == "out"}
    assert rivals.benchmarks == out and rivals.training.scored_steps == world.training.scored_steps[-1:]


def test_a_race_takes_the_time_of_the_batch_in_full(pipelines):
    # 13 quarters, 10 quarters and 3 halves of 5.8 s of training, and 26 checkpoints of 6.7 / 3 s, in runs of 12.5 s.
    by_hand = ((13 / 4 + 10 / 4 + 3 / 2) * 5.8 + 26 * 6.7 / 3) / 12.5
    assert pipelines["race_time"]((10, 20, 40)) == pytest.approx(by_hand, abs=0.01)
    assert by_hand == pytest.approx(pipelines["BATCH"], rel=0.005)


def test_those_that_finish_a_race_are_the_best_at_its_steps(pipelines):
    world = next(pipelines["read_world"](ROOT / "benchmarks/tables/conflict.csv"))
    batch = list(world.others[:13])
    *seeds, first, second, third = pipelines["_raced"](world, batch, False)
    assert tuple(seeds) == world.seeds
    frame = world.records.frame.set_index(["mixture", "step"])["out_score"].unstack()
    half = frame.loc[frame.loc[batch, 10].nlargest(10).index, 20]
    assert {first, second, third} == set(half.nlargest(3).index)
