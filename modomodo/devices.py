"""GPUs of one machine shared by jobs that no scheduler keeps apart: each device has one holder.

Snakemake's `gpu` resource only counts; which device a job uses is decided here, by locks that the operating system
takes back when the last process that has them dies, however it dies.
"""

import fcntl
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# One place for all users and jobs of a machine, so not under TMPDIR.
LOCKS = Path("/tmp/modomodo-gpus")
POLL = 1.0  # seconds between two looks at devices that others hold

_held: list[int] = []  # open files, one a device: flock lasts as long as one is open, here or in a child


def divided_by_scheduler() -> bool:
    """Whether the devices this process sees were given to its job alone (Slurm)."""
    return "SLURM_JOB_ID" in os.environ


def hold(devices: Sequence[str], count: int, locks: Path = LOCKS, poll: float = POLL) -> list[str]:
    """`count` of `devices`, held until this process and all that have its locks ended; waits for as many to be free.

    All at once or none, so that two jobs never wait for each other's half. `devices` are as CUDA_VISIBLE_DEVICES
    names them, and jobs that share a machine must name them alike.
    """
    locks.mkdir(parents=True, exist_ok=True)
    if locks.stat().st_uid == os.getuid():
        locks.chmod(0o777)  # the next job may be another user's
    told = False
    while True:
        choice = _lock(locks / "choice", wait=True)
        try:
            tried = [(device, _taken(locks / f"gpu-{device}")) for device in devices]
            free = [(device, lock) for device, lock in tried if lock is not None]
            for _, lock in free[count:] if len(free) >= count else free:
                os.close(lock)
        finally:
            os.close(choice)
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


def held() -> tuple[int, ...]:
    """File descriptors of the locks this process has, for a child's `pass_fds`.

    A child that computes on the devices needs them: without, the next job takes its devices as soon as this process
    is dead, though the child may live on. A forked child has them by itself.
    """
    return tuple(_held)


def _lock(path: Path, wait: bool) -> int:
    """An open file that holds the lock. Raises BlockingIOError when another does and this is not to wait."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(PermissionError):
            os.fchmod(opened, 0o666)  # past the umask: the next job may be another user's
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(opened)
        raise
    return opened


def _taken(path: Path) -> int | None:
    try:
        return _lock(path, wait=False)
    except BlockingIOError:
        return None
