# results/table2.csv: the configured study's table under a fixed name. What another study left there is replaced
# (profiles/default/). It is no input of `all`, or two studies could not run side by side.


localrules:
    copy_table2,


rule copy_table2:
    input:
        "<results>/table2.csv",
    output:
        "results/table2.csv",
    log:
        "<logs>/copy_table2.log",
    conda:
        conda_file()
    shell:
        "cp {input} {output} 2> {log}"
