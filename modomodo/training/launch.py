"""One training run as several processes: TRL's vLLM server beside the trainers, started and ended as one.

    1. Refuse what cannot work: GPUs that are not there, vLLM that is not installed.
    2. Start the vLLM server on the last GPU and wait until it answers.
    3. Start a trainer on each other GPU; torch's processes find each other by the environment.
    4. Watch. A signal makes the trainers save and end; when any process fails, all are ended.

The trainers are started without `torchrun`: it leaves its workers behind when it is killed, and gives them 30
seconds to save. Every process leads a group of its own; what is left of the groups is killed when this process
ends, however it ends.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from modomodo.config.schema import Training
from modomodo.errors import Interrupted
from modomodo.training.gpus import held, note_groups

HOST = "127.0.0.1"
SERVER_URL = "MODOMODO_VLLM_SERVER"  # in a trainer's environment: where its server answers, empty without one
SERVER_MEMORY = 0.9  # of a GPU that only serves
SAVED = 128 + signal.SIGTERM  # how a trainer ends that was told to stop, and saved
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class LaunchError(Exception):
    """One of the processes failed; the message says which, how, and where its log is."""


@dataclass(frozen=True)
class Timeouts:
    """How long is waited, in seconds."""

    start: float = 1800.0  # for the server to answer: weights may come from a slow disk
    silence: float = 300.0  # for a server that answered before and does not now
    save: float = 600.0  # for trainers that were told to stop: they save first
    end: float = 20.0  # for a process that was told to end and has nothing to save
    poll: float = 0.2


@dataclass(frozen=True)
class Part:
    """A process to be: what it is called in messages, its command and what differs in its environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None  # None: its words go where this process's go
    deaf: Sequence[signal.Signals] = ()  # signals it does not hear


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


# --- the processes of a run ---------------------------------------------------------------------------------


def environment_on(gpus: Sequence[str]) -> dict[str, str]:
    """What every process of a run has in its environment: its GPUs, and no proxy between them."""
    local = ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST, "localhost"]))
    return {
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "NO_PROXY": local,
        "no_proxy": local,
        "VLLM_HOST_IP": HOST,  # where vLLM and TRL meet to pass weights on
    }


def server_part(base: Path, gpu: str, port: int, log: Path) -> Part:
    """TRL's vLLM server, as `trl vllm-serve` starts it, for image prompts on one GPU."""
    from trl.scripts.vllm_serve import ScriptArguments, build_command

    served = ScriptArguments(
        model=str(base), host=HOST, port=port, gpu_memory_utilization=SERVER_MEMORY, log_level="warning"
    )
    # Videos are never asked about; room for one would be set aside.
    command = build_command(served, ["--limit-mm-per-prompt", '{"video": 0}'])
    # The endpoints by which weights are sent belong to what vLLM calls its development mode.
    environment = environment_on([gpu]) | {"VLLM_SERVER_DEV_MODE": "1", "HF_HUB_OFFLINE": "1"}
    return Part("vLLM server", command, environment, log, deaf=(signal.SIGTERM,))


def trainer_parts(
    command: Sequence[str], gpus: Sequence[str], processes: int, url: str, folder: Path
) -> list[Part]:
    """The trainers, each with its rank; only the first one's words reach the job's log."""
    port = free_port()
    parts = []
    for rank in range(processes):
        environment = environment_on(gpus) | {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            "MASTER_ADDR": HOST,
            "MASTER_PORT": str(port),
            SERVER_URL: url,
        }
        log = folder / f"trainer-{rank}.log" if rank else None
        parts.append(Part(f"trainer {rank}", command, environment, log))
    return parts


def is_trainer() -> bool:
    """Whether this process was started by `launch`, as one of the trainers."""
    return SERVER_URL in os.environ


def server_of_trainer() -> str:
    """Where the vLLM server of this trainer answers; empty without one."""
    return os.environ.get(SERVER_URL, "")


def launch(command: Sequence[str], settings: Training, base: Path, folder: Path, gpus: Sequence[str]) -> None:
    """Run `command` as the trainers of a run, beside a vLLM server where the settings want one.

    Logs of the server and of all trainers but the first lie in `folder`. Raises LaunchError when a process fails,
    Interrupted after a signal.
    """
    server = health = None
    url = ""
    training_gpus = gpus
    if settings.vllm == "server":
        port = free_port()
        url = f"http://{HOST}:{port}"
        health = f"{url}/health"
        *training_gpus, serving = gpus
        server = server_part(base, serving, port, folder / "server.log")
    supervise(trainer_parts(command, training_gpus, settings.processes, url, folder), server, health)


# --- supervision --------------------------------------------------------------------------------------------


def supervise(
    trainers: Sequence[Part],
    server: Part | None = None,
    health: str | None = None,
    patience: Timeouts = Timeouts(),
) -> None:
    """Start the server, wait until `health` answers, start the trainers, and watch until all have ended.

    Raises LaunchError when one fails, Interrupted after a signal; no process is left in either case.
    """
    with _signals() as received, _Family(patience) as family:
        serving = None
        if server is not None and health is not None:
            serving = family.start(server)
            _await_health(serving, health, received, patience)
        running = [family.start(part) for part in trainers]
        _watch(running, serving, health, received, patience)


class _Process:
    """A started part, leader of a process group of its own."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._log = None
        if part.log is not None:
            part.log.parent.mkdir(parents=True, exist_ok=True)
            self._log = part.log.open("ab")  # earlier attempts' words stay
        # A scheduler sends SIGTERM to every process of a job. A server must not hear it: trainers that finish their
        # step, to save, still need it. Blocked signals stay blocked in the program that is started.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, part.deaf)
        try:
            self._popen = subprocess.Popen(
                part.command,
                env={**os.environ, **part.environment},
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
                pass_fds=held(),  # the GPUs stay taken as long as it lives
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.group = self._popen.pid

    def status(self) -> int | None:
        return self._popen.poll()

    def signal(self, number: int) -> None:
        """To the process alone: who leads a group knows what its members should hear."""
        if self.status() is None:
            self._popen.send_signal(number)

    def wait(self, seconds: float) -> bool:
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill_group(self) -> None:
        """Whatever is left of it, children included."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, signal.SIGKILL)
        self._popen.wait()
        if self._log is not None:
            self._log.close()

    def failure(self) -> str:
        """`trainer 1 ended with status 2: last line (log)`."""
        status = self.status()
        how = "went silent"
        if status is not None:
            how = (
                f"was killed by {signal.Signals(-status).name}"
                if status < 0
                else f"ended with status {status}"
            )
        log = self.part.log
        if log is None:
            return f"{self.part.name} {how}, as told above"
        return f"{self.part.name} {how}: {_last_line(log)} ({log})"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


# Kills the groups it was told of as soon as the pipe it listens to is closed: by this process, or by its death.
_REAPER = """
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
groups = [int(line) for line in sys.stdin]
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
"""


class _Family:
    """Processes none of which outlives this one, however it ends."""

    def __init__(self, patience: Timeouts) -> None:
        self._patience = patience
        self._members: list[_Process] = []
        self._reaper = subprocess.Popen(
            [sys.executable, "-S", "-c", _REAPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=held(),  # what a part has started need not have them: the GPUs are free once all are killed
        )

    def start(self, part: Part) -> _Process:
        try:
            process = _Process(part)
        except OSError as error:
            raise LaunchError(f"{part.name} cannot be started: {error}") from None
        self._members.append(process)
        assert self._reaper.stdin is not None
        self._reaper.stdin.write(f"{process.group}\n".encode())
        self._reaper.stdin.flush()
        note_groups([member.group for member in self._members])
        return process

    def __enter__(self) -> "_Family":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._members:
            process.signal(signal.SIGINT if signal.SIGTERM in process.part.deaf else signal.SIGTERM)
        until = time.monotonic() + self._patience.end
        for process in self._members:
            process.wait(max(0.0, until - time.monotonic()))
        for process in self._members:
            process.kill_group()
        # The groups are gone, and their numbers may be given to others: nobody must act on them.
        note_groups([])
        self._reaper.kill()
        self._reaper.wait()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Signals that came, in order; until the end they do nothing else."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answers(health: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(health, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _interrupted(received: Sequence[int], what: str) -> Interrupted:
    return Interrupted(f"told to stop by {signal.Signals(received[0]).name}: {what}; run again to go on")


def _await_health(server: _Process, health: str, received: list[int], patience: Timeouts) -> None:
    until = time.monotonic() + patience.start
    while not _answers(health):
        if received:
            raise _interrupted(received, "the training had not begun")
        if server.status() is not None:
            raise LaunchError(server.failure())
        if time.monotonic() > until:
            raise LaunchError(
                f"{server.part.name} does not answer after {patience.start:.0f} s: see {server.part.log}"
            )
        time.sleep(patience.poll)


def _watch(
    trainers: Sequence[_Process],
    server: _Process | None,
    health: str | None,
    received: list[int],
    patience: Timeouts,
) -> None:
    heard = asked = time.monotonic()
    until: float | None = None  # when trainers that were told to stop have had their time
    while True:
        statuses = [trainer.status() for trainer in trainers]
        if all(status is not None for status in statuses) and received:
            saved = all(status in (0, SAVED) for status in statuses)
            raise _interrupted(
                received, "the trainers have ended" if saved else "not every trainer could save"
            )
        failed = next((t for t, status in zip(trainers, statuses, strict=True) if status), None)
        if failed is not None and not received:
            raise LaunchError(failed.failure())
        if failed is not None and until is not None:
            until = min(until, time.monotonic() + patience.end)  # the others may wait for it for ever
        if all(status == 0 for status in statuses):
            return
        now = time.monotonic()
        if received and until is None:
            for trainer in trainers:
                trainer.signal(signal.SIGTERM)  # whatever it was: it is the one that makes a trainer save
            until = now + patience.save
        if received.count(signal.SIGINT) > 1 and until is not None:
            until = min(until, now + patience.end)  # someone has no patience left
        if until is not None and now > until:
            raise _interrupted(received, "trainers that did not end were killed")
        if server is not None and health is not None and not received:
            if server.status() is not None:
                raise LaunchError(server.failure())
            if now - asked > min(10.0, patience.silence / 3):
                asked = now
                if _answers(health):
                    heard = now
                elif now - heard > patience.silence:
                    raise LaunchError(server.failure())
        time.sleep(patience.poll)
