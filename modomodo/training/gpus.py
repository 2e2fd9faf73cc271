"""GPUs of one machine shared by jobs that no scheduler keeps apart: each device has one holder.

Snakemake's `gpu` resource only counts; which device a job uses is decided here.

    /tmp/modomodo-gpus/gpu-0.lock     locked by the job that uses the device, until it and all that it forked ended
                       gpu-0.groups   the boot's id, then the process groups of that job
                       choice.lock    locked while a job chooses

A launcher that is killed may leave processes that still compute: they are known by their group, which was noted.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, lock_descriptor

from modomodo.errors import InputError
from modomodo.files import atomic_write


def visible_gpus() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()  # asks the driver, and does not yet bind this process to a GPU
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(number) for number in range(count)]


def acquire_gpus(wanted: int, key: str) -> list[str]:
    """As many of the visible GPUs; hides the others, and all when none is wanted, from this process.

    Without a scheduler that divides the machine's GPUs, waits until so many are free, and locks them.
    Raises InputError naming the `key` that asks for more than there are.
    """
    visible = visible_gpus() if wanted else []
    if len(visible) < wanted:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        where = f" (CUDA_VISIBLE_DEVICES={shown})" if shown is not None else ""
        raise InputError(
            f"{key}: {wanted} wanted, {len(visible)} visible here{where}: lower it, or ask the scheduler for more"
        )
    taken = visible[:wanted] if not wanted or divided_by_scheduler() else lock_gpus(visible, wanted)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    return taken


# One place for all users and jobs of a machine, so not under TMPDIR.
LOCKS = Path("/tmp/modomodo-gpus")
POLL = 1.0  # seconds between two attempts at devices that others hold
HELD = Path("/proc/locks")  # the locks of all processes
BOOT = Path("/proc/sys/kernel/random/boot_id")  # numbers of processes mean nothing after another one

_locked: dict[Path, int] = {}  # lock file → its descriptor, open until this process and its forks end


def divided_by_scheduler() -> bool:
    """Whether the devices this process sees were given to its job alone (Slurm)."""
    return "SLURM_JOB_ID" in os.environ


def lock_gpus(devices: Sequence[str], count: int, locks: Path = LOCKS, poll: float = POLL) -> list[str]:
    """`count` of `devices`, locked until this process and all groups that it notes have ended.

    Waits for as many to be free, all at once or none, so that two jobs never wait for each other's half. `devices`
    are as CUDA_VISIBLE_DEVICES names them, and jobs that share a machine must name them alike. `poll` is in seconds.
    """
    locks.mkdir(parents=True, exist_ok=True)
    if locks.stat().st_uid == os.getuid():
        locks.chmod(0o777)  # the next job may be another user's
    reported = False
    while True:
        with FileLock(locks / "choice.lock", mode=0o666):
            free, survivors = _free(locks, devices)
            chosen = list(free)[:count] if len(free) >= count else []
            for device in free.keys() - chosen:
                os.close(free[device])
        if chosen:
            _locked.update((_lock_file(locks, device), free[device]) for device in chosen)
            note_groups([])
            return chosen
        if not reported:
            reported = True
            processes = ", ".join(map(str, sorted(survivors)))
            who = f"; processes of a job that died live on: {processes}" if survivors else ""
            print(
                f"waiting for {count} of {len(devices)} GPUs: {len(free)} free{who}",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(poll)


def note_groups(groups: Sequence[int]) -> None:
    """The process groups by which this process's devices stay taken should it be killed before them."""
    for path in _locked:
        with atomic_write(path.with_suffix(".groups")) as file:
            file.writelines(f"{line}\n" for line in (_boot(), *groups))


def devices_in_use(locks: Path = LOCKS, held: Path = HELD) -> dict[str, int]:
    """Device → the process that locked it, where the system says that (Linux); looking takes no lock."""
    try:
        lines = held.read_text().splitlines()
        files = {path.stat().st_ino: path for path in locks.glob("gpu-*.lock")}
    except OSError:
        return {}
    found = (line.split() for line in lines)  # 1: FLOCK ADVISORY WRITE 4711 fd:01:131085 0 EOF
    holders = {int(part[5].rpartition(":")[2]): int(part[4]) for part in found if part[1:2] == ["FLOCK"]}
    return {
        path.stem.removeprefix("gpu-"): holders[inode] for inode, path in files.items() if inode in holders
    }


def _free(locks: Path, devices: Sequence[str]) -> tuple[dict[str, int], set[int]]:
    """The devices that no job uses, locked now, and the processes that dead jobs have left on others."""
    free: dict[str, int] = {}
    survivors: set[int] = set()
    for device in devices:
        path = _lock_file(locks, device)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(PermissionError):
            os.fchmod(descriptor, 0o666)  # past the umask: the next job may be another user's
        locked = lock_descriptor(descriptor, blocking=False)
        left = _survivors(path.with_suffix(".groups")) if locked else set()
        survivors |= left
        if locked and not left:
            free[device] = descriptor
        else:
            os.close(descriptor)
    return free, survivors


def _lock_file(locks: Path, device: str) -> Path:
    return locks / f"gpu-{device}.lock"


def _survivors(note: Path) -> set[int]:
    """Processes of the groups that the last holder of a device has noted."""
    import psutil

    boot, *groups = note.read_text(encoding="utf-8").splitlines() if note.exists() else [""]
    if not groups or boot != _boot():
        return set()
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it ended just now
            if str(os.getpgid(process.pid)) in groups and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
    return found


def _boot() -> str:
    return BOOT.read_text().strip() if BOOT.exists() else ""
