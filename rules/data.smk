# hub → raw → examples

from modomodo.data.raw_folder import MANIFEST
from modomodo.data.readers.published import watched_files
from modomodo.data.settings import DownloadSettings, ExamplesSettings, Table1Settings


localrules:
    download,
    table1,


# Data files lie next to the manifest, undeclared, so that a retry resumes the downloads of a failed job.
rule download:
    output:
        ensure(f"resources/{{raw}}/{MANIFEST}", non_empty=True),
    log:
        "logs/resources/{raw}.log",
    retries: 1
    conda:
        conda_file()
    params:
        name=lambda wildcards: RAW.get(f"resources/{wildcards.raw}", ""),
        settings=lambda wildcards: DownloadSettings.of(STUDY, RAW[f"resources/{wildcards.raw}"]).text(),
    shell:
        command(
            "download.py --settings {params.settings:q} --name {params.name:q}"
            " --output {output} > {log} 2>&1"
        )


# All data first: table 1 compares counts and warns of too many steps before time is spent on training. It is no input of
# the streams, not even an ancient one: of jobs below one that runs, Snakemake overlooks changed settings.
rule preprocess:
    input:
        manifest=manifest_of,
        files=lambda wildcards: watched_files(DATASETS[wildcards.dataset]),
    output:
        "<results>/examples/{dataset}.jsonl",
    log:
        "<logs>/examples/{dataset}.log",
    priority: 100
    conda:
        conda_file()
    threads: STUDY.data.threads
    resources:
        mem_mb=growing(4_000 + 4_000 * STUDY.data.threads),
        runtime=growing(240),
    params:
        settings=lambda wildcards: ExamplesSettings.of(STUDY, wildcards.dataset).text(),
        raw=lambda wildcards, input: (
            f"--raw {shlex.quote(str(Path(input.manifest).parent))}" if input.manifest else ""
        ),
    shell:
        command(
            "preprocess.py --settings {params.settings:q} --name {wildcards.dataset} {params.raw}"
            " --threads {threads} --output {output} > {log} 2>&1"
        )


rule table1:
    input:
        collect(
            "<results>/examples/{dataset}.jsonl",
            dataset=[*STUDY.domains, *STUDY.benchmarks],
        ),
    output:
        report(
            "<results>/table1.csv",
            caption="../report/table1.rst",
            category="Tables",
            labels={"table": "Table 1: datasets"},
        ),
    log:
        "<logs>/table1.log",
    priority: 100
    conda:
        conda_file()
    params:
        code=code_digest("data/overlap"),
        settings=Table1Settings.of(STUDY).text(),
    shell:
        command(
            "table1.py --settings {params.settings:q} --examples {input} --output {output}" " > {log} 2>&1"
        )
