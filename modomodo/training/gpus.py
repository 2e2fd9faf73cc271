"""GPUs of one machine shared by jobs that no scheduler keeps apart: each device has one holder.

Snakemake's `gpu` resource only counts; which device a job uses is decided here, by locks that the operating system
takes back when the last process that has them dies, however it dies. A process that was started without its parent's
open files, as vLLM's engines are, has no lock; it is known by its process group, which is noted in the lock's file.
"""

import fcntl
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from modomodo.errors import InputError

# --- what can work ------------------------------------------------------------------------------------------


def visible_gpus() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()  # asks the driver, and does not yet bind this process to a GPU
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(number) for number in range(count)]


def acquire_gpus(wanted: int, key: str) -> list[str]:
    """As many of the visible GPUs; hides the others, and all when none is wanted, from this process.

    Without a scheduler that divides the machine's GPUs, waits until so many are free, and holds them.
    Raises InputError naming the `key` that asks for more than there are.
    """
    visible = visible_gpus() if wanted else []
    if len(visible) < wanted:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        where = f" (CUDA_VISIBLE_DEVICES={shown})" if shown is not None else ""
        raise InputError(
            f"{key}: {wanted} wanted, {len(visible)} visible here{where}: lower it, or ask the scheduler for more"
        )
    taken = visible[:wanted] if not wanted or divided_by_scheduler() else hold(visible, wanted)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    return taken


# One place for all users and jobs of a machine, so not under TMPDIR.
LOCKS = Path("/tmp/modomodo-gpus")
POLL = 1.0  # seconds between two looks at devices that others hold
BOOT = Path("/proc/sys/kernel/random/boot_id")  # numbers of processes mean nothing after another one

_held: list[int] = []  # open files, one a device: flock lasts as long as one is open, here or in a child


def divided_by_scheduler() -> bool:
    """Whether the devices this process sees were given to its job alone (Slurm)."""
    return "SLURM_JOB_ID" in os.environ


def hold(devices: Sequence[str], count: int, locks: Path = LOCKS, poll: float = POLL) -> list[str]:
    """`count` of `devices`, held until this process, all that have its locks and all groups that it notes ended.

    Waits for as many to be free, all at once or none, so that two jobs never wait for each other's half. `devices`
    are as CUDA_VISIBLE_DEVICES names them, and jobs that share a machine must name them alike.
    """
    locks.mkdir(parents=True, exist_ok=True)
    if locks.stat().st_uid == os.getuid():
        locks.chmod(0o777)  # the next job may be another user's
    told = False
    while True:
        free: list[tuple[str, int]] = []
        left: set[int] = set()
        choice = _lock(locks / "choice", wait=True)
        try:
            for device in devices:
                lock = _taken(locks / f"gpu-{device}")
                if lock is None:
                    continue
                if survivors := _survivors(lock):
                    left.update(survivors)
                    os.close(lock)
                else:
                    free.append((device, lock))
            for _, lock in free[count:] if len(free) >= count else free:
                os.close(lock)
        finally:
            os.close(choice)
        if len(free) >= count:
            _held.extend(lock for _, lock in free[:count])
            note_groups([])
            return [device for device, _ in free[:count]]
        if not told:
            told = True
            processes = ", ".join(map(str, sorted(left)))
            who = f"; processes of a job that died live on: {processes}" if left else ""
            print(
                f"waiting for {count} of {len(devices)} GPUs: {len(free)} free{who}",
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


def note_groups(groups: Sequence[int]) -> None:
    """The process groups by which this process's devices stay taken should it be killed before them."""
    note = "".join(f"{line}\n" for line in (_boot(), *groups)).encode()
    for lock in _held:
        os.pwrite(lock, note, 0)
        os.ftruncate(lock, len(note))


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


def _survivors(lock: int) -> list[int]:
    """Processes of the groups that the last holder of this lock has noted, where there is /proc."""
    boot, *groups = os.pread(lock, 4096, 0).decode(errors="replace").splitlines() or [""]
    if not groups or boot != _boot():
        return []
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            state, _, group, *_ = path.read_text(errors="replace").rpartition(")")[2].split()
            if group in groups and state != "Z":
                found.append(int(path.parent.name))
    return found


def _boot() -> str:
    return BOOT.read_text().strip() if BOOT.exists() else ""
