# raw → examples

from modomodo.steps import ExamplesStep, Table1Step


rule preprocess:
    output:
        "<results>/examples/{dataset}.jsonl",
    log:
        "<logs>/examples/{dataset}.log",
    conda:
        "../envs/cpu.yaml"
    params:
        settings=lambda wildcards: ExamplesStep.of(STUDY, wildcards.dataset).text(),
    shell:
        "python scripts/preprocess.py --settings {params.settings:q} --name {wildcards.dataset}"
        " --output {output} 2>&1 | tee {log}"


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
