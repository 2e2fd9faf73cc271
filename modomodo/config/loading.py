"""YAML → models: reading a file, importing plugins, and the one rendering of what pydantic finds wrong."""

import importlib
import importlib.util
import re
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from modomodo.config.schema import Evaluation, Settings, Training
from modomodo.errors import InputError, nearest

# Keys that have had another name, by the model they belong to: old → new.
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

# Keys of TRL's GRPOConfig that a study gives in another way: key → hint.
TRL_KEYS = {
    "per_device_train_batch_size": "give train_batch_size (completions per step over all devices)",
    "generation_batch_size": "give train_batch_size (completions per step over all devices)",
    "max_steps": "give steps",
    "warmup_steps": "give warmup_ratio (share of the steps)",
    "use_vllm": "give vllm: off, colocate or server",
    "vllm_mode": "give vllm: off, colocate or server",
    "use_cpu": "give gpus (0: the CPU)",
}


def _unknown_key_hint(key: str, model: type[BaseModel] | None) -> str:
    """What a message says of a key that `model` does not have."""
    if model is None:
        return "unknown key: remove it"
    if key in (renamed := RENAMED.get(model, {})):
        return f"renamed: write {renamed[key]}"
    if model is Training and key in TRL_KEYS:
        return f"unknown key: {TRL_KEYS[key]}"
    return f"unknown key: {nearest(key, model.model_fields)}"


def first_problem(error: ValidationError) -> str:
    """The first finding of a pydantic error, as `field: what is wrong`."""
    finding = error.errors()[0]
    where = ".".join(str(part) for part in finding["loc"])
    message = finding["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: object, where: str) -> Model:
    """`values` as a pydantic model; its first complaint as one line.

    Raises InputError `where: key: what is wrong`, for an unknown key with the nearest right one.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        finding = error.errors()[0]
        key = ".".join(str(part) for part in finding["loc"])
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            known = [name for name in model.model_fields if name not in finding["loc"]]
            message = f"unknown key; {nearest(str(finding['loc'][-1]), known)}"
        raise InputError(f"{where}: {key}: {message}" if key else f"{where}: {message}") from None


def load_plugins(plugins: list[str]) -> None:
    """Import what registers further functions: Python files, or modules by their dotted name.

    Raises InputError when one is missing or fails to import.
    """
    for path in plugins:
        if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", path) and not path.endswith(".py"):
            try:
                importlib.import_module(path)
            except ModuleNotFoundError as error:
                raise InputError(
                    f"plugins: {path}: no such module ({error}): name one, or a .py file"
                ) from None
            continue
        if not Path(path).is_file():
            raise InputError(f"plugins: {path}: no such file (paths are relative to where you run)")
        name = "modomodo_plugin_" + re.sub(r"\W", "_", str(Path(path).resolve()))
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise InputError(f"plugins: {path}: not a Python file: its name must end in .py")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except InputError:
            raise
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            raise InputError(f"plugins: {path}: {type(error).__name__}: {first}") from error


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The pydantic model that a path inside a study leads to, None when it leads elsewhere."""
    annotation: Any = model
    for part in location:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
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
    """The first finding of a pydantic error as `key: what is wrong: the mend`."""
    findings = error.errors()
    # Of a misspelt key the reader wants to hear before the key it should have been.
    finding = next((f for f in findings if f["type"] == "extra_forbidden"), findings[0])
    location = finding["loc"]
    key = ".".join(str(part) for part in location if part != "[key]")
    if finding["type"] == "extra_forbidden":
        return f"{key}: {_unknown_key_hint(str(location[-1]), _model_at(model, location[:-1]))}"
    if finding["type"] == "missing":
        return f"{key}: missing: this key is required"
    if finding["type"] == "string_pattern_mismatch":
        return f"{key}: '{finding['input']}' is not a name: letters, digits and _ . + - only"
    message = finding["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if finding["type"] != "value_error":
        message += f", found {finding['input']!r}"
    return f"{key}: {message}" if key else message


S = TypeVar("S", bound=Settings)


def parse(data: Any, model: type[S], where: str) -> S:
    """Validated settings. Raises InputError naming `where`, the key, what is wrong and the mend."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected keys and values, found {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, model)}") from None


def read_yaml(path: str | Path) -> Any:
    """Raises InputError naming file, line and what is wrong."""
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.safe_load(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a study's YAML file") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise InputError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8: {error.reason}") from None
    except (yaml.YAMLError, ValueError) as error:  # a control character, an impossible date
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
