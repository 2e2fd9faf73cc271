# A study of recorded runs: table → mixtures, Table 2, and how certain they are. Trains nothing.

import sys
from pathlib import Path

from modomodo.environment import prepare_jobs
from modomodo.errors import InputError
from modomodo.files import code_digest, file_digest
from modomodo.replay.config import replay_from, tables_of
from modomodo.reporting.figures import DRAWN_BY

# See common.smk.
ROOT = Path(str(workflow.current_basedir)).parent
SCRIPTS = str(ROOT / "scripts")
prepare_jobs(ROOT)

try:
    REPLAY = replay_from(config, WHERE)
    TABLES = tables_of(REPLAY)
except InputError as error:
    sys.exit(f"error: {error}")


# Snakemake takes `{word}` in a path for a wildcard, so such a table counts by its digest.
BRACED = [path for path in TABLES if set(str(path)) & set("{}")]
INPUTS = [str(path) for path in TABLES if path not in BRACED]
DIGESTS = [file_digest(path) for path in BRACED if path.exists()]


pathvars:
    results=f"results/{REPLAY.name}",
    logs=f"logs/{REPLAY.name}",


localrules:
    all,
    copy_table2,
    replay_figures,
    replay_explorer,


rule all:
    input:
        "results/table2.csv",
        "<results>/report.md",
        "<results>/figures",
        "<results>/explorer.html",


rule propose_from_records:
    input:
        INPUTS,
    output:
        "<results>/comparison.csv",
        "<results>/calibration.csv",
        "<results>/left_out.csv",
        "<results>/optimum_weights.csv",
        "<results>/optimum_against.csv",
        "<results>/proposals_against.csv",
        table="<results>/table2.csv",
        report="<results>/report.md",
        mixtures=directory("<results>/mixtures"),
    log:
        "<logs>/propose.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=4_000,
        runtime=60,
    params:
        code=code_digest(
            "replay/run",
            "replay/report",
            "mixtures/uncertainty",
            "mixtures/strategies/search",
            "mixtures/acquisition",
            "reporting/templates",
            "../report/replay.md.jinja",
        ),
        settings=REPLAY.text(),
        tables=DIGESTS,
        folder=lambda wildcards, output: Path(output.report).parent,
    shell:
        "python {SCRIPTS:q}/propose.py --config {params.settings:q} --output {params.folder} 2>&1 | tee {log}"


rule copy_table2:
    input:
        "<results>/table2.csv",
    output:
        "results/table2.csv",
    log:
        "<logs>/copy_table2.log",
    conda:
        "../envs/cpu.yaml"
    shell:
        "cp {input} {output} 2> {log}"


# Which figures there are is known once the table is read.
rule replay_figures:
    input:
        INPUTS,
    output:
        directory("<results>/figures"),
    log:
        "<logs>/figures.log",
    conda:
        "../envs/cpu.yaml"
    params:
        code=code_digest(
            "reporting/results",
            "mixtures/records",
            "replay/run",
            "replay/report",
            *(f"reporting/figures/{name}" for name in DRAWN_BY),
        ),
        settings=REPLAY.text(),
        tables=DIGESTS,
    shell:
        "python {SCRIPTS:q}/figures.py --config {params.settings:q} --output {output} 2>&1 | tee {log}"


rule replay_explorer:
    input:
        INPUTS,
    output:
        "<results>/explorer.html",
    log:
        "<logs>/explorer.log",
    conda:
        "../envs/cpu.yaml"
    params:
        code=code_digest(
            "reporting/results",
            "mixtures/records",
            "replay/run",
            "replay/report",
            "reporting/explorer/__init__",
            "reporting/explorer/page.html",
            "reporting/explorer/page.css",
            "reporting/explorer/page.js",
        ),
        settings=REPLAY.text(),
        tables=DIGESTS,
    shell:
        "python {SCRIPTS:q}/explorer.py --config {params.settings:q} --output {output} 2>&1 | tee {log}"
