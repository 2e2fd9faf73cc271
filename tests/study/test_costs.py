"""What a study costs: by hand, from the study alone and from measured runs."""

import json

import pytest

from modomodo.evaluation.settings import PredictSettings
from modomodo.mixtures.plan import plan
from modomodo.mixtures.settings import StreamSettings
from modomodo.study import costs, costs_text
from modomodo.study.checks import read_study, study_from
from modomodo.study.outputs import kept_weights
from modomodo.training.settings import BaseModelSettings, TrainSettings

HOURS = {"training_hours": 2.0, "prediction_hours": 0.5, "checkpoint_gb": 4.0}


def priced(study, root):
    return costs.costs_of(study, plan(study), root)


def test_configured_costs_by_hand(study_data, tmp_path):
    # 7 runs of 9 steps, 3 scored; two prompts a step. `relation` alone has 20 examples expected: 10 steps.
    study_data["costs"] = HOURS
    study_data["training"].update(gpus=4, gradient_accumulation_steps=3)
    study = study_from(study_data, "study.yaml")
    found = priced(study, tmp_path)
    assert found.stage("runs").seconds == pytest.approx(7 * 2 * 3600)
    # The base model has one checkpoint, a run three.
    assert found.stage("predictions").seconds == pytest.approx((7 + 1 / 3) * 0.5 * 3600)
    assert found.checkpoints == 21 and found.disk == 84e9
    # Three rounds, each as long as one run and its predictions.
    assert found.chain == pytest.approx(3 * 2.5 * 3600)
    text = costs_text.render(study, found)
    assert "study small: 7 mixtures of 3 domains, 7 runs, scored at steps 2, 7, 9 on 2 benchmarks" in text
    assert "56 GPU-hours (4 GPUs a job)" in text
    assert "round 0: 4 mixtures: seed mixtures 4" in text
    assert "round 2: 2 mixtures: model 2" in text
    assert "84.0 GB for 21 checkpoints" in text


def test_an_exhausted_domain_shortens_its_runs(study_data, tmp_path):
    study_data["domains"]["science"]["expected"] = 10  # two prompts a step: 5 steps alone, 15 at a third
    study_data["costs"] = HOURS
    study = study_from(study_data, "study.yaml")
    steps = costs.steps_of_runs(study, plan(study), tmp_path)
    assert steps["single-science", 42] == 5 and steps["single-boxes", 42] == 9 and steps["all", 42] == 9
    # Steps 7 and 9 are one checkpoint there.
    assert priced(study, tmp_path).checkpoints == 6 * 3 + 2


def test_weights_that_are_removed_take_no_disk(study_data, tmp_path):
    # 7 runs keep the last of three checkpoints; what they answer is not less.
    study_data["costs"] = HOURS
    study_data["training"]["keep_weights"] = [9]
    study = study_from(study_data, "study.yaml")
    assert priced(study, tmp_path).checkpoints == 7
    assert priced(study, tmp_path).stage("predictions").seconds == pytest.approx((7 + 1 / 3) * 0.5 * 3600)
    # Experts of one domain keep their last besides: 3 singles have two, 4 others one.
    study_data["training"]["keep_weights"] = [2]
    assert priced(study_from(study_data, "study.yaml"), tmp_path).checkpoints == 3 * 2 + 4


def test_of_two_mixtures_of_one_domain_the_expert_alone_keeps_its_last_weights(study_data, tmp_path):
    study_data["strategies"]["again"] = {
        "propose": "explicit",
        "group": "seed",
        "options": {"weights": {"science": 1.0}},
    }
    study_data["training"]["keep_weights"] = [2]
    study = study_from(study_data, "study.yaml")
    known = plan(study)
    assert kept_weights(study, known, "single-science") == [2, 9]
    assert kept_weights(study, known, next(iter(known.by_strategy["again"]))) == [2]
    assert costs.costs_of(study, known, tmp_path).checkpoints == 3 * 2 + 5


def test_a_drawn_stream_gives_its_steps(small_study, tmp_path):
    summary = tmp_path / "streams/all/42.summary.json"
    summary.parent.mkdir(parents=True)
    summary.write_text('{"steps": 4}')
    assert costs.steps_of_runs(small_study, plan(small_study), tmp_path)["all", 42] == 4


def test_measured_durations_win_over_configured_ones(study_data, tmp_path):
    study_data["costs"] = HOURS
    study = study_from(study_data, "study.yaml")
    for mixture, seconds in (("single-boxes", 18.0), ("single-science", 90.0), ("single-relation", 27.0)):
        path = tmp_path / f"small/runs/{mixture}/42/run.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"seconds": {"import": 0.0, "train": seconds}, "stream": {"steps": 9}}))
    home = tmp_path / "small/predictions/single-boxes/42"
    home.mkdir(parents=True)
    (home / "predictions.json").write_text("{}")
    answered = [f"{step}/{benchmark}" for step in (2, 7, 9) for benchmark in study.benchmarks]
    parts = [{"answered": answered, "seconds": 12.0}, {"answered": ["9/chart"], "seconds": 500.0}]
    (home / "run.json").write_text(json.dumps({"parts": parts}))
    found = priced(study, tmp_path)
    # The median run took 3 s a step; four runs of 9 steps are left.
    assert found.stage("runs").rate == costs.Rate(27.0, 3)
    assert found.stage("runs").seconds == pytest.approx(4 * 27)
    # 12 s for three checkpoints; the one benchmark predicted later says nothing about a complete one.
    assert found.stage("predictions").rate == costs.Rate(12.0, 1)
    assert found.stage("runs").done == 3
    line = costs_text.summary(found)
    assert (
        line == "plan: 4 of 7 runs to train, 7 to predict, 3 min of jobs on CPUs, 48.0 GB of disk (make plan)"
    )


def test_what_dynamic_sampling_adds_is_said(study_data, tmp_path):
    study_data["costs"] = HOURS
    study_data["training"]["dynamic_sampling"] = {"max_tries": 3}
    study = study_from(study_data, "study.yaml")
    said = "dynamic sampling: at most 4 prompts are generated for one that is trained on; "
    assert f"{said}none measured yet" in costs_text.render(study, priced(study, tmp_path))
    home = tmp_path / "small/runs/all/42"
    home.mkdir(parents=True)
    stream = {"steps": 9, "prompts": 18, "prompts_generated": 27}
    run = {"mixture": "all", "seed": 42, "seconds": {"train": 9.0}, "stream": stream}
    (home / "run.json").write_text(json.dumps(run))
    found = priced(study, tmp_path)
    assert f"{said}1.50 in the finished runs" in costs_text.render(study, found)
    study_data["training"]["dynamic_sampling"] = None
    plain = study_from(study_data, "study.yaml")
    assert "dynamic sampling" not in costs_text.render(plain, found)


def test_what_is_not_known_is_reported(small_study, tmp_path):
    text = costs_text.render(small_study, priced(small_study, tmp_path))
    assert "time left: not known of runs and predictions: set costs.training_hours" in text
    assert "disk left: not known: set costs.checkpoint_gb" in text
    assert "time not known yet" in costs_text.summary(priced(small_study, tmp_path))


def test_too_little_disk_is_reported(study_data, tmp_path, monkeypatch):
    study_data["costs"] = {**HOURS, "checkpoint_gb": 1e6}
    study = study_from(study_data, "study.yaml")
    assert "are free: TOO LITTLE" in costs_text.render(study, priced(study, tmp_path))


def test_the_papers_study(tmp_path):
    """Single-LISA ends at step 663 (the paper's figure), so its third checkpoint is its second."""
    study = read_study("config/paper.yaml")
    known = plan(study)
    steps = costs.steps_of_runs(study, known, tmp_path)
    assert steps["single-LISA", 42] == 663
    text = costs_text.render(study, priced(study, tmp_path))
    assert "study paper: 42 mixtures of 5 domains, 42 runs" in text
    assert "GPU-hours" in text and "(4 GPUs a job)" in text


def test_costs_change_no_settings(study_data):
    """A guess of hours must not re-run anything."""
    from modomodo.reporting.settings import TableSettings

    plain = study_from(study_data, "study.yaml")
    dear = study_from({**study_data, "costs": HOURS}, "study.yaml")
    for step in (
        TrainSettings,
        PredictSettings,
        StreamSettings,
        BaseModelSettings,
    ):
        assert step.of(plain).text() == step.of(dear).text()
    tables = [TableSettings.of(study, plan(study)).text() for study in (plain, dear)]
    assert tables[0] == tables[1]
