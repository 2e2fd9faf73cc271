# records → table, figures, explorer, report

from modomodo.reporting.figures import CAPTIONS, DRAWN_BY, figures_of
from modomodo.reporting.settings import EXPLORER_SCRIPTS, ExplorerSettings, ExportSettings, FiguresSettings
from modomodo.reporting.settings import ReportSettings, RunPagesSettings, VerdictSettings


localrules:
    table2_files,
    figures_files,
    explorer,
    run_pages,
    report_page,


# What says which mixture to use: table2_files writes it, and the pages show it.
VERDICT = (
    "reporting/verdict",
    "reporting/wording",
    "../report/verdict.md.jinja",
)


rule table2_files:
    input:
        records="<results>/records.csv",
        questions="<results>/question_scores.csv",
        runs=[f"<results>/runs/{mixture}/{seed}/run.json" for mixture, seed in PLAN.runs],
    output:
        csv=report(
            "<results>/table2.csv",
            caption="../report/table2.rst",
            category="Tables",
            labels={"table": "Table 2: every mixture's scores"},
        ),
        markdown="<results>/table2.md",
        noise="<results>/noise.json",
        verdict="<results>/verdict.json",
        words="<results>/verdict.txt",
    log:
        "<logs>/table2.log",
    conda:
        conda_file()
    params:
        code=code_digest(
            "reporting/tables",
            "reporting/differences",
            "reporting/questions",
            "standard_errors",
            "reporting/templates",
            "../report/table2.md.jinja",
            "reporting/results",
            *VERDICT,
            "mixtures/records",
        ),
        settings=VerdictSettings.of(STUDY, PLAN).text(),
    shell:
        command(
            "table.py --settings {params.settings:q} --records {input.records}"
            " --questions {input.questions} --runs {input.runs} --output {output.csv} > {log} 2>&1"
        )


# Which figures there are is known from the study: those of records, and of runs where it has any.
FIGURES = figures_of(PLAN)
LOOKED_AT = {
    "reporting/results",
    "reporting/surface",
    "reporting/effects",
    "mixtures/records",
    "reporting/tables",
    "reporting/differences",
    "reporting/questions",
    "standard_errors",
    "mixtures/surrogates/evidence",
    "mixtures/surrogates/gaussian_processes",
    "mixtures/surrogates/kernels",
    "mixtures/surrogates/posterior",
    "mixtures/surrogates/calibration",
}


# One job for all: each is drawn in less time than matplotlib takes to start.
rule figures_files:
    input:
        records="<results>/records.csv",
        questions="<results>/question_scores.csv",
        runs=[f"<results>/runs/{mixture}/{seed}/run.json" for mixture, seed in PLAN.runs],
    output:
        [
            in_report(
                f"<results>/figures/{figure}.svg", figure, "Figures", figure=CAPTIONS[figure], file="image"
            )
            for figure in FIGURES
        ],
        [
            in_report(
                f"<results>/figures/{figure}.csv", figure, "Figures", figure=CAPTIONS[figure], file="numbers"
            )
            for figure in FIGURES
        ],
        collect("<results>/figures/{figure}.png", figure=FIGURES),
    log:
        "<logs>/figures.log",
    conda:
        conda_file()
    params:
        figures=FIGURES,
        folder=lambda wildcards, output: Path(output[0]).parent,
        code=code_digest(
            *LOOKED_AT, "reporting/training_logs", *(f"reporting/figures/{name}" for name in DRAWN_BY)
        ),
        settings=FiguresSettings.of(STUDY, PLAN).text(),
    shell:
        command(
            "figures.py --settings {params.settings:q} --records {input.records}"
            " --questions {input.questions} --runs {input.runs} --only {params.figures} --output {params.folder} > {log} 2>&1"
        )


rule explorer:
    input:
        records="<results>/records.csv",
        questions="<results>/question_scores.csv",
        table1="<results>/table1.csv",
        verdict="<results>/verdict.json",
    output:
        in_report("<results>/explorer.html", "explorer", "Explorer", page="Any mixture's predicted scores"),
    log:
        "<logs>/explorer.log",
    conda:
        conda_file()
    params:
        code=code_digest(
            "reporting/surface",
            "reporting/explorer/__init__",
            "reporting/effects",
            "reporting/explorer/page.html",
            "reporting/explorer/page.css",
            *(f"reporting/explorer/{name}.js" for name in EXPLORER_SCRIPTS),
            *VERDICT,
            *LOOKED_AT,
        ),
        settings=ExplorerSettings.of(STUDY, PLAN).text(),
    shell:
        command(
            "explorer.py --settings {params.settings:q} --records {input.records}"
            " --questions {input.questions} --table1 {input.table1}"
            " --verdict {input.verdict} --run-pages runs.html --output {output} > {log} 2>&1"
        )


# The pages of all runs, in one file: `#all/42` behind its address is that of one.
rule run_pages:
    input:
        records="<results>/records.csv",
        questions="<results>/question_scores.csv",
        runs=[f"<results>/runs/{mixture}/{seed}/run.json" for mixture, seed in PLAN.runs],
        predictions=[
            f"<results>/predictions/{mixture}/{seed}/predictions.json" for mixture, seed in PLAN.scored_jobs
        ],
        scores=[f"<results>/scores/{mixture}/{seed}.json" for mixture, seed in PLAN.scored_jobs],
        benchmarks=BENCHMARKS,
    output:
        in_report("<results>/runs.html", "runs", "Runs", page="Each run: training and answers"),
    log:
        "<logs>/runs.log",
    conda:
        conda_file()
    params:
        code=code_digest(
            "reporting/run_pages",
            "reporting/samples",
            "reporting/pictures",
            "reporting/training_logs",
            "reporting/templates",
            "reporting/results",
            "reporting/tables",
            "study/evidence",
            "../report/runs.html.jinja",
            "../report/runs.css",
            "../report/runs.js",
            "../report/pages.css",
        ),
        settings=RunPagesSettings.of(STUDY, PLAN).text(),
    shell:
        command(
            "runs.py --settings {params.settings:q} --records {input.records}"
            " --questions {input.questions} --runs {input.runs} --predictions {input.predictions}"
            " --scores {input.scores} --benchmarks {input.benchmarks} --output {output} > {log} 2>&1"
        )


rule report_page:
    input:
        records="<results>/records.csv",
        questions="<results>/question_scores.csv",
        runs=[f"<results>/runs/{mixture}/{seed}/run.json" for mixture, seed in PLAN.runs],
        scores=[f"<results>/scores/{mixture}/{seed}.json" for mixture, seed in PLAN.scored_jobs],
        table1="<results>/table1.csv",
        verdict="<results>/verdict.json",
        figures=collect("<results>/figures/{figure}.svg", figure=FIGURES),
        in_domain=["<results>/in_domain.csv"] if STUDY.held_out else [],
    output:
        in_report("<results>/report.html", "report", "Report", page="Verdict, evidence, method"),
    log:
        "<logs>/report.log",
    conda:
        conda_file()
    params:
        code=code_digest(
            "reporting/report",
            "reporting/winner",
            "reporting/templates",
            "warning_files",
            "../report/report.html.jinja",
            "../report/page.html.jinja",
            "../report/pages.css",
            "../report/report.css",
            *VERDICT,
            *LOOKED_AT,
        ),
        settings=ReportSettings.of(STUDY, PLAN).text(),
        in_domain=lambda wildcards, input: f"--in-domain {input.in_domain}" if input.in_domain else "",
    shell:
        command(
            "report.py --settings {params.settings:q} --records {input.records}"
            " --questions {input.questions} --runs {input.runs} --scores {input.scores} --table1 {input.table1}"
            " --verdict {input.verdict} --figures {input.figures} {params.in_domain} --output {output} > {log} 2>&1"
        )


# Nothing asks for it but `make export`.
rule export:
    input:
        records="<results>/records.csv",
        questions="<results>/question_scores.csv",
        runs=[f"<results>/runs/{mixture}/{STUDY.training.seed}/run.json" for mixture in PLAN.mixtures],
        base="<results>/base",
        table1="<results>/table1.csv",
    output:
        directory("<results>/export"),
    log:
        "<logs>/export.log",
    conda:
        conda_file(STUDY.training.gpus)
    resources:
        mem_mb=growing(16_000),
        runtime=growing(60),
    params:
        code=code_digest("reporting/model_card", "study/export", "../report/model_card.md.jinja", *LOOKED_AT),
        settings=ExportSettings.of(STUDY, PLAN).text(),
    shell:
        command(
            "export.py --settings {params.settings:q} --records {input.records}"
            " --questions {input.questions} --runs {input.runs} --base {input.base} --table1 {input.table1}"
            " --output {output} > {log} 2>&1"
        )
