"""What can be known of a model without loading it, so a dry run can ask: a directory's kind, the hub's options."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modomodo.errors import InputError, nearest
from modomodo.files import read_json

SUPPORTED = "qwen2_vl"  # config.json's model_type
PEFT_PREFIX = "base_model.model."  # of the tensors of a model that PEFT wraps
HUB_OPTIONS = ("repo", "revision")  # of the builder 'hub'
MERGE_ADAPTER = "load it with peft, merge_and_unload(), and save_pretrained() the result"


def check_kind(path: str | Path, name: str = "") -> None:
    """Raises InputError for another family than Qwen2-VL, a PEFT adapter alone, and what is no model directory.

    `name` is what the error calls the directory, its path if empty.
    """
    path = Path(path)
    name = name or str(path)
    if (path / "adapter_config.json").is_file() and not has_weights(path):
        raise InputError(f"{name}: a PEFT adapter without its model: {MERGE_ADAPTER}")
    if not (path / "config.json").is_file():
        raise InputError(f"{name}: not a model directory (no config.json): build or download the model first")
    config = read_json(path / "config.json")
    kind = config.get("model_type", "") if isinstance(config, dict) else ""
    if kind != SUPPORTED:
        raise InputError(
            f"{name}: config.json: model_type '{kind}' is not supported: only {SUPPORTED} is "
            "(Qwen2-VL, of any size; not Qwen2.5-VL or Qwen3-VL)"
        )


def has_weights(path: Path) -> bool:
    """Whether a model's weights lie in the directory, in safetensors; those of an adapter are none."""
    return any(not file.name.startswith("adapter_") for file in path.glob("*.safetensors"))


def check_hub_options(options: Mapping[str, Any]) -> None:
    """Raises InputError for a missing, unknown or malformed option of the builder 'hub'."""
    unknown = sorted(set(options) - set(HUB_OPTIONS))
    if unknown:
        raise InputError(
            f"model builder 'hub': unknown option '{unknown[0]}': {nearest(unknown[0], HUB_OPTIONS)}"
        )
    repo, revision = str(options.get("repo", "")), str(options.get("revision", ""))
    if not repo:
        raise InputError("model builder 'hub': repo: missing: name one, e.g. Qwen/Qwen2-VL-2B-Instruct")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", repo) or (Path(repo) / "config.json").is_file():
        raise InputError(
            f"model builder 'hub': repo: '{repo}' is a local path, not an owner/name of the hub: for a folder of your "
            "own write a builder (docs/extending.md)"
        )
    if len(revision) != 40 or set(revision) - set("0123456789abcdef"):
        raise InputError(
            f"model builder 'hub': revision: '{revision}' is not the 40-digit hash of a commit: pin one"
        )
