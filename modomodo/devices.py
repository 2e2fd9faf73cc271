"""GPUs of one machine shared by jobs that no scheduler keeps apart: each device has one holder.

Snakemake's `gpu` resource only counts; which device a job uses is decided here, by locks that the operating system
takes back when their holder dies, however it dies.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

# One place for all users and jobs of a machine, so not under TMPDIR.
LOCKS = Path("/tmp/modomodo-gpus")
POLL = 1.0  # seconds between two looks at devices that others hold

_held: list[FileLock] = []  # a lock that is collected as garbage is released


def divided_by_scheduler() -> bool:
    """Whether the devices this process sees were given to its job alone (Slurm)."""
    return "SLURM_JOB_ID" in os.environ


def hold(devices: Sequence[str], count: int, locks: Path = LOCKS, poll: float = POLL) -> list[str]:
    """`count` of `devices`, held until this process ends; waits until so many are free.

    All at once or none, so that two jobs never wait for each other's half. `devices` are as CUDA_VISIBLE_DEVICES
    names them, and jobs that share a machine must name them alike.
    """
    locks.mkdir(parents=True, exist_ok=True)
    if locks.stat().st_uid == os.getuid():
        locks.chmod(0o777)  # the next job may be another user's
    told = False
    while True:
        with _lock(locks / "choice", wait=True):
            free = [(device, lock) for device in devices if (lock := _taken(locks / f"gpu-{device}"))]
            for _, lock in free[count:] if len(free) >= count else free:
                lock.release()
        if len(free) >= count:
            _held.extend(lock for _, lock in free[:count])
            return [device for device, _ in free[:count]]
        if not told:
            told = True
            print(
                f"waiting for {count} of {len(devices)} GPUs: {len(free)} free",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(poll)


def _lock(path: Path, wait: bool) -> FileLock:
    lock = FileLock(path, mode=0o666, timeout=-1 if wait else 0)
    lock.acquire()
    return lock


def _taken(path: Path) -> FileLock | None:
    try:
        return _lock(path, wait=False)
    except Timeout:
        return None
