"""Snakemake as users start it: from another folder, in whatever environment, with an error in their own code."""

import logging
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from running import ROOT, command
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_modomodo

OWN = """\
from modomodo.plugins import dataset


@dataset("broken")
def broken(raw):
    yield 1 / 0
"""
# What notebooks, launchers, schedulers and shells leave.
LEFT = {
    "MPLBACKEND": "module://no_such_module",
    "PYTHONOPTIMIZE": "2",
    "PYTHONIOENCODING": "ascii",
    "RANK": "1",
    "WORLD_SIZE": "2",
    "OMP_THREAD_LIMIT": "1",
}


def test_from_another_folder_in_a_strange_environment_an_error_is_said_once(tmp_path: Path) -> None:
    folder = tmp_path / "my own folder"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    study = yaml.safe_load((ROOT / "config/test.yaml").read_text(encoding="utf-8"))
    study |= {"name": "own", "plugins": ["modomodo.tiny", "own.py"]}
    study["benchmarks"]["chart"] |= {"loader": "broken", "options": {}}
    (folder / "own.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    files = {name: f"results/own/examples/{name}.jsonl" for name in ("science_test", "chart")}
    run = subprocess.run(
        command(
            "--keep-going", "--snakefile", str(ROOT / "Snakefile"), "--configfile=own.yaml", *files.values()
        ),
        cwd=folder,
        env={**os.environ, **LEFT},
        capture_output=True,
        text=True,
        timeout=120,
    )
    shown = run.stdout + run.stderr
    assert run.returncode == 1, shown
    assert (folder / files["science_test"]).is_file(), shown
    error = "own.py:6: ZeroDivisionError: division by zero"
    assert shown.count(error) == 1
    assert f"error: preprocess: {error} (logs/own/examples/chart.log)" in shown.splitlines()
    for word in ("Traceback", "RuleException", "WorkflowError", "Command", "set -euo pipefail"):
        assert f"\n{word}" not in shown, shown
    assert f"error: {error}" in (folder / "logs/own/examples/chart.log").read_text().splitlines()


def message(text: str, event: LogEvent | None = None) -> logging.LogRecord:
    """A message as Snakemake's logger hands it to a plugin."""
    record = logging.LogRecord("snakemake", logging.ERROR, "", 0, text, None, None)
    record.event = event
    return record


@pytest.mark.parametrize(
    ("record", "repeated"),
    [
        (message("Error in rule train, jobid: 7", LogEvent.JOB_ERROR), True),
        (
            message('RuleException:\nCalledProcessError in file "rules/data.smk", line 50:\nCommand \'set'),
            True,
        ),
        (message("WorkflowError:\nAt least one job did not complete successfully."), True),
        (message("error: train: no GPU (logs/test/runs/all/42.log)"), False),
        (message("MissingRuleException:\nNo rule to produce a"), False),
        (message("WorkflowError:\nFailed to open a"), False),
        (
            message("MissingOutputException in rule train:\nJob 3 completed successfully, but some output"),
            False,
        ),
    ],
)
def test_only_what_says_that_a_job_failed_is_left_out(record: logging.LogRecord, repeated: bool) -> None:
    assert snakemake_logger_plugin_modomodo.repeats(record) == repeated


def test_snakemakes_own_trace_of_a_known_error_is_one_line() -> None:
    trace = "OSError: [Errno 28]\n\nTraceback (most recent call last):\n  File 'x'\n\n"
    full = message(f"{trace}OSError: [Errno 28] No space left on device\n")
    told = snakemake_logger_plugin_modomodo.shortened(full).getMessage()
    assert told.startswith("error: OSError: [Errno 28] No space left on device: the disk is full: ")
    assert "\n" not in told
    unknown = message(f"{trace}KeyError: 'a'\n")
    assert snakemake_logger_plugin_modomodo.shortened(unknown) is unknown
