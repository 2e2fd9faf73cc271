"""Raw files of a published dataset: from the Hugging Face hub, or from a folder fetched beforehand.

They end up in `resources/<loader>-<split>/<revision>/`, shared between studies, under their paths in the
repository. Beside them lie `SHA256SUMS`, which `sha256sum -c` reads, and `manifest.json`, which the workflow
waits for: repository, commit, and each file's size and SHA-256.

A revision that is a branch is looked up once. The commit it led to is kept in `resources/<loader>-<split>/
resolved.json`, and the same branch means that commit from then on, until the file is deleted.
"""

import fnmatch
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from modomodo.data.examples import leaves_its_folder
from modomodo.data.readers.published import Published
from modomodo.errors import InputError
from modomodo.files import atomic_write, file_digest, read_json, write_json

SUMS, MANIFEST, RESOLVED = "SHA256SUMS", "manifest.json", "resolved.json"
BY_HAND = "by-hand"  # in place of a revision, where no repository has one
ATTEMPTS, FIRST_PAUSE = 5, 2.0  # tries of a request, seconds before the second one; each pause doubles
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Listing:
    """A commit of a repository: its files with size in bytes and, for large ones, SHA-256."""

    commit: str
    files: Mapping[str, tuple[int | None, str | None]]


class Hub(Protocol):
    """What is asked of a hub. Both raise Unreachable, Moved or InputError."""

    def listing(self, repo: str, revision: str) -> Listing: ...

    def fetch(self, repo: str, commit: str, path: str, folder: Path) -> None:
        """Leave a file of a commit at folder/path; what an interrupted call left is gone on from."""


class Unreachable(Exception):  # noqa: N818
    """The hub did not answer, or broke off: worth another try."""


class Moved(Exception):  # noqa: N818
    """There is no such repository, or none that the token may see."""


def folder_of(loader: str, split: str, revision: str | None, resources: Path = Path("resources")) -> Path:
    """Where the raw files of a dataset's split lie."""
    return resources / f"{loader}-{split}" / (revision or BY_HAND)


def obtain(
    loader: str,
    about: Published,
    split: str,
    folder: Path,
    *,
    hub: Hub,
    revision: str | None = None,
    repo: str | None = None,
    patterns: Sequence[str] | None = None,
    sha256: Mapping[str, str] | None = None,
    raw_from: Path | None = None,
    say: Callable[[str], None] = print,
    pause: float = FIRST_PAUSE,
) -> dict[str, Any]:
    """Leave the raw files in `folder` and return their manifest.

    In this order: files that lie there already, checked against their SHA256SUMS; files below `raw_from`,
    linked; the hub. Raises InputError, in one line, for whatever is in the way.
    """
    patterns = patterns or about.files[split]
    for pattern in patterns:
        if leaves_its_folder(pattern):
            raise InputError(f"{loader}: source.files: '{pattern}' leads out of the folder of raw files")
    wanted = dict(sha256 or {})
    manifest = _at_hand(folder, patterns)
    if manifest is None and raw_from is not None:
        manifest = _linked(loader, about, repo, raw_from, folder, patterns, say)
    if manifest is None:
        if not (repo or about.repo):
            place = raw_from or "DIR"
            mend = "" if raw_from else "; then set data.raw_from: DIR, or give --from DIR"
            raise InputError(
                f"{loader}: not on the hub, to be fetched by hand: {about.by_hand.format(folder=place)}{mend}"
            )
        if revision is None:
            raise InputError(f"{loader}: source.revision: missing: name a commit, or a branch such as main")
        manifest = _downloaded(about, repo, revision, folder, patterns, wanted, hub, say, pause)
    _check_sums(folder, manifest["files"], wanted)
    with atomic_write(folder / SUMS) as file:
        file.writelines(f"{entry['sha256']}  {path}\n" for path, entry in manifest["files"].items())
    return manifest


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


# --- at hand, or from a folder ------------------------------------------------------------------------------


def _at_hand(folder: Path, patterns: Sequence[str]) -> dict[str, Any] | None:
    """The manifest of files that an earlier run brought here, if they are all there and unchanged."""
    sums = folder / SUMS
    if not sums.is_file():
        return None
    files = {}
    for line in sums.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if leaves_its_folder(name) or not path.is_file() or file_digest(path) != digest:
            return None
        files[name] = {"size": path.stat().st_size, "sha256": digest}
    if any(not fnmatch.filter(files, pattern) for pattern in patterns):
        return None
    origin = read_json(folder / "origin.json") if (folder / "origin.json").is_file() else {}
    return {"repo": origin.get("repo"), "commit": origin.get("commit"), "files": files}


def _linked(
    loader: str,
    about: Published,
    repo: str | None,
    raw_from: Path,
    folder: Path,
    patterns: Sequence[str],
    say: Callable[[str], None],
) -> dict[str, Any] | None:
    """Link the files of a folder fetched beforehand; None when it holds nothing of this dataset."""
    if not raw_from.is_dir():
        raise InputError(f"{raw_from}: no such folder: correct data.raw_from (or --from)")
    known = [loader, *(name for name in (repo, about.repo, *about.formerly) if name)]
    places = [raw_from / name for name in known]
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        say(f"{raw_from}: holds no {loader}/: downloading")
        return None
    files = {}
    for pattern in patterns:
        found = sorted(path for path in place.glob(pattern) if path.is_file())
        if not found:
            raise InputError(f"{place}: no file {pattern}: fetch it, or remove {place} to have it downloaded")
        for path in found:
            name = path.relative_to(place).as_posix()
            files[name] = {"size": path.stat().st_size, "sha256": file_digest(path)}
            link = folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
    sums = place / SUMS
    if sums.is_file():  # written where the files were downloaded
        lines = (line.partition("  ") for line in sums.read_text(encoding="utf-8").splitlines())
        _check_sums(place, files, {name.lstrip("*"): digest for digest, _, name in lines if name in files})
    say(f"{folder}: {len(files)} files linked from {place}")
    return {"repo": None, "commit": None, "files": dict(sorted(files.items()))}


def _check_sums(folder: Path, files: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, str]) -> None:
    for name, digest in wanted.items():
        if name not in files:
            raise InputError(f"source.sha256: {name}: no such file among {', '.join(files)}")
        if files[name]["sha256"] != digest:
            raise InputError(
                f"{folder / name}: SHA-256 {files[name]['sha256'][:12]}…, {digest[:12]}… expected: delete it "
                "and run again, or correct source.sha256"
            )


# --- from the hub -------------------------------------------------------------------------------------------


def _downloaded(
    about: Published,
    repo: str | None,
    revision: str,
    folder: Path,
    patterns: Sequence[str],
    wanted: Mapping[str, str],
    hub: Hub,
    say: Callable[[str], None],
    pause: float,
) -> dict[str, Any]:
    commit = pinned(folder.parent, revision)
    names = [name for name in (repo or about.repo, *(() if repo else about.formerly)) if name]
    name, listing = _first_listing(names, commit or revision, hub, say, pause)
    if not _COMMIT.fullmatch(revision):
        if commit is None:
            _pin(folder.parent, revision, listing.commit)
        say(
            f"warning: {name}: revision '{revision}' is no commit: it means {listing.commit} here, as "
            f"{folder.parent / RESOLVED} keeps it. Put it into source.revision for other machines to use it too"
        )
    chosen = chosen_files(listing.files, patterns, name)
    _check_room(folder, listing, chosen)
    files = {}
    for path in _counted(chosen, name, say):
        digest = listing.files[path][1]
        file = folder / path
        if not (digest and file.is_file() and file_digest(file) == digest):
            file.parent.mkdir(parents=True, exist_ok=True)
            _patiently(partial(hub.fetch, name, listing.commit, path, folder), say, pause)
        found = file_digest(file)
        if (digest or found) != found:
            file.unlink()
            raise InputError(
                f"{file}: damaged on the way (SHA-256 {found[:12]}…, the hub says {digest}): run again"
            )
        files[path] = {"size": file.stat().st_size, "sha256": found}
    origin = {"repo": name, "commit": listing.commit}
    write_json(folder / "origin.json", origin)
    return {**origin, "files": files}


def _first_listing(
    names: Sequence[str], revision: str, hub: Hub, say: Callable[[str], None], pause: float
) -> tuple[str, Listing]:
    """The first of several names of a repository that the hub knows."""
    for name in names:
        try:
            listing = _patiently(partial(hub.listing, name, revision), say, pause)
        except Moved:
            say(f"{name}: not on the hub (or hidden from this token)")
            continue
        return name, listing
    raise InputError(
        f"{' and '.join(names)}: not on the hub, or private: look where it moved and set source.repo, or set "
        "HF_TOKEN"
    )


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
    write_json(path, {**known, revision: commit})


def _check_room(folder: Path, listing: Listing, chosen: Sequence[str]) -> None:
    """Raises InputError when the disk has less room than the files that are missing need."""
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(listing.files[path][0] or 0 for path in chosen if not (folder / path).is_file())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: disk full: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB free: make room, "
            "then run again"
        )


def _patiently(request: Callable[[], Any], say: Callable[[str], None], pause: float) -> Any:
    """The answer to a request, tried again while the hub cannot be reached."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return request()
        except Unreachable as error:
            if attempt == ATTEMPTS:
                raise InputError(
                    f"{error}: the hub was not reached in {ATTEMPTS} tries: check the network (HF_ENDPOINT, "
                    "HF_HUB_OFFLINE, a proxy), or fetch the files elsewhere and set data.raw_from"
                ) from None
            wait = pause * 2 ** (attempt - 1)
            say(f"{error}: try {attempt + 1} of {ATTEMPTS} in {wait:.0f} s")
            time.sleep(wait)
    raise AssertionError("unreachable")


def _counted(paths: Sequence[str], name: str, say: Callable[[str], None]) -> Iterator[str]:
    for number, path in enumerate(paths, 1):
        say(f"{name}: file {number} of {len(paths)}: {path}")
        yield path


class HuggingFace:
    """The Hugging Face hub through its own client, which heeds HF_TOKEN, HF_ENDPOINT and proxies."""

    def listing(self, repo: str, revision: str) -> Listing:
        from huggingface_hub import HfApi

        with _hub_errors(repo, revision):
            info = HfApi().dataset_info(repo, revision=revision, files_metadata=True)
        if info.sha is None:
            raise InputError(f"{repo}: the hub names no commit for '{revision}': give one as source.revision")
        files = {
            file.rfilename: (file.size, file.lfs.sha256 if file.lfs else None) for file in info.siblings or []
        }
        return Listing(info.sha, files)

    def fetch(self, repo: str, commit: str, path: str, folder: Path) -> None:
        from huggingface_hub import hf_hub_download

        with _hub_errors(repo, commit):
            hf_hub_download(
                repo, path, repo_type="dataset", revision=commit, local_dir=folder, tqdm_class=_progress()
            )


class _hub_errors:  # noqa: N801  (reads as a statement)
    """The hub client's many errors as Unreachable, Moved, or an InputError that says what to do."""

    def __init__(self, repo: str, revision: str) -> None:
        self.repo, self.revision = repo, revision

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception):
            return
        from huggingface_hub import errors

        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        repo = self.repo
        if isinstance(error, errors.GatedRepoError):
            raise InputError(
                f"{repo} is gated: accept its terms at https://huggingface.co/datasets/{repo}, then set "
                "HF_TOKEN"
            ) from None
        if isinstance(error, errors.RevisionNotFoundError):
            raise InputError(f"{repo} has no revision '{self.revision}': correct source.revision") from None
        if isinstance(error, errors.RepositoryNotFoundError):
            raise Moved(repo) from None
        if isinstance(error, errors.OfflineModeIsEnabled):
            raise InputError(f"{repo}: HF_HUB_OFFLINE is set: unset it, or set data.raw_from") from None
        if isinstance(error, errors.HfHubHTTPError):
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise InputError(
                    f"{repo}: the hub refuses this token ({status}): set HF_TOKEN to a valid one"
                ) from None
            if status and status != 429 and status < 500:
                raise InputError(f"{repo}: {first_line}") from None
            raise Unreachable(f"{repo}: {first_line}") from None
        if isinstance(error, OSError) and error.errno == 28:  # ENOSPC
            raise InputError(f"{error.filename or repo}: disk full: make room, then run again") from None
        if isinstance(
            error, errors.HTTPError | errors.LocalEntryNotFoundError | ConnectionError | TimeoutError
        ):
            raise Unreachable(f"{repo}: {first_line}") from None


def _progress() -> Any:
    """A progress bar in a terminal; elsewhere, where a bar would be one endless line, a line now and then."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm

    from modomodo.console import progress_line

    class Lines(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options["disable"] = False  # the client switches its own bars off in a log
            options["file"] = open(os.devnull, "w")  # noqa: SIM115  (lives as long as the bar)
            super().__init__(*arguments, **{key: value for key, value in options.items() if key != "name"})
            self.started = self.said = time.monotonic()

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            now = time.monotonic()
            if self.n and now - self.said >= 10:
                self.said = now
                total = int(self.total) if self.total else None
                line = progress_line(str(self.desc or "download"), int(self.n), total, now - self.started)
                print(line, file=sys.stderr, flush=True)
            return shown

    return Lines
