"""What a program says while it works, and how it starts up: progress, large imports, text for people."""

import gc
import math
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from modomodo.environment import hide_failing_torchvision
from modomodo.files import atomic_write

T = TypeVar("T")
HOUR = 3600.0  # seconds
MOST_DECIMALS = 6


@contextmanager
def imports() -> Iterator[None]:
    """For the import of large libraries: without Python's garbage collector, then or later.

    It would look through their hundreds of thousands of objects again and again, a quarter of the time of
    the imports and a tenth of a short training's, and find nothing: they live as long as the process. From them a
    torchvision that fails is hidden.
    """
    gc.disable()
    try:
        hide_failing_torchvision()
        yield
    finally:
        gc.freeze()
        gc.enable()


def show(text: str, output: Path | None) -> None:
    """Print a text for people, or write it to a file."""
    if output is None:
        sys.stdout.write(text)
        return
    with atomic_write(output) as file:
        file.write(text)


def progress(items: Iterable[T], label: str, total: int | None = None, every: float = 10.0) -> Iterator[T]:
    """Show how far a loop is: a bar in a terminal, otherwise a plain line every `every` seconds."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, total=total)
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    start = last = time.monotonic()
    for count, item in enumerate(items):
        now = time.monotonic()
        if count and now - last >= every:
            last = now
            print(progress_line(label, count, total, now - start), file=sys.stderr, flush=True)
        yield item


def progress_line(label: str, count: int, total: int | None, seconds: float) -> str:
    """`label: 120/400, 30%, 41 s left`."""
    if not total:
        return f"{label}: {count}"
    left = seconds / count * (total - count)
    return f"{label}: {count}/{total}, {count / total:.0%}, {duration(left)} left"


class Progress(NamedTuple):
    """A `progress_line`, read: `left` are seconds, `said` is what a program has added to it."""

    label: str
    done: int
    total: int
    left: float
    said: str


def read_progress(line: str) -> Progress | None:
    """What a line of `progress_line` says, with whatever follows it behind a comma; None for another line."""
    found = re.fullmatch(r"(.+): (\d+)/(\d+), \d+%, ((?:\d+ (?:s|min|h|d) )+)left(?:, (.*))?", line)
    if found is None:
        return None
    units = {"s": 1.0, "min": 60.0, "h": HOUR, "d": 24 * HOUR}
    left = sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+) (s|min|h|d)\b", found[4]))
    return Progress(found[1], int(found[2]), int(found[3]), left, found[5] or "")


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `4 d 2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / HOUR)
    return f"{hours // 24} d {hours % 24} h"


def unit_of_time(seconds: float) -> tuple[float, str]:
    """The unit in which durations up to this one are read on an axis: its seconds, its name."""
    if seconds < 2 * HOUR:
        return 60.0, "minutes"
    return (HOUR, "hours") if seconds < 48 * HOUR else (24 * HOUR, "days")


def size(count: float) -> str:
    """A number of bytes: `45 MB`, `4.4 GB`, `1.2 TB`."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e6:.0f} MB"


def digits(errors: Iterable[float]) -> int:
    """Decimals of numbers with these standard errors: two digits of the median error, three where none is known."""
    known = sorted(error for error in errors if math.isfinite(error) and error > 0)
    return min(max(1 - math.floor(math.log10(known[len(known) // 2])), 0), MOST_DECIMALS) if known else 3


def decimal(value: float, places: int, sign: str = "") -> str:
    """`−0.12`, with a minus sign; with `+` for a `sign` also `+0.12`. What is 0 to so many decimals is not negative."""
    return f"{value:{sign}z.{places}f}".replace("-", "−")


def with_error(value: float, error: float, space: str = " ", sign: str = "") -> str:
    """`0.652 ± 0.022`, with as many decimals as the error allows; a gap's `sign` is `+`, to show it always."""
    shown = digits([error])
    text = decimal(value, shown, sign)
    return f"{text}{space}±{space}{error:.{shown}f}" if math.isfinite(error) else text
