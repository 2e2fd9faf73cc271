# A study of recorded runs: table → mixtures, Table 2, and how certain they are. Trains nothing.

import functools
import sys
from pathlib import Path

from modomodo.environment import conda_file, prepare_jobs, script_command
from modomodo.errors import InputError
from modomodo.files import code_digest, file_digest
from modomodo.replay.config import replay_from, tables_of
from modomodo.replay.run import read
from modomodo.reporting.figures import DRAWN_BY
from modomodo.reporting.settings import EXPLORER_SCRIPTS

# See common.smk.
ROOT = Path(str(workflow.current_basedir)).parent
command = functools.partial(script_command, ROOT / "scripts")
prepare_jobs(ROOT)

try:
    REPLAY = replay_from(config, WHERE)
    TABLES = tables_of(REPLAY)
    read(REPLAY)  # what is wrong with a table or a target is told by the dry run
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
    replay_figures,
    replay_explorer,
    replay_report,


rule all:
    input:
        "<results>/verdict.txt",
        "<results>/table2.csv",
        "<results>/report.md",
        "<results>/figures",
        "<results>/explorer.html",
        "<results>/report.html",


NAME = REPLAY.name


include: "table2.smk"


# The first page of Snakemake's own report.
report: "../report/workflow.rst"


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
        table=report(
            "<results>/table2.csv",
            caption="../report/replay_table2.rst",
            category="Tables",
            labels={"table": "Table 2: recorded and proposed mixtures"},
        ),
        report="<results>/report.md",
        verdict="<results>/verdict.txt",
        mixtures=directory("<results>/mixtures"),
    log:
        "<logs>/propose.log",
    conda:
        conda_file()
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
            "mixtures/surrogates/base",
            "reporting/templates",
            "reporting/verdict",
            "reporting/wording",
            "../report/verdict.md.jinja",
            "../report/replay.md.jinja",
        ),
        settings=REPLAY.text(),
        tables=DIGESTS,
        folder=lambda wildcards, output: Path(output.report).parent,
    shell:
        command("propose.py --config {params.settings:q} --output {params.folder} > {log} 2>&1")


# The page, from the text and the figures.
REPORT_CODE = code_digest(
    "reporting/report",
    "reporting/templates",
    "../report/text_report.html.jinja",
    "../report/page.html.jinja",
    "../report/pages.css",
    "../report/report.css",
)


# Which figures there are is known once the table is read.
rule replay_figures:
    input:
        INPUTS,
    output:
        report(
            directory("<results>/figures"),
            patterns=["{figure}.svg"],
            caption="../report/replay_figures.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "<logs>/figures.log",
    conda:
        conda_file()
    params:
        code=code_digest(
            "reporting/results",
            "reporting/surface",
            "reporting/effects",
            "mixtures/records",
            "replay/run",
            "replay/report",
            "reporting/differences",
            *(f"reporting/figures/{name}" for name in DRAWN_BY),
        ),
        settings=REPLAY.text(),
        tables=DIGESTS,
    shell:
        command("figures.py --config {params.settings:q} --output {output} > {log} 2>&1")


rule replay_explorer:
    input:
        INPUTS,
    output:
        report(
            "<results>/explorer.html",
            caption="../report/explorer.rst",
            category="Explorer",
            labels={"page": "Any mixture's predicted scores"},
        ),
    log:
        "<logs>/explorer.log",
    conda:
        conda_file()
    params:
        code=code_digest(
            "reporting/results",
            "mixtures/records",
            "replay/run",
            "replay/report",
            "reporting/differences",
            "reporting/verdict",
            "reporting/wording",
            "reporting/surface",
            "reporting/explorer/__init__",
            "reporting/effects",
            "reporting/explorer/page.html",
            "reporting/explorer/page.css",
            *(f"reporting/explorer/{name}.js" for name in EXPLORER_SCRIPTS),
        ),
        settings=REPLAY.text(),
        tables=DIGESTS,
    shell:
        command("explorer.py --config {params.settings:q} --output {output} > {log} 2>&1")


rule replay_report:
    input:
        text="<results>/report.md",
        figures="<results>/figures",
    output:
        "<results>/report.html",
    log:
        "<logs>/report.log",
    conda:
        conda_file()
    params:
        code=REPORT_CODE,
    shell:
        command(
            "report.py --text {input.text} --figures {input.figures}/*.svg --output {output} > {log} 2>&1"
        )
