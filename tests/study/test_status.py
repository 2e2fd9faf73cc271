"""How far a study is, read from made-up files and a log as Snakemake writes it."""

import json
import socket
from pathlib import Path

import pytest

from modomodo.command_line import shows_another_study
from modomodo.mixtures.plan import labels, plan
from modomodo.mixtures.records import from_rows
from modomodo.reporting.settings import TableSettings
from modomodo.reporting.tables import table2
from modomodo.study import status
from modomodo.study.outputs import STAGES, outputs_of, show_table2
from modomodo.study.snakemake_log import GrowingLog, read_job_log
from modomodo.warning_files import warn

LOG = """\
Job stats:
job      count
-----  -------
train        2
[Wed Nov 25 01:58:48 2026]
localrule train:
    input: results/small/base, results/small/streams/single-boxes/42.jsonl
    output: results/small/runs/single-boxes/42/run.json
    log: logs/small/runs/single-boxes/42.log
    jobid: 7
    reason: Missing output files: results/small/runs/single-boxes/42/run.json
    wildcards: mixture=single-boxes, seed=42
    resources: tmpdir=/tmp
[Wed Nov 25 01:58:49 2026]
rule train:
    output: results/small/runs/single-science/42/run.json
    log: logs/small/runs/single-science/42.log
    jobid: 8
[Wed Nov 25 01:58:50 2026]
localrule propose_surface:
    output: results/small/mixtures/surface-001.json, results/small/mixtures/surface-002.json
    log: logs/small/mixtures/surface.log
    jobid: 9
[Wed Nov 25 01:58:52 2026]
Finished jobid: 9 (Rule: propose_surface)
3 of 9 steps (33%) done
[Wed Nov 25 01:59:00 2026]
Error in rule train:
    message: None
    jobid: 8
    output: results/small/runs/single-science/42/run.json
    log: logs/small/runs/single-science/42.log (check log file(s) for error details)
    shell:
        python scripts/train.py
        (command exited with non-zero exit code)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose study has one training at work and one that failed."""
    log = tmp_path / ".snakemake/log/2026-11-25T015848.1.snakemake.log"
    log.parent.mkdir(parents=True)
    log.write_text(LOG)
    logs = tmp_path / "logs/small/runs"
    (logs / "single-boxes").mkdir(parents=True)
    (logs / "single-science").mkdir(parents=True)
    (logs / "single-boxes/42.log").write_text("train: 3/9\rtrain: 4/9, reward 1.50\n")
    (logs / "single-science/42.log").write_text("".join(f"line {i}\n" for i in range(9)) + "error: no GPU\n")
    return tmp_path


def lock(project: Path, study: str = "small") -> None:
    (project / ".snakemake/locks").mkdir()
    (project / ".snakemake/locks/0.output.lock").write_text(f"results/{study}/base.json\n")


def test_a_log_is_read_as_it_grows(tmp_path):
    path = tmp_path / "a.snakemake.log"
    log = GrowingLog(path, tmp_path)
    log.update()
    assert log.jobs == [], "a log that is not there yet"
    seen = []
    for end in range(0, len(LOG), 40):  # in the middle of lines, as another process writes
        with open(path, "ab") as file:
            file.write(LOG[end : end + 40].encode())
        log.update()
        seen.append([job.state for job in log.jobs])
    assert log.jobs == read_job_log(LOG, tmp_path)
    assert ["started"] in seen and ["started", "started"] in seen


def screen(study, project: Path) -> list[str]:
    return status.render(study, status.read_status(study, plan(study), project), project).splitlines()


def test_of_a_study_that_never_ran_it_says_how_to_start(small_study, tmp_path):
    assert screen(small_study, tmp_path)[-1] == "nothing has run yet: make STUDY=… starts it"


def test_snakemakes_log_by_hand():
    jobs = read_job_log(LOG)
    assert [(job.rule, job.state) for job in jobs] == [
        ("train", "started"),
        ("train", "failed"),
        ("propose_surface", "finished"),
    ]
    assert jobs[2].outputs == [f"results/small/mixtures/surface-00{i}.json" for i in (1, 2)]
    assert jobs[1].log == "logs/small/runs/single-science/42.log"


def test_every_stage_has_its_results(small_study):
    # 3 singles, all, alpha and 2 of the surface: 7 runs; the base model is predicted and scored besides.
    results = outputs_of(small_study, plan(small_study))
    counts = [sum(result.stage == stage for result in results) for stage in STAGES]
    assert counts == [5, 1, 7, 7, 7, 8, 8, 1]
    assert len({result.path for result in results}) == 44


def test_what_is_running_and_what_failed_is_shown(small_study, project):
    lock(project)
    lines = screen(small_study, project)
    runs = next(line for line in lines if line.startswith("runs")).split()
    assert runs == ["runs", "0/7", "1", "1", "5"]
    assert "running      train single-boxes/42 (Single: boxes): train: 4/9, reward 1.50" in lines
    start = lines.index(
        "failed       train single-science/42 (Single: science): logs/small/runs/single-science/42.log"
    )
    assert [line.split("| ")[1] for line in lines[start + 1 : start + 6]] == [
        *(f"line {i}" for i in range(5, 9)),
        "error: no GPU",
    ]
    assert "no mixture is scored yet" in lines


def test_without_a_snakemake_what_was_started_is_interrupted(small_study, project):
    lines = screen(small_study, project)
    assert lines[0] == "study small: no Snakemake is at work"
    assert any(line.startswith("interrupted  train single-boxes/42") for line in lines)
    lock(project)
    assert "snakemake --unlock" in screen(small_study, project)[0]


def test_a_killed_snakemake_is_told_from_one_on_another_machine(small_study, project):
    lock(project)
    log = next((project / ".snakemake/log").glob("*"))
    for host, said in (
        (socket.gethostname(), "was killed: `snakemake --unlock`"),
        ("elsewhere", "another machine"),
    ):
        log.write_text(f"  Host: {host}\n{LOG}")
        found = status.read_status(small_study, plan(small_study), project)
        assert said in status.at_work(found)
        assert found.killed == (host != "elsewhere")
        assert len(found.in_state("interrupted" if found.killed else "running")) == 1


def test_labels_are_those_of_table_2(small_study):
    called = labels(small_study, plan(small_study))
    assert called["single-boxes"] == "Single: boxes"
    assert called["all"] == "all", "a strategy without a label has its name"
    assert called["surface-002"] == "surface: 002"
    headings = TableSettings.of(small_study, plan(small_study)).headings
    rows = [
        {
            "mixture": mixture,
            "seed": 42,
            "step": 9,
            "strategy": strategy,
            "weights": {"boxes": 1.0},
            "scores": {"chart": 0.5},
        }
        for strategy, mixtures in plan(small_study).by_strategy.items()
        for mixture in mixtures
    ]
    table = table2(from_rows(rows, ["boxes"], ["chart"]), headings)
    assert dict(zip(table["mixture"], table["strategy"], strict=True)) == called


def test_what_ctrl_c_ended_is_interrupted_and_not_failed(small_study, project):
    log = next((project / ".snakemake/log").glob("*"))
    log.write_text(f"{LOG}Terminating processes on user request, this might take some time.\n")
    job = project / "logs/small/runs/single-science/42.log"
    job.write_text("train: 4/9\ninterrupted: run the same command again to resume\n")
    lines = screen(small_study, project)
    runs = next(line for line in lines if line.startswith("runs")).split()
    assert runs == ["runs", "0/7", "2", "5"]
    assert not any(line.startswith("failed ") for line in lines)
    assert any(
        line.startswith("interrupted  train single-science/42 (Single: science): interrupted: ")
        for line in lines
    )


def test_a_lock_that_a_dead_snakemake_left_on_another_study_is_nobodys_work(small_study, project):
    lock(project, "smaller")
    log = next((project / ".snakemake/log").glob("*"))
    log.write_text(f"  Host: {socket.gethostname()}\n{LOG}")
    assert screen(small_study, project)[0] == "study small: no Snakemake is at work"


@pytest.mark.parametrize("seen", ["lock", "process"])
def test_another_study_that_runs_here_is_not_this_one(small_study, project, monkeypatch, seen):
    if seen == "lock":
        lock(project, "smaller")
    else:  # Snakemake removes all locks when one of several runs ends
        monkeypatch.setattr(status, "_snakemakes_in", lambda root: {"smaller": 7})
    lines = screen(small_study, project)
    assert lines[0] == "study small: no Snakemake is at work on it, but on another study here"
    assert any(line.startswith("interrupted  train single-boxes/42") for line in lines)


def test_the_shown_table_is_that_of_the_study_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for study in ("one", "two"):
        (tmp_path / "results" / study).mkdir(parents=True)
        (tmp_path / "results" / study / "table2.csv").write_text(study)
        (tmp_path / f"{study}.yaml").write_text(f"name: {study}\n")
    ask = ["results/table2.csv", "--configfile=one.yaml"]
    assert not shows_another_study(ask), "there is none yet"
    show_table2("two")
    assert Path("results/table2.csv").read_text() == "two"
    assert shows_another_study(ask)
    assert not shows_another_study(["all", "--configfile=one.yaml"]), "nothing else is forced to run again"
    show_table2("one")
    assert not shows_another_study(ask)


def test_the_study_of_a_snakemake_is_that_of_its_arguments(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/tiny.yaml").write_text("name: tiny\n")
    (tmp_path / "a b.yaml").write_text("name: own\n")
    for words, study in (
        (["python", "snakemake", "all"], "tiny"),
        (["python", "snakemake", "--configfile", "a b.yaml"], "own"),
        (["python", "snakemake", "--configfile=a b.yaml", "all"], "own"),
        (["python", "snakemake", "--configfile", str(tmp_path / "gone.yaml")], ""),
    ):
        assert status._study_of(words, tmp_path) == study


def test_what_exists_is_done_whatever_the_log_says(small_study, project):
    path = project / "results/small/runs/single-science/42/run.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    lines = screen(small_study, project)
    assert not any(line.startswith("failed ") for line in lines)
    assert next(line for line in lines if line.startswith("runs")).split()[1] == "1/7"


def test_a_log_of_another_study_says_nothing_of_this_one(small_study, project):
    newer = project / ".snakemake/log/2026-11-25T025848.1.snakemake.log"
    newer.write_text(LOG.replace("small", "other").replace("Error in rule train", "Error in rule else"))
    assert any(
        line.startswith("failed       train single-science/42") for line in screen(small_study, project)
    )


def test_the_best_mixtures_come_with_their_errors(small_study, project):
    folder = project / "results/small"
    for name, domain, score in (("single-boxes", "boxes", 0.25), ("single-science", "science", 0.5)):
        weights = {d: float(d == domain) for d in small_study.domains}
        mixture = {"name": name, "weights": weights, "strategy": "single", "round": 0}
        (folder / "mixtures").mkdir(parents=True, exist_ok=True)
        (folder / f"mixtures/{name}.json").write_text(json.dumps(mixture))
        part = {"metric": "exact_match", "version": 1, "n": 10, "unparsed": 0, "standard_error": 0.1}
        steps = {
            "7": {b: {**part, "score": 0.9} for b in small_study.benchmarks},
            "9": {b: {**part, "score": score} for b in small_study.benchmarks},
        }
        path = folder / f"scores/{name}/42.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"mixture": name, "seed": 42, "steps": steps}))
    # A second seed that does worse: the mixture is their mean.
    again = {b: {**part, "score": 0.4} for b in small_study.benchmarks}
    path.with_name("43.json").write_text(
        json.dumps({"mixture": "single-science", "seed": 43, "steps": {"9": again}})
    )
    small_study = small_study.model_copy(update={"repeats": {"single-science": [43]}})
    lines = screen(small_study, project)
    # The last step counts, not the 0.9 of step 7. One benchmark of 'out': its error is the aggregate's.
    assert lines[-2:] == [
        "  0.45 ± 0.10  Single: science (single-science): science 1.00",
        "  0.25 ± 0.10  Single: boxes (single-boxes): boxes 1.00",
    ]


def test_warnings_beside_results_are_shown(small_study, project: Path):
    assert not any(line.startswith("warning") for line in screen(small_study, project))
    folder = project / "results/small"
    warn(folder / "runs/single-boxes/42/run.json", ["nothing was learnt"])
    warn(folder / "table1.csv", ["b: 3 of its 9 questions are training rows"])
    shown = [line for line in screen(small_study, project) if line.startswith("warning")]
    assert shown == [
        "warning      b: 3 of its 9 questions are training rows (table1.csv)",
        "warning      nothing was learnt (single-boxes/42)",
    ]
