"""The study of rivals (config/rivals.yaml, benchmarks/rivals.py): its worlds, equal times, and what is picked."""

import math
from dataclasses import replace

import pipelines
import pytest
import rivals
from running import ROOT

from modomodo.mixtures.plan import plan
from modomodo.mixtures.records_csv import read_records
from modomodo.study.checks import read_study

STEPS = 40


@pytest.fixture
def run():
    def made(mixture: str, score: float, replaced: float = 0.0):
        factor = 1 + pipelines.GENERATION * replaced
        work = {step: step * factor for step in pipelines.RUNGS}
        return pipelines.Run(mixture, 42, replaced > 0, work, STEPS, score)

    return made


def test_the_rivals_are_trained_in_the_world_conflict():
    """But for what is scored; so they share its base model, and seed mixtures are runs of its table."""
    world, study = (read_study(ROOT / f"config/{name}.yaml") for name in ("worlds/conflict", "rivals"))
    for part in ("model", "domains", "benchmarks", "prompts", "draw", "evaluation"):
        assert getattr(study, part) == getattr(world, part)
    kept = {"scored_steps": world.training.scored_steps, "keep_weights": world.training.keep_weights}
    assert study.training.model_copy(update=kept) == world.training
    assert study.training.scored_steps == world.training.scored_steps[-1:]


def test_another_world_gets_the_same_strategies():
    study = rivals.study_of("worthless")
    world = read_study(ROOT / "config/worlds/worthless.yaml")
    assert study.domains == world.domains and study.benchmarks == world.benchmarks
    assert study.strategies == read_study(ROOT / "config/rivals.yaml").strategies
    assert len(plan(study).by_strategy["search"]) >= max(counts[0] for counts in rivals.RACES.values())


def test_held_out_questions_are_others_of_the_same_benchmarks():
    study = rivals.study_of("conflict")
    fresh = rivals.held_out_world(study, rivals.Setting("conflict", 42, False)).study.benchmarks
    assert list(fresh) == list(rivals.out_benchmarks(study))
    seeds = {one.options["seed"] for one in [*study.domains.values(), *study.benchmarks.values()]}
    for name, one in fresh.items():
        asked = study.benchmarks[name]
        assert one.options["seed"] not in seeds and one.options["size"] == rivals.HELD_OUT
        same = asked.options | {"size": one.options["size"], "seed": one.options["seed"]}
        assert one.model_copy(update={"options": same}) == asked.model_copy(update={"options": same})


def test_the_unit_of_time_is_a_run_without_replaced_prompts(run):
    assert run("a", 0.5).time() == 1.0
    training = pipelines.TRAINING / (pipelines.TRAINING + pipelines.ANSWERING)
    assert run("a", 0.5, 0.5).time() == pytest.approx(1 + 0.5 * pipelines.GENERATION * training)
    assert run("a", 0.5).time(10, 0) == pytest.approx(training / 4)


@pytest.mark.parametrize(("count", "replaced"), [(8, 0.0), *((count, 0.57) for count in range(3, 9))])
def test_a_race_takes_no_more_than_the_runs_in_its_place(run, count, replaced):
    """And nearly as much."""
    counts = pipelines.RACES[count]
    one = run("a", 0.5, replaced)
    time = counts[0] * one.time(10)
    time += counts[1] * (one.time(20) - one.time(10, 0)) + counts[2] * (one.time() - one.time(20, 0))
    assert 0.9 * count * one.time() < time <= count * one.time()


def test_a_race_ends_with_those_that_get_to_each_rung(run):
    records = read_records(ROOT / "benchmarks/tables/conflict.csv")
    frame = records.frame[records.frame["seed"] == 42]
    kinds = frame.drop_duplicates("mixture").set_index("mixture")["strategy"]
    batch = [run(name, 0.5) for name in kinds.index[kinds == "even"][:8]]
    kept = frame["mixture"].isin([one.mixture for one in batch]) | frame["strategy"].isin(["single", "all"])
    known = replace(records, frame=frame[kept].reset_index(drop=True))
    found = pipelines.race(batch, known, (6, 3, 2))
    one = batch[0]
    by_hand = 6 * one.time(10) + 3 * (one.time(20) - one.time(10, 0)) + 2 * (one.time() - one.time(20, 0))
    assert found.time == pytest.approx(by_hand)
    assert len(found.finished) == 2 and all(one in batch[:6] for one in found.finished)
    # What was scored after a run had stopped changes nothing.
    stopped = ~known.frame["mixture"].isin([each.mixture for each in found.finished]) & (
        known.frame["strategy"] == "even"
    )
    late = known.frame["step"] == STEPS
    changed = known.frame.assign(out_score=known.frame["out_score"].mask(stopped & late, 1.0))
    assert pipelines.race(batch, replace(known, frame=changed), (6, 3, 2)) == found


def test_a_pick_is_the_best_observed_so_far(run):
    runs = [run("a", 0.5), run("b", 0.4), run("c", 0.6), run("d", 0.55)]
    found = pipelines.picks(pipelines.whole(runs))
    assert [(pick.run.mixture, pick.begun, pick.time) for pick in found] == [("a", 0, 1), ("c", 2, 3)]
    assert pipelines.at(2.5)(found).mixture == "a" and pipelines.at(3)(found).mixture == "c"
    # What is begun within the budget is finished.
    assert pipelines.begun_by(2.0)(found).mixture == "a" and pipelines.begun_by(2.5)(found).mixture == "c"
    assert len(pipelines.begun(pipelines.whole(runs), 2.5)) == 3


def test_searches_and_restarts_are_judged_by_what_they_deliver(run):
    lucky, good, poor = run("lucky", 0.7), run("good", 0.6), run("poor", 0.5)
    held_out = {"lucky": 0.55, "good": 0.6, "poor": 0.5}

    def judge(one):
        return held_out[one.mixture]

    end = pipelines.begun_by(math.inf)
    stages = [(pipelines.together([poor, good]),), (pipelines.together([poor, lucky]),)]
    got = pipelines.Search(tuple(stages)).estimate(end, 2.0, judge)
    assert (got.observed, got.held_out) == (pytest.approx(0.65), pytest.approx(0.575))
    assert got.error == pytest.approx(0.025) and got.replicates == (0.6, 0.55)
    restarts = pipelines.Restarts((lucky, good, poor))
    assert restarts.estimate(end, 3.0, judge).held_out == pytest.approx(0.55)
    first = restarts.estimate(pipelines.at(1.0), 1.0, judge)
    assert first.held_out == pytest.approx(0.55, abs=0.01)  # the mean of the three
    assert first.error == pytest.approx(first.spread / math.sqrt(3))
