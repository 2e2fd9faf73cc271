"""A study in one file: what is in it, its bytes, and what it is worth in an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
import yaml
from running import ROOT, clean_copy, snakemake, succeed

from modomodo.errors import InputError
from modomodo.study.archive import (
    CODE,
    Contents,
    check_files,
    compare,
    contents,
    left_to_do,
    run_again,
    unpack,
    write_archive,
)

# As each of these leaves it, whatever the study.
RESULTS = {
    "table2.csv": "mixture\n",
    "scores/all/42.json": "{}",
    "scores/all/42/run.json": "{}",
    "base/model.safetensors": "weights",
    "base/config.json": "{}",
    "base/.snakemake_timestamp": "",
    "runs/all/42/run.json": "{}",
    "runs/all/42/checkpoint-2/model.safetensors": "weights",
    "runs/all/42/trainer/checkpoint-1/optimizer.pt": "a training's state",
    "examples/chart.jsonl": "",
    "examples/images/chart/1.png": "a picture",
    "scores/all/.42.json.1a2b": "half written",
}
LEAN = {
    *("table2.csv", "scores/all/42.json", "scores/all/42/run.json", "runs/all/42/run.json"),
    "examples/chart.jsonl",
}
WEIGHTS = {
    *("base/model.safetensors", "base/config.json", "base/.snakemake_timestamp"),
    "runs/all/42/checkpoint-2/model.safetensors",
}
IMAGES = {"examples/images/chart/1.png"}
TABLE = "w_a,w_b,y_q\n1,0,0.4\n0,1,0.5\n0.5,0.5,0.6\n0.2,0.8,0.55\n0.7,0.3,0.52\n0.9,0.1,0.43\n"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of a few files with a finished study; the study, its plugin and its table lie beside it."""
    clone, own = tmp_path / "a clone", tmp_path / "own"
    for name in ("Makefile", "envs/main.lock", "modomodo/files.py", "modomodo/__pycache__/files.pyc"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(name)
    own.mkdir()
    (own / "own.py").write_text("")
    (own / "runs.csv").write_text(TABLE)
    study = {
        "name": "mine",
        "plugins": ["own.py"],
        "records": {"path": "runs.csv"},
        "target": "q",
        "replicates": 2,
        "strategies": {"next": {"propose": "acquire"}},
    }
    (own / "study.yaml").write_text(yaml.safe_dump(study))
    for name, text in RESULTS.items():
        (clone / "results/mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / "results/mine" / name).write_text(text)
    monkeypatch.chdir(clone)
    return clone


def inside(found: Contents, folder: str) -> set[str]:
    return {name.removeprefix(folder) for name in found.files if name.startswith(folder)}


@pytest.mark.parametrize(
    ("kept", "more"),
    [((), set()), (["weights"], WEIGHTS), (["images"], IMAGES), (["weights", "images"], WEIGHTS | IMAGES)],
)
def test_models_and_images_are_in_it_where_asked_for(clone: Path, kept: list[str], more: set[str]) -> None:
    found = contents(Path("../own/study.yaml"), clone, kept)
    assert inside(found, "mine/a clone/results/mine/") == LEAN | more


def test_what_lies_beside_the_clone_keeps_its_place(clone: Path, tmp_path: Path) -> None:
    found = contents(Path("../own/study.yaml"), clone)
    assert (found.home, found.study) == ("mine/a clone", "../own/study.yaml")
    assert inside(found, "mine/own/") == {"study.yaml", "own.py", "runs.csv"}
    assert inside(found, "mine/a clone/") >= {"Makefile", "envs/main.lock", "modomodo/files.py"}
    assert not [name for name in found.files if "__pycache__" in name]

    absolute = yaml.safe_load((tmp_path / "own/study.yaml").read_text())
    absolute["records"]["path"] = str(tmp_path / "own/runs.csv")
    (tmp_path / "own/study.yaml").write_text(yaml.safe_dump(absolute))
    found = contents(Path("../own/study.yaml"), clone)
    assert found.elsewhere == [str(tmp_path / "own/runs.csv")]
    assert inside(found, "mine/own/") == {"study.yaml", "own.py"}


def test_a_study_without_a_table_is_refused(clone: Path) -> None:
    (clone / "results/mine/table2.csv").unlink()
    with pytest.raises(InputError, match=r"results/mine/table2.csv: no such file: run the study first"):
        contents(Path("../own/study.yaml"), clone)


def test_the_bytes_depend_on_the_files_alone(clone: Path, tmp_path: Path) -> None:
    def packed(name: str) -> bytes:
        write_archive(tmp_path / name, contents(Path("../own/study.yaml"), clone, ["weights"]))
        return (tmp_path / name).read_bytes()

    first = packed("first.tar.gz")
    for path in tmp_path.rglob("*"):
        os.utime(path, (1e9, 1e9))
    os.umask(os.umask(0o077))
    assert packed("second.tar.gz") == first
    (clone / "results/mine/scores/all/42.json").write_text("[]")
    assert packed("third.tar.gz") != first


def note(clone: Path, output: str) -> Path:
    """Snakemake's note on a result, as Snakemake files it: what is longer than a name may be, in folders."""
    code = urlsafe_b64encode(output.encode()).decode()
    parts = [code[i : i + 254] for i in range(0, len(code), 254)]
    path = Path(clone / ".snakemake/metadata", *(f"@{part}" for part in parts[:-1]), parts[-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"rule": "score", "params": ["1"], "shellcmd": "/home/me/secret", "starttime": 1})
    )
    return path


def test_of_snakemakes_notes_it_has_those_of_the_study_and_nothing_of_the_machine(clone: Path) -> None:
    ours = [note(clone, f"results/mine/scores/{name}/42.json") for name in ("all", "a" * 250)]
    note(clone, "results/mine2/scores/all/42.json")
    found = contents(Path("../own/study.yaml"), clone)
    assert {f"mine/a clone/{path.relative_to(clone)}" for path in ours} == {
        name for name in found.notes if ".snakemake" in name
    }
    assert not [text for text in found.notes.values() if "secret" in text or "starttime" in text]


def test_a_file_that_was_changed_or_lost_is_named(clone: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "mine.tar.gz", contents(Path("../own/study.yaml"), clone))
    unpack(tmp_path / "mine.tar.gz", tmp_path / "elsewhere")
    home = tmp_path / "elsewhere/mine/a clone"
    assert check_files(home) == []
    (home / "results/mine/table2.csv").write_text("better\n")
    (home / "../own/runs.csv").unlink()
    assert sorted(check_files(home)) == ["../own/runs.csv", "results/mine/table2.csv"]


def test_what_a_clone_has_is_in_it() -> None:
    """All that git keeps, but what only tests, benchmarks and the place of the clone need."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {line.split("/")[0] for line in listed.splitlines()}
    without = {"tests", "benchmarks", "CHANGELOG.md", ".ci", ".gitignore", ".snakemake-workflow-catalog.yml"}
    assert top - without == set(CODE)


@pytest.mark.slow
def test_unpacked_elsewhere_nothing_is_left_to_do_and_it_comes_out_the_same(
    clone: Path, tmp_path: Path
) -> None:
    shutil.rmtree(clone)
    clean_copy(clone)
    succeed(snakemake(clone, "--configfile", "../own/study.yaml"))
    make = [
        sys.executable,
        "scripts/archive.py",
        "--study",
        "../own/study.yaml",
        "--output",
        "results/mine.tar.gz",
    ]
    environment = os.environ | {"PYTHONPATH": str(clone)}
    made = subprocess.run(make, cwd=clone, env=environment, capture_output=True, text=True)
    assert made.returncode == 0 and "sha256" in made.stdout, made.stderr

    with tarfile.open(clone / "results/mine.tar.gz") as packed:
        packed.extractall(tmp_path / "elsewhere", filter="data")
    home = tmp_path / "elsewhere/mine/a clone"
    shutil.move(clone, tmp_path / "gone")  # nothing of it is read again
    assert left_to_do(home, "../own/study.yaml") == ""
    again = run_again(home, tmp_path / "again")
    equal, different = compare(home, again)
    assert "results/mine/table2.csv" in equal and different == []

    (again / "results/mine/table2.csv").write_text("better\n")
    assert compare(home, again)[1] == ["results/mine/table2.csv"]

    # The notes are the study's: of other rows the results would be others.
    (tmp_path / "elsewhere/mine/own/runs.csv").write_text(TABLE.replace("0.4\n", "0.45\n"))
    assert "propose_from_records" in left_to_do(home, "../own/study.yaml")
