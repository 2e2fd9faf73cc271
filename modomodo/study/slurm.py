"""What Slurm says of this user's jobs, for whoever watches a study."""

import subprocess
from typing import NamedTuple

FORMAT = "%i|%T|%r|%N"
LIMIT = 10.0  # seconds that squeue may take


class SlurmJob(NamedTuple):
    """A job in the queue. `reason`: why it waits, `nodes`: where it runs."""

    state: str
    reason: str
    nodes: str

    @property
    def waits(self) -> bool:
        """Whether it has not started yet, or was put back."""
        return self.state in ("PENDING", "REQUEUED", "SUSPENDED", "CONFIGURING")


def queued_jobs() -> dict[str, SlurmJob] | None:
    """Number → this user's job; None where Slurm cannot be asked."""
    ask = ["squeue", "--me", "--noheader", f"--format={FORMAT}"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, timeout=LIMIT, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    rows = (line.split("|") for line in said.splitlines())
    return {row[0]: SlurmJob(*row[1:]) for row in rows if len(row) == 4}
