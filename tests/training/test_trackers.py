"""Trackers: what they are told of a run, that one which is missing is told in time, and that no result changes."""

import json
import os
import re
from pathlib import Path

import pytest
import tiny_runs

from modomodo.config.schema import Training
from modomodo.errors import InputError
from modomodo.study.checks import study_from
from modomodo.training import trackers
from modomodo.training.run_folder import open_run
from modomodo.training.settings import TrainSettings
from modomodo.training.trackers import INSTALLED_BY, Tracking, check_installed, tell_trackers

WEIGHTS = {"boxes": 0.25, "maths": 0.75, "science": 0.0}


def tracking(*names: str) -> Tracking:
    return Tracking(names, "small", "all", 42, WEIGHTS)


@pytest.fixture
def told(monkeypatch, tmp_path):
    """The variables that a tracker finds."""

    def tell(name: str, **before: str) -> dict[str, str]:
        environment = dict(before)
        monkeypatch.setattr(trackers.os, "environ", environment)
        tell_trackers(tracking(name), tmp_path)
        return environment

    open_run(tmp_path, "abc")
    return tell


def test_runs_are_named_by_mixture_and_seed_grouped_by_study_and_tagged_with_the_weights(
    told, tmp_path
) -> None:
    assert (tracking().name, tracking().tags) == ("all/42", ["all", "boxes=0.25", "maths=0.75"])
    wandb = told("wandb")
    assert (wandb["WANDB_RUN_GROUP"], wandb["WANDB_TAGS"]) == ("small", "all,boxes=0.25,maths=0.75")
    assert re.fullmatch("[0-9a-f]{12}", wandb["WANDB_RUN_ID"]) and wandb == told("wandb")
    mlflow = told("mlflow")
    assert mlflow["MLFLOW_EXPERIMENT_NAME"] == "small"
    assert json.loads(mlflow["MLFLOW_TAGS"])["weight.maths"] == "0.75"
    assert told("tensorboard") == {"TENSORBOARD_LOGGING_DIR": str(tmp_path / "tensorboard")}
    assert told("swanlab")["SWANLAB_PROJECT"] == "small"
    assert told("trackio") == {}  # TRL's run_name and project are all that it takes


def test_what_the_user_has_set_stays(told) -> None:
    assert told("wandb", WANDB_PROJECT="mine")["WANDB_PROJECT"] == "mine"


def test_one_that_is_not_installed_is_told_when_the_study_is_read(study_data, monkeypatch) -> None:
    find = trackers.importlib.util.find_spec
    monkeypatch.setattr(
        trackers.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "wandb" else find(name, *rest),
    )
    study_data["training"]["report_to"] = "wandb"
    said = "study.yaml: training.report_to: 'wandb' is not installed: write wandb into envs/own.txt, then make env"
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        study_from(study_data, "study.yaml")
    study_data["training"]["report_to"] = ["tensorbord"]
    with pytest.raises(InputError, match="training.report_to.0: .*did you mean 'tensorboard'?"):
        study_from(study_data, "study.yaml")


def test_it_is_no_part_of_what_a_run_depends_on(study_data) -> None:
    before = TrainSettings.of(study_from(study_data, "study.yaml")).text()
    study_data["training"]["report_to"] = ["tensorboard"]
    assert TrainSettings.of(study_from(study_data, "study.yaml")).text() == before


def test_those_that_a_study_can_name_are_those_that_are_known() -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    (names,) = Training.model_fields["report_to"].annotation.__args__
    assert set(names.__args__) == set(INSTALLED_BY) <= set(INTEGRATION_TO_CALLBACK)


@pytest.mark.slow
def test_tensorboard_has_every_step_and_the_run_the_same_bytes(tmp_path: Path, monkeypatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    check_installed(["tensorboard"])
    monkeypatch.setattr(os, "environ", os.environ.copy())
    base = tiny_runs.make_base(tmp_path)
    tiny_runs.run(base, tmp_path / "plain")
    tiny_runs.run(base, tmp_path / "shown", tracking=tracking("tensorboard"))
    assert tiny_runs.digests(tmp_path / "shown") == tiny_runs.digests(tmp_path / "plain")
    events = EventAccumulator(str(tmp_path / "shown/tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/reward")] == [1, 2, 3, 4]
    assert "train/rewards/colours/letters" in events.Tags()["scalars"]
    assert not (tmp_path / "plain/tensorboard").exists()
