"""MoDoMoDo: find the best mixture of training datasets for RLVR.

    snakemake                                     the study of config/tiny.yaml, on a laptop
    snakemake --configfile config/paper.yaml -n   what the paper's study would run
    snakemake --configfile config/replay.yaml     what to train next, from recorded runs; trains nothing
    snakemake results/table2.csv                  the table of the configured study, under a name for all studies

Targets by stage: examples, mixtures, runs, scores, merged, table2, figures, all. docs/architecture.md describes the files
and the rules.
"""

import gc
import os
import sys

from snakemake.logging import logger
from snakemake.utils import min_version, update_config

from modomodo.config.reading import read_config
from modomodo.environment import IMAGE
from modomodo.errors import InputError
from modomodo.study.outputs import show_table2
from modomodo.study.snakemake_log import ending, warnings_of

# While rules are read, Python's garbage collector would traverse all that Snakemake has loaded again and again and find
# nothing: a sixth of the time of a dry run of config/paper.yaml.
gc.disable()

min_version("9.19")

# Snakemake merges this file into the one given with --configfile, so it is read only when none was.
if not workflow.overwrite_configfiles:

    configfile: os.path.join(str(workflow.current_basedir), "config/tiny.yaml")  # in whichever folder Snakemake works


# Read again, since Snakemake's loader loses equal keys, takes names for truth values, and merges several files.
WHERE = " + ".join(os.path.relpath(path) for path in workflow.configfiles)
try:
    config = read_config(workflow.configfiles, WHERE)
except InputError as error:
    sys.exit(f"error: {error}")
update_config(config, workflow.config_settings.config)


# The image that `--sdm conda apptainer` runs jobs in, made from what --containerize wrote (docs/environments.md).
if IMAGE in os.environ:

    containerized: os.environ[IMAGE]


# Recorded runs need no rule that trains.
if "records" in config:

    include: "rules/replay.smk"

    # An included file does not set the default target.
    workflow.default_target = "all"

else:

    include: "rules/common.smk"

    pathvars:
        results=f"results/{STUDY.name}",
        logs=f"logs/{STUDY.name}",

    include: "rules/data.smk"
    include: "rules/mixtures.smk"
    include: "rules/training.smk"
    include: "rules/evaluation.smk"
    include: "rules/merging.smk"
    include: "rules/reporting.smk"

    NAME = STUDY.name

    include: "rules/table2.smk"

    # The first page of Snakemake's own report.
    report: "report/workflow.rst"

    onstart:
        logger.info(plan_line())  # printed beside Snakemake's own words, it would come in the middle of one

    localrules:
        all,
        examples,
        mixtures,
        runs,
        scores,
        merged,
        table2,
        figures,

    rule all:
        default_target: True
        input:
            "<results>/table1.csv",
            "<results>/table2.csv",
            "<results>/verdict.txt",
            "<results>/table2.md",
            rules.figures_files.output,
            "<results>/explorer.html",
            "<results>/runs.html",
            "<results>/report.html",
            ["<results>/in_domain.csv"] if STUDY.held_out else [],

    rule examples:
        input:
            collect("<results>/examples/{dataset}.jsonl", dataset=STUDY.datasets),
            "<results>/table1.csv",

    rule mixtures:
        input:
            collect("<results>/mixtures/{mixture}.json", mixture=PLAN.mixture_files),

    rule runs:
        input:
            "<results>/table1.csv",
            [f"<results>/runs/{mixture}/{seed}/run.json" for mixture, seed in PLAN.jobs],

    rule scores:
        input:
            "<results>/table1.csv",
            "<results>/records.csv",

    rule merged:
        input:
            "<results>/merged.csv",

    rule table2:
        input:
            "<results>/table1.csv",
            "<results>/table2.csv",
            "<results>/table2.md",

    rule figures:
        input:
            rules.figures_files.output,


onsuccess:
    # What copy_table2 does, where the study's table was asked for.
    if {"table2_files", "propose_from_records"} & {job.rule.name for job in workflow.dag.jobs}:
        show_table2(NAME)
    for line in warnings_of(log):
        logger.warning(line)


# All that is said of what failed: profiles/default/ keeps Snakemake from saying it again and again.
onerror:
    for line in [*warnings_of(log), *ending(log)]:
        logger.error(line)


gc.freeze()  # nor has it to look later at what lives as long as the workflow
gc.enable()
