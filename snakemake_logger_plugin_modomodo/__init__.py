"""Snakemake's words in the terminal, without what it says of a failed job: command, RuleException, log.

The Snakefile says that once, when all is over (modomodo/study/snakemake_log.py); `.snakemake/log/` has every word.
Snakemake knows a logger by its package's name and finds it beside itself on Python's path; profiles/default/ asks for
this one.
"""

import copy
import logging
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


def shortened(record: LogRecord) -> LogRecord:
    """A trace of Snakemake's own for a known error, such as a full disk, as one line with its hint."""
    # Another Snakemake, which the Snakefile refuses, finds this module without the package.
    from modomodo.error_hints import hint_of

    text = record.getMessage()
    hint = hint_of(text) if "Traceback (most recent call last)" in text else None
    if hint is None:
        return record
    short = copy.copy(record)
    short.msg, short.args = f"error: {text.rstrip().splitlines()[-1]}: {hint}", None
    return short


class LogHandler(LogHandlerBase):
    """Snakemake's own handler for a terminal, which a plugin replaces, behind a filter."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        logging.raiseExceptions = (
            False  # where a full disk ends the run, Snakemake's log cannot be written either
        )
        said = self.common_settings
        self.terminal = ColorizingTextHandler(
            nocolor=said.nocolor,
            stream=sys.stdout if said.stdout else sys.stderr,
            formatter=DefaultFormatter(said.quiet, show_failed_logs=False),
            filter=DefaultFilter(said.quiet, said.debug_dag, said.verbose, said.dryrun, said.printshellcmds),
        )

    def emit(self, record: LogRecord) -> None:
        if self.common_settings.verbose:
            self.terminal.handle(record)
        elif not repeats(record):
            self.terminal.handle(shortened(record))
