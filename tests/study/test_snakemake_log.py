"""What is said at the end of a run that did not succeed, from a log as Snakemake writes it."""

import shutil
from pathlib import Path

import pytest

from modomodo.error_hints import HINTS
from modomodo.study.snakemake_log import ending, read_job_log, warnings_of

STARTED = """\
[Wed Nov 25 01:58:48 2026]
localrule {rule}:
    output: results/small/{name}
    log: logs/small/{name}.log
    jobid: {id}
"""
FAILED = """\
[Wed Nov 25 01:59:00 2026]
Error in rule {rule}:
    message: {message}
    jobid: {id}
    output: results/small/{name}
    log: logs/small/{name}.log (check log file(s) for error details)
"""
STOPPED = "Terminating processes on user request, this might take some time.\n"


@pytest.fixture
def snakemakes(tmp_path: Path):
    """Writes Snakemake's log, and a job's own where there is a text for it."""

    def write(text: str, **logs: str) -> list[str]:
        (tmp_path / "snakemake.log").write_text(text)
        for name, said in logs.items():
            path = tmp_path / f"logs/small/{name}.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(said)
        return ["snakemake.log"]

    return write


def job(rule: str, name: str, id_: int, message: str | None = None, failed: bool = True) -> str:
    words = {"rule": rule, "name": name, "id": id_, "message": message}
    return STARTED.format(**words) + (FAILED.format(**words) if failed else "")


def test_the_error_of_a_job_is_said_once_with_its_log(snakemakes, tmp_path):
    trace = "Traceback (most recent call last):\n  File 'x'\nKeyError: 'a'\n"
    logs = snakemakes(
        job("train", "a", 1) + job("train", "b", 2) + job("score", "c", 3) + job("score", "d", 4),
        a="train: 4/9\nerror: gpus: none\n",
        b="error: gpus: none\n",
        c=trace,
        d="scored 7\r\rscored 8\n",
    )
    assert ending(logs, tmp_path) == [
        "error: train: gpus: none (logs/small/a.log and 1 more)",
        "error: score: KeyError: 'a' (logs/small/c.log)",
        "error: score: its log ends with: scored 8 (logs/small/d.log)",
    ]


def test_what_snakemake_says_is_all_there_is_of_a_job_that_did_not_start(snakemakes, tmp_path):
    logs = snakemakes(job("train", "a", 1, "sbatch failed: invalid partition") + job("train", "b", 2))
    assert ending(logs, tmp_path) == [
        "error: train: sbatch failed: invalid partition (logs/small/a.log)",
        "error: train: ended without a word: it was killed, or could not be started (logs/small/b.log)",
        f"hint: {HINTS['[Ii]nvalid partition']}",
    ]


def test_a_hint_that_the_error_gives_is_not_given_again(snakemakes, tmp_path):
    hint = HINTS[next(pattern for pattern in HINTS if "CUDA" in pattern)]
    logs = snakemakes(job("train", "a", 1), a=f"error: CUDA out of memory.: {hint}\n")
    assert ending(logs, tmp_path) == [f"error: train: CUDA out of memory.: {hint} (logs/small/a.log)"]


def test_a_job_without_a_word_on_a_full_disk(snakemakes, tmp_path, monkeypatch):
    """Its log is on that disk too."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 4096))
    line, *_ = ending(snakemakes(job("train", "a", 1), a=""), tmp_path)
    assert line.startswith("error: train: the disk is full: ")


def test_a_job_that_succeeded_in_a_second_try_has_not_failed(snakemakes, tmp_path):
    text = job("train", "a", 1) + STARTED.format(rule="train", name="a", id=1)
    logs = snakemakes(f"{text}Finished jobid: 1 (Rule: train)\n", a="error: no GPU\n")
    assert ending(logs, tmp_path) == []


def test_ctrl_c_says_from_where_the_same_command_continues(snakemakes, tmp_path):
    for step in (9, 20):
        (tmp_path / f"results/small/runs/all/42/trainer/checkpoint-{step}").mkdir(parents=True)
        (tmp_path / f"results/small/runs/all/42/trainer/checkpoint-{step}/complete").touch()
    (tmp_path / "results/small/runs/all/42/trainer/checkpoint-30").mkdir()  # was being written
    logs = snakemakes(
        job("train", "runs/all/42/run.json", 1) + job("score", "c", 3) + STOPPED, c="scored 7\n"
    )
    said = ["interrupted: run the same command again, it continues: all/42 from step 20"]
    assert ending(logs, tmp_path) == said
    assert [found.state for found in read_job_log((tmp_path / logs[0]).read_text(), tmp_path)] == [
        "interrupted",
        "interrupted",
    ]


@pytest.mark.parametrize(
    ("log", "stopped", "state"),
    [
        ("error: no GPU\n", True, "failed"),  # before somebody stopped the rest
        ("Traceback (most recent call last):\nKeyError: 1\n", True, "failed"),
        ("Traceback (most recent call last):\nKeyboardInterrupt\n", True, "interrupted"),
        ("", True, "interrupted"),
        ("", False, "failed"),
        ("train: 4/9\ninterrupted: run the same command again to resume\n", False, "interrupted"),
        ("stopped: saved at step 4 of 9, run again to resume\n", False, "interrupted"),
        ("stopped by SIGTERM: the trainers have ended; run again to resume\n", False, "interrupted"),
    ],
)
def test_what_failed_and_what_was_interrupted(snakemakes, tmp_path, log, stopped, state):
    snakemakes("", a=log)
    text = job("train", "a", 1) + STOPPED * stopped
    assert [found.state for found in read_job_log(text, tmp_path)] == [state]


def test_sigterm_finishes_what_runs_and_says_that_the_rest_is_left(snakemakes, tmp_path):
    text = job("score", "a", 1, failed=False) + "Finished jobid: 1 (Rule: score)\n"
    logs = snakemakes(f"Will exit after finishing currently running jobs (scheduler).\n{text}")
    assert ending(logs, tmp_path) == ["interrupted: run the same command again, it continues"]


def test_warnings_of_jobs_are_said_once(snakemakes, tmp_path):
    text = job("table1", "a", 1, failed=False) + job("table1", "b", 2, failed=False)
    logs = snakemakes(text, a="warning: few rows\nread\nwarning: few rows\n", b="warning: few rows\n")
    assert warnings_of(logs, tmp_path) == ["warning: few rows"]
