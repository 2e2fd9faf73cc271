# the base model, base + stream → checkpoints

from modomodo.config.options import local_files
from modomodo.training.run_folder import CACHE_VERSION as TRAINING_VERSION
from modomodo.training.settings import BaseModelSettings


rule base_model:
    input:
        lambda wildcards: local_files(STUDY.model.options),
    output:
        model=directory("<results>/base"),
        info="<results>/base.json",
    log:
        "<logs>/base.log",
    localrule: STUDY.model.builder == "hub"  # a download, and a cluster's nodes may have no network
    conda:
        conda_file()
    threads: STUDY.model.threads
    resources:
        mem_mb=growing(8_000),
        runtime=growing(120),
    params:
        settings=BaseModelSettings.of(STUDY).text(),
    shell:
        command(
            "base_model.py --settings {params.settings:q}"
            " --output {output.model} --info {output.info} > {log} 2>&1"
        )


TRACKERS = ""
if STUDY.training.report_to:
    TRACKERS = f" --report-to {' '.join(STUDY.training.report_to)} --group {STUDY.name}"


# Only run.json is an output: checkpoints and resume checkpoints are next to it, where Snakemake does not delete them when
# a job fails or runs again (see modomodo/training/run_folder.py).
rule train:
    input:
        base="<results>/base",
        info="<results>/base.json",
        stream="<results>/streams/{mixture}/{seed}.jsonl",
        summary="<results>/streams/{mixture}/{seed}.summary.json",
        examples=examples_of,
    output:
        "<results>/runs/{mixture}/{seed}/run.json",
    log:
        "<logs>/runs/{mixture}/{seed}.log",
    conda:
        conda_file(STUDY.training.gpus)
    threads: STUDY.training.threads
    resources:
        gpu=STUDY.training.gpus,
        mem_mb=growing(8_000 + 56_000 * STUDY.training.gpus),
        # Does not grow: a run that was out of time resumes, and a longer limit waits longer in the queue.
        runtime=training_minutes,
    params:
        cache_version=TRAINING_VERSION,
        settings=lambda wildcards: train_settings(tuple(support_of(wildcards))),
    shell:
        # When a scheduler ends the job, the trainer has to write a resume checkpoint: its shell ignores the signal.
        # --save-steps and --report-to are none of the params: how often one is written, and where the run is shown,
        # changes no result, so a new value re-runs nothing.
        command(
            "train.py --settings {params.settings:q} --base {input.base} --base-info {input.info}"
            " --stream {input.stream} --examples {input.examples} --mixture {wildcards.mixture} --seed {wildcards.seed}"
            f" --save-steps {STUDY.training.save_steps}{TRACKERS}"
            " --output {output} > {log} 2>&1",
            before="trap '' TERM; ",
        )
