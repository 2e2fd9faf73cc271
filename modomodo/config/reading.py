"""A study's YAML as it was written: what YAML would lose or turn into something else is refused with its line.

PyYAML follows YAML 1.1, whose readers drop all but the last of two equal keys and take `no` for false, `010` for 8,
`1:30` for 90 and 1e-4 for a text. Here a key is a text or refused, the first three are refused, 1e-4 is a number, and
a date is a text, since no key of a study is a date.
"""

import json
import math
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import yaml

from modomodo.errors import InputError

# A number with an exponent but without a dot or a sign, as YAML 1.2, JSON and Python write it.
_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$")
_WHOLE = re.compile(r"0|[1-9][0-9]*")
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_TEXT_TAGS = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
_KINDS = {
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:bool": "a truth value",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
}


def read_yaml(path: str | Path) -> Any:
    """What a YAML or JSON file holds.

    Raises InputError naming file, line and what is wrong.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("{"):
            with suppress(json.JSONDecodeError):  # then it is YAML's own {key: value}
                return json.loads(text, object_pairs_hook=_json_keys, parse_constant=_json_constant)
        return yaml.load(text, Loader=_Loader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a study's YAML file") from None
    except PermissionError:
        raise InputError(f"{path}: not readable: check its permissions") from None
    except _Turned as error:
        raise InputError(f"{path}:{_line(error)}: {error.problem}") from None
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{path}:{_line(error)}: not valid YAML: {error.problem}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8: {error.reason}: save it as UTF-8") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # a control character
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise InputError(f"{path}: not a study: its values are nested too deeply") from None


def read_config(files: Sequence[str | Path], where: str) -> dict[str, Any]:
    """The study in the one file that Snakemake was given.

    Snakemake reads it with PyYAML's own loader, and merges several files into one study that nobody wrote. Raises
    InputError for more than one file, and for one that holds no keys.
    """
    if len(files) != 1:
        raise InputError(
            f"{where}: {len(files)} studies after --configfile, which Snakemake would merge into one: give one file"
        )
    try:
        data = read_yaml(files[0])
    except InputError as error:  # Snakemake makes the path absolute
        raise InputError(f"{where}{str(error).removeprefix(str(files[0]))}") from None
    if not isinstance(data, dict):
        raise InputError(not_keys(data, where))
    return data


def beside(path: str, where: str) -> str:
    """A file or folder that a study names: relative to the study's own file, else to the working directory.

    `where`: the study's file; anything else (settings that a rule passes) leaves the path as it is.
    """
    if not Path(where).is_file():
        return path
    own = Path(where).parent / path
    return path if Path(path).exists() and not own.exists() else os.path.relpath(own)


def not_keys(data: Any, where: str) -> str:
    """What a message says of a file, or a part of one, that holds no keys and values."""
    return f"{where}: expected keys and values, found {'nothing' if data is None else type(data).__name__}"


class _Turned(yaml.MarkedYAMLError):
    """Valid YAML whose meaning is not what was written."""


def _json_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name}: the key stands twice, and JSON would drop the first: merge the two")
    return dict(pairs)


def _json_constant(word: str) -> None:
    raise InputError(f"{word}: a number must be finite")


def _line(error: yaml.MarkedYAMLError) -> int | str:
    return error.problem_mark.line + 1 if error.problem_mark else "?"


def _turned(node: yaml.Node, problem: str) -> _Turned:
    return _Turned(problem=problem, problem_mark=node.start_mark)


class _Loader(yaml.SafeLoader):
    """Keys, lists, texts, numbers and truth values; nothing is lost."""

    yaml_constructors: ClassVar[dict[Any, Any]] = {}
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _TEXT_TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def keys(self, node: yaml.MappingNode) -> dict[str, Any]:
        """A mapping whose keys are different texts. Those of a merged mapping (`<<`) may be set anew."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self._key(key)
            if name in seen:
                raise _turned(
                    key,
                    f"{name}: the key stands twice, first in line {seen[name]}, and YAML would drop the first: "
                    "merge the two",
                )
            seen[name] = key.start_mark.line + 1
        self.flatten_mapping(node)
        return {self._key(key): self.construct_object(value, deep=True) for key, value in node.value}

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise _turned(node, "a key must be a text, not a list or keys and values")
        # A step, as of a race's rungs: its text is the number, whoever reads it.
        step = node.tag == "tag:yaml.org,2002:int" and _WHOLE.fullmatch(node.value)
        if node.tag != "tag:yaml.org,2002:str" and not step:
            kind = _KINDS.get(node.tag, node.tag)
            raise _turned(
                node, f"YAML reads the key {node.value or '~'} as {kind}: write '{node.value}' in quotes"
            )
        return node.value

    def items(self, node: yaml.SequenceNode) -> list[Any]:
        return self.construct_sequence(node, deep=True)

    def integer(self, node: yaml.ScalarNode) -> int:
        if _OCTAL.fullmatch(node.value) or ":" in node.value:
            value = self.construct_yaml_int(node)
            how = "in base 60" if ":" in node.value else "an octal number"
            raise _turned(
                node,
                f"YAML reads {node.value} as {value}, {how}: write '{node.value}' in quotes for a text, or the number",
            )
        return self.construct_yaml_int(node)

    def real(self, node: yaml.ScalarNode) -> float:
        value = self.construct_yaml_float(node)
        if ":" in node.value:
            raise _turned(
                node,
                f"YAML reads {node.value} as {value}, in base 60: write '{node.value}' in quotes for a text",
            )
        if not math.isfinite(value):
            raise _turned(
                node, f"YAML reads {node.value} as {value}: a number must be finite; a text stands in quotes"
            )
        return value

    def unknown(self, node: yaml.Node) -> None:
        raise _turned(node, f"the tag {node.tag} has no meaning in a study: remove it")


_CONSTRUCTORS: dict[str, Any] = {
    "null": yaml.SafeLoader.construct_yaml_null,
    "bool": yaml.SafeLoader.construct_yaml_bool,
    "str": yaml.SafeLoader.construct_yaml_str,
    "int": _Loader.integer,
    "float": _Loader.real,
    "map": _Loader.keys,
    "seq": _Loader.items,
}
for _kind, _construct in _CONSTRUCTORS.items():
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _construct)
_Loader.add_constructor(None, _Loader.unknown)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))
