"""A study on a real Slurm: jobs have GPUs of their own, and faults of jobs do not change a byte of the results.

Run by `make test-slurm`, which installs Slurm. The study first runs undisturbed on this machine. Then `snakemake
--profile slurm` repeats its runs, predictions and scores, and meanwhile each mixture's training has another fault:

    cancelled    scancel ends it
    late         it takes longer than its time limit: SIGTERM
    requeued     Slurm puts it back into the queue
    lost         its node goes down, and comes back
    warned       its time limit is four minutes, and the profile asks for SIGTERM three minutes before
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from cluster import ACCOUNT, Cluster
from running import ROOT, clean_copy, digests, snakemake, succeed

STEPS = 9
MIXTURES = {"cancelled": 0.5, "late": 0.4, "requeued": 0.6, "lost": 0.7, "warned": 0.3}  # weight of detection
# Seconds added to each step of a first attempt: enough for the fault to come in the middle of it.
PACE = {"cancelled": 3, "late": 10, "requeued": 3, "lost": 20, "warned": 12}
# Time limits of a first attempt, in minutes. Slurm checks them twice a minute.
LIMITS = {"late": 1, "warned": 4}
RESULTS = Path("results/slurm")
DEADLINE = 900


def study() -> dict:
    data = yaml.safe_load((ROOT / "config/test.yaml").read_text(encoding="utf-8"))
    data |= {"name": "slurm", "plugins": ["modomodo.tiny", "paced.py"], "held_out": {}}
    weights = {"accuracy": 2.0, "iou": 2.0, "iou_visual_rft": 2.0, "format": 1.0, "paced": 0.0}
    data["training"] |= {"steps": STEPS, "scored_steps": [STEPS], "reward_weights": weights}
    data["domains"]["detection"]["rewards"] = ["iou", "format", "paced"]
    data["domains"]["science"] |= {"rewards": ["accuracy", "format", "paced"]}
    data["domains"]["science"]["options"]["size"] = 40
    data["strategies"] = {
        name: {
            "propose": "explicit",
            "group": "own",
            "options": {"weights": {"detection": share, "science": round(1 - share, 1)}},
        }
        for name, share in MIXTURES.items()
    }
    return data


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if shutil.which("slurmctld") is None or shutil.which("munged") is None or os.getuid() != 0:
        pytest.fail("Slurm and root are needed: make test-slurm")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose study has run on this machine."""
    folder = clean_copy(tmp_path_factory.mktemp("undisturbed"))
    (folder / "config/slurm.yaml").write_text(yaml.safe_dump(study(), sort_keys=False))
    shutil.copy(Path(__file__).parent / "paced.py", folder)
    succeed(snakemake(folder, "--configfile", "config/slurm.yaml"))
    return folder


def notes(folder: Path, mixture: str) -> list[dict]:
    path = folder / "notes" / f"{mixture}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def attempts(folder: Path, mixture: str) -> list[list[int]]:
    """The steps of each attempt at a mixture's training, without attempts that were ended before their first step."""
    found: list[list[int]] = []
    for entry in notes(folder, mixture):
        if "start" in entry:
            found.append([])
        else:
            found[-1].append(entry["step"])
    return [steps for steps in found if steps]


def programs_of(job: str) -> list[int]:
    """Processes of a job's scripts. (The Snakemake that started them may survive a lost node, idle.)"""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            mine = f"SLURM_JOB_ID={job}".encode() in (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes()
            if (mine and b"\0scripts/" in command) or f"slurmstepd: [{job}.".encode() in command:
                found.append(int(process.name))
    return found


class Disturber:
    """Watches the notes of the trainings, to cause each fault in the middle of a training."""

    def __init__(self, folder: Path, cluster: Cluster, process: subprocess.Popen) -> None:
        self.folder, self.cluster, self.process = folder, cluster, process
        self.deadline = time.monotonic() + DEADLINE

    def wait(self, event: str, happened: Callable[[], bool]) -> None:
        while not happened():
            if self.process.poll() is not None or time.monotonic() > self.deadline:
                pytest.fail(f"{event} never happened:\n{(self.folder / 'snakemake.log').read_text()[-4000:]}")
            time.sleep(0.2)

    def wait_for_steps(self, mixture: str, steps: int) -> str:
        """Wait until the first attempt at a training has begun so many steps; returns its Slurm job."""

        def reached() -> bool:
            tried = attempts(self.folder, mixture)
            return bool(tried) and len(tried[0]) >= steps

        self.wait(f"step {steps} of '{mixture}'", reached)
        return notes(self.folder, mixture)[0]["start"]

    def wait_for_state(self, job: str, state: str) -> None:
        def reached() -> bool:
            return self.cluster.call("squeue", "-h", "--states=all", "-j", job, "-o", "%T") == state

        self.wait(f"{state} of job {job}", reached)

    def restart_now(self, job: str) -> None:
        """Start a requeued job once its first instance has ended; Slurm itself would wait longer."""
        self.wait_for_state(job, "PENDING")
        self.wait(f"the end of job {job}", lambda: not programs_of(job))
        self.cluster.call("scontrol", "update", f"jobid={job}", "starttime=now")


@pytest.fixture(scope="module")
def disturbed(undisturbed: Path, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose study was trained on the cluster, with faults."""
    folder = tmp_path_factory.mktemp("disturbed") / "copy"
    shutil.copytree(undisturbed, folder, symlinks=True)
    for mixture in MIXTURES:
        for done in ("runs", "predictions", "scores"):
            shutil.rmtree(folder / RESULTS / done / mixture)
    for done in (RESULTS / "records.csv", RESULTS / "table2.csv", Path("results/table2.csv")):
        (folder / done).unlink()
    shutil.rmtree(folder / "notes")
    site = (folder / "slurm/config.yaml").read_text(encoding="utf-8")
    assert 'account = ""' in site
    (folder / "slurm/config.yaml").write_text(site.replace('account = ""', f'account = "{ACCOUNT}"'))
    arguments = ["--profile", "slurm", "--configfile", "config/slurm.yaml", "--latency-wait", "5"]
    arguments += ["--slurm-init-seconds-before-status-checks", "2"]
    # These replace everything that the profile sets by rule. Without --signal the time limit itself sends SIGTERM.
    signalled = yaml.safe_load(site)["set-resources"]["train"]["slurm_extra"]
    arguments += ["--set-resources", "train:gpu=1"]
    first = [f"{limit} if wildcards.mixture == '{name}' and attempt == 1" for name, limit in LIMITS.items()]
    arguments += [f"train:runtime={' else '.join([*first, '60'])}"]
    arguments += [f"train:slurm_extra='' if wildcards.mixture == 'late' else {signalled}"]
    with open(folder / "snakemake.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**cluster.environment, "PACE": json.dumps(PACE)},
        )
        try:
            disturb(Disturber(folder, cluster, process), cluster)
            process.wait(DEADLINE)
        finally:
            process.kill()  # after SIGTERM it would wait for its jobs
            process.wait()
    assert process.returncode == 0, (folder / "snakemake.log").read_text()[-6000:]
    return folder


def disturb(disturber: Disturber, cluster: Cluster) -> None:
    """Cause all faults, each when its training is in the middle; the node goes down last."""

    def cancel() -> None:
        cluster.call("scancel", disturber.wait_for_steps("cancelled", 3))

    def requeue() -> None:
        job = disturber.wait_for_steps("requeued", 3)
        cluster.call("scontrol", "requeue", job)
        disturber.restart_now(job)

    def wait_for_limit() -> None:
        disturber.wait_for_state(disturber.wait_for_steps("late", 1), "TIMEOUT")

    def wait_for_warning() -> None:
        disturber.wait_for_state(disturber.wait_for_steps("warned", 1), "FAILED")

    with ThreadPoolExecutor() as pool:
        for fault in [pool.submit(fault) for fault in (cancel, requeue, wait_for_limit, wait_for_warning)]:
            fault.result()
    disturber.wait_for_state(disturber.wait_for_steps("lost", 3), "RUNNING")
    cluster.call("scontrol", "update", f"nodename={cluster.node}", "state=down", "reason=test")
    disturber.wait("the node down", lambda: "down" in cluster.call("sinfo", "-h", "-o", "%T"))
    cluster.call("scontrol", "update", f"nodename={cluster.node}", "state=resume")
    # Slurm restarts the lost jobs after REQUEUE_WAIT, when the first instances are certainly gone.


def test_faults_change_no_byte_of_the_results(undisturbed: Path, disturbed: Path) -> None:
    expected, found = digests(undisturbed), digests(disturbed)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_gpu_jobs_had_devices_of_their_own(disturbed: Path) -> None:
    first = sorted((notes(disturbed, mixture)[0] for mixture in MIXTURES), key=lambda entry: entry["time"])
    assert all(entry["start"] for entry in first), "not started by Slurm"
    assert sorted(entry["devices"] for entry in first[:4]) == ["0", "1", "2", "3"]
    assert first[4]["devices"] in {"0", "1", "2", "3"}  # as soon as one of them was free


def test_jobs_go_to_the_account_and_the_partitions_of_the_site(disturbed: Path, cluster: Cluster) -> None:
    lines = cluster.call("sacct", "-n", "-X", "-P", "-o", "Account,Partition,AllocTRES,Comment").splitlines()
    jobs = [line.split("|") for line in lines]
    assert {account for account, *_ in jobs} == {ACCOUNT}
    for _, partition, resources, comment in jobs:
        training = comment.startswith("rule_train_")
        assert partition == ("gpu" if training else "cpu"), comment
        assert ("gres/gpu=1" in resources) == training, "a GPU for a training, and for nothing else"


@pytest.mark.parametrize("mixture", list(MIXTURES))
def test_each_training_had_its_fault_and_was_resumed(disturbed: Path, mixture: str) -> None:
    tried = attempts(disturbed, mixture)
    assert len(tried) >= 2, "nothing happened to it"
    assert tried[0][0] == 0 and tried[-1][-1] == STEPS - 1
    assert tried[-1][0] > 0, "it started again from the first step"


@pytest.mark.parametrize("mixture", ["cancelled", "late", "warned"])
def test_a_training_that_was_asked_to_stop_lost_no_step(disturbed: Path, mixture: str) -> None:
    first, second, *_ = attempts(disturbed, mixture)
    assert second[0] == first[-1] + 1


def test_the_profile_has_sigterm_sent_before_the_time_limit(disturbed: Path, cluster: Cluster) -> None:
    job = notes(disturbed, "warned")[0]["start"]
    line = cluster.call("sacct", "-n", "-X", "-P", "-j", job, "-o", "TimelimitRaw,ElapsedRaw,State,ExitCode")
    limit, elapsed, state, _ = line.split("|")
    assert limit == "4" and state == "FAILED", line
    assert int(elapsed) < 120, line


def test_the_efficiency_report_compares_usage_with_requests(disturbed: Path) -> None:
    [report] = (disturbed / "logs/slurm").glob("efficiency_report_*.csv")
    with open(report, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    trained = [row for row in rows if row["RuleName"].startswith("rule_train_")]
    assert {row["RuleName"] for row in trained} == {f"rule_train_wildcards_{name}_42" for name in MIXTURES}
    for row in trained:
        # A second attempt requests twice as much. The training uses some 800 MB.
        assert float(row["RequestedMem_MB"]) in (8_000, 16_000), row
        assert 1 < float(row["Memory Usage (%)"]) < 50 and float(row["MaxRSS_MB"]) > 100, row
        assert float(row["Elapsed_sec"]) > 1 and float(row["CPU Efficiency (%)"]) > 1, row
