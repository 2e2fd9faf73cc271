# hub → raw → examples

import shlex

from modomodo.datasets.published import catalogue
from modomodo.downloads import MANIFEST, folder_of
from modomodo.steps import DownloadStep, ExamplesStep, Table1Step

DATASETS = {**STUDY.domains, **STUDY.benchmarks}


def raw_folder(dataset):
    """Where the raw files of a published dataset lie; studies share them."""
    entry = DATASETS[dataset]
    split = catalogue[entry.loader].split(entry.options)
    return folder_of(entry.loader, split, entry.source and entry.source.revision)


# Raw folder → the dataset that says how to fill it. Datasets of one folder that differ in their source would fill
# it by the first one's: `source.revision` tells them apart.
RAW = {}
for name in DATASETS:
    if DATASETS[name].loader in catalogue:
        RAW.setdefault(str(raw_folder(name)), name)


localrules:
    download,


# Data files lie beside the manifest, undeclared, so that a failed job's downloads are gone on from.
rule download:
    output:
        ensure("resources/{raw}/" + MANIFEST, non_empty=True),
    log:
        "logs/resources/{raw}.log",
    retries: 1
    conda:
        "../envs/cpu.yaml"
    params:
        name=lambda wildcards: RAW.get(f"resources/{wildcards.raw}", ""),
        settings=lambda wildcards: DownloadStep.of(STUDY, RAW[f"resources/{wildcards.raw}"]).text(),
    shell:
        "python scripts/download.py --settings {params.settings:q} --name {params.name:q}"
        " --output {output} 2>&1 | tee {log}"


def manifest_of(wildcards):
    """The raw files that a dataset's examples are made from; none for a dataset that is drawn."""
    if DATASETS[wildcards.dataset].loader not in catalogue:
        return []
    return str(raw_folder(wildcards.dataset) / MANIFEST)


rule preprocess:
    input:
        manifest_of,
    output:
        "<results>/examples/{dataset}.jsonl",
    log:
        "<logs>/examples/{dataset}.log",
    conda:
        "../envs/cpu.yaml"
    threads: STUDY.data.threads
    params:
        settings=lambda wildcards: ExamplesStep.of(STUDY, wildcards.dataset).text(),
        raw=lambda wildcards, input: f"--raw {shlex.quote(str(Path(input[0]).parent))}" if input else "",
    shell:
        "python scripts/preprocess.py --settings {params.settings:q} --name {wildcards.dataset} {params.raw}"
        " --threads {threads} --output {output} 2>&1 | tee {log}"


rule table1:
    input:
        collect(
            "<results>/examples/{dataset}.jsonl",
            dataset=[*STUDY.domains, *STUDY.benchmarks],
        ),
    output:
        "<results>/table1.csv",
    log:
        "<logs>/table1.log",
    conda:
        "../envs/cpu.yaml"
    params:
        settings=Table1Step.of(STUDY).text(),
    shell:
        "python scripts/table1.py --settings {params.settings:q} --examples {input} --output {output}"
        " 2>&1 | tee {log}"
