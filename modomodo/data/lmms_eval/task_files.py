"""What a task of lmms-eval says of itself in its YAML files and Python functions; neither is executed."""

import ast
import functools
import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modomodo.errors import InputError, nearest

LOCAL = {
    "arrow",
    "csv",
    "imagefolder",
    "json",
    "pandas",
    "parquet",
    "text",
}  # builders of datasets, no names on the hub
_TASK = re.compile(r"^task: *[\"']?([^\"'#\s\[{]+)", re.MULTILINE)
_GROUP = re.compile(r"^group: *[\"']?([^\"'#\s\[{]+)", re.MULTILINE)
PACKAGE = "lmms_eval/"  # how a file of one's own includes one of lmms-eval


@dataclass(frozen=True)
class Function:
    """What `!function utils.name` means: a name of a Python file beside the YAML file, or of a module."""

    home: Path  # the YAML file's folder
    name: str  # dotted


class _Loader(yaml.SafeLoader):
    home = Path()


def _function(loader: _Loader, node: yaml.Node) -> Function:
    return Function(loader.home, str(getattr(node, "value", "")))


_Loader.add_constructor("!function", _function)


@dataclass(frozen=True)
class Task:
    """A task of lmms-eval; `config` is its file's content, with what it includes."""

    name: str
    path: Path
    config: Mapping[str, Any]
    files: list[Path] = field(default_factory=list)  # its own and those included

    @property
    def metrics(self) -> dict[str, Any]:
        """Name of each metric that the file lists → its aggregation: a name or a Function."""
        listed = self.config.get("metric_list") or []
        return {
            str(one["metric"]): one.get("aggregation")
            for one in listed
            if isinstance(one, dict) and "metric" in one
        }

    @property
    def filters(self) -> list[str]:
        """The names of its filters of answers, for each of which its metrics are computed."""
        listed = self.config.get("filter_list") or []
        return [str(one["name"]) for one in listed if isinstance(one, dict) and "name" in one] or ["none"]

    @property
    def dataset(self) -> str:
        """The dataset that it loads: a repository of the hub, or a builder of local files."""
        return str(self.config.get("dataset_path") or "")

    @property
    def data_files(self) -> list[Path]:
        """Its data on this machine; none where the data are on the hub."""
        kwargs = self.config.get("dataset_kwargs") or {}
        found = kwargs.get("data_files") if self.dataset in LOCAL else None
        named = found.values() if isinstance(found, dict) else [found]
        places = [self.path.parent / str(one) for each in named for one in _listed(each)]
        return [Path(path) for place in places for path in sorted(glob.glob(str(place))) or [str(place)]]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def is_file_of_ones_own(named: str) -> bool:
    """Whether a study names a task by its file, and not by its name in lmms-eval."""
    return named.endswith((".yaml", ".yml"))


def find_task(named: str, package: Path) -> Task:
    """A task by its name in lmms-eval, or by its file. `package`: the folder of lmms_eval.

    Raises InputError for one that is not there, that is a group of tasks, or whose file cannot be read.
    """
    if is_file_of_ones_own(named):
        path = Path(named)
        if not path.is_file():
            raise InputError(f"{named}: no such file (paths are relative to the study's file)")
    else:
        tasks, groups = _index(package)
        if named not in tasks and named in groups:
            members = _listed(_read(groups[named], package, []).get("task"))
            names = ", ".join(str(one.get("task") if isinstance(one, dict) else one) for one in members[:8])
            rest = f" and {len(members) - 8} more" if len(members) > 8 else ""
            raise InputError(f"'{named}' is a group of tasks: name one of {names}{rest}")
        if named not in tasks:
            raise InputError(f"lmms-eval has no task '{named}': {nearest_task(named, tasks)}")
        if len(tasks[named]) > 1:
            raise InputError(
                f"lmms-eval defines '{named}' more than once, in {tasks[named][0]} and {tasks[named][1]}"
            )
        path = tasks[named][0]
    files: list[Path] = []
    config = _read(path, package, files)
    name = config.get("task")
    if not isinstance(name, str):
        raise InputError(f"{path}: task: missing: a task has a name")
    return Task(name, path, config, files)


def nearest_task(named: str, tasks: Mapping[str, Any]) -> str:
    """The hint to an unknown task: the nearest one, but not a list of all thousand."""
    hint = nearest(named, tasks)
    return hint if hint.startswith("did you mean") else "python -m lmms_eval --tasks list names them"


@functools.cache
def _index(package: Path) -> tuple[dict[str, list[Path]], dict[str, Path]]:
    """Task → the files that define it, and group → its file."""
    tasks: dict[str, list[Path]] = {}
    groups: dict[str, Path] = {}
    for path in sorted((package / "tasks").rglob("*.yaml")):
        text = path.read_text(encoding="utf-8", errors="replace")
        group, task = _GROUP.search(text), _TASK.search(text)
        if task:
            tasks.setdefault(task[1], []).append(path)
        if group:
            groups.setdefault(group[1], path)
    return tasks, groups


def _read(path: Path, package: Path, files: list[Path]) -> dict[str, Any]:
    """A file with what it includes, as lmms-eval merges them; all of them are added to `files`."""
    files.append(path)
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        loader.home = path.parent
        config = loader.get_single_data()
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: no task of lmms-eval: it holds no keys")
    merged: dict[str, Any] = {}
    for name in reversed(_listed(config.pop("include", None))):
        included = included_file(str(name), path, package)
        if not included.is_file():
            raise InputError(f"{path}: include: {name}: no such file")
        merged |= _read(included, package, files)
    return merged | config


def included_file(name: str, path: Path, package: Path) -> Path:
    """The file that `include` names: one of lmms-eval (`lmms_eval/tasks/…`), one by its path, or one beside."""
    if name.startswith(PACKAGE):
        return package.parent / name
    return Path(name) if Path(name).is_file() else path.parent / name


# Modules that ask a model elsewhere, as the code of tasks imports them.
_JUDGES = re.compile(
    r"(openai|anthropic|azure|dashscope|google\.genai|litellm|requests|httpx)(\.|$)|lmms_eval\.(llm_judge|verifiers\.openai)"
)


def asks_judge(function: Function, package: Path) -> bool:
    """Whether a function of a task, or what it calls in turn, uses a library by which a model elsewhere is asked."""
    *module, name = function.name.split(".")
    path = function.home / ("/".join(module) + ".py")
    if not path.is_file():
        path = package.parent / ("/".join(module) + ".py")
    return _reaches(path, name, package, set())


def _reaches(path: Path, name: str, package: Path, seen: set[tuple[Path, str]]) -> bool:
    if (path, name) in seen or not path.is_file():
        return False
    seen.add((path, name))
    definitions, imported = _names_of(path)
    if name in imported:
        module, original = imported[name]
        if _JUDGES.match(module) or _JUDGES.match(f"{module}.{original}"):
            return True
        return _reaches(_module_file(module, path, package), original, package, seen)
    for node in definitions.get(name, []):
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                modules = (
                    [alias.name for alias in inner.names]
                    if isinstance(inner, ast.Import)
                    else [inner.module or ""]
                )
                if any(_JUDGES.match(module) for module in modules):
                    return True
            if isinstance(inner, ast.Name) and _reaches(path, inner.id, package, seen):
                return True
    return False


@functools.cache
def _names_of(path: Path) -> tuple[dict[str, list[ast.AST]], dict[str, tuple[str, str]]]:
    """What a Python file defines: name → statements; and what it imports: name → (module, name there)."""
    definitions: dict[str, list[ast.AST]] = {}
    imported: dict[str, tuple[str, str]] = {}
    for node in ast.walk(ast.Module(body=[*_top_level(path)], type_ignores=[])):
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            imported |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.asname or alias.name.split(".")[0]: (alias.name, "") for alias in node.names}
    for node in _top_level(path):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            definitions.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    definitions.setdefault(target.id, []).append(node.value)
    return definitions, imported


def _top_level(path: Path) -> Iterator[ast.stmt]:
    """The statements of a file, those under its `if` and `try` too; none of one that Python does not read."""
    try:
        waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
    except (SyntaxError, ValueError):
        return
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.If | ast.Try):
            waiting = [*node.body, *node.orelse, *waiting]
        else:
            yield node


def _module_file(module: str, path: Path, package: Path) -> Path:
    """The file of a module that another one imports: of lmms-eval, or beside."""
    if module.startswith("lmms_eval."):
        return package.parent / (module.replace(".", "/") + ".py")
    level = len(module) - len(module.lstrip("."))
    folder = path.parents[max(0, level - 1)]
    return folder / (module.lstrip(".").replace(".", "/") + ".py")


def returns_nothing(aggregation: Any) -> bool:
    """Whether an aggregation writes a file to be submitted elsewhere, and gives no number."""
    if not isinstance(aggregation, Function):
        return False
    *module, name = aggregation.name.split(".")
    definitions, _ = (
        _names_of(path) if (path := aggregation.home / ("/".join(module) + ".py")).is_file() else ({}, {})
    )
    found = definitions.get(name, [])
    return bool(found) and not any(
        isinstance(inner, ast.Return) and inner.value is not None
        for node in found
        for inner in ast.walk(node)
    )
