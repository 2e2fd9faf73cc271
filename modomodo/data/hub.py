"""The Hugging Face hub through its own client: tried again while it does not answer, its errors in one line."""

import errno
import glob
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import tenacity
from huggingface_hub import HfApi, errors, snapshot_download
from tqdm import tqdm

from modomodo.data.raw_folder import Files
from modomodo.errors import InputError

ATTEMPTS = 5


class Unreachable(Exception):  # noqa: N818
    """The hub did not answer, or broke off: worth another try."""


class Moved(Exception):  # noqa: N818
    """There is no such repository, or none that the token may see."""


def say(line: str) -> None:
    """A line in the log, at once."""
    print(line, flush=True)


def _say_retry(state: tenacity.RetryCallState) -> None:
    assert state.outcome is not None and state.next_action is not None
    wait = state.next_action.sleep
    say(f"{state.outcome.exception()}: try {state.attempt_number + 1} of {ATTEMPTS} in {wait:.0f} s")


def _give_up(state: tenacity.RetryCallState) -> NoReturn:
    assert state.outcome is not None
    raise InputError(
        f"{state.outcome.exception()}: the hub was not reached in {ATTEMPTS} tries: check the network (HF_ENDPOINT, "
        "HF_HUB_OFFLINE, a proxy), or fetch the files elsewhere and set data.raw_from"
    ) from None


_retried = tenacity.retry(
    retry=tenacity.retry_if_exception_type(Unreachable),
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    wait=tenacity.wait_exponential(2),  # seconds: 2, 4, 8, 16
    before_sleep=_say_retry,
    retry_error_callback=_give_up,
)


def first_listing(names: Sequence[str], revision: str) -> tuple[str, str, Files]:
    """The first of several names of a repository that the hub knows, its commit and files."""
    for name in names:
        try:
            return name, *listing_of(name, revision)
        except Moved:
            say(f"{name}: not on the hub (or hidden from this token)")
    raise InputError(
        f"{' and '.join(names)}: not on the hub, or private: look where it moved and set source.repo, or set "
        "HF_TOKEN"
    )


@_retried
def listing_of(repo: str, revision: str) -> tuple[str, Files]:
    """The commit of a revision, and its files. The hub knows the SHA-256 of large files only."""
    with _hub_errors(repo, revision):
        info = HfApi().dataset_info(repo, revision=revision, files_metadata=True)
    if info.sha is None:
        raise InputError(f"{repo}: the hub names no commit for '{revision}': give one as source.revision")
    files: Files = {
        file.rfilename: {"size": file.size, "sha256": file.lfs.sha256 if file.lfs else None}
        for file in info.siblings or []
    }
    return info.sha, files


@_retried
def fetch(repo: str, commit: str, paths: Sequence[str], folder: Path) -> None:
    """Files of a commit into a folder. The hub's own client resumes, and heeds HF_TOKEN, HF_ENDPOINT and proxies."""
    with _hub_errors(repo, commit):
        snapshot_download(
            repo,
            repo_type="dataset",
            revision=commit,
            local_dir=folder,
            allow_patterns=[glob.escape(path) for path in paths],
            tqdm_class=tqdm if sys.stderr.isatty() else _LogLines,  # type: ignore[arg-type]
        )
    missing = [path for path in paths if not (folder / path).is_file()]
    if missing:  # the client returns a folder as it is when the hub does not answer
        raise Unreachable(f"{repo}: {missing[0]} did not arrive")


class _LogLines(tqdm):
    """Progress in a log, where a bar would be one endless line: a line every ten seconds at most."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "mininterval": 10.0, "leave": False})

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        return lambda text: print(text.strip(), file=file, flush=True) if text.strip() else None


@contextmanager
def _hub_errors(repo: str, revision: str) -> Iterator[None]:
    """The hub client's many errors as Unreachable, Moved, or an InputError that says what to do."""
    try:
        yield
    except Exception as error:
        raise _translated(error, repo, revision) from None


def _translated(error: Exception, repo: str, revision: str) -> Exception:
    if isinstance(error, errors.GatedRepoError):
        page = f"https://huggingface.co/datasets/{repo}"
        return InputError(f"{repo} is gated: accept its terms at {page}, then set HF_TOKEN")
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(f"{repo} has no revision '{revision}': correct source.revision")
    if isinstance(error, errors.RepositoryNotFoundError):
        return Moved(repo)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return InputError(f"{repo}: HF_HUB_OFFLINE is set: unset it, or set data.raw_from")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return InputError(f"{error.filename or repo}: disk full: make room, then run again")
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return InputError(f"{repo}: the hub refuses this token ({status}): set HF_TOKEN to a valid one")
        if status < 500 and status != 429:
            return InputError(f"{repo}: {first_line}")
        return Unreachable(f"{repo}: {first_line}")
    if isinstance(error, errors.HTTPError | errors.LocalEntryNotFoundError | ConnectionError | TimeoutError):
        return Unreachable(f"{repo}: {first_line}")
    return error
