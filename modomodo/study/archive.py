"""A finished study in one file: code, locks, the study and what it is made from, results, digests.

Unpacked anywhere, it is a clone in which Snakemake finds nothing to do. Its bytes depend on the files alone: names in
order, no owners, one time for all. That time also keeps any result from being older than what it was made from.
"""

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from base64 import urlsafe_b64decode
from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from modomodo.config.options import local_files
from modomodo.config.reading import beside, read_yaml
from modomodo.data.readers.published import watched_files
from modomodo.errors import InputError
from modomodo.files import atomic_path, file_digest, read_json
from modomodo.replay.config import replay_from, tables_of
from modomodo.study.checks import study_from
from modomodo.study.provenance import provenance

# What a clone needs to run a study.
CODE = [
    *("Makefile", "Snakefile", "README.md", "LICENSE", "CITATION.cff", "pyproject.toml"),
    *("config", "docs", "envs", "modomodo", "profiles", "report", "rules", "scripts", "slurm"),
    *("lmms_eval_modomodo", "snakemake_logger_plugin_modomodo", "workflow"),
]
CONTENTS = "archive.json"
TIME = 946684800  # of every file: the first second of 2000
METADATA = Path(".snakemake/metadata")
# Of Snakemake's notes on a result, what tells whether it is up to date.
NOTED = ("rule", "input", "params", "record_format_version")
WEIGHTS, IMAGES = "weights", "images"


class Contents(NamedTuple):
    """What an archive holds. `files`: name in the archive → file. `notes`: name → text that is not on disk so.

    `home` is the clone in the archive, `study` the study's file as seen from there. `elsewhere` are files that the
    study names by an absolute path: another machine must have them there.
    """

    files: dict[str, Path]
    notes: dict[str, str]
    home: str
    study: str
    elsewhere: list[str]


def contents(study: Path, clone: Path, kept: Collection[str] = ()) -> Contents:
    """What belongs into the archive of a finished study. `kept`: WEIGHTS, IMAGES or both besides.

    Raises InputError for a study that is wrong or has no results.
    """
    clone = clone.resolve()
    name, named = _study(study)
    results = clone / "results" / name
    if not (results / "table2.csv").is_file():
        raise InputError(
            f"results/{name}/table2.csv: no such file: run the study first, or make archive STUDY={study}"
        )
    paths = [os.path.abspath(clone / path) for path in named]
    elsewhere = sorted(_at(paths, _texts(read_yaml(study))))
    own = [Path(path) for path in [os.path.abspath(clone / study), *paths] if path not in elsewhere]
    top = Path(os.path.commonpath([clone, *(path.parent for path in own)]))
    found = [*_below(clone, CODE), *own, *_results(results, kept)]
    files = {f"{name}/{path.relative_to(top).as_posix()}": path for path in found if path.exists()}
    home = f"{name}/{clone.relative_to(top).as_posix()}".removesuffix("/.")
    notes = {f"{home}/{path}": text for path, text in _notes(clone, f"results/{name}/")}
    file = os.path.relpath(own[0], clone)
    about = _about(file, home, files, kept)
    notes[f"{home}/{CONTENTS}"] = json.dumps(about, indent=1, sort_keys=True) + "\n"
    return Contents(files, notes, home, file, elsewhere)


def _study(path: Path) -> tuple[str, list[str]]:
    """The name of a study, and the files that it names."""
    where, data = str(path), read_yaml(path)
    if isinstance(data, dict) and "records" in data:
        replay = replay_from(data, where)
        return replay.name, [*map(str, tables_of(replay)), *_plugin_files(replay.plugins)]
    study = study_from(data, where)
    named = _plugin_files(study.plugins)
    for entry in (*study.domains.values(), *study.benchmarks.values(), *study.held_out.values()):
        named += watched_files(entry)
    named += local_files(study.model.options)
    named += [other.records for strategy in study.strategies.values() for other in strategy.cheaper_runs]
    accelerate = (data.get("training") or {}).get("accelerate")
    if isinstance(accelerate, str):
        named.append(beside(accelerate, where))
    return study.name, list(dict.fromkeys(named))


def _texts(value: Any) -> Iterator[str]:
    """Every text in what was read from YAML."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(part)


def _at(paths: Iterable[str], texts: Iterable[str]) -> set[str]:
    """Those of the paths that a text names by an absolute path: as it is, by a folder above it, or by a pattern."""
    named = [place for text in texts if os.path.isabs(place := os.path.expanduser(text))]
    return {
        path
        for path in paths
        if any(fnmatch(path, place) or path.startswith(f"{os.path.normpath(place)}/") for place in named)
    }


def _plugin_files(plugins: Iterable[str]) -> list[str]:
    return [plugin for plugin in plugins if plugin.endswith(".py")]


def _below(clone: Path, names: Iterable[str]) -> Iterator[Path]:
    """Files of a clone, without what programs leave between them."""
    for name in names:
        for path in sorted((clone / name).rglob("*")) if (clone / name).is_dir() else [clone / name]:
            parts = path.relative_to(clone).parts
            if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
                yield path


def _results(folder: Path, kept: Collection[str]) -> Iterator[Path]:
    """The files of a study's results. A model's folder is one that holds safetensors."""
    for inside, folders, names in os.walk(folder):
        here = Path(inside)
        if here.name == "trainer":  # of a training that was not finished
            folders.clear()
            continue
        if WEIGHTS not in kept and any(name.endswith(".safetensors") for name in names):
            continue
        if IMAGES not in kept and here == folder / "examples/images":
            folders.clear()
            continue
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*names, *(links if WEIGHTS in kept else [])]):
            if not name.startswith(".") or name == ".snakemake_timestamp":
                yield here / name


def _notes(clone: Path, results: str) -> Iterator[tuple[str, str]]:
    """Snakemake's notes on the results below a folder, of what does not depend on the machine."""
    for path in sorted((clone / METADATA).rglob("*")):
        if not path.is_file():
            continue
        # A name that is too long for a file is cut into folders, each marked with an @.
        code = "".join(part.removeprefix("@") for part in path.relative_to(clone / METADATA).parts)
        if urlsafe_b64decode(code).decode().startswith(results):
            note = read_json(path)
            yield path.relative_to(clone).as_posix(), json.dumps({key: note.get(key) for key in NOTED})


def _about(study: str, home: str, files: dict[str, Path], kept: Collection[str]) -> dict[str, Any]:
    """archive.json: the study's file, what made this, and the digest of every file, as seen from the clone."""
    made = provenance()
    return {
        "study": study,
        "with": sorted(kept),
        **{key: made[key] for key in ("commit", "code", "versions")},
        "files": {
            os.path.relpath(name, home): file_digest(path)
            for name, path in sorted(files.items())
            if not path.is_symlink()
        },
    }


def write_archive(output: Path, found: Contents) -> None:
    """The archive, complete or not there; the same bytes for the same files."""
    with (
        atomic_path(output) as path,
        open(path, "wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted([*found.files, *found.notes]):
            _add(archive, name, found)


def _add(archive: tarfile.TarFile, name: str, found: Contents) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = TIME
    if name in found.notes:
        data = found.notes[name].encode()
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
        return
    path = found.files[name]
    if path.is_symlink() and path.is_dir():
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
        archive.addfile(member)
        return
    member.size = path.stat().st_size
    member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
    with open(path, "rb") as file:
        archive.addfile(member, file)


def unpack(archive: Path, folder: Path) -> None:
    """An archive into an empty folder, but for weights, which Snakemake does not look for."""
    with tarfile.open(archive) as packed:
        inside = packed.getmembers()
        models = {os.path.dirname(member.name) for member in inside if member.name.endswith(".safetensors")}
        packed.extractall(
            folder, [member for member in inside if os.path.dirname(member.name) not in models], filter="data"
        )


def left_to_do(clone: Path, study: str) -> str:
    """What Snakemake would run in a clone, or says is wrong; empty where it finds nothing to do."""
    ended = _snakemake(clone, study, "--dry-run", "--cores", "1")
    said = ended.stdout + ended.stderr
    if ended.returncode == 0 and "Nothing to be done" in said:
        return ""
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    counts = dict.fromkeys(re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE))
    jobs = ", ".join(f"{number} {rule}" for rule, number in counts if rule != "total")
    return " ".join(errors) or jobs or " ".join(said.split())[-500:]


def check_files(clone: Path) -> list[str]:
    """Files of an unpacked archive that are missing, or not as they were archived."""
    known: dict[str, str] = read_json(clone / CONTENTS, "files")["files"]
    return [
        name
        for name, recorded in known.items()
        if not (clone / name).is_file() or file_digest(clone / name) != recorded
    ]


def run_again(clone: Path, folder: Path) -> Path:
    """The study of an unpacked archive run anew in `folder`, from its code and data alone; the clone there.

    Raises InputError when the run fails.
    """
    about = read_json(clone / CONTENTS, "study", "files")
    inside = [name for name in about["files"] if not name.startswith(("results/", ".snakemake/"))]
    above = max(name.split("/").count("..") for name in inside)
    again = folder.joinpath(*clone.resolve().parts[len(clone.resolve().parts) - above :] if above else ())
    for name in inside:
        target = Path(os.path.normpath(again / name))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(clone / name, target)
    if _snakemake(again, about["study"], "--cores", "all", shown=True).returncode:
        raise InputError(f"{again}: the study failed there (see above): the same command continues it")
    return again


def _snakemake(
    clone: Path, study: str, *arguments: str, shown: bool = False
) -> subprocess.CompletedProcess[str]:
    """Snakemake of this environment, with the package of a clone."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", study]
    variables = {**os.environ, "PYTHONPATH": str(clone.resolve())}
    return subprocess.run(command, cwd=clone, env=variables, text=True, capture_output=not shown)


def compare(clone: Path, again: Path) -> tuple[list[str], list[str]]:
    """Tables and rows of both runs, each by its name below the clone: those of equal bytes, and the others."""
    known: dict[str, str] = read_json(clone / CONTENTS, "files")["files"]
    decided = [
        name
        for name in known
        if name.startswith("results/") and name.endswith((".csv", ".jsonl")) and not name.endswith("cost.csv")
    ]
    equal = [
        name for name in decided if (again / name).is_file() and file_digest(again / name) == known[name]
    ]
    return equal, sorted(set(decided) - set(equal))
