# experts + mixtures → records of fidelity `merged`; nothing here runs unless a strategy or a target asks for it

from modomodo.merging.settings import MergeSettings, CACHE_VERSION as MERGE_VERSION, ScreenSettings
from modomodo.mixtures.plan import usable_domains


# The merged scores of every mixture of the study, also of those that are not trained yet.
rule score_merges:
    input:
        base="<results>/base",
        info="<results>/base.json",
        experts=expert_runs(PLAN.experts),
        mixtures=collect(
            "<results>/mixtures/{mixture}.json",
            mixture=[mixture for mixture in PLAN.mixtures if mixture not in PLAN.online],
        ),
        benchmarks=BENCHMARKS,
    output:
        "<results>/merged.csv",
    log:
        "<logs>/merged.log",
    conda:
        conda_file(STUDY.evaluation.gpus)
    threads: STUDY.evaluation.threads
    resources:
        gpu=STUDY.evaluation.gpus,
        mem_mb=growing(16_000 + 56_000 * STUDY.evaluation.gpus),
        runtime=growing(24 * 60),
    params:
        cache_version=MERGE_VERSION,
        settings=MergeSettings.of(STUDY).text(),
    shell:
        command(
            "score_merges.py --settings {params.settings:q} --base {input.base} --base-info {input.info}"
            " --experts {input.experts} --mixtures {input.mixtures} --benchmarks {input.benchmarks}"
            " --output {output} > {log} 2>&1"
        )


# The merged scores of the candidates of one strategy.
for name in STUDY.strategies:
    if not screened(name):
        continue

    rule:
        name:
            f"screen_{name}"
        input:
            base="<results>/base",
            info="<results>/base.json",
            experts=expert_runs(usable_domains(STUDY, name)),
            scores=learned(name, "<results>/scores/{mixture}/{seed}.json"),
            mixtures=learned(name, "<results>/mixtures/{mixture}.json"),
            benchmarks=BENCHMARKS,
        output:
            f"<results>/merged/{name}.csv",
        log:
            f"<logs>/merged/{name}.log",
        conda:
            conda_file(STUDY.evaluation.gpus)
        threads: STUDY.evaluation.threads
        resources:
            gpu=STUDY.evaluation.gpus,
            mem_mb=growing(16_000 + 56_000 * STUDY.evaluation.gpus),
            runtime=growing(24 * 60),
        params:
            cache_version=MERGE_VERSION,
            settings=ScreenSettings.of(STUDY, name).text(),
        shell:
            command(
                "screen.py --settings {params.settings:q} --base {input.base} --base-info {input.info}"
                " --experts {input.experts} --scores {input.scores} --mixtures {input.mixtures}"
                " --benchmarks {input.benchmarks} --output {output} > {log} 2>&1"
            )
