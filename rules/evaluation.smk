# checkpoints → predictions → scores → records

from modomodo.config.schema import held_out_name
from modomodo.evaluation.predictions import CACHE_VERSION as PREDICTION_VERSION
from modomodo.evaluation.predictions import runs_without_weights
from modomodo.evaluation.settings import InDomainSettings, metric_versions, PredictSettings, ScoreSettings
from modomodo.mixtures.settings import RecordsSettings
from modomodo.study.lmms_tasks import check_reachable


localrules:
    records,


PREDICT = PredictSettings.of(STUDY)
BENCHMARKS = collect("<results>/examples/{benchmark}.jsonl", benchmark=STUDY.benchmarks)


# Checked here and not by an input function, whose error Snakemake ignores where the output exists.
if STUDY.training.keep_weights is not None:
    lost = runs_without_weights(Path(f"results/{STUDY.name}"), PLAN.runs, STUDY.benchmarks, PREDICT)
    if lost:
        asked = ", ".join(sorted({name for *_, names in lost for name in names}))
        count = sum(bool(names) for *_, names in lost)
        folders = " ".join(f"results/{STUDY.name}/runs/{mixture}/{seed}" for mixture, seed, _ in lost)
        sys.exit(
            f"error: {WHERE}: {count} runs have not answered {asked}, and training.keep_weights removed their "
            f"weights: to train them again, rm -r {folders}"
        )


# By whoever starts the run: the nodes of a cluster may have no network, and need none.
if workflow.is_main_process:
    try:
        check_reachable(STUDY)
    except InputError as error:
        sys.exit(f"error: {WHERE}: {error}")


# The list of predictions is the output; each prediction lies next to it with the digest of what it depends on,
# so that a new benchmark predicts only itself.
rule predict:
    input:
        unpack(answering_model),
        benchmarks=BENCHMARKS,
    output:
        "<results>/predictions/{mixture}/{seed}/predictions.json",
    log:
        "<logs>/predictions/{mixture}/{seed}.log",
    conda:
        conda_file(STUDY.evaluation.gpus)
    threads: STUDY.evaluation.threads
    resources:
        gpu=STUDY.evaluation.gpus,
        mem_mb=growing(8_000 + 56_000 * STUDY.evaluation.gpus),
        runtime=growing(8 * 60),
        # As with save_steps of a training: which weights stay changes no result.
        keep=keep_option,
    params:
        cache_version=PREDICTION_VERSION,
        settings=PREDICT.text(),
        model=model_options,
    shell:
        command(
            "predict.py --settings {params.settings:q} {params.model} --benchmarks {input.benchmarks}"
            " --output {output} --keep {resources.keep} > {log} 2>&1"
        )


# A judge needs the network, which a cluster's nodes may not have.
if ScoreSettings.of(STUDY).judge:

    localrules:
        score,


rule score:
    input:
        predictions="<results>/predictions/{mixture}/{seed}/predictions.json",
        benchmarks=BENCHMARKS,
        # lmms-eval scores its tasks with their rows as it had them.
        rows=[str(raw_folder(name) / MANIFEST) for name in STUDY.benchmarks if STUDY.benchmarks[name].task],
    output:
        scores="<results>/scores/{mixture}/{seed}.json",
        questions="<results>/scores/{mixture}/{seed}.csv",
    log:
        "<logs>/scores/{mixture}/{seed}.log",
    conda:
        conda_file()
    resources:
        mem_mb=growing(4_000),
        runtime=growing(60),
    params:
        versions=metric_versions(STUDY),
        settings=ScoreSettings.of(STUDY).text(),
    shell:
        command(
            "score.py --settings {params.settings:q} --predictions {input.predictions}"
            " --benchmarks {input.benchmarks} --output {output.scores} > {log} 2>&1"
        )


rule records:
    input:
        scores=[f"<results>/scores/{mixture}/{seed}.json" for mixture, seed in PLAN.scored_jobs],
        questions=[f"<results>/scores/{mixture}/{seed}.csv" for mixture, seed in PLAN.scored_jobs],
        mixtures=collect("<results>/mixtures/{mixture}.json", mixture=PLAN.mixture_files),
        # Which weights an online run came to, its mixture does not say.
        online=[
            f"<results>/runs/{mixture}/{seed}/run.json"
            for mixture, seed in PLAN.runs
            if mixture in PLAN.online
        ],
    output:
        records="<results>/records.csv",
        questions="<results>/question_scores.csv",
    log:
        "<logs>/records.log",
    conda:
        conda_file()
    params:
        settings=RecordsSettings.of(STUDY).text(),
    shell:
        command(
            "collect_records.py --settings {params.settings:q} --scores {input.scores}"
            " --mixtures {input.mixtures} --online {input.online} --output {output.records} > {log} 2>&1"
        )


# What training on one domain alone gains on held-out questions of its kind. Part of no score.
if STUDY.held_out:

    rule in_domain:
        input:
            base="<results>/base",
            info="<results>/base.json",
            runs=[
                f"<results>/runs/{mixture}/{STUDY.training.seed}/run.json"
                for mixture in PLAN.singles.values()
            ],
            held_out=[f"<results>/examples/{held_out_name(domain)}.jsonl" for domain in PLAN.singles],
        output:
            "<results>/in_domain.csv",
        log:
            "<logs>/in_domain.log",
        conda:
            conda_file(STUDY.evaluation.gpus)
        threads: STUDY.evaluation.threads
        resources:
            gpu=min(1, STUDY.evaluation.gpus),
            mem_mb=growing(8_000 + 56_000 * min(1, STUDY.evaluation.gpus)),
            runtime=growing(60),
        params:
            cache_version=PREDICTION_VERSION,
            settings=InDomainSettings.of(STUDY).text(),
            runs=lambda wildcards, input: [f"{domain}={run}" for domain, run in zip(PLAN.singles, input.runs)],
        shell:
            command(
                "in_domain.py --settings {params.settings:q} --base {input.base} --runs {params.runs}"
                " --held-out {input.held_out} --output {output} > {log} 2>&1"
            )
