"""records.csv, run.json of the runs, figures → report.html: the verdict, the evidence behind it, how it was made.

Example:
    python scripts/report.py --settings config/tiny.yaml --records results/tiny/records.csv \\
        --questions results/tiny/question_scores.csv --runs results/tiny/runs/*/*/run.json \\
        --table1 results/tiny/table1.csv --verdict results/tiny/verdict.json \\
        --figures results/tiny/figures/*.svg --in-domain results/tiny/in_domain.csv --output /tmp/report.html
    python scripts/report.py --text results/replay/report.md --figures results/replay/figures/*.svg \\
        --output /tmp/report.html

One page that works from disk; printed, its first part is a summary of one sheet. `--text`: of a study of recorded runs,
whose report is written already.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.files import atomic_write
from modomodo.mixtures.plan import plan
from modomodo.mixtures.trained_runs import runs_so_far
from modomodo.reporting.report import Figure, read_figures, report, text_report
from modomodo.reporting.results import read_results
from modomodo.reporting.settings import ReportSettings
from modomodo.reporting.verdict import read_verdict
from modomodo.warning_files import warned


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser, required=False)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--records", type=Path, help="records.csv")
    source.add_argument(
        "--text",
        type=Path,
        help="report.md of a study of recorded runs; the other options but --figures are for --records",
    )
    command_line.add_questions(parser)
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="run.json of the runs")
    parser.add_argument(
        "--scores", type=Path, nargs="*", default=[], help="scores of the runs, for their warnings"
    )
    parser.add_argument("--table1", type=Path, help="table1.csv: examples of each dataset")
    parser.add_argument("--verdict", type=Path, help="verdict.json of the table")
    parser.add_argument("--figures", type=Path, nargs="*", default=[], help="SVG files of the figures")
    parser.add_argument("--in-domain", type=Path, help="in_domain.csv, where the study holds questions out")
    parser.add_argument("--output", type=Path, required=True, help="REPORT.html")
    arguments = parser.parse_args()
    figures = read_figures(arguments.figures)
    if arguments.text:
        text = text_report(arguments.text.read_text(encoding="utf-8"), figures)
    else:
        if not (arguments.settings and arguments.verdict):
            parser.error("--records needs --settings and --verdict")
        text = _of_records(arguments, figures)
    with atomic_write(arguments.output) as file:
        file.write(text)


def _of_records(arguments: argparse.Namespace, figures: Sequence[Figure]) -> str:
    """The report of a study that trained."""
    settings = command_line.settings(
        arguments.settings,
        ReportSettings,
        lambda study: ReportSettings.of(study, plan(study, arguments.settings)),
    )
    load_plugins(settings.plugins)
    found = read_results(arguments.records, settings, questions=arguments.questions)
    sizes = {}
    if arguments.table1:
        sizes = pd.read_csv(arguments.table1).groupby("dataset")["examples"].sum().to_dict()
    outputs = [*([arguments.table1] if arguments.table1 else []), *arguments.runs, *arguments.scores]
    return report(
        settings,
        found,
        read_verdict(arguments.verdict),
        list(runs_so_far(arguments.runs).values()),
        figures,
        sizes,
        warned(outputs),
        pd.read_csv(arguments.in_domain) if arguments.in_domain else None,
    )


if __name__ == "__main__":
    command_line.run(main)
