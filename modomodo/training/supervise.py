"""Processes that work together: started in order, watched, and ended as one.

All of them are in one process group, whose leader kills it as soon as this process ends, however it ends.
"""

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from modomodo.errors import Interrupted
from modomodo.training.gpus import note_groups

SAVED = 128 + signal.SIGTERM  # the exit status of a trainer that saved after a signal
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

# The group's leader: it waits until the pipe from this process is closed, then kills the group and itself.
LEADER = "trap '' TERM INT HUP USR1; read -r _; kill -KILL 0"


class LaunchError(Exception):
    """One of the processes failed; the message says which, how, and where its log is."""


@dataclass(frozen=True)
class Timeouts:
    """In seconds."""

    start: float = 1800.0  # for the server to answer: weights may come from a slow disk
    silence: float = 300.0  # for a server that answered before and does not now
    save: float = 600.0  # for trainers to save and end after a signal
    end: float = 20.0  # for a process that has nothing to save
    poll: float = 1.0


@dataclass(frozen=True)
class ProcessSpec:
    """A process to start: its name in messages, its command and what differs in its environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None  # None: its output goes where this process's goes
    blocked: Sequence[signal.Signals] = ()  # signals that do not reach it


def supervise(
    trainers: Sequence[ProcessSpec],
    server: ProcessSpec | None = None,
    health: str = "",
    timeouts: Timeouts = Timeouts(),
) -> None:
    """Start the server, wait until the URL `health` answers, start the trainers, and wait until all have ended.

    Raises LaunchError when one fails, Interrupted after a signal; no process is left in either case.
    """
    with _received_signals() as received, _ProcessGroup(timeouts) as group:
        serving = group.start(server) if server else None
        started = answered = time.monotonic()
        while serving and answered == started:
            if received:
                raise _interrupted(received, "the training had not begun")
            time.sleep(timeouts.poll)
            answered = _last_answer(serving, health, answered, timeouts.start)
        running = [group.start(trainer) for trainer in trainers]
        while True:
            if received:
                _stop(running, received, timeouts)
            failed = next((trainer for trainer in running if trainer.status()), None)
            if failed is not None:
                raise LaunchError(failed.failure())
            if all(trainer.status() == 0 for trainer in running):
                return
            if serving:
                answered = _last_answer(serving, health, answered, timeouts.silence)
            time.sleep(timeouts.poll)


@contextmanager
def _received_signals() -> Iterator[list[int]]:
    """Signals that came, in order; until the end they do nothing else."""
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Process:
    """A started process."""

    def __init__(self, spec: ProcessSpec, group: int) -> None:
        self.spec = spec
        log = None
        if spec.log is not None:
            spec.log.parent.mkdir(parents=True, exist_ok=True)
            log = spec.log.open("ab")  # the output of earlier attempts stays
        before = signal.pthread_sigmask(signal.SIG_BLOCK, spec.blocked)  # inherited by the program
        try:
            self.popen = subprocess.Popen(
                spec.command,
                env={**os.environ, **spec.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=group,
            )
        except OSError as error:
            raise LaunchError(f"{spec.name} cannot be started: {error}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if log is not None:
                log.close()

    def status(self) -> int | None:
        """None while it runs; the negative number of the signal that killed it."""
        return self.popen.poll()

    def failure(self, how: str = "") -> str:
        """`trainer 1 ended with status 2: last line (log)`."""
        status, log = self.status(), self.spec.log
        if status is not None:
            how = (
                f"was killed by {signal.Signals(-status).name}"
                if status < 0
                else f"ended with status {status}"
            )
        if log is None:
            return f"{self.spec.name} {how}, see its output above"
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "without output")
        return f"{self.spec.name} {how}: {last} ({log})"


class _ProcessGroup:
    """Processes none of which outlives this one."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._members: list[_Process] = []
        self._leader = subprocess.Popen(["sh", "-c", LEADER], stdin=subprocess.PIPE, process_group=0)
        note_groups([self._leader.pid])

    def start(self, spec: ProcessSpec) -> _Process:
        process = _Process(spec, self._leader.pid)
        self._members.append(process)
        return process

    def __enter__(self) -> "_ProcessGroup":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._members:
            process.popen.send_signal(
                signal.SIGINT if signal.SIGTERM in process.spec.blocked else signal.SIGTERM
            )
        until = time.monotonic() + self._timeouts.end
        for process in self._members:
            with suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.0, until - time.monotonic()))
        os.killpg(self._leader.pid, signal.SIGKILL)  # what is left of it, children included
        for process in self._members:
            process.popen.wait()
        note_groups([])  # the group is gone, and its number may be given to another
        self._leader.wait()


def _last_answer(server: _Process, health: str, last: float, patience: float) -> float:
    """When the server last answered, now or at `last`. Raises LaunchError when it ended or was silent for too long."""
    if server.status() is not None:
        raise LaunchError(server.failure())
    with suppress(OSError), _open_directly(health, timeout=5) as answer:
        if answer.status == 200:
            return time.monotonic()
    if time.monotonic() - last > patience:
        raise LaunchError(server.failure(f"has not answered for {patience:.0f} s"))
    return last


_open_directly = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def _stop(trainers: Sequence[_Process], received: Sequence[int], timeouts: Timeouts) -> NoReturn:
    """Let the trainers save and end. Raises Interrupted."""
    for trainer in trainers:
        trainer.popen.send_signal(signal.SIGTERM)  # whatever came: it is the one that makes a trainer save
    until = time.monotonic() + timeouts.save
    while any(trainer.status() is None for trainer in trainers):
        now = time.monotonic()
        if any(trainer.status() for trainer in trainers) or received.count(signal.SIGINT) > 1:
            # The others may wait for one that ended for ever, and who sends SIGINT twice is in a hurry.
            until = min(until, now + timeouts.end)
        if now > until:
            raise _interrupted(received, "trainers that did not end were killed")
        time.sleep(timeouts.poll)
    saved = all(trainer.status() in (0, SAVED) for trainer in trainers)
    raise _interrupted(received, "the trainers have ended" if saved else "not every trainer could save")


def _interrupted(received: Sequence[int], what: str) -> Interrupted:
    return Interrupted(f"stopped by {signal.Signals(received[0]).name}: {what}; run again to resume")
