"""A study, looked at again and again while it runs: what `make status` knows, and what its jobs say meanwhile.

Only files are read, and of those that grow only what was added or how they end. Snakemake may be at work.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import psutil

from modomodo.config.schema import Study
from modomodo.console import Progress, duration, read_progress
from modomodo.errors import InputError
from modomodo.mixtures.plan import Plan
from modomodo.mixtures.records import BASE
from modomodo.study.costs import costs_of
from modomodo.study.costs_text import summary
from modomodo.study.outputs import SCORES
from modomodo.study.slurm import SlurmJob, queued_jobs
from modomodo.study.snakemake_log import JobLog, errors_of, lines_of, tail_of
from modomodo.study.status import Reader, Status, at_work, counted
from modomodo.training.gpus import devices_in_use

ASK_SLURM = 30.0  # seconds between two questions to its controller
SILENT = 600.0  # seconds without a word, from which on that is said
TAIL = 4_000  # bytes of a running job's log that are read
SHARE = 0.01  # of a core that watching may take
NAMED = 3  # results that are named in a line


@dataclass(frozen=True)
class Running:
    """A job at work. `said`: the last line of its log, `age`: the seconds since; `waits`: why Slurm holds it back."""

    rule: str
    name: str
    said: str = ""
    progress: Progress | None = None
    age: float = 0.0
    gpus: tuple[str, ...] = ()
    waits: str = ""

    @property
    def left(self) -> float | None:
        """Seconds, by its own estimate."""
        return None if self.progress is None else max(self.progress.left - self.age, 0.0)


@dataclass(frozen=True)
class Look:
    """What there was to see at one moment. `gpus`: devices in use on this machine; `best`: sentences, answer first."""

    study: str
    clock: datetime
    status: Status
    running: Sequence[Running]
    failed: Sequence[str]
    best: Sequence[str]
    left: str
    gpus: Sequence[str] = ()
    held: frozenset[Path] = frozenset()  # results of jobs that Slurm holds back

    @property
    def waiting(self) -> Counter[str]:
        """Why Slurm holds jobs back → how many."""
        return Counter(job.waits for job in self.running if job.waits)


class Watcher:
    """Looks at a study whose project lies in `root`."""

    def __init__(
        self,
        study: Study,
        plan: Plan,
        root: Path = Path(),
        now: Callable[[], float] = time.time,
        devices: Callable[[], Mapping[str, int]] = devices_in_use,
        queue: Callable[[], Mapping[str, SlurmJob] | None] = queued_jobs,
    ) -> None:
        self.study, self.plan, self.root = study, plan, root
        self.reader = Reader(study, plan, root)
        self._results = {result.path: result for result in self.reader.results}
        self.now, self.devices, self.queue = now, devices, queue
        self._queued: Mapping[str, SlurmJob] = {}
        self._asked = -ASK_SLURM
        self._told: tuple[object, list[str], str] = ((), [], "")

    def look(self) -> Look:
        """Look once. Raises InputError for a damaged score file."""
        status, now = self.reader.read(), self.now()
        jobs = [job for job in self._jobs(status) if job.state == "started"] if status.at_work else []
        used = self.devices()
        queued = self._queue(jobs, now)
        failed = [job for job in self._jobs(status) if job.state == "failed" and not self._made(job)]
        best, left = self._best_and_left(status)
        held = [job for job in jobs if (there := queued.get(job.slurm or "")) and there.waits]
        return Look(
            study=self.study.name,
            clock=datetime.fromtimestamp(now),
            status=status,
            running=[self._running(job, status, now, used, queued) for job in jobs],
            failed=errors_of(failed, self.root),
            best=best,
            left=left,
            gpus=sorted(used, key=lambda device: (len(device), device)),
            held=frozenset(self.root / output for job in held for output in job.outputs),
        )

    def _jobs(self, status: Status) -> list[JobLog]:
        """Each job once, in the order in which they started."""
        return list({id(job): job for job in status.jobs.values()}.values())

    def _made(self, job: JobLog) -> bool:
        return all((self.root / output).exists() for output in job.outputs)

    def _running(
        self,
        job: JobLog,
        status: Status,
        now: float,
        used: Mapping[str, int],
        queued: Mapping[str, SlurmJob],
    ) -> Running:
        path = self.root / job.log if job.log else None
        said = (lines_of(tail_of(job.log, self.root, TAIL)) or [""])[-1]
        try:
            age = max(now - path.stat().st_mtime, 0.0) if path else 0.0
        except OSError:  # not started yet, or removed meanwhile
            age = 0.0
        there = queued.get(job.slurm or "")
        return Running(
            rule=job.rule,
            name=self._name(job, status),
            said=said,
            progress=read_progress(said),
            age=age,
            gpus=tuple(device for device, process in used.items() if _works_on(process, job)),
            waits=(there.reason or there.state) if there and there.waits else "",
        )

    def _name(self, job: JobLog, status: Status) -> str:
        """The first of a job's results; empty of one that makes none of them, as the figures."""
        for output in job.outputs:
            if result := self._results.get(self.root / output):
                return status.called(result)
        return ""

    def _queue(self, jobs: Sequence[JobLog], now: float) -> Mapping[str, SlurmJob]:
        if any(job.slurm for job in jobs) and now - self._asked >= ASK_SLURM:
            self._asked = now
            self._queued = self.queue() or {}
        return self._queued

    def _best_and_left(self, status: Status) -> tuple[list[str], str]:
        """What is best so far and what is left, found again only when a result has come or gone."""
        seen = (status.done, [scored.score for scored in status.best])
        if self._told[0] != seen:
            left = summary(costs_of(self.study, self.plan, self.root / "results"))
            self._told = (seen, best_so_far(self.study, self.plan, self.root, status), left)
        return self._told[1], self._told[2]


def _works_on(process: int, job: JobLog) -> bool:
    """Whether a process was started to make a job's results."""
    try:
        return bool(set(psutil.Process(process).cmdline()) & set(job.outputs))
    except (psutil.Error, OSError, ValueError):
        return False


def best_so_far(study: Study, plan: Plan, root: Path, status: Status) -> list[str]:
    """The verdict of what is scored by now, in the words of every page; empty before that, and where it is final."""
    from modomodo.evaluation.scores import read_scored
    from modomodo.reporting.questions import QuestionScores, collect_questions
    from modomodo.reporting.results import results_of
    from modomodo.reporting.settings import Heading
    from modomodo.reporting.verdict import verdict_of
    from modomodo.reporting.wording import words

    folder = root / "results" / study.name
    scored = {
        result.run: result.path
        for result in status.results
        if result.run and result.stage == SCORES and result.path in status.done
    }
    if not scored.keys() - {(BASE, 0)} or (status.finished and (folder / "verdict.json").exists()):
        return []
    paths = list(scored.values())
    mixtures = [
        folder / f"mixtures/{name}.json" for name in dict.fromkeys(name for name, _ in scored) if name != BASE
    ]
    online = [folder / f"runs/{name}/{seed}/run.json" for name, seed in scored if name in plan.online]
    groups = {name: benchmark.group for name, benchmark in study.benchmarks.items()}
    try:
        records = read_scored(paths, mixtures, list(study.domains), groups, online)
        questions = QuestionScores(collect_questions([path.with_suffix(".csv") for path in paths]))
        # Of a race the records name the run, and not the place that it took.
        runs = records.frame[records.frame["mixture"] != BASE].drop_duplicates("mixture")
        headings = [
            Heading(study.strategies[strategy].group, name, [name])
            for name, strategy in zip(runs["mixture"], runs["strategy"], strict=True)
        ]
        found = results_of(records, headings, groups, questions=questions)
        called = [status.labels.get(name, name) for name in found.table["mixture"]]
        named = replace(found, table=found.table.assign(strategy=called))
        return words(verdict_of(named, doubts=False))
    except InputError:  # benchmarks are being scored again: there is no common score just now
        return []


def changes(before: Look | None, after: Look) -> list[str]:
    """What happened between two looks, a line each: what Snakemake does, new results, errors, a new best."""
    lines = []
    if before is None or at_work(before.status) != at_work(after.status):
        lines.append(f"study {after.study}: {at_work(after.status)}")
    for stage, counts in counted(after.status).items():
        results = [result for result in after.status.results if result.stage == stage]
        old = before.status.done if before else frozenset()
        new = [after.status.called(result) for result in results if result.path in after.status.done - old]
        if new:
            named = "" if before is None else f": {_named(new)}"
            lines.append(f"{stage} {counts['done']}/{len(results)}{named}")
    known = before.failed if before else ()
    lines += [f"failed: {error}" for error in after.failed if error not in known]
    if after.best and (before is None or before.best[:1] != after.best[:1]):
        lines.append(f"so far: {after.best[0]}")
    return lines


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown


def silence(job: Running) -> str:
    """That a job has said nothing for long; empty else."""
    return f"silent for {duration(job.age)}" if job.age >= SILENT and not job.waits else ""


def pause(spent: float, every: float) -> float:
    """Seconds to wait after a look that took `spent` seconds of a core, so that watching takes little of one."""
    return max(every, spent / SHARE)
