"""A race as the study announces it: its jobs before anything runs, what it refuses, and who goes on by a file."""

import json
from pathlib import Path

import numpy as np
import pytest

from modomodo.errors import InputError
from modomodo.evaluation.scores import RunScores, collect
from modomodo.files import read_json, write_json
from modomodo.mixtures.mixture import Mixture
from modomodo.mixtures.plan import plan, searches
from modomodo.mixtures.races import Stretch, promote, stretches_of
from modomodo.mixtures.records import BASE, Records, finished, is_online, is_stopped, last_step, learnable
from modomodo.mixtures.settings import StreamSettings
from modomodo.mixtures.strategies.base import propose_named
from modomodo.mixtures.surrogates.base import objective, observe, surrogates
from modomodo.mixtures.trained_runs import run_so_far
from modomodo.study import costs, costs_text
from modomodo.study.checks import study_from
from modomodo.study.outputs import outputs_of

RUNGS = {2: 4, 7: 2, 9: 1}


@pytest.fixture
def raced(study_data):
    """The small study with a race at its end."""
    study_data["strategies"]["race"] = {"propose": "race", "group": "race", "options": {"rungs": dict(RUNGS)}}
    return study_data


def study_of(data):
    return study_from(data, "study.yaml")


def complaint(data) -> str:
    with pytest.raises(InputError) as error:
        plan(study_of(data), "study.yaml")
    assert "\n" not in str(error.value)
    return str(error.value)


# --- what is announced ------------------------------------------------------------------------------------------


def test_every_place_is_known_before_the_first_run(raced):
    found = plan(study_of(raced))
    assert found.by_strategy["race"] == ["race-001", "race-002", "race-003", "race-004"]
    assert found.later == [("race@7-01", 42), ("race@7-02", 42), ("race@9-01", 42)]
    assert found.stretches["race-003", 42] == Stretch(0, 2)
    assert found.stretches["race@7-02", 42] == Stretch(2, 7)
    assert found.stretches["race@9-01", 42] == Stretch(7, None)
    # The same of all, since settings of a training depend on it: a place must find the run's work to be its own.
    assert found.support["race@9-01"] == found.support["race-001"] == ["boxes", "science", "relation"]
    assert "race@9-01" not in found.mixtures and ("race@9-01", 42) not in found.runs
    names = {output.name for output in outputs_of(study_of(raced), found)}
    assert {"race-001/42", "race@7-02/42", "race@9-01"} <= names


def test_a_study_without_one_has_the_same_jobs_and_settings_as_ever(study_data):
    study = study_of(study_data)
    found = plan(study)
    assert found.jobs == found.runs and found.scored_jobs == found.scored and not found.stretches
    assert "since" not in StreamSettings.of(study).text() and "until" not in StreamSettings.of(study).text()


def test_who_decides_has_seen_all_earlier_parts(raced):
    raced["strategies"]["after"] = {"propose": "acquire", "group": "model", "learns_from": ["race"]}
    found = plan(study_of(raced))
    starts = [(f"race-00{number}", 42) for number in range(1, 5)]
    assert found.before("race", 7) == starts
    assert found.before("race", 9) == [*starts, ("race@7-01", 42), ("race@7-02", 42)]
    assert found.learns_from["after"] == [*starts, *found.later]


def test_the_mixtures_that_start_are_far_apart_and_keep_to_constraints(raced):
    raced["strategies"]["race"]["options"]["constraints"] = {"minimum": {"science": 0.3}}
    found = plan(study_of(raced))
    rows = np.array([list(found.weights[name].values()) for name in found.by_strategy["race"]])
    assert (rows[:, 1] >= 0.3 - 1e-6).all()
    distances = np.linalg.norm(rows[:, None] - rows, axis=2)[~np.eye(4, dtype=bool)]
    assert distances.min() > 0.2


def test_one_that_learns_starts_with_what_a_search_proposes(raced):
    race = raced["strategies"]["race"]
    race["learns_from"] = ["single", "all"]
    race["options"] |= {"surrogate": "ridge_sqrt", "candidates": 100}
    study = study_of(raced)
    found = plan(study)
    assert searches(study, "race") and found.rounds["race"] == 1 and "race-001" not in found.weights
    records = scored(
        {"all": [1 / 3] * 3, "a": [0.8, 0.1, 0.1], "b": [0.1, 0.8, 0.1], "c": [0.1, 0.1, 0.8]}, [9]
    )
    proposed = propose_named("race", study.strategies["race"], records, ["boxes", "science", "relation"])
    assert list(proposed) == found.by_strategy["race"]
    assert all(proposal.predicted for proposal in proposed.values())


def test_where_all_may_finish_there_is_a_place_for_each(raced):
    raced["strategies"]["race"]["options"]["if_uninformative"] = "finish"
    found = plan(study_of(raced))
    assert len(found.places_at("race", 7)) == len(found.places_at("race", 9)) == 4
    assert [place.spare for place in found.places] == [False, False, True, True, False, True, True, True]


def test_a_repeat_of_one_of_its_mixtures_is_a_whole_run(raced):
    raced["repeats"] = {"race-002": [43]}
    found = plan(study_of(raced))
    assert ("race-002", 43) in found.runs and ("race-002", 43) not in found.stretches


@pytest.mark.parametrize(
    ("rungs", "message"),
    [
        ({2: 4, 5: 2, 9: 1}, "rungs: 5 is none of training.scored_steps [2, 7, 9]"),
        ({2: 4, 20: 1}, "rungs: 20 lies beyond training.steps (9)"),
        ({2: 4, 7: 5, 9: 1}, "rungs: 7: 5 runs go on, of the 4 at step 2: rungs must not grow"),
        ({2: 4, 7: 2}, "rungs: the last is at step 7, but the last scored step is 9: add it"),
        ({7: 4, 2: 2, 9: 1}, "rungs: [7, 2, 9]: the steps must increase"),
        ({9: 4}, "a race has two rungs or more"),
        ({2: 4, 9: 0}, "rungs: 9: 0 runs: at least one is trained to the end"),
    ],
)
def test_rungs_that_make_no_sense_are_told_when_the_study_is_read(raced, rungs, message):
    raced["strategies"]["race"]["options"]["rungs"] = rungs
    found = complaint(raced)
    assert found.startswith("study.yaml: strategies.race.options") and message in found


def test_a_count_that_contradicts_the_rungs_is_refused(raced):
    raced["strategies"]["race"]["count"] = 4
    assert len(plan(study_of(raced)).by_strategy["race"]) == 4
    raced["strategies"]["race"]["count"] = 5
    assert "strategies.race.count: 5, but its options ask for 4: remove it" in complaint(raced)


def test_runs_of_a_race_may_decide_their_prompts(raced, tmp_path):
    raced["training"]["dynamic_sampling"] = {"max_tries": 1}
    study = study_of(raced)
    found = plan(study)
    assert found.later == [("race@7-01", 42), ("race@7-02", 42), ("race@9-01", 42)]
    for name, generated in (("race-003", 7), ("race@7-01", 30)):
        home = tmp_path / f"small/runs/{name}/42"
        home.mkdir(parents=True)
        prompts = 14 if "@" in name else 4  # of the run so far
        stream = {"since": 0, "until": 7, "steps": 7, "prompts": prompts, "prompts_generated": generated}
        run = {"mixture": "race-003", "seed": 42, "seconds": {"train": 7.0}, "stream": stream}
        (home / "run.json").write_text(json.dumps(run))
    text = costs_text.render(study, costs.costs_of(study, found, tmp_path))
    assert "2.14 in the finished runs" in text, "each prompt counts once"


# --- what it costs ----------------------------------------------------------------------------------------------


def test_the_plan_prices_each_part(raced, tmp_path):
    raced["costs"] = {"training_hours": 9.0, "prediction_hours": 3.0, "checkpoint_gb": 1.0}
    raced["training"].update(gpus=1)
    study = study_of(raced)
    found = costs.costs_of(study, plan(study), tmp_path)
    # An hour a step: 7 runs of 9, 4 of 2, 2 of 5 more, 1 of 2 more. A checkpoint is an hour too.
    assert found.stage("runs").seconds == pytest.approx((7 * 9 + 4 * 2 + 2 * 5 + 2) * 3600)
    assert found.stage("predictions").seconds == pytest.approx((1 + 7 * 3 + 4 + 2 + 1) * 3600)
    # Three rounds of 9 + 3 hours; the race's rungs, 3 + 6 + 3, go beside the first.
    assert found.chain == pytest.approx(3 * 12 * 3600)
    text = costs_text.render(study, found)
    assert "race race: 20 GPU-hours and 7 h 0 min of jobs on CPUs\n" in text
    assert ", 11 runs, 3 places to train one of them further, scored at steps 2, 7, 9" in text
    raced["strategies"]["race"]["options"]["if_uninformative"] = "finish"
    study = study_of(raced)
    found = costs.costs_of(study, plan(study), tmp_path)
    (race,) = found.races
    assert "race race: least 20 GPU-hours and 7 h 0 min of jobs on CPUs, expected" in costs_text.render(
        study, found
    )
    assert [sum(stage.seconds for stage in stages) / 3600 for stages in (race.least, race.most)] == [
        27,
        4 * 12,
    ]
    assert found.stage("runs").seconds == pytest.approx((7 * 9 + 4 * 2 + 2 * 5 + 2) * 3600)


def test_a_race_is_expected_to_cost_little_more_than_its_least(raced, tmp_path):
    raced["costs"] = {"training_hours": 900.0, "prediction_hours": 300.0}
    raced["training"]["gpus"], raced["evaluation"] = 1, {"gpus": 1}
    raced["strategies"]["race"]["options"]["if_uninformative"] = "finish"
    study = study_of(raced)
    (race,) = costs.costs_of(study, plan(study), tmp_path).races
    assert [stage.seconds for stage in race.expected] == [stage.seconds for stage in race.least], (
        "by its prior"
    )
    raced["strategies"]["race"]["learns_from"] = ["single", "all"]
    study = study_of(raced)
    found = costs.costs_of(study, plan(study), tmp_path)
    # A hundred hours a step and a checkpoint: 2,700 and 4,800, of which one in a hundred races.
    assert "race race: least 2,700 GPU-hours, expected 2,721 GPU-hours, most 4,800" in costs_text.render(
        study, found
    )


def test_what_stopped_runs_are_resumed_from_takes_disk(raced, tmp_path):
    raced["costs"] = {"training_hours": 9.0, "prediction_hours": 3.0, "checkpoint_gb": 1.0}
    raced["training"]["gpus"] = 1
    study = study_of(raced)
    found = costs.costs_of(study, plan(study), tmp_path)
    # Checkpoints of 7 runs, of all four at the first rung, two and one; the weights and two moments of three.
    assert (found.checkpoints, found.resumes, found.disk) == (7 * 3 + 4 + 2 + 1, 3, 28e9 + 3 * 3e9)
    assert "for 28 checkpoints and what 3 stopped runs are resumed from" in costs_text.render(study, found)
    for number in (1, 2, 3):
        run = tmp_path / f"{study.name}/runs/race-00{number}/42"
        write_json(run / "run.json", {"stream": {"steps": 9, "since": 0, "until": 2}, "seconds": {}})
    kept = tmp_path / f"{study.name}/runs/race-001/42/trainer/checkpoint-2"
    kept.mkdir(parents=True)
    (kept / "optimizer.pt").write_bytes(b"x" * 998)
    (kept / "complete").write_text("{}")
    found = costs.costs_of(study, plan(study), tmp_path)
    assert (found.resumes, found.resume_bytes) == (1, 1000), (
        "one is still to come, as large as those that are here"
    )
    del raced["strategies"]["race"]
    study = study_of(raced)
    found = costs.costs_of(study, plan(study), tmp_path)
    assert found.disk == 21e9 and "for 21 checkpoints, " in costs_text.render(study, found)


def test_the_end_of_a_stream_ends_its_parts():
    part, rest = Stretch(2, 7), Stretch(7, None)
    assert [part.of(last) for last in (9, 7, 5, 1, 0)] == [5, 5, 3, 0, 0]
    assert [rest.of(last) for last in (9, 7, 5)] == [2, 0, 0]
    assert stretches_of({2: 4, 9: 1}) == {2: Stretch(0, 2), 9: Stretch(2, None)}


# --- who goes on ------------------------------------------------------------------------------------------------


def scored(weights: dict[str, list[float]], steps, strategy: str = "seed") -> Records:
    """Runs of three domains at some steps, `steps` those of all or by mixture: the more boxes, the better."""
    runs, mixtures = [], {}
    for name, row in weights.items():
        named = dict(zip(["boxes", "science", "relation"], row, strict=True))
        mixtures[name] = Mixture(name=name, weights=named, strategy=strategy, round=0)
        reached = steps[name] if isinstance(steps, dict) else steps
        runs += [
            RunScores.model_validate({"mixture": name, "seed": 42, "steps": {step: answers(row, step)}})
            for step in reached
        ]
    base = RunScores.model_validate({"mixture": BASE, "seed": 0, "steps": {0: answers([0, 0, 0], 0)}})
    return collect([base, *runs], mixtures, ["boxes", "science", "relation"], {"chart": "out"})


def answers(row: list[float], step: int) -> dict:
    score = 0.2 + 0.03 * step + 0.2 * row[0]
    about = {"metric": "exact_match", "version": 1, "n": 100, "standard_error": 0.01, "unparsed": 0}
    return {"chart": {**about, "score": score}}


STARTED = {
    "race-001": [0.1, 0.4, 0.5],
    "race-002": [0.7, 0.2, 0.1],
    "race-003": [0.5, 0.1, 0.4],
    "race-004": [0.2, 0.7, 0.1],
}


def test_the_best_take_the_places_and_the_file_says_why(raced):
    strategy = study_of(raced).strategies["race"]
    promotion = promote(scored(STARTED, [2], "race"), "race", strategy, 7)
    assert [run.mixture for run in promotion.runs if run.goes_on] == ["race-002", "race-003"]
    assert promotion.informed and promotion.last_step == 9 and "step 2" in promotion.reason
    assert [run.expected for run in promotion.runs] == sorted(
        (run.expected for run in promotion.runs), reverse=True
    )
    assert sum(run.probability for run in promotion.runs) == pytest.approx(2)
    json.dumps(promotion.model_dump(mode="json"))


def test_only_those_that_are_still_in_the_race_can_go_on(raced):
    strategy = study_of(raced).strategies["race"]
    steps = {name: [2, 7] if name in ("race-002", "race-003") else [2] for name in STARTED}
    promotion = promote(scored(STARTED, steps, "race"), "race", strategy, 9)
    assert sorted(run.mixture for run in promotion.runs) == ["race-002", "race-003"]
    assert [run.mixture for run in promotion.runs if run.goes_on] == ["race-002"]


def test_a_step_that_is_no_later_rung_is_refused(raced):
    with pytest.raises(InputError, match="--step 2: no later rung of strategies.race: 7, 9"):
        promote(scored(STARTED, [2], "race"), "race", study_of(raced).strategies["race"], 2)


# --- what becomes of those that stop ----------------------------------------------------------------------------


@pytest.fixture
def stopped() -> Records:
    """Two of four runs stopped at step 2, and three whole ones."""
    whole = {"all": [1 / 3] * 3, "single": [1.0, 0.0, 0.0], "pair": [0.0, 0.5, 0.5]}
    steps = {
        name: [2, 7, 9] if name in ("race-002", "race-003", *whole) else [2] for name in {**STARTED, **whole}
    }
    return scored({**STARTED, **whole}, steps)


def test_they_stay_in_the_records_and_have_no_last_score(stopped):
    marked = stopped.frame[stopped.frame["stopped"] == 1]
    assert set(marked["mixture"]) == {"race-001", "race-004"} and set(marked["step"]) == {2}
    assert not set(last_step(stopped).frame["mixture"]) & {"race-001", "race-004"}
    assert "stopped" not in finished(stopped).frame


def test_records_without_one_have_no_such_column():
    assert "stopped" not in scored(STARTED, [2, 9]).frame


def test_words_in_a_strangers_column_of_that_name_mark_no_run(stopped):
    strange = stopped.frame.assign(stopped="no, it ran", online="yes")
    assert not is_stopped(strange).any() and not is_online(strange).any()


def test_surrogates_take_their_scores_for_early_ones(stopped):
    wanted = objective(stopped, "out_score")
    observed = observe(stopped, wanted)
    assert set(observed.final().mixtures) == {"race-002", "race-003", "all", "single", "pair"}
    learnt = learnable(stopped, "last")
    assert set(learnt.frame["mixture"]) == {"base", "race-002", "race-003", "all", "single", "pair"}
    assert list(learnt.fidelities) == ["step 2"] and len(learnt.fidelities["step 2"]) == 7
    fitted = surrogates["gp_average"](observe(learnt, wanted), 0)
    assert "7 of step 2 weigh" in fitted.reason
    with_them = fitted.mean(np.array([[0.2, 0.1, 0.7]]))[0] @ wanted.shares
    assert with_them == pytest.approx(0.2 + 0.27 + 0.2 * 0.2, abs=0.02)


def test_heuristics_see_finished_runs_alone(stopped):
    from modomodo.mixtures import algorithms

    whole = finished(stopped)
    assert algorithms.collinearity(stopped, stopped.domains) == algorithms.collinearity(
        whole, stopped.domains
    )


def test_a_run_json_holds_all_parts(tmp_path: Path):
    def part(name: str, steps: list[int], seconds: float) -> None:
        checkpoints = {str(step): {"path": f"checkpoint-{step}"} for step in steps}
        stream = {"realised": {"boxes": 1 / steps[-1]}}  # what was learnt from until then
        written = {"mixture": "race-002", "checkpoints": checkpoints, "seconds": {"train": seconds}}
        (tmp_path / name).write_text(json.dumps({**written, "stream": stream}), encoding="utf-8")

    for name in ("run.json", "finished-7.json"):
        part(name, [7], 1.0)
    assert run_so_far(tmp_path / "run.json") == read_json(tmp_path / "run.json")
    part("finished-10.json", [10], 2.0)
    assert run_so_far(tmp_path / "run.json")["stream"] == {"realised": {"boxes": 1 / 10}}
    part("finished.json", [12], 4.0)
    found = run_so_far(tmp_path / "run.json")
    assert list(found["checkpoints"]) == ["7", "10", "12"] and found["seconds"] == {"train": 7.0}
    assert found["stream"] == {"realised": {"boxes": 1 / 12}}


def test_of_a_run_in_parts_the_last_questions_count_and_an_empty_place_has_none(tmp_path: Path):
    from modomodo.reporting.questions import collect_questions, of_questions, write_questions

    class Asked:
        id, image = "q", ""

    paths = [tmp_path / f"{name}.csv" for name in ("all", "race-002", "race@7-01", "race@9-02")]
    for path, mixture, values in zip(
        paths[:3], ["all", "race-002", "race-002"], [0.0, 0.25, 0.75], strict=True
    ):
        write_questions(path, mixture, 42, [of_questions("chart", [Asked], [values])])
    write_questions(paths[3], "race@9-02", 42, [])
    table = collect_questions(paths)
    assert list(table)[3:] == ["all/42", "race-002/42"] and table["race-002/42"].tolist() == [0.75]
