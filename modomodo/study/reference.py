"""The page that describes every key of a study, and the JSON schema for editors, made from the models."""

import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from modomodo.config.options import annotations
from modomodo.config.schema import Study
from modomodo.data.readers.registry import datasets
from modomodo.errors import InputError
from modomodo.metrics.metric import Metric, metrics
from modomodo.mixtures.strategies.base import Options, declaration, strategies
from modomodo.mixtures.surrogates.base import surrogates
from modomodo.registry import Registry
from modomodo.replay.config import ReplayConfig
from modomodo.reporting.templates import render_template
from modomodo.training.builders import model_builders
from modomodo.training.rewards import rewards

Row = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A table of the page: of the keys of a model, or of the functions that a key can name.

    `key`: where it lies in a study, or the function's name; `text`: what it is; `rows`: key, type, default and
    what of each key, or name and what of each function.
    """

    key: str
    text: str
    rows: list[Row]


def schema(model: type[BaseModel] = Study) -> str:
    """The JSON schema of a study file."""
    return json.dumps(model.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def page() -> str:
    """The reference as Markdown, from the template `report/config.md.jinja`."""
    proposers = []
    shared: dict[str, type[BaseModel]] = {}  # models in the options, of which several strategies may have one
    for name in strategies:
        options = declaration(name).options
        shown = options is not Options and bool(options.model_fields)
        proposers.append(Section(name, _first_line(strategies[name]), _rows(options) if shown else []))
        if shown:
            shared.update(_inner("", options))
    return render_template(
        "config.md",
        study=list(keys_of("", Study)),
        names=[_names(*named) for named in _registries()],
        rewards=_scored(rewards, filter(rewards.is_own, rewards)),
        metrics=_scored(metrics, metrics),
        strategies=proposers,
        replay=_rows(ReplayConfig),
        # `constraints` is among those that options share.
        replay_parts=[_keys(key, model) for key, model in _inner("", ReplayConfig) if key != "constraints"],
        shared=[_keys(key, model) for key, model in shared.items()],
    )


def keys_of(key: str, model: type[BaseModel]) -> Iterator[Section]:
    """A model's keys and, after them, those of the models in it."""
    yield _keys(key, model)
    for inner_key, inner in _inner(key, model):
        yield from keys_of(inner_key, inner)


def _keys(key: str, model: type[BaseModel]) -> Section:
    return Section(key, _first_line(model), _rows(model))


def _registries() -> list[tuple[str, str, Registry]]:
    return [
        ("Model builders", "model.builder", model_builders),
        ("Datasets", "domains.<name>.loader, benchmarks.<name>.loader", datasets),
        ("Surrogates", "strategies.<name>.options.surrogate", surrogates),
    ]


_EXAMPLE = re.compile(r"Example: `(.+?)`: (.+?)\n", re.DOTALL)


def _scored(registry: Registry, names: Iterable[str]) -> list[Row]:
    """Name, what, options and example of each reward or metric."""
    rows: list[Row] = []
    for name in names:
        text = inspect.getdoc(registry[name]) or ""
        example = _EXAMPLE.search(f"{text}\n")
        shown = f"`{example[1]}`: {' '.join(example[2].split())}" if example else ""
        rows.append((f"`{name}`", _text(_first_line(registry[name])), _options(registry[name]), _text(shown)))
    return rows


def _options(function: Any) -> str:
    """The options of a reward or metric, with their types and defaults."""
    given = 2 if getattr(function, "prompt", None) is None else 3
    parameters = list(inspect.signature(function).parameters.values())
    hints = annotations(inspect.unwrap(function))
    return ", ".join(
        f"`{one.name}` ({_kind(hints[one.name])}, {_shown(one.default)})"
        for one in parameters[given if isinstance(function, Metric) else 3 :]
    )


def _shown(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return "required"
    return "a prompt of ours" if isinstance(default, str) else "none" if default is None else f"`{default}`"


def _names(title: str, key: str, registry: Registry) -> Section:
    """A published dataset is described by its module, which has one reader."""
    things = {
        name: sys.modules[registry[name].__module__] if registry is datasets else registry[name]
        for name in registry
    }
    return Section(key, title, [(f"`{name}`", _text(_first_line(thing))) for name, thing in things.items()])


GRAPH = ("```mermaid\n", "```\n")  # around the one graph of a page


def with_graph(page: str, graph: str) -> str:
    """A page with its mermaid block replaced by a rule graph, as `snakemake --rulegraph mermaid-js` prints it.

    Colours are left out, so that it reads on a dark page too. Raises InputError for a page without such a block and
    for a graph without arrows, as a failed Snakemake leaves it.
    """
    start, end = GRAPH
    before, found, rest = page.partition(start)
    if not found:
        raise InputError("the page has no mermaid block to put the graph into")
    _, _, after = rest.partition(end)
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", graph, flags=re.MULTILINE))
    edges = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", graph)}
    if not edges:
        raise InputError(
            "no graph on standard input: snakemake --rulegraph mermaid-js prints one, or why it cannot"
        )
    # By name: Snakemake's own order differs from call to call.
    lines = [f"    {source} --> {target}" for source, target in sorted(edges)]
    return before + start + "\n".join(["flowchart TB", *lines]) + "\n" + end + after


def _inner(prefix: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        inner, many = _model_in(field.annotation)
        if inner is not None:
            key = f"{prefix}.{name}" if prefix else name
            yield (f"{key}.<name>" if many else key), inner


def _model_in(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model that an annotation holds, and whether it holds several by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    many = typing.get_origin(annotation) is dict
    for part in typing.get_args(annotation):
        inner, _ = _model_in(part)
        if inner is not None:
            return inner, many
    return None, False


def _rows(model: type[BaseModel]) -> list[Row]:
    return [
        (
            f"`{name}`",
            _kind(field.annotation) + _bounds(field),
            _default(field),
            _text(field.description or _about(field)),
        )
        for name, field in model.model_fields.items()
    ]


def _about(field: FieldInfo) -> str:
    inner, _ = _model_in(field.annotation)
    return _first_line(inner) if inner else ""


def _kind(annotation: Any) -> str:
    """A type in the words of YAML."""
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in words:
        return words[annotation]
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(part) for part in arguments if part is not type(None))
    if origin is dict:
        return f"name: {_kind(arguments[1])}"
    if origin in (list, tuple):
        return f"list of {_kind(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys"
    return str(annotation)


def _bounds(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [
        f"{sign} {getattr(part, name):g}"
        for part in field.metadata
        for name, sign in signs.items()
        if getattr(part, name, None) is not None
    ]
    return f", {', '.join(found)}" if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, BaseModel):
        return ""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _text(text: str) -> str:
    """Text whose angle brackets Markdown shows."""
    return text.replace("<", "&lt;")


def _first_line(thing: Any) -> str:
    """The first paragraph of a docstring, as one line."""
    text = inspect.getdoc(thing) or ""
    return " ".join(text.split("\n\n")[0].split())
