# raw → examples

from modomodo.steps import ExamplesStep


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
