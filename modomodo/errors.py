"""The one kind of error that users are meant to read."""

import difflib
from collections.abc import Iterable


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
