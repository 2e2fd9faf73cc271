# records → table, figures

from modomodo.steps import TableStep


localrules:
    table2_files,
    copy_table2,
    figure_out_score,


rule table2_files:
    input:
        "<results>/records.csv",
    output:
        csv="<results>/table2.csv",
        markdown="<results>/table2.md",
        noise="<results>/noise.json",
    log:
        "<logs>/table2.log",
    conda:
        "../envs/cpu.yaml"
    params:
        code=code_digest("tables", "records"),
        settings=TableStep.of(STUDY).text(),
    shell:
        "python scripts/table.py --settings {params.settings:q} --records {input} --output {output.csv}"
        " 2>&1 | tee {log}"


# The study that was run last, under the one name that needs no knowledge of it.
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


rule figure_out_score:
    input:
        "<results>/table2.csv",
    output:
        svg="<results>/figures/out_score.svg",
        png="<results>/figures/out_score.png",
        csv="<results>/figures/out_score.csv",
    log:
        "<logs>/figures/out_score.log",
    conda:
        "../envs/cpu.yaml"
    params:
        code=code_digest("figures"),
    shell:
        "python scripts/figures.py --table {input} --output {output.svg} 2>&1 | tee {log}"
