"""`--sdm conda` for real: solved, installed, run, in environments from a channel made of this machine's Python.

Run by `make test-conda`. Snakemake makes its own calls of `conda`; standin.py answers them with py-rattler's solver and
installer, since conda itself is in no package index. Two clones share one --conda-prefix.
"""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from channel import make_channel
from packaging.requirements import Requirement
from running import ROOT, clean_copy, digests, snakemake, succeed

CONFIG = "config/conda.yaml"
TABLE = "results/conda/table2.csv"
# A plugin of the study, which every script of the package imports that reads settings of it.
SEEN = """\
import json, os, sys
from pathlib import Path
import modomodo
about = {"script": Path(sys.argv[0]).name, "prefix": sys.prefix, "package": modomodo.__path__[0]}
with open(os.environ["SEEN"], "a") as file:
    file.write(json.dumps(about) + "\\n")
"""


def study() -> dict:
    """One training of two steps, its base, and their table."""
    data = yaml.safe_load((ROOT / "config/test.yaml").read_text(encoding="utf-8"))
    data |= {"name": "conda", "plugins": ["modomodo.tiny", "../seen.py"], "held_out": {}}
    data["model"]["options"] |= {"answer_steps": 20, "corruption_steps": 5}
    data["training"] |= {"steps": 2, "scored_steps": [2]}
    data["strategies"] = {"all": {"propose": "all", "group": "seed"}}
    return data


def clone(folder: Path) -> Path:
    """What a clone holds, and the study."""
    clean_copy(folder)
    (folder / CONFIG).write_text(yaml.safe_dump(study(), sort_keys=False))
    (folder / "seen.py").write_text(SEEN)
    return folder


@dataclass(frozen=True)
class Site:
    """A machine with `conda`, and a folder of environments that its clones share."""

    folder: Path
    prefix: Path

    @property
    def made(self) -> list[Path]:
        """The environments."""
        return [path.with_suffix("") for path in self.prefix.glob("*.env_setup_done")]

    def variables(self, **more: str) -> dict[str, str]:
        names = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "CONDA_CHANNEL_ALIAS": (self.folder / "channels").as_uri(),
            "STANDIN_HOME": str(self.folder),
            "SEEN": os.devnull,
        }
        return {**os.environ, **names, **more}

    def run(self, clone: Path, *arguments: str, sdm: tuple[str, ...] = ("conda",), **more: str) -> str:
        """Snakemake in a clone; what it says."""
        words = (*arguments, "--configfile", CONFIG, "--conda-prefix", str(self.prefix), "--sdm", *sdm)
        ended = succeed(snakemake(clone, *words, environment=self.variables(**more)))
        return ended.stdout + ended.stderr

    def executable(self, name: str, script: str) -> None:
        (self.folder / "bin").mkdir(exist_ok=True)
        (self.folder / "bin" / name).write_text(script)
        (self.folder / "bin" / name).chmod(0o755)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if sys.version_info[:2] != (3, 11) or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.fail(
            "Python 3.11 on Linux x86_64 is needed, for a channel that envs/cpu.yaml can be solved from"
        )
    folder = tmp_path_factory.mktemp("site")
    site = Site(folder, folder / "environments")
    standin = Path(__file__).with_name("standin.py")
    site.executable("conda", f'#!/bin/sh\nexec "{sys.executable}" "{standin}" "$@"\n')
    site.executable("activate", 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')
    [pip] = re.findall(r"pip=([\d.]+)$", (ROOT / "envs/cpu.yaml").read_text(), flags=re.MULTILINE)
    make_channel(site.folder / "channels/conda-forge", site.folder, pip)
    yield site
    # Nobody waits for it: on a disk that discards what is freed, 35,000 files take minutes.
    subprocess.Popen(["rm", "-rf", str(site.folder)], start_new_session=True)


@pytest.fixture(scope="module")
def first(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose study has run with --sdm conda."""
    folder = clone(tmp_path_factory.mktemp("first"))
    said = site.run(folder, TABLE, SEEN=str(folder / "seen.jsonl"))
    assert said.count("Creating conda environment") == 1
    return folder


def seen(folder: Path) -> list[dict[str, str]]:
    """Who imported the plugin, without Snakemake itself."""
    lines = map(json.loads, (folder / "seen.jsonl").read_text().splitlines())
    return [line for line in lines if line["script"].endswith(".py") and line["script"] != "__main__.py"]


def test_all_jobs_ran_in_the_one_environment_with_the_package_of_the_clone(site: Site, first: Path) -> None:
    [environment] = site.made
    assert {(job["prefix"], job["package"]) for job in seen(first)} == {
        (str(environment), str(first / "modomodo"))
    }
    scripts = {job["script"] for job in seen(first)}
    assert scripts >= {"preprocess.py", "base_model.py", "train.py", "predict.py", "score.py"}


def installed(environment: Path) -> dict[str, str]:
    """Package → version."""
    pip = [environment / "bin/python", "-m", "pip", "--disable-pip-version-check", "list", "--format=json"]
    listed = subprocess.run(pip, check=True, capture_output=True, text=True).stdout
    return {package["name"].lower().replace("_", "-"): package["version"] for package in json.loads(listed)}


def locked() -> dict[str, str]:
    """The same, as the locks have it for this machine."""
    files = [(ROOT / f"envs/{name}.lock").read_text() for name in ("bootstrap", "torch", "main")]
    lines = re.findall(r"^[a-z0-9][^\\\n]*", "\n".join(files), flags=re.MULTILINE)
    wanted = [Requirement(line) for line in lines]
    pins = [pin for pin in wanted if pin.marker is None or pin.marker.evaluate()]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}


def test_the_environment_has_what_the_locks_name_and_nothing_else(site: Site, first: Path) -> None:
    [environment] = site.made
    found = installed(environment)
    assert found.pop("torch") == f"{locked()['torch']}+cpu"
    assert found == {name: version for name, version in locked().items() if name != "torch"}


def test_the_study_has_the_bytes_that_it_has_in_the_projects_own_environment(
    site: Site, first: Path, tmp_path: Path
) -> None:
    own = clone(tmp_path)
    succeed(snakemake(own, TABLE, "--configfile", CONFIG, environment=site.variables()))
    assert digests(own) == digests(first)
    assert (first / TABLE).stat().st_size > 0


def test_a_second_clone_shares_the_environment_and_runs_its_own_package(
    site: Site, first: Path, tmp_path: Path
) -> None:
    second = clone(tmp_path)
    [environment] = site.made
    said = site.run(second, "results/conda/examples/chart.jsonl", SEEN=str(second / "seen.jsonl"))
    assert "Creating conda environment" not in said
    assert {(job["prefix"], job["package"]) for job in seen(second)} == {
        (str(environment), str(second / "modomodo"))
    }


def test_jobs_in_an_image_find_the_package(site: Site, first: Path, tmp_path: Path) -> None:
    """No image can be built here: a stand-in for apptainer runs what it is told to, in the environment on disk."""
    folder = clone(tmp_path)
    (folder / "image.sif").touch()
    [environment] = site.made
    site.executable(
        "apptainer",
        "#!/bin/bash\n"
        '[ "$1" = --version ] && { echo apptainer version 1.4.0; exit; }\n'
        'printf "%s\\n" "${@: -1}" >>"$APPTAINER_LOG"\n'
        f'exec bash -c "$(sed "s#/conda-envs/[0-9a-f]*#{environment}#g" <<<"${{@: -1}}")"\n',
    )
    names = {"MODOMODO_IMAGE": str(folder / "image.sif"), "APPTAINER_LOG": str(folder / "commands")}
    site.run(
        folder,
        "results/conda/examples/chart.jsonl",
        sdm=("conda", "apptainer"),
        SEEN=str(folder / "seen.jsonl"),
        **names,
    )
    assert {(job["prefix"], job["package"]) for job in seen(folder)} == {
        (str(environment), str(folder / "modomodo"))
    }
    # The environment that is looked for there is the one that the definition makes.
    definition = site.run(folder, "--containerize", "dockerfile")
    [made] = re.findall(r"conda env create --prefix (/conda-envs/\w+)", definition)
    assert f"{made}'" in (folder / "commands").read_text()


@pytest.mark.parametrize("form", ["dockerfile", "apptainer"])
def test_the_definition_of_an_image_has_every_package_by_its_hash(
    site: Site, tmp_path: Path, form: str
) -> None:
    words = ("--containerize", form, "--configfile", "config/paper.yaml")
    said = succeed(snakemake(clone(tmp_path), *words, environment=site.variables())).stdout
    for kind in ("cpu", "gpu"):
        listed = (ROOT / f"envs/image/{kind}.yaml").read_text().strip().splitlines()
        assert "\n".join(f"#   {line}" for line in listed) in said
        copied = rf"envs/image/{kind}\.yaml (/conda-envs/\w+)/environment\.yaml"
        [prefix] = re.findall(copied, said)
        assert f"conda env create --prefix {prefix} --file {prefix}/environment.yaml" in said


def test_python_is_the_pinned_file_where_make_lock_has_found_the_channel(site: Site, tmp_path: Path) -> None:
    folder = clone(tmp_path)
    lock = [sys.executable, "envs/lock_conda.py"]
    said = subprocess.run(
        lock, cwd=folder, env=site.variables(), check=True, capture_output=True, text=True
    ).stderr
    assert "missing, so that Python's patch and build are not pinned: cpu.osx-arm64.pin.txt" in said
    script = folder / "envs/cpu.post-deploy.sh"  # of which the first test has seen the rest
    script.write_text(script.read_text().split("cat >")[0] + "python -m pip --version\n")
    pinned = Site(site.folder, tmp_path / "pinned")
    said = pinned.run(folder, "--conda-create-envs-only", TABLE)
    assert re.search(r"Using pinnings from \S+/envs/cpu\.linux-64\.pin\.txt", said)
    [python] = pinned.made[0].glob("conda-meta/python-*.json")
    pins = (folder / "envs/cpu.linux-64.pin.txt").read_text()
    [(address, md5)] = re.findall(r"^(\S+/python-\S+)#(\w+)$", pins, flags=re.MULTILINE)
    about = json.loads(python.read_text())
    assert (about["url"], about["md5"]) == (address, md5)
