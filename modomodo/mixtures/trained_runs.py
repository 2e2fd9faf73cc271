"""What trainings have written of themselves: each run's run.json, with all its parts where a race trained it in parts.

runs/<mixture>/<seed>/run.json              of a run, or of its first part
                      finished.json         its copy, or that of the part that came to the end
                      finished-<step>.json  that of each part that may go on from there
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modomodo.files import check_keys, read_json

FINISHED = "finished.json"


def finished_parts(folder: Path) -> list[Path]:
    """What is kept of the finished parts of a run: one file, or one for each job of a run in a race."""
    return sorted(folder.glob("finished*.json"))


def home_of(path: Path, run: Mapping[str, Any]) -> Path:
    """The folder that a run's work lies in: that of its run.json, or of a place's file another one."""
    first = next(iter(run["checkpoints"].values()))
    return Path(os.path.normpath(path.parent / first["path"])).parent


def run_so_far(path: Path, *keys: str) -> dict[str, Any]:
    """The contents of a run.json; of a run in a race with all that its later stretches added, seconds in sum.

    Its stream is that of the last stretch, with what became of its prompts until then.

    Raises InputError for a file that is missing or damaged, or that lacks one of the `keys`.
    """
    run = read_json(path, *keys)
    parts = [read_json(part) for part in finished_parts(path.parent)]
    if len(parts) < 2:
        return run
    seconds: dict[str, float] = {}
    for part in parts:
        for name, value in part["seconds"].items():
            seconds[name] = seconds.get(name, 0.0) + value
    checkpoints = [entry for part in parts for entry in part["checkpoints"].items()]
    ordered = dict(sorted(checkpoints, key=lambda entry: int(entry[0])))
    last = max(parts, key=lambda part: max(map(int, part["checkpoints"])))
    return {**run, "checkpoints": ordered, "seconds": seconds, "stream": last["stream"]}


def runs_so_far(paths: Iterable[Path], *keys: str) -> dict[Path, dict[str, Any]]:
    """Of some run.json those of runs that were trained, with their contents: with a budget a mixture may be none.

    Raises InputError as `run_so_far` does.
    """
    found = {}
    for path in paths:
        run = run_so_far(path)
        if run.get("checkpoints", True):
            check_keys(path, run, *keys)
            found[path] = run
    return found
