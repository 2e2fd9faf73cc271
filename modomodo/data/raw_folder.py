"""The folder of a published dataset's raw files: which files an earlier run, or a person, has put there.

Raw files lie in `resources/<loader>-<split>/<revision>/`, shared between studies, under their paths in the
repository. With them lie `SHA256SUMS`, which `sha256sum -c` reads, and `manifest.json`, which the workflow waits for:
repository, commit, and each file's size and SHA-256.
"""

import fnmatch
import glob
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modomodo.data.examples import leaves_its_folder
from modomodo.errors import InputError
from modomodo.files import atomic_write, file_digest, read_json

SUMS, MANIFEST, ORIGIN = "SHA256SUMS", "manifest.json", "origin.json"
BY_HAND = "by-hand"  # in place of a revision, where no repository has one
README = "README.md"
EVERYTHING = ["*"]  # patterns that fit all files of a repository
Files = dict[str, dict[str, Any]]  # path in the repository → its "size" in bytes and "sha256"


def folder_of(loader: str, split: str, revision: str | None, resources: Path = Path("resources")) -> Path:
    """Where the raw files of a dataset's split lie."""
    return resources / f"{loader}-{split}" / (revision or BY_HAND)


def check_raw(folder: Path) -> None:
    """Raises InputError when a file that the folder's manifest lists is gone or has another size."""
    path = folder / MANIFEST
    if not path.is_file():
        return  # a folder of one's own, given by hand
    for name, entry in read_json(path)["files"].items():
        file = folder / name
        if not file.is_file():
            raise InputError(f"{file}: gone, though {path} lists it: delete {path} and run again")
        if file.stat().st_size != entry["size"]:
            raise InputError(
                f"{file}: {file.stat().st_size} bytes, {entry['size']} expected: delete it and {path}, and "
                "run again"
            )


def write_sums(folder: Path, files: Files) -> None:
    """SHA256SUMS, which `sha256sum -c` reads."""
    with atomic_write(folder / SUMS) as file:
        file.writelines(f"{entry['sha256']}  {path}\n" for path, entry in files.items())


def _read_sums(path: Path) -> dict[str, str]:
    """File → SHA-256, as sha256sum lists them."""
    lines = (line.partition("  ") for line in path.read_text(encoding="utf-8").splitlines())
    return {name.lstrip("*"): digest for digest, _, name in lines}


def entry_of(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    return {"size": path.stat().st_size, "sha256": file_digest(path)}


def present(folder: Path, patterns: Sequence[str]) -> dict[str, Any] | None:
    """The manifest of files that an earlier run brought here, if they are all there and unchanged."""
    if not (folder / SUMS).is_file():
        return None
    files: Files = {}
    for name, digest in _read_sums(folder / SUMS).items():
        if leaves_its_folder(name) or not (folder / name).is_file():
            return None
        files[name] = entry_of(folder / name)
        if files[name]["sha256"] != digest:
            return None
    if any(not fnmatch.filter(files, pattern) for pattern in patterns):
        return None
    origin = read_json(folder / ORIGIN) if (folder / ORIGIN).is_file() else {}
    return {"repo": origin.get("repo"), "commit": origin.get("commit"), "files": files}


def readme_in(folder: Path) -> str:
    """The text of a folder's README, empty where there is none."""
    path = folder / README
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def linked(
    raw_from: Path,
    names: Sequence[str],
    folder: Path,
    patterns: Sequence[str],
    choose: Callable[[Sequence[str], str], list[str]] | None = None,
) -> dict[str, Any] | None:
    """Link the files of a folder fetched beforehand; None when it holds nothing under these names.

    `choose`: of all files and the README, those needed, where the patterns fit everything.
    """
    if not raw_from.is_dir():
        raise InputError(f"{raw_from}: no such folder: correct data.raw_from (or --from)")
    place = next((raw_from / name for name in names if (raw_from / name).is_dir()), None)
    if place is None:
        print(f"{raw_from}: holds no {names[0]}/: downloading", flush=True)
        return None
    files: Files = {}
    if choose is not None and patterns == EVERYTHING:
        every = [path.relative_to(place).as_posix() for path in sorted(place.rglob("*")) if path.is_file()]
        patterns = [glob.escape(name) for name in choose(every, readme_in(place))]
    for pattern in patterns:
        found = sorted(path for path in place.glob(pattern) if path.is_file())
        if not found:
            raise InputError(f"{place}: no file {pattern}: fetch it, or remove {place} to have it downloaded")
        for path in found:
            name = path.relative_to(place).as_posix()
            files[name] = entry_of(path)
            link = folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
    if (place / SUMS).is_file():  # written where the files were downloaded
        sums = _read_sums(place / SUMS)
        check_sums(place, files, {name: digest for name, digest in sums.items() if name in files})
    print(f"{folder}: {len(files)} files linked from {place}", flush=True)
    return {"repo": None, "commit": None, "files": dict(sorted(files.items()))}


def check_sums(folder: Path, files: Files, wanted: Mapping[str, str]) -> None:
    """Raises InputError for a file that has another SHA-256 than wanted, or is not there."""
    for name, digest in wanted.items():
        if name not in files:
            raise InputError(f"source.sha256: {name}: no such file among those needed")
        found = files[name]["sha256"]
        if found != digest.lower():
            raise InputError(
                f"{folder / name}: its SHA-256 is {found}, {digest} expected: delete it and run again, or correct "
                "source.sha256 (or SHA256SUMS)"
            )
