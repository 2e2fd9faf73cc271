"""The folders of the package are its stages, in one order, and what they import keeps to it.

All of it is read from the imports themselves: those inside functions and those for type checkers count too.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The order of the stages, lowest first: a stage imports only from levels below its own. docs/architecture.md shows it.
LEVELS: list[tuple[str, ...]] = [
    (
        "errors",
        "error_hints",
        "environment",
        "files",
        "registry",
        "console",
        "standard_errors",
        "warning_files",
    ),
    ("config",),
    ("data", "mixtures"),
    ("metrics",),
    ("training", "reporting"),
    ("evaluation", "replay", "tiny"),
    ("merging", "study"),
    ("command_line",),
    ("plugins",),
]
LEVEL = {stage: level for level, stages in enumerate(LEVELS) for stage in stages}

# The loop of the pipeline in code: scores become the records that strategies read. Nothing else of the mixtures
# stage may be used to evaluate, nor anything of evaluation to make mixtures.
LOOP = {"modomodo.evaluation.scores": {"modomodo.mixtures.mixture", "modomodo.mixtures.records"}}

HEAVY = ("torch", "transformers", "scipy", "sklearn", "matplotlib", "cma", "lightgbm")


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its dotted name; a folder's is its `__init__`."""
    names = {path: path.relative_to(root).with_suffix("").parts for path in root.glob("modomodo/**/*.py")}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for path, parts in names.items()}


def imports_of(source: str, known: Mapping[str, object]) -> set[str]:
    """The modules of `known` that a module names in its imports, wherever they are."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import, line {node.lineno}: write the module's full name"
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                found |= {member} if member in known else {node.module} & known.keys()
    return found


def imports(root: Path) -> dict[str, set[str]]:
    """Module → the modules of the package that it imports."""
    known = modules(root)
    return {
        name: imports_of(path.read_text(encoding="utf-8"), known) - {name} for name, path in known.items()
    }


def stage_of(module: str) -> str:
    """`modomodo.data.readers.coco` → `data`; the package's own `__init__` is ground: it imports nothing."""
    return module.split(".")[1] if "." in module else "errors"


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """One circle of imports, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def climbs(graph: Mapping[str, set[str]]) -> list[str]:
    """Imports of a stage that is not below the importing module's own."""
    return [
        f"{module} imports {imported}"
        for module, targets in sorted(graph.items())
        for imported in sorted(targets)
        if stage_of(imported) != stage_of(module)
        and LEVEL[stage_of(imported)] >= LEVEL[stage_of(module)]
        # The ground files may use each other: that these have no circle either is tested with all others.
        and not LEVEL[stage_of(imported)] == LEVEL[stage_of(module)] == 0
    ]


GRAPH = imports(ROOT)


def test_every_stage_has_its_level() -> None:
    assert {stage_of(module) for module in GRAPH} == LEVEL.keys()


def test_no_import_circle() -> None:
    assert circle(GRAPH) == []


def test_no_stage_imports_from_a_higher_one() -> None:
    assert climbs(GRAPH) == []


def test_scores_to_records_is_the_one_loop_edge() -> None:
    crossing = {
        module: {target for target in targets if stage_of(target) == "mixtures"}
        for module, targets in GRAPH.items()
        if stage_of(module) == "evaluation"
    }
    assert {module: targets for module, targets in crossing.items() if targets} == LOOP


def test_nothing_imports_the_tiny_world() -> None:
    """It is a plugin, and shows that plugins can do all of it."""
    inside = {module for module in GRAPH if stage_of(module) == "tiny"}
    importers = [module for module, targets in GRAPH.items() if module not in inside and targets & inside]
    assert importers == []


def test_nothing_imports_the_door_for_plugins() -> None:
    assert [module for module, targets in GRAPH.items() if "modomodo.plugins" in targets] == []


def test_the_page_shows_the_order() -> None:
    """docs/architecture.md has a table with a row for each stage, lowest first."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| `(\w+)(?:/|\.py)` \|", page, flags=re.MULTILINE)
    shown = [(int(level), stage) for level, stage in rows]
    assert shown == [(level, stage) for level, stages in enumerate(LEVELS) for stage in stages]


# --- that these tests can fail ----------------------------------------------------------------------------------

SMALL = {
    "modomodo/__init__.py": "",
    "modomodo/errors.py": "",
    "modomodo/config/schema.py": "from modomodo import errors\n",
    "modomodo/mixtures/records.py": "from modomodo.config.schema import Study\n",
    "modomodo/evaluation/scores.py": "from modomodo.mixtures.records import Records\n",
}


def small(folder: Path, **changed: str) -> dict[str, set[str]]:
    for name, text in {**SMALL, **changed}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return imports(folder)


def test_an_order_that_is_kept(tmp_path: Path) -> None:
    graph = small(tmp_path)
    assert graph["modomodo.config.schema"] == {"modomodo.errors"}
    assert circle(graph) == [] and climbs(graph) == []


@pytest.mark.parametrize(
    "written",
    [
        "from modomodo.evaluation import scores\n",
        "import modomodo.evaluation.scores\n",
        "def later():\n    from modomodo.evaluation.scores import collect\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from modomodo.evaluation.scores import Score\n",
    ],
)
def test_an_import_from_above_is_found(tmp_path: Path, written: str) -> None:
    graph = small(tmp_path, **{"modomodo/mixtures/records.py": written})
    assert climbs(graph) == ["modomodo.mixtures.records imports modomodo.evaluation.scores"]
    assert set(circle(graph)) == {"modomodo.mixtures.records", "modomodo.evaluation.scores"}


def test_a_circle_inside_a_folder_is_found(tmp_path: Path) -> None:
    changed = {
        "modomodo/config/schema.py": "def read():\n    from modomodo.config.loading import parse\n",
        "modomodo/config/loading.py": "from modomodo.config.schema import Study\n",
    }
    graph = small(tmp_path, **changed)
    assert climbs(graph) == []
    assert set(circle(graph)) == {"modomodo.config.schema", "modomodo.config.loading"}


def test_two_stages_of_one_level_do_not_meet(tmp_path: Path) -> None:
    changed = {
        "modomodo/mixtures/records.py": "from modomodo.data.examples import Example\n",
        "modomodo/data/examples.py": "",
    }
    graph = small(tmp_path, **changed)
    assert climbs(graph) == ["modomodo.mixtures.records imports modomodo.data.examples"]


# --- importing costs little; that it changes nothing is in tests/test_imports.py ----------------------------------


def loaded_by(code: str) -> set[str]:
    """The top-level packages in memory after some code, in a fresh Python that inherits nothing from this one."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        cwd=ROOT,
        env={name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert run.returncode == 0, run.stderr
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_importing_the_package_is_light() -> None:
    assert loaded_by("import modomodo") - loaded_by("pass") == {"modomodo"}


@pytest.mark.parametrize(
    ("rules", "heavy"),
    [
        (sorted(path for path in ROOT.glob("rules/*.smk") if path.stem != "replay"), HEAVY),
        ([ROOT / "rules/replay.smk"], [name for name in HEAVY if name != "scipy"]),
    ],
    ids=["a study", "a replay"],
)
def test_reading_the_rules_loads_nothing_heavy(rules: list[Path], heavy: Sequence[str]) -> None:
    """Snakemake does it at every start, and on a cluster each job again."""
    imported = [
        line
        for path in rules
        for line in re.findall(
            r"^from modomodo[\w.]* import (?:\([^)]*\)|.+)$", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]
    assert len(imported) > 3
    assert loaded_by("\n".join(imported)) & set(heavy) == set()
