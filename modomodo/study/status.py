"""How far a study is, read from its files: Snakemake need not be asked, so it may be at work meanwhile.

What a job is doing is read from the log that Snakemake keeps in `.snakemake/log/`: it names each job's outputs
when it starts, finishes or fails. Whether a result is up to date only Snakemake knows (`snakemake -n`).
"""

import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from modomodo.config.reading import read_yaml
from modomodo.config.schema import Study
from modomodo.console import with_error
from modomodo.errors import InputError
from modomodo.evaluation.scores import collect, read_run_scores
from modomodo.mixtures.mixture import Mixture, Weights, read_mixture
from modomodo.mixtures.plan import Plan, labels
from modomodo.mixtures.records import BASE, last_step
from modomodo.reporting.tables import mixture_means
from modomodo.study.outputs import SCORES, STAGES, Output, outputs_of
from modomodo.study.snakemake_log import GrowingLog, JobLog, lines_of, tail_of
from modomodo.warning_files import Warned, warned

STATES = ("done", "running", "failed", "interrupted", "missing")
LOG_LINES = 5  # of a failed job's log that are shown
BEST = 3  # mixtures that are shown


class Scored(NamedTuple):
    """A mixture's score at its last step."""

    mixture: str
    score: float
    standard_error: float
    weights: dict[str, float]


@dataclass(frozen=True)
class Status:
    """How far a study is. `jobs`: result → its job in Snakemake's newest log of this study."""

    results: Sequence[Output]
    done: frozenset[Path]
    jobs: Mapping[Path, JobLog]
    locked: bool  # a Snakemake works on this study, or one was killed
    elsewhere: bool  # a Snakemake works here, but on another study: they may run side by side
    process: int | None  # the id of a Snakemake that works on this study on this machine
    best: Sequence[Scored]
    labels: Mapping[str, str]  # mixture → what tables call it
    killed: bool = False  # what locked the study worked on this machine, and is gone
    warned: Sequence[Warned] = ()

    @property
    def at_work(self) -> bool:
        """Whether a Snakemake works on this study, as far as its files tell."""
        return self.process is not None or (self.locked and not self.killed)

    @property
    def finished(self) -> bool:
        """Whether every result is there, and none is being made again."""
        return not self.at_work and len(self.done) == len(self.results)

    def state(self, result: Output) -> str:
        """done, running, failed, interrupted or missing."""
        if result.path in self.done:
            return "done"
        job = self.jobs.get(result.path)
        if job is None or job.state == "finished":  # finished, and deleted since
            return "missing"
        if job.state in ("failed", "interrupted"):
            return job.state
        return "running" if self.at_work else "interrupted"

    def in_state(self, state: str) -> list[Output]:
        """The results in one of these states, one of each job: a proposal writes several mixtures."""
        seen: dict[int, Output] = {}
        for result in self.results:
            if self.state(result) == state:
                seen.setdefault(id(self.jobs[result.path]), result)
        return list(seen.values())

    def called(self, result: Output) -> str:
        """A result by its name, and by its mixture's label where that differs: `last/42 (Last-step A_bal)`."""
        mixture = result.run[0] if result.run else result.name
        label = self.labels.get(mixture, mixture)
        return result.name if label == mixture else f"{result.name} ({label})"


class Reader:
    """Looks at one study as often as is asked, and reads again only what has changed since."""

    def __init__(self, study: Study, plan: Plan, root: Path = Path()) -> None:
        self.study, self.root = study, root
        self.folder = root / "results" / study.name
        self.results = outputs_of(study, plan, root / "results")
        self.labels = labels(study, plan)
        self._logs: dict[Path, GrowingLog] = {}
        self._process: psutil.Process | None = None
        self._best: tuple[object, list[Scored]] = ((), [])

    def read(self) -> Status:
        """The status of now. Raises InputError for a damaged score file."""
        process, others = self._snakemake()
        locks = list((self.root / ".snakemake/locks").glob("*.lock"))
        own = [path for path in locks if _locks(path, self.study.name)]
        log = self._log()
        newest = self._logs[max(self._logs)] if self._logs else None  # of whichever study
        left = not others and _left_behind(locks, newest)
        table1 = self.folder / "table1.csv"
        return Status(
            results=self.results,
            done=frozenset(result.path for result in self.results if result.path.exists()),
            jobs={self.root / output: job for job in log.jobs for output in job.outputs} if log else {},
            locked=bool(own),
            elsewhere=process is None and not own and (others or (bool(locks) and not left)),
            process=process,
            best=self._best_so_far(),
            labels=self.labels,
            killed=process is None and _left_behind(own, log),
            warned=warned([table1, *(result.path for result in self.results)]),
        )

    def _snakemake(self) -> tuple[int | None, bool]:
        """The id of the process that works on this study, and whether one works on another."""
        if self._process is None or not _runs(self._process):  # all processes are asked only then
            processes = _snakemakes_in(self.root)
            self._process = processes.get(self.study.name)
            return self._process and self._process.pid, bool(processes)
        return self._process.pid, False

    def _log(self) -> GrowingLog | None:
        """The newest log of Snakemake's that has one of this study's results."""
        paths = {result.path for result in self.results}
        for path in sorted((self.root / ".snakemake/log").glob("*.snakemake.log"), reverse=True):
            log = self._logs.setdefault(path, GrowingLog(path, self.root))
            log.update()
            if any(self.root / output in paths for job in log.jobs for output in job.outputs):
                return log
        return None

    def _best_so_far(self) -> list[Scored]:
        scores = [result.path for result in self.results if result.stage == SCORES and result.path.exists()]
        seen = [(path, path.stat().st_mtime_ns) for path in scores]
        if self._best[0] != seen:
            self._best = (seen, _best(self.study, self.folder, scores))
        return self._best[1]


def read_status(study: Study, plan: Plan, root: Path = Path()) -> Status:
    """The status of a study whose project lies in `root`. Raises InputError for a damaged score file."""
    return Reader(study, plan, root).read()


def _locks(path: Path, study: str) -> bool:
    """Whether a lock of Snakemake's, which lists files, is of this study."""
    try:
        files = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # released meanwhile
        return False
    return not files or any(file.startswith(f"results/{study}/") for file in files)


def _left_behind(locks: Sequence[Path], log: GrowingLog | None) -> bool:
    """Whether locks that no process holds are a dead Snakemake's: this user's, on the machine of its log."""
    return bool(locks) and log is not None and log.host == socket.gethostname() and all(map(_is_ours, locks))


def _is_ours(path: Path) -> bool:
    """Whether a file is this user's: the processes of others cannot be looked at."""
    try:
        return path.stat().st_uid == os.getuid()
    except OSError:
        return False


def _snakemakes_in(root: Path) -> "dict[str, psutil.Process]":
    """Study → a Snakemake process that works on it in this folder on this machine."""
    here, found = str(root.resolve()), {}
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if any(Path(word).name == "snakemake" for word in words[:4]) and process.cwd() == here:
                found[_study_of(words, root)] = process
        except (psutil.Error, OSError):
            continue
    return found


def _runs(process: psutil.Process) -> bool:
    """Whether a process still runs: a zombie, which its parent has yet to notice, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _study_of(words: Sequence[str], root: Path) -> str:
    """The name of the study that Snakemake's arguments give; none of a file that cannot be read."""
    text = "\n".join(words) + "\n"
    given = re.search(r"^--configfiles?[=\n](.+)$", text, flags=re.MULTILINE)
    try:
        return str(read_yaml(root / (given[1] if given else "config/tiny.yaml"))["name"])
    except (InputError, KeyError, TypeError):
        return ""


def _weights(mixture: Mixture) -> Weights:
    """None of one that changes while its run trains."""
    return {} if mixture.online else mixture.weights


def _best(study: Study, folder: Path, scores: Sequence[Path]) -> list[Scored]:
    """The mixtures with the best Out-Score at the last step, the mean of their seeds, of these files of scores."""
    scored = [read_run_scores(path) for path in scores]
    mixtures = {}
    for name in {run.mixture for run in scored if run.steps} - {BASE}:
        path = folder / f"mixtures/{name}.json"
        if path.exists():
            mixtures[name] = read_mixture(path)
    known = [run for run in scored if run.mixture in mixtures]
    if not known:
        return []
    groups = {name: benchmark.group for name, benchmark in study.benchmarks.items()}
    try:
        frame = mixture_means(last_step(collect(known, mixtures, list(study.domains), groups)))
    except InputError:  # benchmarks are being scored again: there is no common Out-Score just now
        return []
    frame = frame.dropna(subset="out_score").sort_values("out_score", ascending=False, kind="stable")
    return [
        Scored(row["mixture"], row["out_score"], row["se_out_score"], _weights(mixtures[row["mixture"]]))
        for _, row in frame.head(BEST).iterrows()
    ]


def render(study: Study, status: Status, root: Path = Path()) -> str:
    """The status as a screen of text."""
    lines = [
        f"study {study.name}: {at_work(status)}",
        "",
        f"{'':<12}{'':>9}" + "".join(f"{s:>13}" for s in STATES[1:]),
    ]
    for stage, counts in counted(status).items():
        share = f"{counts['done']}/{sum(counts.values())}"
        lines.append(f"{stage:<12}{share:>9}" + "".join(f"{counts[s] or '':>13}" for s in STATES[1:]))
    for state in ("running", "failed", "interrupted"):
        about = [line for result in status.in_state(state) for line in _about(status, result, state, root)]
        lines += ["", *about] if about else []
    if status.warned:
        lines += ["", *(f"warning      {warning}" for warning in status.warned)]
    lines += ["", *_best_lines(status)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def counted(status: Status) -> dict[str, dict[str, int]]:
    """Stage → state → how many of its results are in it."""
    counts = {stage: dict.fromkeys(STATES, 0) for stage in STAGES}
    for result in status.results:
        counts[result.stage][status.state(result)] += 1
    return counts


def _about(status: Status, result: Output, state: str, root: Path) -> list[str]:
    job = status.jobs[result.path]
    lines = [line[:160] for line in lines_of(tail_of(job.log, root))[-LOG_LINES:]]
    if state == "failed":
        return [
            f"failed       {job.rule} {status.called(result)}: {job.log or 'no log'}",
            *(f"             | {line}" for line in lines),
        ]
    return [f"{state:<13}{job.rule} {status.called(result)}" + (f": {lines[-1]}" if lines else "")]


def at_work(status: Status) -> str:
    """Whether a Snakemake works on the study, in words."""
    if status.elsewhere:
        return "no Snakemake is at work on it, but on another study here"
    if status.process is not None:
        return f"Snakemake is at work here (process {status.process})"
    if status.killed:
        return "Snakemake was killed: `snakemake --unlock`, then run again, it continues"
    if status.locked:
        return "locked: a Snakemake works here from another machine, or was killed (then: snakemake --unlock)"
    return "no Snakemake is at work"


def _best_lines(status: Status) -> list[str]:
    if not status.best:
        begun = status.done or status.jobs or status.at_work
        return ["no mixture is scored yet" if begun else "nothing has run yet: make STUDY=… starts it"]
    lines = ["best Out-Score so far (± one standard error; table2.md says which can be told apart)"]
    for scored in status.best:
        shares = "  ".join(
            f"{domain} {weight:.2f}" for domain, weight in scored.weights.items() if weight >= 0.005
        )
        label = status.labels.get(scored.mixture, scored.mixture)
        name = scored.mixture if label == scored.mixture else f"{label} ({scored.mixture})"
        lines.append(f"  {with_error(scored.score, scored.standard_error)}  {name}: {shares}")
    return lines
