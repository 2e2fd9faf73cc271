# records → mixtures, mixture + examples → stream

from modomodo.mixtures.plan import proposal_version, searches
from modomodo.mixtures.races import CACHE_VERSION as PROMOTION_VERSION
from modomodo.mixtures.settings import ProposeSettings, RecordsSettings
from modomodo.mixtures.stream import CACHE_VERSION as STREAM_VERSION

# One rule for each strategy, since they write different numbers of mixtures.
for name in STUDY.strategies:

    rule:
        name:
            f"propose_{name}"
        input:
            scores=learned(name, "<results>/scores/{mixture}/{seed}.json"),
            mixtures=learned(name, "<results>/mixtures/{mixture}.json"),
            merged=screened(name),
            cheaper=cheaper_tables(name),
        output:
            mixtures=collect("<results>/mixtures/{mixture}.json", mixture=PLAN.proposed(name)),
            # The surrogates tried, by how well they predict left-out mixtures.
            comparison=[f"<results>/comparisons/{name}.csv"] if searches(STUDY, name) else [],
        log:
            f"<logs>/mixtures/{name}.log",
        conda:
            conda_file()
        resources:
            mem_mb=growing(4_000),
            runtime=growing(60),
        params:
            strategy=name,
            version=proposal_version(STUDY, name),
            round=PLAN.rounds[name],
            settings=ProposeSettings.of(STUDY, name).text(),
            records=records_option(name),
        # Snakemake formats the command when the job runs, and by then `name` is the last strategy. So the command has
        # the same words for every strategy, with an option without a value where there is none.
        shell:
            command(
                "propose.py --settings {params.settings:q} --strategy {params.strategy}"
                " --round {params.round} {params.records} --scores {input.scores} --mixtures {input.mixtures}"
                " --merged {input.merged} --output {output.mixtures} --comparison {output.comparison} > {log} 2>&1"
            )


# Races: one rule for each rung after the first. Who trains on to it takes its places.
for name, step in dict.fromkeys((place.strategy, place.step) for place in PLAN.places if not place.of):

    rule:
        name:
            f"promote_{name}_{step}"
        input:
            scores=seen_at(name, step, "<results>/scores/{mixture}/{seed}.json"),
            mixtures=seen_at(name, step, "<results>/mixtures/{mixture}.json"),
        output:
            places=[f"<results>/mixtures/{place}.json" for place in PLAN.places_at(name, step)],
            promotion=f"<results>/races/{name}/{step}.json",
        log:
            f"<logs>/races/{name}/{step}.log",
        conda:
            conda_file()
        resources:
            mem_mb=growing(4_000),
            runtime=growing(60),
        params:
            strategy=name,
            step=step,
            version=PROMOTION_VERSION,
            settings=ProposeSettings.of(STUDY, name).text(),
            records=RecordsSettings.of(STUDY).unordered().text(),
        shell:
            command(
                "promote.py --settings {params.settings:q} --strategy {params.strategy} --step {params.step}"
                " --records-settings {params.records:q} --scores {input.scores} --mixtures {input.mixtures}"
                " --places {output.places} --output {output.promotion} > {log} 2>&1"
            )


# Before any training: a stream of all domains stops the study when its steps need more prompts than there are.
rule draw_stream:
    input:
        mixture="<results>/mixtures/{mixture}.json",
        examples=examples_of,
    output:
        stream="<results>/streams/{mixture}/{seed}.jsonl",
        summary="<results>/streams/{mixture}/{seed}.summary.json",
    log:
        "<logs>/streams/{mixture}/{seed}.log",
    priority: 90
    conda:
        conda_file()
    resources:
        mem_mb=growing(4_000),
        runtime=growing(30),
    params:
        version=STREAM_VERSION,
        settings=lambda wildcards: stream_settings(wildcards.mixture, int(wildcards.seed)),
    shell:
        command(
            "draw_stream.py --settings {params.settings:q} --mixture {input.mixture}"
            " --examples {input.examples} --seed {wildcards.seed} --output {output.stream} > {log} 2>&1"
        )
