"""Jobs on one machine get distinct GPUs, and a job that dies gives its own back: with real processes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HOLDER = """
import json, sys, time
from pathlib import Path
from modomodo.devices import hold
devices, count, locks = json.loads(sys.argv[1])
print(json.dumps(hold(devices, count, Path(locks), poll=0.05)), flush=True)
time.sleep(600)
"""
Start = Callable[[int], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a job that wants so many of four devices; all that still run are ended afterwards."""
    jobs = []

    def start(count: int, devices: tuple[str, ...] = ("0", "1", "2", "3")) -> "subprocess.Popen[str]":
        wanted = json.dumps([devices, count, str(tmp_path / "locks")])
        job = subprocess.Popen(
            [sys.executable, "-c", HOLDER, wanted], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        jobs.append(job)
        return job

    yield start
    for job in jobs:
        job.kill()
        job.communicate()


def devices_of(job: "subprocess.Popen[str]") -> list[str]:
    """Waits until the job holds its devices."""
    return json.loads(job.stdout.readline())


def test_parallel_jobs_hold_distinct_devices(start: Start) -> None:
    jobs = [start(1) for _ in range(4)]
    assert sorted(device for job in jobs for device in devices_of(job)) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_job_that_dies_gives_its_devices_back(start: Start, end: str) -> None:
    first, second = start(3), None
    held = devices_of(first)
    second = start(2)
    assert second.stderr.readline() == "waiting for 2 of 4 GPUs: 1 free\n"
    getattr(first, end)()
    assert len(set(devices_of(second))) == 2 and len(held) == 3


def test_a_job_that_waits_holds_nothing(start: Start) -> None:
    devices_of(start(1))
    big = start(4)
    assert "3 free" in big.stderr.readline()
    time.sleep(0.3)
    assert len(devices_of(start(3))) == 3, "the three that the big job cannot use alone are free to others"


def test_only_the_devices_named_are_held(start: Start) -> None:
    assert sorted(devices_of(start(2, ("5", "7")))) == ["5", "7"]
    assert devices_of(start(1)) == ["0"]
