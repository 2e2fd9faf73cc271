"""Where the base model comes from: functions that leave a Hugging Face directory, called by name.

A builder is `builder(output, options, templates, threads) -> summary`. `options` are a dictionary, or a pydantic model
where the signature names one: then a dry run checks them. A model that is built here needs the
vocabulary of the reasoning templates; one that is downloaded ignores them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from modomodo.config.loading import parse
from modomodo.config.options import annotations
from modomodo.config.schema import Settings, Templates
from modomodo.registry import Registry
from modomodo.training.model_directory import check_hub_options, check_kind, looks_like_model

ModelBuilder = Callable[[Path, Any, Templates, int], dict[str, Any]]
model_builders: Registry[ModelBuilder] = Registry("model builder")


def read_options(builder: str, options: dict[str, Any]) -> Any:
    """The options as the builder takes them: as its own model of them where its signature names one, or as they are.

    Raises InputError for what can be known before it runs: an option that the model does not take, those of 'hub', and
    folders that hold another family.
    """
    if builder == "hub":
        check_hub_options(options)
    for name, value in options.items():
        if isinstance(value, str) and (
            (builder, name) == ("folder", "path") or looks_like_model(Path(value))
        ):
            check_kind(value)
    annotation = annotations(model_builders[builder]).get("options")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return parse(options, annotation, f"model builder '{builder}'")
    return options


class FolderOptions(Settings):
    """Options of the builder `folder`."""

    path: str = Field(description="A model's folder, as save_pretrained writes it. It is not copied.")


# The work is imported when asked for: torch and transformers take seconds that Snakemake need not wait.


@model_builders.register("hub")
def hub(output: Path, options: dict[str, Any], templates: Templates, threads: int) -> dict[str, Any]:
    """Download a pinned revision from the Hugging Face hub."""
    from modomodo.training.models import download

    return download(output, options)


@model_builders.register("folder")
def folder(output: Path, options: FolderOptions, templates: Templates, threads: int) -> dict[str, Any]:
    """Take a model's folder of this machine as it is, by a link."""
    output.symlink_to(Path(options.path).resolve(), target_is_directory=True)
    return {"path": options.path}
