"""What a training shows while it runs."""

from types import SimpleNamespace

import pytest

from modomodo.training import callbacks as training


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(training.time, "monotonic", clock)
    return clock


def steps(progress: training.Progress, clock: Clock, rewards: list[float], first: int = 0) -> None:
    state = SimpleNamespace(global_step=first, is_world_process_zero=True)
    progress.on_train_begin(None, state, None)
    for reward in rewards:
        clock.now += 10
        state.global_step += 1
        progress.on_log(None, state, None, {"reward": reward, "kl": 0.02})
    progress.on_train_end(None, state, None)


def test_a_line_now_and_then_with_reward_kl_and_time_left(clock, capsys):
    # A step takes 10 s and a line is due every 15: after steps 2 and 4, which leave 3 and 1 steps of 10 s.
    steps(training.Progress(5), clock, [1.0, 3.0, 2.0, 2.0, 2.0])
    assert capsys.readouterr().err.splitlines() == [
        "train: 2/5, 40%, 30 s left, reward 2.00, KL 0.020",
        "train: 4/5, 80%, 10 s left, reward 2.00, KL 0.020",
    ]


def test_the_reward_is_that_of_the_last_ten_steps(clock, capsys):
    steps(training.Progress(12, every=115), clock, [3.0, 3.0, *[1.0] * 10])
    assert capsys.readouterr().err == "train: 12/12, 100%, 0 s left, reward 1.00, KL 0.020\n"


def test_a_terminal_has_one_bar(clock, capsys, monkeypatch):
    monkeypatch.setattr(training.sys.stderr, "isatty", lambda: True)
    steps(training.Progress(5), clock, [2.0, 2.0], first=3)
    shown = capsys.readouterr().err
    assert "\n" not in shown.rstrip("\n")
    last = shown.rstrip("\n").split("\r")[-1]
    assert "5/5" in last and "reward 2.00, KL 0.020" in last


def test_other_processes_of_a_run_are_silent(clock, capsys):
    progress = training.Progress(5)
    state = SimpleNamespace(global_step=1, is_world_process_zero=False)
    progress.on_train_begin(None, state, None)
    clock.now += 100
    progress.on_log(None, state, None, {"reward": 1.0})
    assert capsys.readouterr().err == ""
