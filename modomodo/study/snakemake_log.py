"""The jobs of a run of Snakemake, read from its log."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from modomodo.error_hints import hint_of


def hints_of(logs: Iterable[str]) -> list[str]:
    """Hints at what failed in a run of Snakemake, from its logs and those of its failed jobs."""
    texts = [_text(log) for log in logs]
    failed = (job.log for text in texts for job in read_job_log(text) if job.state == "failed" and job.log)
    return list(dict.fromkeys(filter(None, map(hint_of, [*map(_text, failed), *texts]))))


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


State = Literal["started", "finished", "failed"]


@dataclass
class JobLog:
    """One job, as Snakemake's log shows it."""

    rule: str
    outputs: list[str] = field(default_factory=list)
    log: str | None = None
    state: State = "started"


def read_job_log(text: str) -> list[JobLog]:
    """The jobs of one of Snakemake's logs, each in its last state."""
    jobs: dict[str, JobLog] = {}  # job id → job
    opened: JobLog | None = None  # the job whose indented lines are being read
    for line in text.splitlines():
        if started := re.match(r"(?:local)?(?:rule|checkpoint) (\S+):$", line):
            opened = JobLog(started[1])
        elif failed := re.match(r"Error in (?:rule|checkpoint) (\S+):$", line):
            opened = JobLog(failed[1], state="failed")
        elif finished := re.match(r"Finished jobid: (\d+)", line):
            if finished[1] in jobs:
                jobs[finished[1]].state = "finished"
        elif opened is not None and (found := re.match(r"    (output|log|jobid): (.+)$", line)):
            key, value = found[1], re.sub(r" \(check log.*\)$", "", found[2])
            if key == "output":
                opened.outputs = value.split(", ")
            elif key == "log":
                opened.log = value.split(", ")[0]
            else:
                known = jobs.get(value)
                if opened.state == "failed" and known is not None:
                    known.state = "failed"
                else:
                    jobs[value] = opened
        elif not line.startswith("    "):
            opened = None
    return list(jobs.values())
