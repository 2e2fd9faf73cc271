"""Jobs on one machine get distinct GPUs, and a job that dies gives its own back: with real processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from modomodo.training.gpus import BOOT

HOLDER = """
import json, signal, sys, time
from pathlib import Path
from modomodo.training.gpus import lock_gpus
signal.alarm(60)  # a device that is never given back ends the test with an empty line
devices, count, locks = json.loads(sys.argv[1])
print(json.dumps(lock_gpus(devices, count, Path(locks), poll=0.05)), flush=True)
time.sleep(600)
"""
Start = Callable[[int], "subprocess.Popen[str]"]
groups_are_seen = pytest.mark.skipif(not BOOT.exists(), reason="looks processes up in /proc")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a job that wants so many of four devices; all that still run are ended afterwards."""
    jobs = []

    def start(count: int, devices: tuple[str, ...] = ("0", "1", "2", "3")) -> "subprocess.Popen[str]":
        wanted = json.dumps([devices, count, str(tmp_path / "locks")])
        job = subprocess.Popen(
            [sys.executable, "-c", HOLDER, wanted],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        jobs.append(job)
        return job

    yield start
    for job in jobs:
        job.kill()
        job.communicate()


def devices_of(job: "subprocess.Popen[str]") -> list[str]:
    """Waits until the job holds its devices."""
    return json.loads(line_of(job))


def line_of(job: "subprocess.Popen[str]") -> str:
    """Its next line: that it waits, or its devices."""
    return job.stdout.readline()


def test_parallel_jobs_hold_distinct_devices(start: Start) -> None:
    jobs = [start(1) for _ in range(4)]
    assert sorted(device for job in jobs for device in devices_of(job)) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_job_that_dies_gives_its_devices_back(start: Start, end: str) -> None:
    first, second = start(3), None
    held = devices_of(first)
    second = start(2)
    assert line_of(second) == "waiting for 2 of 4 GPUs: 1 free\n"
    getattr(first, end)()
    assert len(set(devices_of(second))) == 2 and len(held) == 3


def test_a_job_that_waits_holds_nothing(start: Start) -> None:
    devices_of(start(1))
    big = start(4)
    assert "3 free" in line_of(big)
    time.sleep(0.3)
    assert len(devices_of(start(3))) == 3, "the three that the big job cannot use alone are free to others"


def test_only_the_devices_named_are_held(start: Start) -> None:
    assert sorted(devices_of(start(2, ("5", "7")))) == ["5", "7"]
    assert devices_of(start(1)) == ["0"]


# --- a launcher, what it has started, and what that has started ------------------------------------------------

LAUNCHER = """
import sys
from pathlib import Path
from modomodo.training import supervise
from modomodo.training.gpus import lock_gpus
locks, busy, trainer = sys.argv[1:]
supervise.LEADER = supervise.LEADER.replace("kill", f"while [ -e {busy} ]; do sleep 0.05; done; kill")
lock_gpus(["0"], 1, Path(locks))
supervise.supervise([supervise.ProcessSpec("trainer 0", [sys.executable, "-c", trainer])])
"""
TRAINER = """
import os, subprocess, sys, time
# As vLLM's: in this process's group, without its open files.
engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), engine.pid, flush=True)
time.sleep(600)
"""


@dataclass
class Launched:
    launcher: "subprocess.Popen[str]"
    trainer: psutil.Process
    engine: psutil.Process
    leader: psutil.Process  # of the process group, which it kills after the launcher


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Launched]:
    """A launcher that holds device 0, with a trainer that runs."""
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path / "locks"), str(tmp_path / "busy"), TRAINER],
        stdout=subprocess.PIPE,
        text=True,
    )
    trainer, engine = (psutil.Process(int(pid)) for pid in launcher.stdout.readline().split())
    [leader] = set(psutil.Process(launcher.pid).children()) - {trainer}
    yield Launched(launcher, trainer, engine, leader)
    for process in (launcher, leader, trainer, engine):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    launcher.communicate()


def waits_for(*processes: psutil.Process) -> str:
    """What a job says that waits for device 0 while these of a dead job still run."""
    living = ", ".join(str(pid) for pid in sorted(process.pid for process in processes))
    return f"waiting for 1 of 1 GPUs: 0 free; processes of a job that died live on: {living}\n"


@groups_are_seen
def test_a_device_stays_taken_while_a_trainer_outlives_its_launcher(start: Start, launched: Launched) -> None:
    launched.leader.kill()
    launched.launcher.kill()
    launched.launcher.wait()
    second = start(1, ("0",))
    assert line_of(second) == waits_for(launched.trainer, launched.engine)
    launched.trainer.kill()
    launched.engine.kill()
    assert devices_of(second) == ["0"]


@groups_are_seen
def test_a_device_stays_taken_while_a_process_without_the_lock_outlives_all_others(
    start: Start, launched: Launched
) -> None:
    launched.leader.kill()
    for process in (launched.launcher, launched.trainer):
        process.kill()
        process.wait(10)
    second = start(1, ("0",))
    assert line_of(second) == waits_for(launched.engine)
    launched.engine.kill()
    assert devices_of(second) == ["0"]


@groups_are_seen
def test_a_group_of_another_boot_is_another_group(start: Start, tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    note, mine = tmp_path / "locks/gpu-0.groups", os.getpgrp()
    note.write_text(f"{BOOT.read_text()}{mine}\n")
    waiting = start(1, ("0",))
    assert "processes of a job that died live on" in line_of(waiting)
    note.write_text(f"another boot\n{mine}\n")
    assert devices_of(waiting) == ["0"]
    assert note.read_text() == BOOT.read_text(), "what was noted is forgotten"


@groups_are_seen
def test_a_device_stays_taken_until_all_that_a_dead_launcher_left_is_killed(
    start: Start, launched: Launched, tmp_path: Path
) -> None:
    (tmp_path / "busy").touch()  # the machine is
    for process in (launched.launcher, launched.trainer):
        process.kill()
        process.wait()
    assert launched.engine.is_running()
    second = start(1, ("0",))
    living = line_of(second).removeprefix(
        "waiting for 1 of 1 GPUs: 0 free; processes of a job that died live on: "
    )
    assert {launched.leader.pid, launched.engine.pid} <= set(map(int, living.split(", ")))
    (tmp_path / "busy").unlink()
    assert devices_of(second) == ["0"]
    assert psutil.wait_procs([launched.engine], timeout=10)[1] == [], "it still runs"


FORKING = """
import os, sys, time
from pathlib import Path
from modomodo.training.gpus import lock_gpus
lock_gpus(["0"], 1, Path(sys.argv[1]))
if not os.fork():
    time.sleep(600)
print("forked", flush=True)
time.sleep(600)
"""


def test_a_device_stays_taken_while_a_forked_child_outlives_its_job(start: Start, tmp_path: Path) -> None:
    job = subprocess.Popen(
        [sys.executable, "-c", FORKING, str(tmp_path / "locks")], stdout=subprocess.PIPE, text=True
    )
    assert line_of(job) == "forked\n"
    [child] = psutil.Process(job.pid).children()
    job.kill()
    job.wait()
    second = start(1, ("0",))
    assert line_of(second) == "waiting for 1 of 1 GPUs: 0 free\n"
    child.kill()
    assert devices_of(second) == ["0"]
    job.stdout.close()
