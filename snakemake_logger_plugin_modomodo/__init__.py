"""Snakemake's words in the terminal, without what it says of a failed job: command, RuleException, log.

The Snakefile says that once, when all is over (modomodo/study/snakemake_log.py); `.snakemake/log/` has every word.
Snakemake knows a logger by its package's name and finds it beside itself on Python's path; profiles/default/ asks for
this one.
"""

import sys
from logging import LogRecord

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter, get_event
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# What Snakemake says after a job has failed, without saying why.
REPEATED = (
    "RuleException:\nCalledProcessError in file ",
    "WorkflowError:\nAt least one job did not complete successfully.",
    "Exiting because a job execution failed.",
    "Shutting down, this might take some time.",
    "Removing output files of failed job ",
)


def repeats(record: LogRecord) -> bool:
    """Whether a message is only that a job has failed."""
    if get_event(record) in (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR):
        return True
    return record.getMessage().startswith(REPEATED)


class LogHandler(LogHandlerBase):
    """Snakemake's own handler for a terminal, which a plugin replaces, behind a filter."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        said = self.common_settings
        self.terminal = ColorizingTextHandler(
            nocolor=said.nocolor,
            stream=sys.stdout if said.stdout else sys.stderr,
            formatter=DefaultFormatter(said.quiet, show_failed_logs=False),
            filter=DefaultFilter(said.quiet, said.debug_dag, said.verbose, said.dryrun, said.printshellcmds),
        )

    def emit(self, record: LogRecord) -> None:
        if self.common_settings.verbose or not repeats(record):
            self.terminal.handle(record)
