"""A study is watched: from made-up files and logs, with a clock that stands still."""

import fcntl
import io
import itertools
import json
import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from modomodo.console import progress_line
from modomodo.errors import InputError
from modomodo.mixtures.plan import plan
from modomodo.study import follow, slurm, status, watch
from modomodo.study.checks import study_from
from modomodo.study.outputs import outputs_of
from modomodo.study.screen import screen
from modomodo.study.slurm import SlurmJob
from modomodo.study.watch import Look, Watcher, changes
from modomodo.training.gpus import devices_in_use

NOW = 1_764_432_000.0  # when every look is taken
RUN = "results/small/runs/{}/42/run.json"
LOG = "logs/small/runs/{}/42.log"


def started(rule: str, number: int, output: str, log: str) -> str:
    return f"rule {rule}:\n    output: {output}\n    log: {log}\n    jobid: {number}\n"


def training(name: str, number: int) -> str:
    return started("train", number, RUN.format(name), LOG.format(name))


def failure(name: str, number: int) -> str:
    return f"Error in rule train:\n    jobid: {number}\n    output: {RUN.format(name)}\n    log: {LOG.format(name)}\n"


class Project:
    """A folder in which a Snakemake works on the small study."""

    def __init__(self, root: Path, study, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.study, self.monkeypatch = root, study, monkeypatch
        self.log = root / ".snakemake/log/2026-11-29T120000.1.snakemake.log"
        self.log.parent.mkdir(parents=True)
        self.log.write_text(f"  Host: {socket.gethostname()}\n")
        self.devices: dict[str, int] = {}
        self.queue: dict[str, SlurmJob] | None = None
        self.asked = 0
        self.work(True)

    def work(self, at_work: bool) -> None:
        found = {"small": psutil.Process()} if at_work else {}
        self.monkeypatch.setattr(status, "_snakemakes_in", lambda root: found)

    def watcher(self) -> Watcher:
        return Watcher(self.study, plan(self.study), self.root, lambda: NOW, lambda: self.devices, self._ask)

    def _ask(self):
        self.asked += 1
        return self.queue

    def says(self, text: str) -> None:
        with open(self.log, "a") as file:
            file.write(text)

    def job_says(self, name: str, text: str, age: float = 0.0) -> None:
        path = self.root / LOG.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (NOW - age, NOW - age))

    def makes(self, *names: str) -> None:
        """These results, by their paths below the study's folder."""
        for name in names:
            path = self.root / "results/small" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('{"seconds": {"train": 9}, "stream": {"steps": 9}}')

    def makes_all(self) -> None:
        """All results but the scores, which have to be readable."""
        folder = self.root / "results/small"
        self.makes(
            *(
                str(found.path.relative_to(folder))
                for found in outputs_of(self.study, plan(self.study), self.root / "results")
            )
        )

    def scores(self, name: str, domain: str, right: int) -> None:
        """The mixture and its scores: so many of ten questions."""
        folder = self.root / "results/small"
        weights = {d: float(d == domain) for d in self.study.domains}
        mixture = {"name": name, "weights": weights, "strategy": "single", "round": 0}
        part = {
            "metric": "exact_match",
            "version": 1,
            "n": 10,
            "score": right / 10,
            "standard_error": 0.1,
            "unparsed": 0,
        }
        (folder / "mixtures").mkdir(parents=True, exist_ok=True)
        (folder / f"mixtures/{name}.json").write_text(json.dumps(mixture))
        path = folder / f"scores/{name}/42.json"
        path.parent.mkdir(parents=True)
        steps = {"9": {benchmark: part for benchmark in self.study.benchmarks}}
        lines = [f"{b},{i},{i},{float(i < right)}" for b in self.study.benchmarks for i in range(10)]
        path.with_suffix(".csv").write_text(f"benchmark,question,image,{name}/42\n" + "\n".join(lines) + "\n")
        path.write_text(json.dumps({"mixture": name, "seed": 42, "steps": steps}))


@pytest.fixture
def project(tmp_path: Path, small_study, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, small_study, monkeypatch)


def shown(look: Look, width: int = 80, height: int = 23) -> list[str]:
    return [line.plain for line in screen(look, width, height)]


def test_a_running_training_shows_step_reward_and_time_left(project):
    project.says(training("all", 1))
    project.job_says("all", progress_line("train", 3, 9, 60) + ", reward 2.12, KL 0.044\n", age=30)
    look = project.watcher().look()
    [job] = look.running
    assert (job.progress.done, job.progress.total) == (3, 9)
    assert job.left == 90, "two minutes, said half a minute ago"
    lines = shown(look)
    assert lines[0].startswith("study small: Snakemake is at work here (process ")
    assert ["train", "all/42", "3/9", "2", "min", "left", "reward", "2.12,", "KL", "0.044"] in [
        line.split() for line in lines
    ]
    assert next(line for line in lines if line.startswith("runs")).endswith(" 0/7  1 running")


def test_a_job_without_a_word_is_said_to_be_silent(project):
    project.says(training("all", 1) + training("alpha", 2))
    project.job_says("all", progress_line("train", 3, 9, 60) + "\n", age=1500)
    lines = shown(project.watcher().look())
    assert any("silent for 25 min" in line and line.startswith("  train all/42") for line in lines)
    assert any(line.split() == ["train", "alpha/42", "at", "work"] for line in lines)


def test_only_the_end_of_a_large_log_is_read(project):
    project.says(training("all", 1))
    end = progress_line("train", 8, 9, 60)
    project.job_says("all", "x" * 5_000_000 + "\nold\r" + end + "\n")
    watcher = project.watcher()
    taken = []
    tail_of = watch.tail_of
    project.monkeypatch.setattr(
        watch, "tail_of", lambda *arguments: taken.append(tail_of(*arguments)) or taken[-1]
    )
    assert watcher.look().running[0].progress.done == 8
    assert len(taken[0]) < 10_000


def test_what_snakemake_writes_meanwhile_is_added(project):
    watcher = project.watcher()
    assert watcher.look().running == []
    text = training("all", 1)
    project.says(text[:25])
    assert watcher.look().running == [], "half a line is no line"
    project.says(text[25:])
    assert [job.name for job in watcher.look().running] == ["all/42"]
    project.says("Finished jobid: 1 (Rule: train)\n")
    assert watcher.look().running == []


def test_failures_come_with_the_line_that_matters_and_the_same_one_once(project):
    for number, name in enumerate(("all", "alpha", "single-boxes")):
        project.says(training(name, number) + failure(name, number))
        project.job_says(
            name, "train: 1/9\nerror: no GPU\n" if number < 2 else "Traceback (most recent\nKeyError: 'x'\n"
        )
    look = project.watcher().look()
    assert look.failed == [
        "train: no GPU (logs/small/runs/all/42.log and 1 more)",
        "train: KeyError: 'x' (logs/small/runs/single-boxes/42.log)",
    ]
    project.makes("runs/all/42/run.json", "runs/alpha/42/run.json")  # tried again since
    assert len(project.watcher().look().failed) == 1


def test_jobs_that_wait_in_slurms_queue_are_counted_by_reason(project):
    names = ["single-boxes", "single-science", "single-relation", "all"]
    for number, name in enumerate(names):
        project.says(
            training(name, number)
            + f"Job {number} has been submitted with SLURM jobid 70{number} (log: x).\n"
        )
    project.queue = {
        "700": SlurmJob("RUNNING", "None", "gpu1"),
        "701": SlurmJob("PENDING", "Priority", ""),
        "702": SlurmJob("PENDING", "Priority", ""),
        "703": SlurmJob("PENDING", "Resources", ""),
    }
    watcher = project.watcher()
    look = watcher.look()
    assert look.waiting == {"Priority": 2, "Resources": 1}
    lines = shown(look)
    start = lines.index("waiting in Slurm's queue")
    assert lines[start + 1 : start + 3] == ["  2 for Priority", "  1 for Resources"]
    assert sum(line.startswith("  train ") for line in lines) == 1
    assert next(line for line in lines if line.startswith("runs")).endswith(" 0/7  1 running  3 waiting")
    watcher.look()
    assert project.asked == 1, "the controller is not asked with every look"
    project.queue = None  # no squeue here
    assert project.watcher().look().waiting == {}


def test_slurm_is_not_asked_where_no_job_is_its_own(project):
    project.says(training("all", 1))
    project.watcher().look()
    assert project.asked == 0


def test_the_queue_as_squeue_prints_it(tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho '12|PENDING|Priority|'\necho '13_4|RUNNING|None|n1'\necho odd\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = slurm.queued_jobs()
    assert found == {"12": SlurmJob("PENDING", "Priority", ""), "13_4": SlurmJob("RUNNING", "None", "n1")}
    assert [job.waits for job in found.values()] == [True, False]
    squeue.write_text("#!/bin/sh\nexit 1\n")
    assert slurm.queued_jobs() is None


def test_devices_in_use_are_seen_without_locking_them(tmp_path):
    held = tmp_path / "held"
    for number in (0, 1):
        (tmp_path / f"gpu-{number}.lock").touch()
    inode = (tmp_path / "gpu-1.lock").stat().st_ino
    held.write_text(
        f"1: FLOCK  ADVISORY  WRITE 4711 fd:01:{inode} 0 EOF\n1: -> FLOCK ADVISORY WRITE 5 fd:01:9 0 EOF\n"
    )
    assert devices_in_use(tmp_path, held) == {"1": 4711}
    assert devices_in_use(tmp_path, tmp_path / "no such file") == {}, "a system that does not say"


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux lists locks")
def test_a_real_lock_is_seen(tmp_path):
    with open(tmp_path / "gpu-3.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert devices_in_use(tmp_path) == {"3": os.getpid()}
    assert devices_in_use(tmp_path) == {}


def test_a_job_shows_the_devices_that_it_holds(project, monkeypatch):
    class Process:
        def __init__(self, number: int) -> None:
            self.number = number

        def cmdline(self) -> list[str]:
            return ["python", "scripts/train.py", "--output", RUN.format({7: "all", 8: "alpha"}[self.number])]

    project.says(training("all", 1))
    project.devices = {"10": 8, "2": 7, "3": 7}
    look = project.watcher().look()
    assert look.running[0].gpus == (), "processes that are gone"
    monkeypatch.setattr(watch.psutil, "Process", Process)
    look = project.watcher().look()
    assert look.running[0].gpus == ("2", "3")
    lines = shown(look)
    assert "GPUs in use here: 2 3 10" in lines
    assert any(line.startswith("  train all/42 [GPU 2,3]") for line in lines)


def test_best_so_far_is_said_in_the_words_of_the_verdict(project):
    look = project.watcher().look()
    assert look.best == []
    project.scores("single-boxes", "boxes", 2)
    watcher = project.watcher()
    [only] = watcher.look().best
    assert only.startswith("Single: boxes (boxes 1.00) is the only mixture with a score (Out-Score 0.20")
    project.scores("single-science", "science", 10)
    best = watcher.look().best
    assert (
        best[0]
        == "Use Single: science (science 1.00): Out-Score 1.00 ± 0.10, the best of 2 mixtures, ahead of each other one by more than noise."
    )
    assert any("paired question by question" in line for line in best)


def test_an_online_run_is_among_the_best_and_called_so(study_data, tmp_path, monkeypatch):
    study_data["strategies"]["dump"] = {"propose": "online", "group": "own", "options": {"rule": "dump"}}
    project = Project(tmp_path, study_from(study_data, "study.yaml"), monkeypatch)
    project.scores("single-boxes", "boxes", 2)
    project.scores("dump", "science", 10)
    path = project.root / "results/small/mixtures/dump.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "strategy": "dump", "online": {"rule": "dump"}})
    )
    realised = {"boxes": 0.25, "science": 0.75, "relation": 0.0}
    run = {
        "mixture": "dump",
        "seed": 42,
        "seconds": {"train": 9},
        "stream": {"steps": 9, "realised": realised},
    }
    project.makes("runs/dump/42/run.json")
    (project.root / RUN.format("dump")).write_text(json.dumps(run))
    best = project.watcher().look().best
    assert best[0].startswith("Use dump (online) (came to science 0.75, boxes 0.25): Out-Score 1.00")
    assert any(line.startswith("It was trained online") for line in best)


def test_the_runs_of_a_race_are_known_by_their_mixtures(study_data, tmp_path, monkeypatch):
    study_data["strategies"]["race"] = {"propose": "race", "group": "own", "options": {"rungs": {2: 4, 9: 2}}}
    project = Project(tmp_path, study_from(study_data, "study.yaml"), monkeypatch)
    project.scores("single-boxes", "boxes", 2)
    project.scores("race-003", "science", 10)
    folder = project.root / "results/small"
    for path in ("mixtures/race-003.json", "scores/race-003/42.json", "scores/race-003/42.csv"):
        place = folder / path.replace("race-003", "race@9-01")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((folder / path).read_text().replace('"strategy": "single"', '"strategy": "race"'))
        if path.startswith("mixtures"):
            (folder / path).write_text(place.read_text())
        elif path.endswith("json"):  # of its first stretch
            (folder / path).write_text((folder / path).read_text().replace('"9"', '"2"'))
    project.says(started("train", 1, RUN.format("race@9-02"), LOG.format("race@9-02")))
    look = project.watcher().look()
    assert look.best[0].startswith("Use race: 003 (science 1.00): Out-Score 1.00")
    assert [job.name for job in look.running] == ["race@9-02/42"]


def test_a_snakemake_that_is_started_again_is_followed(project):
    project.says(training("all", 1))
    watcher = project.watcher()
    assert [job.name for job in watcher.look().running] == ["all/42"]
    other = project.log.with_name("2026-11-29T130000.1.snakemake.log")
    other.write_text(training("all", 1).replace("small", "other"))
    assert [job.name for job in watcher.look().running] == ["all/42"], "another study's is none of ours"
    newer = project.log.with_name("2026-11-29T140000.1.snakemake.log")
    newer.write_text(training("alpha", 1))
    assert [job.name for job in watcher.look().running] == ["alpha/42"]


def test_a_dead_snakemake_whose_parent_has_not_noticed_is_not_at_work(project):
    dead = subprocess.Popen(["true"])
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # ended, and still listed
    watcher = project.watcher()
    watcher.reader._process = psutil.Process(dead.pid)
    project.work(False)
    assert not watcher.look().status.at_work
    dead.wait()


def test_what_cannot_be_compared_just_now_leaves_no_best(project):
    project.scores("single-boxes", "boxes", 2)
    (project.root / "results/small/scores/single-boxes/42.csv").unlink()
    assert project.watcher().look().best == []


def test_nothing_is_computed_again_while_nothing_changes(project, monkeypatch):
    project.scores("single-boxes", "boxes", 2)
    watcher = project.watcher()
    first = watcher.look()
    monkeypatch.setattr(watch, "costs_of", None)
    monkeypatch.setattr(watch, "best_so_far", None)
    monkeypatch.setattr(status, "_best", None)
    monkeypatch.setattr(status, "_snakemakes_in", None)
    assert watcher.look().best == first.best


def test_a_screen_fits_a_terminal_of_any_size(project):
    for number, name in enumerate(("single-boxes", "single-science", "single-relation", "all", "alpha")):
        project.says(training(name, number))
        project.job_says(name, progress_line("train", 8, 9, 60) + ", reward 2.12, KL 0.044\n")
    project.says(failure("alpha", 4))
    project.job_says("alpha", "error: " + "a long error with many words " * 8 + "\n")
    project.scores("single-boxes", "boxes", 2)
    project.scores("single-science", "science", 9)
    look = project.watcher().look()
    for width, height in itertools.product((38, 60, 78, 200), (1, 7, 12, 23, 60)):
        lines = screen(look, width, height)
        assert len(lines) <= height
        assert max(line.cell_len for line in lines) <= width
        if height >= 23:
            text = [line.plain for line in lines]
            assert {"running", "failed", "best so far"} <= set(text)
            assert any("8/9" in line for line in text)


def test_a_long_word_of_snakemakes_has_lines_of_its_own_where_the_terminal_is_narrow(project):
    look = project.watcher().look()
    killed = replace(look, status=replace(look.status, process=None, locked=True, killed=True))
    lines = shown(killed, width=38)
    assert lines[0].startswith("study small ") and lines[0].endswith(f"{look.clock:%H:%M:%S}")
    assert "`snakemake --unlock`" in " ".join(" ".join(lines[1:4]).split())
    assert len(shown(killed, width=120)[0]) == 120


def test_a_terminal_without_unicode_has_bars_too(project):
    bars = [line.plain for line in screen(project.watcher().look(), 80, 23, ascii_only=True)]
    assert all(line.isascii() for line in bars)
    assert any("-----" in line for line in bars)


def test_lines_of_change_say_each_thing_once(project):
    watcher = project.watcher()
    first = watcher.look()
    said = changes(None, first)
    assert said == [f"study small: Snakemake is at work here (process {os.getpid()})"]
    assert changes(first, watcher.look()) == []
    project.makes(
        "streams/all/42.jsonl", *(f"streams/single-{name}/42.jsonl" for name in project.study.domains)
    )
    project.says(training("all", 1) + failure("all", 1))
    project.job_says("all", "error: no GPU\n")
    project.scores("single-boxes", "boxes", 2)
    second = watcher.look()
    assert changes(first, second) == [
        "mixtures 1/7: single-boxes (Single: boxes)",
        "streams 4/7: single-boxes/42 (Single: boxes), single-science/42 (Single: science), "
        "single-relation/42 (Single: relation) and 1 more",
        "scores 1/8: single-boxes/42 (Single: boxes)",
        "failed: train: no GPU (logs/small/runs/all/42.log)",
        f"so far: {second.best[0]}",
    ]
    assert "streams 4/7" in changes(None, second), "at first results are only counted"


def at_work_for(project: Project, looks: int):
    """A sleep after which Snakemake is gone, and what was asked of it."""
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == looks:
            project.work(False)
            watcher_of[0].reader._process = None

    watcher_of: list[Watcher] = []
    return sleep, slept, watcher_of


def test_lines_end_when_no_snakemake_is_at_work(project):
    sleep, slept, watcher_of = at_work_for(project, 3)
    watcher_of.append(project.watcher())
    out = io.StringIO()
    look = follow.follow_in_lines(watcher_of[0], Console(file=out, width=30), 1.0, sleep)
    assert len(slept) == 3 and min(slept) >= 10
    assert not look.status.finished
    clock = f"{look.clock:%H:%M:%S}"
    assert out.getvalue().splitlines() == [
        f"{clock}  study small: Snakemake is at work here (process {os.getpid()})",
        f"{clock}  study small: no Snakemake is at work",
    ]


def test_a_terminal_is_drawn_until_the_study_is_finished(project):
    sleep, slept, watcher_of = at_work_for(project, 2)
    watcher_of.append(project.watcher())

    def then_finished(seconds: float) -> None:
        sleep(seconds)
        if len(slept) == 4:  # nobody at work is no end: it may be started again
            project.makes_all()
            for name in (
                "scores/base/0.json",
                *(f"scores/{mixture}/42.json" for mixture in watcher_of[0].plan.mixtures),
            ):
                (project.root / "results/small" / name).unlink()
                (project.root / "results/small" / name).mkdir()

    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None)
    project.monkeypatch.setattr(status, "_best", lambda *arguments: [])
    project.monkeypatch.setattr(watch, "best_so_far", lambda *arguments: [])
    project.monkeypatch.setattr(watch, "costs_of", lambda *arguments: None)
    project.monkeypatch.setattr(watch, "summary", lambda costs: "plan: nothing")
    look = follow.follow(watcher_of[0], console, 2.0, then_finished)
    assert look.status.finished and len(slept) == 4
    assert out.getvalue().count("study small: ") == 6, "one a look, and the last one again to stay"
    assert "\x1b[?1049h" not in out.getvalue(), "no other screen, whose loss a broken line would leave behind"


def test_a_file_that_cannot_be_read_just_now_is_read_again(project):
    watcher = project.watcher()
    before = watcher.look()
    path = project.root / "results/small/scores/all/42.json"
    project.makes("scores/all/42.json")
    path.write_text('{"mixture": "al')
    look = follow._look(watcher, before)
    assert len(look.failed) == 1 and "scores/all/42.json" in look.failed[0]
    with pytest.raises(InputError):
        follow._look(project.watcher(), None)
    path.unlink()
    assert follow._look(watcher, look).failed == []


def test_watching_takes_little_of_a_core_however_large_a_study_is():
    assert watch.pause(0.005, 2.0) == 2.0
    assert watch.pause(0.5, 2.0) == pytest.approx(0.5 / watch.SHARE)
