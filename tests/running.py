"""The workflow as a user runs it: in a copy that holds what a clone would."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
MINUTES = 60


def clean_copy(folder: Path) -> Path:
    """What a clone would hold: no results, no environment."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]


def snakemake(
    folder: Path,
    *arguments: str,
    timeout: float = 15 * MINUTES,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, timeout=timeout, env=environment
    )


def with_conda(folder: Path) -> dict[str, str]:
    """The environment with a `conda` in this folder that can only be asked about itself."""
    about = '{"conda_version": "26.7.1", "platform": "linux-64", "conda_prefix": "/", "get": {"channel_priority": "strict"}}'
    (folder / "conda").write_text(f"#!/bin/sh\necho '{about}'\n")
    (folder / "conda").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def succeed(run: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    return run


def kill_session(process: subprocess.Popen) -> None:
    """SIGKILL to a process that leads a session and to all that it started, as a power cut would."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == process.pid:
                os.kill(int(entry.name), signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def digests(folder: Path, inside: str = "results") -> dict[str, str]:
    """Every result whose bytes the same study and seed decide; the others tell durations too."""
    files = [path for path in (folder / inside).rglob("*") if path.is_file() and not path.is_symlink()]
    timed = {
        "run.json",
        "finished.json",
        "base.json",
        "report.html",
        "verdict.json",
        "verdict.txt",
        "cost.svg",
        "cost.png",
        "cost.csv",
    }
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name not in timed
    }
