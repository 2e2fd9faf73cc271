"""Raw files of a published dataset: from the Hugging Face hub, or from a folder fetched beforehand.

A revision that is a branch is looked up once. The commit it led to is kept in `resources/<loader>-<split>/
resolved.json`, and the same branch means that commit from then on, until the file is deleted.
"""

import fnmatch
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modomodo.config.schema import Source
from modomodo.console import size
from modomodo.data.examples import leaves_its_folder
from modomodo.data.hub import fetch, first_listing, say
from modomodo.data.raw_folder import (
    EVERYTHING,
    ORIGIN,
    README,
    check_sums,
    entry_of,
    linked,
    present,
    readme_in,
    write_sums,
)
from modomodo.data.readers.published import Choice, Published
from modomodo.errors import InputError
from modomodo.files import file_digest, read_json, write_json

RESOLVED = "resolved.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def obtain(
    loader: str,
    about: Published,
    split: str,
    *,
    folder: Path,
    source: Source | None = None,
    raw_from: Path | None = None,
) -> dict[str, Any]:
    """Leave the raw files in `folder` and return their manifest.

    In this order: files that lie there already, checked against their SHA256SUMS; files below `raw_from`,
    linked; the hub, or what makes them. Raises InputError, in one line, for whatever is in the way.
    """
    patterns = (source and source.files) or about.files[split]
    for pattern in patterns:
        if leaves_its_folder(pattern):
            raise InputError(f"{loader}: source.files: '{pattern}' leads out of the folder of raw files")
    names = (
        [source.repo] if source and source.repo else [name for name in (about.repo, *about.formerly) if name]
    )
    manifest = present(folder, patterns)
    if manifest is None and raw_from is not None:
        place = loader if about.make is None else f"{loader}/{split}"
        known = dict.fromkeys([place, *names, *filter(None, (about.repo, *about.formerly))])
        manifest = linked(raw_from, list(known), folder, patterns, about.choose)
    if manifest is None and about.make is not None:
        manifest = _made(about.make, folder, patterns)
    if manifest is None:
        if not names:
            hint = "" if raw_from else "; then set data.raw_from: DIR, or give --from DIR"
            by_hand = about.by_hand.format(folder=raw_from or "DIR")
            raise InputError(f"{loader}: not on the hub, to be fetched by hand: {by_hand}{hint}")
        if source is None:
            raise InputError(f"{loader}: source.revision: missing: name a commit, or a branch such as main")
        manifest = _downloaded(names, source.revision, folder, patterns, about.choose)
    check_sums(folder, manifest["files"], source.sha256 if source else {})
    write_sums(folder, manifest["files"])
    return manifest


def _made(make: Callable[[Path], None], folder: Path, patterns: Sequence[str]) -> dict[str, Any]:
    """The manifest of files that this machine makes."""
    make(folder)
    paths = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    chosen = [name for name in paths if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    return {"repo": None, "commit": None, "files": {name: entry_of(paths[name]) for name in chosen}}


def _downloaded(
    names: Sequence[str], revision: str, folder: Path, patterns: Sequence[str], choose: Choice | None
) -> dict[str, Any]:
    """The manifest of a snapshot: of the first repository that exists, the files that the patterns fit.

    Where they fit everything, `choose` narrows the choice by the files' names and the README.

    What an interrupted download left is resumed; a file that differs from what the hub lists is fetched again.
    """
    repo, commit, listing = first_listing(names, pinned(folder.parent, revision) or revision)
    if not _COMMIT.fullmatch(revision):
        _pin(folder.parent, revision, commit)
        say(
            f"warning: {repo}: revision '{revision}' is no commit: it means {commit} here, as "
            f"{folder.parent / RESOLVED} keeps it. Put it into source.revision for other machines to use it too"
        )
    chosen = chosen_files(listing, patterns, repo)
    if choose is not None and patterns == EVERYTHING:
        if README in listing:
            fetch(repo, commit, [README], folder)
        chosen = choose(chosen, readme_in(folder))
    for path in chosen:
        file, sha256 = folder / path, listing[path]["sha256"]
        if not file.is_file() or sha256 not in (None, file_digest(file)):
            file.unlink(missing_ok=True)
    _check_room(folder, [listing[path]["size"] or 0 for path in chosen if not (folder / path).is_file()])
    say(f"{repo}: {len(chosen)} files")
    fetch(repo, commit, chosen, folder)
    files = {path: entry_of(folder / path) for path in chosen}
    damaged = [
        path
        for path in chosen
        if any(expected not in (None, files[path][key]) for key, expected in listing[path].items())
    ]
    for path in damaged:
        (folder / path).unlink()
    if damaged:
        found, expected = files[damaged[0]], listing[damaged[0]]
        raise InputError(
            f"{folder / damaged[0]}: damaged on the way ({found}, the hub says {expected}): run again"
        )
    origin = {"repo": repo, "commit": commit}
    write_json(folder / ORIGIN, origin)
    return {**origin, "files": files}


def chosen_files(files: Mapping[str, Any], patterns: Sequence[str], repo: str) -> list[str]:
    """The files that any of the patterns fits, sorted. Raises InputError for a pattern that fits none."""
    chosen: set[str] = set()
    for pattern in patterns:
        found = [path for path in files if fnmatch.fnmatchcase(path, pattern)]
        if not found:
            shown = ", ".join(sorted(files)[:5])
            raise InputError(
                f"{repo}: no file {pattern} at this revision (there are {shown} …): set source.files"
            )
        chosen.update(found)
    for path in chosen:
        if leaves_its_folder(path):
            raise InputError(f"{repo}: '{path}' leads out of its folder: not downloaded")
    return sorted(chosen)


def pinned(folder: Path, revision: str) -> str | None:
    """The commit that a revision means here, None when that is yet to be looked up."""
    if _COMMIT.fullmatch(revision):
        return revision
    path = folder / RESOLVED
    return read_json(path).get(revision) if path.is_file() else None


def _pin(folder: Path, revision: str, commit: str) -> None:
    path = folder / RESOLVED
    known = read_json(path) if path.is_file() else {}
    if known.get(revision) != commit:
        write_json(path, {**known, revision: commit})


def _check_room(folder: Path, sizes: Sequence[int]) -> None:
    """Raises InputError when the disk has less room than files of these sizes need."""
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(sizes), shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: disk full: {size(needed)} are needed, {size(free)} free: make room, then run again"
        )
