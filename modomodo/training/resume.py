"""What a trainer leaves to resume from: checked, the newest whole one used, the rest removed.

runs/<mixture>/<seed>/trainer/checkpoint-<step>/           written by the trainer, file by file
                              checkpoint-<step>/complete   then, last: each file's size and digest
"""

import shutil
import sys
from pathlib import Path

from modomodo.errors import InputError
from modomodo.files import file_digest, read_json, write_json

COMPLETE = "complete"


def complete_checkpoint(folder: Path) -> None:
    """The save was written to its end: note what is in it."""
    files = {
        str(path.relative_to(folder)): [path.stat().st_size, file_digest(path)]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != COMPLETE
    }
    write_json(folder / COMPLETE, files)


def keep_newest_complete(folder: Path) -> Path | None:
    """The newest save in `folder` that is as it was written, None if there is none; the others are removed.

    A save that was cut short is passed over in silence, one that was damaged since with a warning.
    """
    kept = None
    for save in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        if kept is None:
            damage = damage_of(save)
            if damage is None:
                kept = save
                continue
            if damage:
                print(f"warning: {save}: {damage}: it is not resumed from", file=sys.stderr, flush=True)
        shutil.rmtree(save)
    return kept


def damage_of(save: Path) -> str | None:
    """None for a whole save, "" for one that was cut short, otherwise what happened to it since."""
    if not (save / COMPLETE).is_file():
        return ""
    try:
        files = read_json(save / COMPLETE)
    except InputError:
        return f"{COMPLETE} cannot be read"
    for name, (size, digest) in files.items():
        path = save / name
        if not path.is_file():
            return f"{name} is gone"
        if path.stat().st_size != size or file_digest(path) != digest:
            return f"{name} is damaged"
    return None


def _step(save: Path) -> int:
    return int(save.name.rpartition("-")[2])
