"""The file that `accelerate config` writes, as `training.accelerate` names it: what a study can be trained by."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from modomodo.errors import nearest

PLAIN = ("NO", "MULTI_CPU", "MULTI_GPU")
KINDS = (*PLAIN, "DEEPSPEED", "FSDP")


def check_accelerate(file: Mapping[str, Any], gpus: int, processes: int, bf16: bool) -> None:
    """Raises ValueError unless an accelerate file fits a run of so many processes on so many GPUs."""
    kind = str(file.get("distributed_type"))
    if kind not in KINDS:
        raise ValueError(f"distributed_type: '{kind}': {nearest(kind, KINDS)}")
    number = file.get("num_processes")
    if number != processes:
        raise ValueError(
            f"num_processes: {number}, but {processes} train (training.gpus: {gpus}): set it to {processes}, or gpus "
            "to what it says"
        )
    if file.get("num_machines", 1) != 1:
        raise ValueError(f"num_machines: {file['num_machines']}: a run trains on one machine: set it to 1")
    if bool(file.get("use_cpu", kind == "MULTI_CPU")) != (gpus == 0):
        raise ValueError(
            f"use_cpu: the study trains on {'the CPU' if gpus == 0 else 'GPUs'}: set it accordingly"
        )
    if kind not in PLAIN and gpus == 0:
        raise ValueError(f"distributed_type: '{kind}' needs GPUs: set training.gpus")
    precision = file.get("mixed_precision") or "no"
    if precision != ("bf16" if bf16 else "no"):
        raise ValueError(
            f"mixed_precision: '{precision}', but training.bf16 is {str(bf16).lower()}: leave it out, or let them agree"
        )
    if "deepspeed_config_file" in (file.get("deepspeed_config") or {}):
        raise ValueError(
            "deepspeed_config.deepspeed_config_file: a change of that file would go unnoticed: write its settings "
            "under deepspeed_config, as accelerate config does"
        )


def shards(file: Mapping[str, Any] | None) -> bool:
    """Whether the model's weights are divided over the processes (FSDP, DeepSpeed's ZeRO-3)."""
    if not file:
        return False
    return file.get("distributed_type") == "FSDP" or zero_stage(file) == 3


def zero_stage(file: Mapping[str, Any] | None) -> int:
    """DeepSpeed's ZeRO stage; 0 where it is not used."""
    if not file or file.get("distributed_type") != "DEEPSPEED":
        return 0
    return int((file.get("deepspeed_config") or {}).get("zero_stage", 2))


def is_installed(file: Mapping[str, Any]) -> bool:
    """Whether what a file asks for is there: DeepSpeed is a package of the user's own."""
    return not zero_stage(file) or importlib.util.find_spec("deepspeed") is not None
