"""Importing the package, or any module of it, changes nothing; scripts load torch in their main alone."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# The libraries come first: what they do to the process is theirs. Then each module of ours, and after it a look.
IMPORTS = """
import ast, importlib, os, signal, sys, warnings
from pathlib import Path

files = sorted(Path("modomodo").rglob("*.py"))
modules = [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files]
for file in files:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.level == 0):
            statement = ast.unparse(node)
            if "modomodo" not in statement:
                try:
                    exec(statement, {})
                except ImportError:  # vLLM has an environment of its own
                    pass

from threadpoolctl import threadpool_info

import modomodo.files

def refuse(*arguments):
    raise AssertionError(f"{name} reads or hashes {arguments} when it is imported")

modomodo.files.file_digest = refuse  # what a module that hashes at import would call

def state():
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    pools = sorted((pool["filepath"], pool["num_threads"]) for pool in threadpool_info())
    return dict(os.environ), list(warnings.filters), handlers, pools, os.getcwd(), list(sys.path)

def watch(event, arguments):
    if event in ("subprocess.Popen", "os.system", "socket.connect"):
        raise AssertionError(f"{name} does {event} {arguments} when it is imported")
    if event == "open" and set(str(arguments[1])) & set("wax+") and not str(arguments[0]).endswith(".pyc"):
        refuse(*arguments[:2])

before = state()
assert before[3], "no BLAS was loaded, so its limits were not watched"
sys.addaudithook(watch)
for name in modules:
    importlib.import_module(name)
    for part, now, then in zip("environment filters signals threads folder path".split(), state(), before):
        if now != then:
            sys.exit(f"{name} changes the {part} of the process that imports it")
print(len(modules))
"""


def python(code: str, *arguments: str) -> str:
    """What a fresh process prints, which knows nothing of what the tests' own has imported."""
    run = subprocess.run(
        [sys.executable, "-B", "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    return run.stdout


def test_importing_any_module_changes_nothing() -> None:
    assert int(python(IMPORTS)) > 100


def test_a_module_that_changes_something_is_found(tmp_path: Path) -> None:
    """The test above, on packages that each change one thing."""
    cases = {
        "environment": "import os\nos.environ['A'] = 'b'",
        "filters": "import warnings\nwarnings.simplefilter('ignore')",
        "signals": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "threads": "import numpy\nfrom threadpoolctl import threadpool_limits\n"
        "threadpool_limits(limits=7, user_api='blas')",
        "hashes": "from modomodo.files import file_digest\nfile_digest(__file__)",
        "subprocess.Popen": "import subprocess\nsubprocess.run(['true'])",
    }
    for word, code in cases.items():
        package = tmp_path / word / "modomodo"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "files.py").write_text("import numpy\ndef file_digest(path): ...\n")
        (package / "guilty.py").write_text(code)
        run = subprocess.run(
            [sys.executable, "-B", "-c", IMPORTS],
            cwd=package.parent,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode != 0 and "modomodo.guilty" in run.stderr and word in run.stderr, run.stderr


SCRIPTS = """
import runpy, sys
sys.path[:0] = [".", "benchmarks"]
for path in sys.argv[1:]:
    runpy.run_path(path, run_name="imported")
    for library in ("torch", "transformers", "sklearn"):  # OpenMP reads its environment when they load it
        assert library not in sys.modules, f"{path} loads {library} before its main is run"
"""


def test_scripts_load_torch_in_their_main_alone() -> None:
    python(SCRIPTS, *map(str, sorted((ROOT / "scripts").glob("*.py"))))


DOOR = """
import sys
def loaded(*libraries):
    return [library for library in libraries if library in sys.modules]
import modomodo.plugins as door
assert not loaded("torch", "scipy", "numpy", "pandas", "PIL", "pydantic")
from modomodo.plugins import Image, Rejected, Score, dataset, extract_answer, metric, model, reward
assert not loaded("torch", "scipy", "numpy", "pandas"), loaded("torch", "scipy", "numpy", "pandas")
for name in door.__all__:
    assert getattr(door, name) is not None
assert dir(door) == sorted(door.__all__)
assert not hasattr(door, "no_such_name")
assert not loaded("torch")
"""


def test_the_door_for_plugins_loads_what_is_asked_for() -> None:
    python(DOOR)


def test_the_page_on_extending_uses_the_door_alone() -> None:
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/extending.md").read_text(encoding="utf-8"), re.DOTALL
    )
    modules = set(re.findall(r"(?:from|import) (modomodo[\w.]*)", "".join(blocks)))
    assert modules == {"modomodo.plugins"}
