"""The one kind of error that users are meant to read."""

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path


class InputError(Exception):
    """Bad input, reported in one line: where it is (file, line or key), what is wrong, and how to fix it.

    Scripts print it without a trace and exit with status 2.
    """


class Interrupted(Exception):  # noqa: N818  (nothing is wrong)
    """Stopped from outside after all progress was saved: scripts exit with 143, as if SIGTERM had ended them."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the known word closest to `name`, or lists what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known) or 'none'}"


def is_misspelt(name: str, known: Iterable[str]) -> bool:
    """Whether `name` is so near a known word that it can hardly mean another one."""
    return bool(difflib.get_close_matches(name, known, n=1, cutoff=0.8))


def own_line(error: BaseException) -> str | None:
    """`file:line` where an error arose in the user's own code, None where none was at work.

    That is the innermost line which is neither this project's nor of Python and its packages. A file below the current
    folder is named from there.
    """
    project = Path(__file__).parents[1].resolve()
    foreign = [project / "modomodo", project / "scripts", Path(sysconfig.get_path("stdlib")).resolve()]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        installed = "site-packages" in path.parts or any(path.is_relative_to(folder) for folder in foreign)
        if path.is_file() and not installed:
            here = Path.cwd()
            return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{frame.lineno}"
    return None


def told(error: BaseException, where: str = "") -> str:
    """An error of unknown code in one line: its place in the user's own code (else `where`), its type, what it says."""
    place = own_line(error) or where
    return f"{place}: " * bool(place) + f"{type(error).__name__}: {' '.join(str(error).split())}"


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
