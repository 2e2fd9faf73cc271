"""What kind of model lies in a directory, by its small files: nothing is loaded, so a dry run can ask, too."""

from pathlib import Path

from modomodo.errors import InputError
from modomodo.files import read_json

SUPPORTED = "qwen2_vl"  # config.json's model_type
PEFT_PREFIX = "base_model.model."  # of the tensors of a model that PEFT wraps
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
    kind = read_json(path / "config.json").get("model_type", "")
    if kind != SUPPORTED:
        raise InputError(
            f"{name}: config.json: model_type '{kind}' is not supported: only {SUPPORTED} is "
            "(Qwen2-VL, of any size; not Qwen2.5-VL or Qwen3-VL)"
        )


def has_weights(path: Path) -> bool:
    """Whether a model's weights lie in the directory, in safetensors; those of an adapter are none."""
    return any(not file.name.startswith("adapter_") for file in path.glob("*.safetensors"))
