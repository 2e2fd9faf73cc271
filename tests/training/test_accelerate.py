"""`training.accelerate`: what a file of `accelerate config` gives the processes, and what does not fit is told."""

import json
import os
import re
import sys
from dataclasses import replace

import pytest
import yaml
from test_processes import TRAINER, digests, run, world  # noqa: F401  (a fixture)

from modomodo.config.accelerate_file import shards, zero_stage
from modomodo.config.schema import Training
from modomodo.errors import InputError
from modomodo.study import checks
from modomodo.study.checks import study_from
from modomodo.training.launch import accelerate_environment, trainer_specs
from modomodo.training.settings import TrainSettings
from modomodo.training.supervise import supervise

ON_CPU = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "MULTI_CPU",
    "num_processes": 2,
    "use_cpu": True,
}
ZERO = {"distributed_type": "DEEPSPEED", "num_processes": 2, "deepspeed_config": {"zero_stage": 3}}
FSDP = {"distributed_type": "FSDP", "num_processes": 2, "fsdp_config": {"fsdp_version": 2}}
GPUS = {"gpus": 2, "bf16": False}


def read(study_data, tmp_path, file, **training):
    """A study with an accelerate file beside it."""
    (tmp_path / "accelerate.yaml").write_text(yaml.safe_dump(file))
    (tmp_path / "study.yaml").touch()
    study_data["training"] |= {"accelerate": "accelerate.yaml", "bf16": False, **training}
    return study_from(study_data, str(tmp_path / "study.yaml"))


def test_a_study_holds_the_files_content_so_that_an_edit_trains_again(study_data, tmp_path) -> None:
    study = read(study_data, tmp_path, ON_CPU)
    assert study.training.accelerate == ON_CPU and study.training.processes == 2
    text = TrainSettings.of(study).text()
    edited = read(study_data, tmp_path, ON_CPU | {"debug": True})
    assert json.loads(TrainSettings.of(edited).text())["training"]["accelerate"]["debug"] is True
    assert TrainSettings.of(edited).text() != text


@pytest.mark.parametrize(
    ("file", "training", "said"),
    [
        (ZERO | {"num_processes": 4}, GPUS, "num_processes: 4, but 2 train (training.gpus: 2): set it to 2"),
        (ZERO, {"gpus": 2, "vllm": "server", "bf16": False}, "num_processes: 2, but 1 train"),
        (
            ON_CPU | {"distributed_type": "MULTI_CPUS"},
            {},
            "distributed_type: 'MULTI_CPUS': did you mean 'MULTI_CPU'?",
        ),
        ({"num_processes": 1}, {}, "distributed_type: 'None'"),
        (ON_CPU | {"num_machines": 2}, {}, "num_machines: 2: a run trains on one machine"),
        (ON_CPU, GPUS, "use_cpu: the study trains on GPUs"),
        (FSDP | {"use_cpu": True}, {}, "distributed_type: 'FSDP' needs GPUs"),
        (FSDP | {"mixed_precision": "fp16"}, GPUS, "mixed_precision: 'fp16', but training.bf16 is false"),
        (
            ZERO | {"deepspeed_config": {"deepspeed_config_file": "ds.json"}},
            GPUS,
            "would go unnoticed: write its",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_told_when_the_study_is_read(
    study_data, tmp_path, file, training, said
) -> None:
    with pytest.raises(InputError, match=f"study.yaml: training: accelerate: .*{re.escape(said)}"):
        read(study_data, tmp_path, file, **training)


def test_one_that_is_no_such_file_is_told(study_data, tmp_path) -> None:
    with pytest.raises(
        InputError, match="training.accelerate: .*accelerate.yaml: no file of accelerate config"
    ):
        read(study_data, tmp_path, [1])
    (tmp_path / "accelerate.yaml").unlink()
    with pytest.raises(InputError, match="training.accelerate: .*accelerate.yaml: no such file"):
        study_from(study_data, str(tmp_path / "study.yaml"))


def test_deepspeed_has_to_be_installed(study_data, tmp_path, monkeypatch) -> None:
    with pytest.raises(
        InputError, match="training.accelerate: DeepSpeed is not installed: write deepspeed into envs/own"
    ):
        read(study_data, tmp_path, ZERO, **GPUS)
    monkeypatch.setattr(checks, "is_installed", lambda file: True)
    read(study_data, tmp_path, ZERO, **GPUS)
    study_data["strategies"]["screened"] = {
        "propose": "merge_screen",
        "group": "m",
        "learns_from": ["single"],
    }
    read(study_data, tmp_path, ZERO, **GPUS)
    with pytest.raises(
        InputError, match="in bfloat16 they lose small changes.*with DeepSpeed, training.bf16 to false"
    ):
        read(study_data, tmp_path, ZERO | {"mixed_precision": "bf16"}, gpus=2, bf16=True)


def test_the_processes_get_what_accelerate_launch_would_set() -> None:
    told = accelerate_environment(
        {"distributed_type": "FSDP", "num_processes": 2, "fsdp_config": FSDP["fsdp_config"]}
    )
    assert (told["ACCELERATE_USE_FSDP"], told["FSDP_VERSION"]) == ("true", "2")
    told = accelerate_environment(
        {"distributed_type": "DEEPSPEED", "num_processes": 2, "deepspeed_config": {"zero_stage": 2}}
    )
    assert (told["ACCELERATE_USE_DEEPSPEED"], told["ACCELERATE_DEEPSPEED_ZERO_STAGE"]) == ("true", "2")
    assert accelerate_environment(ON_CPU)["ACCELERATE_USE_CPU"] == "true"
    assert not {"PATH", "OMP_NUM_THREADS"} & told.keys()


def test_which_files_divide_the_weights() -> None:
    assert [shards(file) for file in (None, ON_CPU, ZERO, FSDP)] == [False, False, True, True]
    assert zero_stage({"distributed_type": "DEEPSPEED"}) == 2


def test_rows_with_and_without_images_hang_where_weights_are_divided() -> None:
    from modomodo.training.trainer import check_divided

    settings = Training(accelerate=FSDP, gpus=2, bf16=False, train_batch_size=12)
    check_divided(settings, [True, True])
    check_divided(Training(bf16=False), [True, False])
    with pytest.raises(InputError, match="FSDP and ZeRO-3 hang where only some rows have images: use ZeRO-2"):
        check_divided(settings, [True, False])


@pytest.mark.slow
def test_two_processes_by_a_file_train_to_the_bytes_of_two_without(world) -> None:  # noqa: F811
    """Over gloo, on the CPU: FSDP and DeepSpeed need GPUs, and were not tried."""
    plain = run(world, "plain")
    program = TRAINER.replace("gpus=2,", f"gpus=0, accelerate={ON_CPU!r},")
    (world / "by_file.py").write_text(program)
    folder = world / "by-file"
    folder.mkdir()
    command = [sys.executable, str(world / "by_file.py"), str(folder), "1", "0", "0"]
    more = accelerate_environment(ON_CPU) | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    specs = trainer_specs(command, [], 2, "", folder, more)
    supervise([replace(spec, log=folder / f"{spec.name}.log") for spec in specs])
    assert digests(folder) == digests(plain)
