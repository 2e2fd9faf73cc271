"""Resume checkpoints: the newest complete one is used, the rest is removed.

runs/<mixture>/<seed>/trainer/checkpoint-<step>/           written by the trainer, file by file
                              checkpoint-<step>/complete   then, last: each file's size and digest
"""

import shutil
import sys
from pathlib import Path

from modomodo.errors import InputError
from modomodo.files import file_digest, read_json, usual_modes, write_json

COMPLETE = "complete"


def complete_checkpoint(folder: Path) -> None:
    """Note what is in a checkpoint that has been written to its end, and let those read it who read other files."""
    usual_modes(folder)
    files = {
        str(path.relative_to(folder)): [path.stat().st_size, file_digest(path)]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != COMPLETE
    }
    write_json(folder / COMPLETE, files)


def keep_newest_complete(folder: Path, before: int | None = None) -> Path | None:
    """The newest checkpoint in `folder` that is as it was written, None if there is none; the others are removed.

    An incomplete checkpoint is skipped silently, one that was damaged since with a warning. `before`: a step that is
    trained again, so that a checkpoint of it or of a later one is of no use.
    """
    kept = None
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        if kept is None and (before is None or step_of(checkpoint) < before):
            damage = damage_of(checkpoint)
            if damage is None:
                kept = checkpoint
                continue
            if damage:
                print(f"warning: {checkpoint}: {damage}: it is not resumed from", file=sys.stderr, flush=True)
        shutil.rmtree(checkpoint)
    return kept


def damage_of(checkpoint: Path) -> str | None:
    """None for a complete checkpoint, "" for an incomplete one, otherwise what happened to it since."""
    if not (checkpoint / COMPLETE).is_file():
        return ""
    try:
        files = read_json(checkpoint / COMPLETE)
    except InputError:
        return f"{COMPLETE} cannot be read"
    for name, (size, digest) in files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is gone"
        if path.stat().st_size != size or file_digest(path) != digest:
            return f"{name} is damaged"
    return None


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was saved at."""
    return int(checkpoint.name.rpartition("-")[2])
