"""Following a study: on a terminal that is drawn again and again, or as a line for each change."""

import time
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console, Group
from rich.live import Live

from modomodo.errors import InputError
from modomodo.study.screen import screen
from modomodo.study.watch import Look, Watcher, changes, pause

MARGIN = 2  # columns left free, or the ^C that a terminal shows would break the last line
LINES_EVERY = 10.0  # seconds between two looks whose changes are written as lines, at least

Sleep = Callable[[float], None]


def follow(watcher: Watcher, console: Console, every: float, sleep: Sleep = time.sleep) -> Look:
    """Draw the study until it is finished. On a terminal of another size it begins anew: old lines would break."""
    look: Look | None = None
    while True:
        size = console.size
        # Drawn by us alone: rich's own thread would draw ten times a second.
        with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
            while console.size == size:
                spent = time.process_time()
                look = _look(watcher, look)
                lines = screen(look, size.width - MARGIN, size.height - 1, console.options.ascii_only)
                live.update(Group(*lines), refresh=True)
                if look.status.finished:
                    return look
                sleep(pause(time.process_time() - spent, every))
        console.clear()


def follow_in_lines(watcher: Watcher, console: Console, every: float, sleep: Sleep = time.sleep) -> Look:
    """Write what changes, a line each with the time, until no Snakemake is at work."""
    before: Look | None = None
    while True:
        spent = time.process_time()
        look = _look(watcher, before)
        for line in changes(before, look):
            console.print(f"{look.clock:%H:%M:%S}  {line}", markup=False, soft_wrap=True)
            console.file.flush()
        if not look.status.at_work:
            return look
        before = look
        sleep(pause(time.process_time() - spent, max(every, LINES_EVERY)))


def _look(watcher: Watcher, before: Look | None) -> Look:
    """The next look. What cannot be read just now is said, and looked at again: it may be read while it is written."""
    try:
        return watcher.look()
    except InputError as error:
        if before is None:
            raise
        return replace(before, failed=[str(error)])
