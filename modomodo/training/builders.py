"""Where the base model comes from: functions that leave a Hugging Face directory, called by name.

A builder is `builder(output, options, templates, threads) -> summary`. A model that is built here needs the
vocabulary of the reasoning templates; one that is downloaded ignores them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modomodo.config.schema import Templates
from modomodo.registry import Registry
from modomodo.training.model_directory import check_hub_options, check_kind

ModelBuilder = Callable[[Path, dict[str, Any], Templates, int], dict[str, Any]]
model_builders: Registry[ModelBuilder] = Registry("model builder")


def check_options(builder: str, options: Mapping[str, Any]) -> None:
    """What can be known of a builder's options before it runs: those of 'hub', and folders that hold another family.

    Raises InputError.
    """
    if builder == "hub":
        check_hub_options(options)
    for value in options.values():
        files = ("config.json", "adapter_config.json")
        if isinstance(value, str) and any((Path(value) / file).is_file() for file in files):
            check_kind(value)


# The work is imported when asked for: torch and transformers take seconds that Snakemake need not wait.


@model_builders.register("hub")
def hub(output: Path, options: dict[str, Any], templates: Templates, threads: int) -> dict[str, Any]:
    """Download a pinned revision from the Hugging Face hub."""
    from modomodo.training.models import download

    return download(output, options)
