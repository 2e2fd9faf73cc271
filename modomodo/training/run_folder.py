"""The folder of one training run, and the fingerprint that says whose work lies in it.

    runs/<mixture>/<seed>/run.json             what Snakemake knows of: written last, names the checkpoints
                          checkpoint-<step>/   the scored checkpoints, in Hugging Face form; without weights once
                                               training.keep_weights has removed them
                          log.jsonl            one line a step
                          trainer/             the checkpoints to resume from, while unfinished
                          fingerprint          digest of all that decides the result

Snakemake deletes the outputs it knows of before it runs a job again and when a job fails. Only run.json
is one, so an interrupted run finds its checkpoints, and a run that is asked for again with the same fingerprint
is returned as it is.
"""

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path

from modomodo.errors import InputError
from modomodo.files import atomic_write, file_digest, read_json, write_json

CACHE_VERSION = 2  # raise when the same settings would train other weights: every run is then trained again
REMOVED = "weights-removed.json"
FINISHED = "finished.json"  # a copy of run.json that survives Snakemake


def open_run(folder: Path, fingerprint: str) -> dict | None:
    """Make the folder ready for `fingerprint`: its finished run.json if the work is done, else None.

    Work under another fingerprint is removed; work under the same one stays to be resumed.
    """
    noted = folder / "fingerprint"
    if not noted.is_file() or noted.read_text(encoding="utf-8").strip() != fingerprint:
        if folder.exists():
            noted.unlink(missing_ok=True)  # first: what is half removed is nobody's work
            shutil.rmtree(folder)
        with atomic_write(noted) as file:
            file.write(fingerprint + "\n")
        return None
    finished = folder / FINISHED
    if not finished.is_file():
        return None
    run = read_json(finished)
    complete = all(
        _weight_files(folder / kept["path"]) or weights_removed(folder / kept["path"])
        for kept in run["checkpoints"].values()
    )
    return run if complete else None


def close_run(folder: Path, run: dict) -> None:
    """The run is done: keep its description, remove the checkpoints to resume from."""
    write_json(folder / FINISHED, run)
    shutil.rmtree(folder / "trainer", ignore_errors=True)


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
