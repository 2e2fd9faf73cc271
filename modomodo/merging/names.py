"""Names of tensors: in a file, which differ between versions of transformers and families, and in the loaded model."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, rename_source_key

from modomodo.training.model_directory import model_type
from modomodo.training.processors import takes_images


def live_names(directory: Path, names: Iterable[str]) -> dict[str, str]:
    """File's name of each tensor → the loaded model's, as transformers itself renames them when it loads a model.

    A tensor that is put together with others (`is_put_together`) keeps its name in the file, and so does every one that
    no config.json names the family of.
    """
    found = {name: _renamed(directory, name) for name in names}
    return {name: name if converter is not None else renamed for name, (renamed, converter) in found.items()}


def is_put_together(directory: Path, names: Iterable[str]) -> bool:
    """Whether some tensors of a file are no tensors of the loaded model, but parts of one (a mixture of experts')."""
    return any(_renamed(directory, name)[1] is not None for name in names)


def _renamed(directory: Path, name: str) -> tuple[str, str | None]:
    """The loaded model's name of a file's tensor, and what puts it together with others, if anything does."""
    if not (directory / "config.json").is_file() or not model_type(directory):
        return name, None
    configuration = (directory / "config.json").read_text(encoding="utf-8")
    return rename_source_key(name, *_conversions(str(directory), configuration))


@lru_cache(maxsize=4)
def _conversions(directory: str, configuration: str) -> tuple[list[Any], list[Any], str, dict[str, Any]]:
    """How the files of a directory with this config.json are renamed, and the loaded model's names."""
    auto = AutoModelForImageTextToText if takes_images(directory) else AutoModelForCausalLM
    with torch.device("meta"):  # no memory, whatever its size
        model = auto.from_config(AutoConfig.from_pretrained(directory))
    conversions = get_model_conversion_mapping(model)
    converters = [each for each in conversions if isinstance(each, WeightConverter)]
    renamings = [each for each in conversions if not isinstance(each, WeightConverter)]
    return renamings, converters, model.base_model_prefix, model.state_dict()
