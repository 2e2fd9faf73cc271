"""Options that a study hands to a function, judged by the function's signature before anything runs."""

import glob
import inspect
import itertools
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from modomodo.config.loading import found
from modomodo.errors import InputError, nearest

# Names of arguments that lead to a file, where the annotation does not say so.
_PATHS = ("path", "file", "filename", "folder", "directory")

MOST_FILES = 1000  # of a folder that are watched one by one


def check_options(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    where: str,
    given: int = 1,
    besides: Sequence[str] = (),
) -> None:
    """Options of a function whose first arguments (`given`) are not among them, such as a loader's `raw`.

    `besides`: options that are not the function's, for the hint.

    Raises InputError naming the option: one that the function does not take, or needs, or takes in another type.
    Without annotations only names are judged, and types by the defaults.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a class or a function in C
        return
    parameters = list(signature.parameters.values())[given:]
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters)
    for name in options:
        if name not in known and not takes_any:
            raise InputError(f"{where}.{name}: unknown option: {nearest(name, [*known, *besides])}")
    hints = annotations(function)
    for parameter in parameters:
        if parameter.name in options:
            kind = hints.get(parameter.name, _kind_of(parameter.default))
            _check_value(kind, options[parameter.name], f"{where}.{parameter.name}")
        elif parameter.name in known and parameter.default is parameter.empty:
            raise InputError(f"{where}.{parameter.name}: missing: this option is required")


def check_files(function: Callable[..., Any], options: Mapping[str, Any], where: str) -> None:
    """Raises InputError for an option that leads to a file which is not there, by its annotation or else its name."""
    hints = annotations(function)
    for name, value in options.items():
        is_path = Path in _alternatives(hints.get(name)) or _called_as_path(name)
        for path in value if isinstance(value, list) else [value]:
            if is_path and isinstance(path, str) and not _may_be_there(path, function):
                raise InputError(
                    f"{where}.{name}: {path}: no such file (paths are relative to where you run)"
                )


def annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """The types that a signature names; none where one of them cannot be resolved."""
    try:
        return typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    except (NameError, TypeError, AttributeError):  # of a type that is not imported at run time
        return {}


def _kind_of(default: Any) -> Any:
    """The type that a default stands for: any number for a number, anything where it says nothing."""
    if isinstance(default, bool | str):
        return type(default)
    return float if isinstance(default, int | float) else Any


def _check_value(kind: Any, value: Any, where: str) -> None:
    try:
        adapter = TypeAdapter(kind)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return
    try:
        # As JSON, in which a list may become a tuple and a text a path, but a text no number.
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        finding = error.errors()[0]
        raise InputError(f"{where}: {found(finding)}") from None


def _called_as_path(name: str) -> bool:
    """Whether an option's name, such as image_folder or files, says that it leads to a file or folder."""
    return name.removesuffix("s").rpartition("_")[2] in _PATHS


def _alternatives(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) is typing.Annotated:
        return _alternatives(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType, list, tuple):
        return tuple(inner for part in typing.get_args(kind) for inner in _alternatives(part))
    return (kind,)


def _may_be_there(path: str, function: Callable[..., Any]) -> bool:
    """Whether a path exists, also beside the function's file, or is a pattern or an address, which it resolves."""
    own = Path(getattr(inspect.unwrap(function), "__globals__", {}).get("__file__") or "").parent
    return (
        not path
        or any(sign in path for sign in "*?[")
        or "://" in path
        or any(place.exists() for place in (Path(path).expanduser(), own / path))
    )


def local_files(options: Mapping[str, Any]) -> list[str]:
    """The files of this machine that options name, those in a folder too: whoever edits one wants it read again.

    A folder is one whose path has a separator, or whose option is called as a path is: `split: train` may stand beside
    a folder of that name. A folder of very many files is itself the one that is watched.
    """
    named = [(key, text) for key, value in options.items() for text in _texts(value)]
    found: list[str] = []
    for key, text in named:
        path = Path(text).expanduser()
        try:
            if path.is_file():
                found.append(str(path))
            elif _called_as_path(key) and any(sign in text for sign in "*?["):
                found += sorted(file for file in glob.glob(str(path), recursive=True) if Path(file).is_file())
            elif path.is_dir() and ("/" in text or _called_as_path(key)):
                files = (str(file) for file in path.rglob("*") if file.is_file())
                inside = list(itertools.islice(files, MOST_FILES + 1))
                found += sorted(inside) if len(inside) <= MOST_FILES else [str(path)]
        except OSError:  # longer than a name can be, or not to be read
            continue
    return list(dict.fromkeys(found))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value of an option."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
