"""The folder of one training run, and the fingerprint that says whose work lies in it.

    runs/<mixture>/<seed>/run.json             what Snakemake knows of: written last, names the checkpoints
                          checkpoint-<step>/   the scored checkpoints, in Hugging Face form; without weights once
                                               training.keep_weights has removed them
                          log.jsonl            one line a step
                          rows.jsonl           one line a prompt, of a run that decided them itself
                          trainer/             the checkpoints to resume from, while unfinished
                          fingerprint          digest of all that decides the result
                          finished.json        a copy of run.json; finished-<step>.json of a run in a race, for each
                                               job that has trained a part of it. While it may go on, the newest of
                                               trainer/ stays

Snakemake deletes the outputs it knows of before it runs a job again and when a job fails. Only run.json
is one, so an interrupted run finds its checkpoints, and a run that is asked for again with the same fingerprint
is returned as it is.
"""

import hashlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

from modomodo.errors import InputError
from modomodo.files import atomic_write, file_digest, read_json, write_json
from modomodo.mixtures.trained_runs import FINISHED, finished_parts
from modomodo.training.resume import keep_newest_complete

CACHE_VERSION = 2  # raise when the same settings would train other weights: every run is then trained again
REMOVED = "weights-removed.json"


@contextmanager
def alone_in(folder: Path, poll: float = 5.0) -> Iterator[None]:
    """While a job works on a run, another one that was started for it waits: Snakemake, killed, leaves its jobs behind.

    `poll` is in seconds. Where the file system knows no locks, nobody waits.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    note = folder.with_name(f".{folder.name}.working")
    descriptor, said = _locked(note), False
    while descriptor is None:
        if not said:
            who = note.read_text(encoding="utf-8") if note.is_file() else "another process"
            print(f"waiting: {who} works on {folder} since before", file=sys.stderr, flush=True)
            said = True
        time.sleep(poll)
        descriptor = _locked(note)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        note.unlink(
            missing_ok=True
        )  # before the lock is released: who waits sees that its file is another one
        os.close(descriptor)


def _locked(note: Path) -> int | None:
    """A descriptor of the file, which is locked until it is closed; None where another process has it."""
    descriptor = os.open(note, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        mine = lock_descriptor(descriptor, blocking=False) and os.fstat(descriptor).st_nlink > 0
    except OSError:
        return descriptor
    if mine:
        return descriptor
    os.close(descriptor)
    return None


def open_run(folder: Path, fingerprint: str, steps: Collection[int] | None = None) -> dict | None:
    """Make the folder ready for `fingerprint`: its finished run.json if the work is done, else None.

    Work under another fingerprint is removed; work under the same one stays to be resumed. `steps`: scored steps that
    are asked for, where the run may have been trained to some of them only.
    """
    noted = folder / "fingerprint"
    if not noted.is_file() or noted.read_text(encoding="utf-8").strip() != fingerprint:
        if folder.exists():
            noted.unlink(missing_ok=True)  # first: what is half removed is nobody's work
            shutil.rmtree(folder)
        with atomic_write(noted) as file:
            file.write(fingerprint + "\n")
        return None
    for finished in finished_parts(folder):
        run = read_json(finished)
        asked = {str(step) for step in steps} if steps is not None else set(run["checkpoints"])
        if asked <= set(run["checkpoints"]) and all(
            _is_whole(folder / run["checkpoints"][step]["path"]) for step in asked
        ):
            if finished.name == FINISHED:
                shutil.rmtree(
                    folder / "trainer", ignore_errors=True
                )  # of one that was killed while it closed
            return {**run, "checkpoints": {step: run["checkpoints"][step] for step in sorted(asked, key=int)}}
    return None


def trained_to(folder: Path) -> int:
    """The last step of the parts of a run that are finished, 0 where none is."""
    parts = [read_json(finished, "checkpoints") for finished in finished_parts(folder)]
    return max((kept["step"] for part in parts for kept in part["checkpoints"].values()), default=0)


def checkpoints_left(folder: Path, checkpoint_steps: Mapping[int, int]) -> list[int]:
    """The steps of scored checkpoints that are not in the folder. Those of one step are one checkpoint."""
    return [
        real
        for real, name in names_of_steps(checkpoint_steps).items()
        if not _is_whole(folder / f"checkpoint-{name}")
    ]


def link_shared_checkpoints(folder: Path, checkpoint_steps: Mapping[int, int]) -> None:
    """Scored steps past the end of the stream are the last checkpoint, linked and not copied."""
    named = names_of_steps(checkpoint_steps)
    for scored, step in sorted(checkpoint_steps.items()):
        if named[step] == scored:
            continue
        link = folder / f"checkpoint-{scored}"
        if link.is_symlink():
            link.unlink()
        link.symlink_to(f"checkpoint-{named[step]}", target_is_directory=True)


def names_of_steps(checkpoint_steps: Mapping[int, int]) -> dict[int, int]:
    """Step → the first scored step that is of it, which names its directory."""
    return {step: scored for scored, step in sorted(checkpoint_steps.items(), reverse=True)}


def _is_whole(checkpoint: Path) -> bool:
    return bool(_weight_files(checkpoint)) or weights_removed(checkpoint)


def close_run(folder: Path, run: dict, finished: str = FINISHED) -> None:
    """The run is done: keep its description, remove the checkpoints to resume from, but the newest if it may go on."""
    write_json(folder / finished, run)
    if finished == FINISHED:
        shutil.rmtree(folder / "trainer", ignore_errors=True)
    else:
        keep_newest_complete(folder / "trainer")


def remove_weights(folder: Path, run: dict, keep: Collection[str]) -> list[str]:
    """Remove the weights of a finished run that no scored step in `keep` needs; returns the scored steps they served.

    A file in the checkpoint says so (weights_removed), and the run counts as finished all the same.
    """
    kept = {(folder / run["checkpoints"][step]["path"]).resolve() for step in keep}
    freed = []
    for step, entry in run["checkpoints"].items():
        checkpoint = (folder / entry["path"]).resolve()  # scored steps past the end of a stream share one
        if checkpoint in kept:
            continue
        # First: whatever happens, they are no longer complete.
        write_json(checkpoint / REMOVED, {"weights": entry["weights"]})
        for path in _weight_files(checkpoint):
            path.unlink()
        freed.append(step)
    return freed


def weights_removed(checkpoint: Path) -> bool:
    """Whether the weights were here and were removed on purpose."""
    return (checkpoint / REMOVED).is_file()


def weights_digest(folder: Path) -> str:
    """SHA-256 over a model's safetensors files. Raises InputError when there is none."""
    files = _weight_files(folder)
    if not files:
        raise InputError(f"{folder}: holds no *.safetensors: delete it and run again")
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.name} {file_digest(path)}\n".encode())
    return total.hexdigest()


def _weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))
