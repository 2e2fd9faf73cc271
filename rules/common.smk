# The study and its static plan, which every rule file reads.

import os
import shlex
import sys

from modomodo.command_line import job_environment
from modomodo.errors import InputError
from modomodo.files import code_digest
from modomodo.plan import plan
from modomodo.steps import RecordsStep
from modomodo.study import study_from

# Jobs call `python` and import the package: those of the environment that runs Snakemake.
job_environment(workflow.basedir)

WHERE = " + ".join(os.path.relpath(path) for path in workflow.configfiles)
try:
    STUDY = study_from(config, WHERE)
    PLAN = plan(STUDY, WHERE)
except InputError as error:
    sys.exit(f"error: {error}")


wildcard_constraints:
    dataset=r"[^/]+",
    mixture=r"[^/]+",
    seed=r"\d+",


def learned(strategy, pattern):
    """Files of the runs that a strategy learns from."""
    return [pattern.format(mixture=mixture, seed=seed) for mixture, seed in PLAN.learns_from[strategy]]


def records_option(strategy):
    """How a strategy that learns is told of domains and benchmarks; a seed need not know of a new benchmark."""
    if not PLAN.learns_from[strategy]:
        return ""
    return f"--records-settings {shlex.quote(RecordsStep.of(STUDY).unordered().text())}"


def examples_of(wildcards):
    """Examples of the domains that the mixture can have weight on."""
    domains = PLAN.support[wildcards.mixture]
    return collect("<results>/examples/{domain}.jsonl", domain=domains)
