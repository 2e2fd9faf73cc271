"""Plain data → models: importing plugins, and the one rendering of what pydantic finds wrong."""

import importlib
import importlib.util
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from modomodo.config.foreign_keys import FOREIGN_KEYS
from modomodo.config.reading import beside, not_keys
from modomodo.config.schema import Dataset, Evaluation, Study, Training
from modomodo.errors import InputError, is_misspelt, nearest, told
from modomodo.files import digest

# Keys that have had another name, by the model they belong to: old → new. A model may also say its own, as RENAMED.
RENAMED: dict[type[BaseModel], dict[str, str]] = {
    Training: {
        "trajectories": "train_batch_size",
        "generations": "num_generations",
        "accumulation": "gradient_accumulation_steps",
        "warmup": "warmup_ratio",
        "kl": "beta",
        "max_completion_tokens": "max_completion_length",
        "save_every": "save_steps",
    },
    Evaluation: {"max_completion_tokens": "max_completion_length"},
}

# What a key means in one section and not elsewhere.
MEANT: dict[tuple[type[BaseModel], str], str] = {
    (Training, "batch_size"): "write train_batch_size (completions per step over all devices)",
    (Evaluation, "train_batch_size"): "write batch_size",
    (Evaluation, "vllm"): "write engine: vllm",
    **dict.fromkeys([(Dataset, word) for word in ("dataset", "name", "type", "kind")], "write loader"),
    **dict.fromkeys(
        [(Dataset, word) for word in ("split", "path", "file", "data_files", "subset", "size", "config")],
        "what the loader takes goes under options",
    ),
}


def _unknown_key_hint(key: str, model: type[BaseModel] | None) -> str:
    """What a message says of a key that `model` does not have."""
    if model is None:
        return "unknown key: remove it"
    if key in (renamed := {**RENAMED.get(model, {}), **getattr(model, "RENAMED", {})}):
        return f"renamed: write {renamed[key]}"
    sections = list(_sections(Study))
    if model is not Study and all(
        home is not model for _, home in sections
    ):  # a strategy's options, a job's settings
        return f"unknown key: {nearest(key, model.model_fields)}"
    word = key.lower().replace("-", "_")
    if said := MEANT.get((_family(model), word)) or FOREIGN_KEYS.get(word):
        return f"unknown key: {said}"
    options = "; what a function takes goes under options" if "options" in model.model_fields else ""
    if homes := [path for path, home in sections if word in home.model_fields]:
        return f"unknown key here: it is a key of {', '.join(homes)}{options}"
    if is_misspelt(word, model.model_fields):
        return f"unknown key: {nearest(word, model.model_fields)}"
    return f"unknown key: known: {', '.join(sorted(model.model_fields))}{options}"


def _family(model: type[BaseModel]) -> type[BaseModel]:
    """Dataset for a domain, a benchmark and held-out questions."""
    return Dataset if issubclass(model, Dataset) else model


def _sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The sections of a study, as they are written (domains.<name>), with their models."""
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None:
            below = typing.get_origin(field.annotation) is dict
            yield f"{path}{name}{'.<name>' if below else ''}", inner
            yield from _sections(inner, f"{path}{name}{'.<name>' if below else ''}.")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model that an annotation is, or holds as an alternative or as the values of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(part) for part in typing.get_args(annotation))
    return next((model for model in inner if model is not None), None)


# A module's dotted name; "own.py" is a file.
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(?<!\.py)")


def load_plugins(plugins: Iterable[str]) -> None:
    """Import what registers further functions: Python files, or modules by their dotted name.

    One that this process has loaded already is not executed again.

    Raises InputError when one is missing or fails to import.
    """
    for plugin in plugins:
        try:
            if _MODULE.fullmatch(plugin):
                importlib.import_module(plugin)
            else:
                _import_file(Path(plugin))
        except InputError:
            raise
        except ModuleNotFoundError as error:
            if error.name is None or not f"{plugin}.".startswith(f"{error.name}."):
                raise InputError(f"plugins: {told(error, plugin)}") from error
            raise InputError(
                f"plugins: {plugin}: no such module: give its dotted name, or a .py file"
            ) from None
        except Exception as error:
            raise InputError(f"plugins: {told(error, plugin)}") from error


def plugins_beside(plugins: Iterable[str], where: str) -> list[str]:
    """Plugins of the study in the file `where`, with the paths of files as they are from the working directory."""
    return [plugin if _MODULE.fullmatch(plugin) else beside(plugin, where) for plugin in plugins]


def _import_file(path: Path) -> None:
    """A file as a module, kept in `sys.modules` under a name that its path gives."""
    if not path.is_file():
        raise InputError(f"plugins: {path}: no such file (paths are relative to the study's file)")
    name = f"modomodo_plugin_{path.stem}_{digest(str(path.resolve()))}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"plugins: {path}: not a Python file: its name must end in .py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The pydantic model that a path inside a study leads to, None when it leads elsewhere."""
    annotation: Any = model
    for part in location:
        if str(part).startswith("["):
            annotation = _model_in(annotation)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(part))
            if field is None:
                return None
            annotation = field.annotation
            if typing.get_origin(annotation) in (typing.Union, types.UnionType):
                annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
        elif typing.get_origin(annotation) in (dict, list):
            annotation = typing.get_args(annotation)[-1]
        else:
            return None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first finding of a pydantic error as `key: what is wrong: hint`, on one line."""
    findings = error.errors()
    # A misspelt key explains why the right one is missing, so it is reported first.
    finding = next((f for f in findings if f["type"] == "extra_forbidden"), findings[0])
    location = finding["loc"]
    # A part in square brackets is pydantic's, for a key or one of several kinds of value.
    key = ".".join(str(part) for part in location if not str(part).startswith("["))
    if finding["type"] == "extra_forbidden":
        message = _unknown_key_hint(str(location[-1]), _model_at(model, location[:-1]))
    elif finding["type"] == "missing":
        message = "missing: this key is required"
    elif finding["type"] == "string_pattern_mismatch":
        message = f"'{finding['input']}' is not a name: letters, digits and _ . + - only"
    else:
        message = found(finding)
    return f"{key}: {message}" if key else message


def found(finding: ErrorDetails) -> str:
    """What pydantic says of a value, with the value, on one line."""
    message = finding["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if finding["type"] != "value_error":
        message += f", found {_shortened(repr(finding['input']))}"
    if finding["type"] == "string_type" and isinstance(finding["input"], bool | int | float):
        message += ": YAML reads it so unless it stands in quotes"
    if finding["type"] == "literal_error":
        hint = nearest(str(finding["input"]), re.findall(r"'([^']*)'", finding["ctx"]["expected"]))
        message += f": {hint}" if hint.startswith("did you mean") else ""
    return message


def _shortened(text: str, longest: int = 200) -> str:
    return text if len(text) <= longest else f"{text[:longest]} …"


Model = TypeVar("Model", bound=BaseModel)


def parse(data: object, model: type[Model], where: str, hint: str = "") -> Model:
    """Keys and values as a pydantic model: a study, settings, a strategy's options, a row of a file.

    Raises InputError `where: key: what is wrong`, followed by the hint, if any; `where` is a file, with its line
    where there is one.
    """
    if isinstance(data, dict):
        try:
            return model.model_validate(data)
        except ValidationError as error:
            problem = explain(error, model)
    else:
        raise InputError(not_keys(data, where))
    raise InputError(f"{where}: {problem}{f': {hint}' if hint else ''}")
