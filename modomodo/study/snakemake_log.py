"""The jobs of a run of Snakemake, read from its log, and what is said of those that failed."""

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from modomodo.error_hints import hint_of

# What Snakemake says after Ctrl-C, and after SIGTERM.
STOPPED = re.compile(
    r"^(Terminating processes on user request|Will exit after finishing currently running jobs)", re.M
)
FULL = 1_000_000  # bytes that are left on a disk on which not even a message can be written
TAIL = 100_000  # bytes of a job's log that are read to say how it ends

State = Literal["started", "finished", "failed", "interrupted"]


@dataclass
class JobLog:
    """One job, as Snakemake's log shows it."""

    rule: str
    outputs: list[str] = field(default_factory=list)
    log: str | None = None
    message: str | None = None  # of Snakemake, e.g. why a job could not be submitted
    state: State = "started"
    slurm: str | None = None  # its number there


class SnakemakeLog:
    """What one of Snakemake's logs says, which may still grow: `add` takes what was written since.

    `jobs` are in the order in which they started, each in its last state; `host` is the machine that Snakemake works
    on; `stopped`: it was told to stop.
    """

    def __init__(self, root: Path = Path()) -> None:
        self.root = root  # what paths in the log are relative to
        self.host: str | None = None
        self.stopped = False
        self._jobs: dict[str, JobLog] = {}  # job id → job
        self._opened: JobLog | None = None  # the job whose indented lines are being read

    @property
    def jobs(self) -> list[JobLog]:
        return list(self._jobs.values())

    def add(self, text: str) -> None:
        """Read whole lines. A job that was told to stop counts as interrupted, though Snakemake says that it failed."""
        for line in text.splitlines():
            self._read(line)
        for job in self._jobs.values():
            if job.state == "failed" and _was_interrupted(tail_of(job.log, self.root), self.stopped):
                job.state = "interrupted"

    def _read(self, line: str) -> None:
        if started := re.match(r"(?:local)?(?:rule|checkpoint) (\S+):$", line):
            self._opened = JobLog(started[1])
        elif failed := re.match(r"Error in (?:rule|checkpoint) (\S+):$", line):
            self._opened = JobLog(failed[1], state="failed")
        elif finished := re.match(r"Finished jobid: (\d+)", line):
            if finished[1] in self._jobs:
                self._jobs[finished[1]].state = "finished"
        elif submitted := re.match(r"Job (\d+) has been submitted with SLURM jobid (\S+)", line):
            if submitted[1] in self._jobs:
                self._jobs[submitted[1]].slurm = submitted[2]
        elif self._opened is not None and line.startswith("    "):
            self._describe(self._opened, line)
        else:
            self._opened = None
            self.stopped = self.stopped or STOPPED.match(line) is not None
            if host := re.match(r"  Host: (.+)$", line):
                self.host = host[1]

    def _describe(self, job: JobLog, line: str) -> None:
        found = re.match(r"    (output|log|jobid|message): (.+)$", line)
        if found is None:
            return
        key, value = found[1], re.sub(r" \(check log.*\)$", "", found[2])
        if key == "output":
            job.outputs = value.split(", ")
        elif key == "log":
            job.log = value.split(", ")[0]
        elif key == "message":
            job.message = None if value == "None" else value
        else:
            known = self._jobs.get(value)
            if job.state == "failed" and known is not None:
                known.state, known.message = "failed", job.message
            else:
                self._jobs[value] = job


class GrowingLog(SnakemakeLog):
    """One of Snakemake's logs in a file, of which `update` reads only what was added since."""

    def __init__(self, path: Path, root: Path = Path()) -> None:
        super().__init__(root)
        self.path = path
        self._read_bytes = 0

    def update(self) -> None:
        """Read the lines that are complete by now."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._read_bytes)
                added = file.read()
        except OSError:  # removed meanwhile
            return
        complete = added.rfind(b"\n") + 1
        if complete:
            self._read_bytes += complete
            self.add(added[:complete].decode("utf-8", errors="replace"))


def read_job_log(text: str, root: Path = Path()) -> list[JobLog]:
    """The jobs of one of Snakemake's logs, each in its last state. Paths in it are relative to `root`."""
    log = SnakemakeLog(root)
    log.add(text)
    return log.jobs


def _was_interrupted(log: str, stopped: bool) -> bool:
    """Whether a job that Snakemake calls failed was told to stop. `stopped`: Snakemake was."""
    last = (lines_of(log) or [""])[-1]
    if last.startswith(("interrupted: ", "stopped: ", "stopped by ")) or last == "KeyboardInterrupt":
        return True
    return stopped and not re.search(r"^(error: |Traceback )", log, re.M)


def ending(logs: Iterable[str], root: Path = Path()) -> list[str]:
    """What is said once, at the end of a run that did not succeed: errors, hints, and how it goes on.

    `logs`: Snakemake's own of this run.
    """
    texts = [text_of(log, root) for log in logs]
    jobs = [job for text in texts for job in read_job_log(text, root)]
    failed = [job for job in jobs if job.state == "failed"]
    errors = errors_of(failed, root)
    said = [f"error: {error}" for error in errors]
    hints = filter(None, map(hint_of, [*(text_of(job.log, root) for job in failed), *texts]))
    said += [f"hint: {hint}" for hint in dict.fromkeys(hints) if not any(hint in error for error in errors)]
    if any(map(STOPPED.search, texts)):
        resumed = [_resumed(job, root) for job in jobs if job.state in ("interrupted", "started")]
        runs = ", ".join(filter(None, resumed))
        said.append(f"interrupted: run the same command again, it continues{f': {runs}' if runs else ''}")
    return said


def errors_of(failed: Iterable[JobLog], root: Path = Path()) -> list[str]:
    """`train: no GPU (logs/….log and 2 more)`: what made jobs fail, the same error of many once."""
    errors: dict[str, list[str]] = {}
    for job in failed:
        errors.setdefault(f"{job.rule}: {_error_of(job, root)}", []).append(job.log or job.outputs[0])
    said = []
    for error, places in errors.items():
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        said.append(f"{error} ({places[0]}{more})")
    return said


def warnings_of(logs: Iterable[str], root: Path = Path()) -> list[str]:
    """What the jobs of a run warned of, once each. `logs`: Snakemake's own of this run."""
    jobs = (job for log in logs for job in read_job_log(text_of(log, root), root))
    lines = (line for job in jobs for line in lines_of(text_of(job.log, root)))
    return list(dict.fromkeys(line for line in lines if line.startswith("warning: ")))


def _error_of(job: JobLog, root: Path) -> str:
    """The error in a job's log, or what there is to say without one."""
    text = tail_of(job.log, root)
    lines = lines_of(text)
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if told:
        return told[-1]
    if lines:
        return lines[-1] if "\nTraceback (most recent" in f"\n{text}" else f"its log ends with: {lines[-1]}"
    if job.log and _free(root / job.log) < FULL:
        return str(hint_of("No space left on device"))
    return job.message or "ended without a word: it was killed, or could not be started"


def _free(path: Path) -> int:
    """Bytes left where a file lies, or was to lie."""
    return shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free


def _resumed(job: JobLog, root: Path) -> str | None:
    """`all/42 from step 20` for a training that has a resume checkpoint."""
    if job.rule != "train":
        return None
    run = (root / job.outputs[0]).parent
    steps = [int(note.parent.name.rpartition("-")[2]) for note in run.glob("trainer/checkpoint-*/complete")]
    return f"{run.parent.name}/{run.name} from step {max(steps)}" if steps else None


def lines_of(text: str) -> list[str]:
    """The lines of a log that say something, without what a bar in a terminal wrote over."""
    lines = (line.rpartition("\r")[2].rstrip() for line in text.split("\n"))
    return [line for line in lines if line]


def text_of(path: str | None, root: Path) -> str:
    """A log below `root`; empty where there is none."""
    try:
        return (root / path).read_text(encoding="utf-8", errors="replace") if path else ""
    except OSError:
        return ""


def tail_of(path: str | None, root: Path, most: int = TAIL) -> str:
    """The last whole lines of a log below `root`, of at most so many bytes; empty where there is none."""
    try:
        with open(root / path if path else "", "rb") as file:
            start = max(file.seek(0, os.SEEK_END) - most, 0)
            file.seek(start)
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    whole = text.partition("\n")[2]
    return whole if start and whole else text
