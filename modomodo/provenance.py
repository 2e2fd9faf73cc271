"""Where a result comes from: versions, commit, hardware."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ["torch", "transformers", "trl", "accelerate", "datasets", "numpy", "tokenizers", "pillow"]


def provenance() -> dict:
    """Versions of what computes, the project's commit, and the machine."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "commit": _commit(),
        "hardware": _hardware(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit, with '+changes' when the working tree differs; None outside a repository."""
    root = Path(__file__).parent.parent
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


def _hardware() -> dict:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"machine": platform.machine(), "cores": os.cpu_count(), "gpus": gpus}
