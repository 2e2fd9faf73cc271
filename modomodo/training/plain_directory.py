"""A directory of the ordinary model, also where a checkpoint holds an adapter alone."""

import tempfile
from pathlib import Path

from modomodo.training.model_directory import ADAPTER_CONFIG, adapter_base
from modomodo.training.models import copy_beside_weights, load_model

_plain: dict[Path, "tempfile.TemporaryDirectory[str]"] = {}  # removed with the process


def plain_directory(directory: Path) -> Path:
    """A directory of the ordinary model: `directory`, or for an adapter a temporary one with the sum, in float32.

    For those who read files and know of no adapters: vLLM, merges, exports.
    """
    directory = directory.resolve()
    if adapter_base(directory) is None:
        return directory
    if directory not in _plain:
        _plain[directory] = tempfile.TemporaryDirectory(prefix="modomodo-adapter-")
        written = Path(_plain[directory].name)
        load_model(directory).save_pretrained(written)
        copy_beside_weights(directory, written)
        (written / ADAPTER_CONFIG).unlink()
    return Path(_plain[directory].name)
