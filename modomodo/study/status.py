"""How far a study is, read from its files: Snakemake need not be asked, so it may be at work meanwhile.

What a job is doing is read from the log that Snakemake keeps in `.snakemake/log/`: it names each job's outputs
when it starts, finishes or fails. Whether a result is up to date only Snakemake knows (`snakemake -n`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from modomodo.config.reading import read_yaml
from modomodo.config.schema import Study
from modomodo.console import with_error
from modomodo.errors import InputError
from modomodo.evaluation.scores import collect, read_run_scores
from modomodo.mixtures.mixture import read_mixture
from modomodo.mixtures.plan import Plan
from modomodo.mixtures.records import BASE, last_step
from modomodo.reporting.tables import mixture_means
from modomodo.study.outputs import SCORES, STAGES, Output, outputs_of
from modomodo.study.snakemake_log import JobLog, lines_of, read_job_log, text_of
from modomodo.warning_files import Warned, warned

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
    warned: Sequence[Warned] = ()

    def state(self, result: Output) -> str:
        """done, running, failed, interrupted or missing."""
        if result.path in self.done:
            return "done"
        job = self.jobs.get(result.path)
        if job is None or job.state == "finished":  # finished, and deleted since
            return "missing"
        if job.state in ("failed", "interrupted"):
            return job.state
        return "running" if self.process is not None or self.locked else "interrupted"


def read_status(study: Study, plan: Plan, root: Path = Path()) -> Status:
    """The status of a study whose project lies in `root`. Raises InputError for a damaged score file."""
    results = outputs_of(study, plan, root / "results")
    processes = _snakemakes_in(root)
    locks = [_locks(path, study.name) for path in (root / ".snakemake/locks").glob("*.lock")]
    table1 = root / "results" / study.name / "table1.csv"
    return Status(
        results=results,
        done=frozenset(result.path for result in results if result.path.exists()),
        jobs=_jobs_of({result.path for result in results}, root),
        locked=any(locks),
        elsewhere=bool(locks or processes) and not any(locks) and study.name not in processes,
        process=processes.get(study.name),
        best=_best(study, plan, root / "results" / study.name, results),
        warned=warned([table1, *(result.path for result in results)]),
    )


def _locks(path: Path, study: str) -> bool:
    """Whether a lock of Snakemake's, which lists files, is of this study."""
    try:
        files = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # released meanwhile
        return False
    return not files or any(file.startswith(f"results/{study}/") for file in files)


def _jobs_of(paths: set[Path], root: Path) -> dict[Path, JobLog]:
    """Output → its job, from the newest log that has one of these results."""
    for log in sorted((root / ".snakemake/log").glob("*.snakemake.log"), reverse=True):
        text = log.read_text(encoding="utf-8", errors="replace")
        found = {root / output: job for job in read_job_log(text, root) for output in job.outputs}
        if found.keys() & paths:
            return found
    return {}


def _snakemakes_in(root: Path) -> dict[str, int]:
    """Study → the id of a Snakemake process that works on it in this folder on this machine."""
    import psutil

    here, found = str(root.resolve()), {}
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if any(Path(word).name == "snakemake" for word in words[:4]) and process.cwd() == here:
                found[_study_of(words, root)] = process.pid
        except (psutil.Error, OSError):
            continue
    return found


def _study_of(words: Sequence[str], root: Path) -> str:
    """The name of the study that Snakemake's arguments give; none of a file that cannot be read."""
    text = "\n".join(words) + "\n"
    given = re.search(r"^--configfiles?[=\n](.+)$", text, flags=re.MULTILINE)
    try:
        return str(read_yaml(root / (given[1] if given else "config/tiny.yaml"))["name"])
    except (InputError, KeyError, TypeError):
        return ""


def _best(study: Study, plan: Plan, folder: Path, results: Sequence[Output]) -> list[Scored]:
    """The mixtures with the best Out-Score at the last step, the mean of their seeds, scored so far."""
    scored = [
        read_run_scores(result.path) for result in results if result.stage == SCORES and result.path.exists()
    ]
    mixtures = {}
    for name in {run.mixture for run in scored} - {BASE}:
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
        Scored(row["mixture"], row["out_score"], row["se_out_score"], dict(mixtures[row["mixture"]].weights))
        for _, row in frame.head(BEST).iterrows()
    ]


def render(study: Study, status: Status, root: Path = Path()) -> str:
    """The status as a screen of text."""
    states = ("done", "running", "failed", "interrupted", "missing")
    by_stage = {stage: [r for r in status.results if r.stage == stage] for stage in STAGES}
    lines = [
        f"study {study.name}: {_at_work(status)}",
        "",
        f"{'':<12}{'':>9}" + "".join(f"{s:>13}" for s in states[1:]),
    ]
    found: dict[str, list[Output]] = {state: [] for state in states}
    for stage, results in by_stage.items():
        counts = dict.fromkeys(states, 0)
        for result in results:
            state = status.state(result)
            counts[state] += 1
            found[state].append(result)
        share = f"{counts['done']}/{len(results)}"
        lines.append(f"{stage:<12}{share:>9}" + "".join(f"{counts[s] or '':>13}" for s in states[1:]))
    for state in ("running", "failed", "interrupted"):
        for number, result in enumerate(_one_a_job(status, found[state])):
            if number == 0:
                lines.append("")
            lines += _about(status, result, state, root)
    if status.warned:
        lines += ["", *(f"warning      {warning}" for warning in status.warned)]
    lines += ["", *_best_lines(status)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _one_a_job(status: Status, results: Sequence[Output]) -> list[Output]:
    """One result of each job: a proposal writes several mixtures."""
    seen: dict[int, Output] = {}
    for result in results:
        seen.setdefault(id(status.jobs[result.path]), result)
    return list(seen.values())


def _about(status: Status, result: Output, state: str, root: Path) -> list[str]:
    job = status.jobs[result.path]
    lines = [line[:160] for line in lines_of(text_of(job.log, root))[-LOG_LINES:]]
    if state == "failed":
        return [
            f"failed       {job.rule} {result.name}: {job.log or 'no log'}",
            *(f"             | {line}" for line in lines),
        ]
    return [f"{state:<13}{job.rule} {result.name}" + (f": {lines[-1]}" if lines else "")]


def _at_work(status: Status) -> str:
    if status.elsewhere:
        return "no Snakemake is at work on it, but on another study here"
    if status.process is not None:
        return f"Snakemake is at work here (process {status.process})"
    if status.locked:
        return "locked: a Snakemake works here from another machine, or was killed (then: snakemake --unlock)"
    return "no Snakemake is at work"


def _best_lines(status: Status) -> list[str]:
    if not status.best:
        return ["no mixture is scored yet"]
    lines = ["best Out-Score so far (± one standard error; table2.md says which can be told apart)"]
    for scored in status.best:
        shares = "  ".join(
            f"{domain} {weight:.2f}" for domain, weight in scored.weights.items() if weight >= 0.005
        )
        lines.append(f"  {with_error(scored.score, scored.standard_error)}  {scored.mixture}: {shares}")
    return lines
