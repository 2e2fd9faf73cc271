"""records.csv, run.json of the runs → overview.rst, the first page of the report.

Example:
    python scripts/overview.py --settings config/tiny.yaml --records results/tiny/records.csv \\
        --questions results/tiny/question_scores.csv \\
        --runs results/tiny/runs/*/*/run.json --table1 results/tiny/table1.csv --verdict results/tiny/verdict.json \\
        --output /tmp/overview.rst

The verdict, what was run, what won, how sure, what it cost, what differs from the paper, and every warning about
the results.
"""

from pathlib import Path

import pandas as pd

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.files import atomic_write, read_json
from modomodo.mixtures.plan import plan
from modomodo.reporting.overview import overview
from modomodo.reporting.results import read_results
from modomodo.reporting.settings import OverviewSettings
from modomodo.reporting.verdict import read_verdict
from modomodo.warning_files import warned


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--records", type=Path, required=True, help="records.csv")
    command_line.add_questions(parser)
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="run.json of the runs")
    parser.add_argument(
        "--scores", type=Path, nargs="*", default=[], help="scores of the runs, for their warnings"
    )
    parser.add_argument("--table1", type=Path, help="table1.csv: examples of each dataset")
    parser.add_argument("--verdict", type=Path, required=True, help="verdict.json of the table")
    parser.add_argument("--output", type=Path, required=True, help="OVERVIEW.rst")
    arguments = parser.parse_args()
    settings = command_line.settings(
        arguments.settings,
        OverviewSettings,
        lambda study: OverviewSettings.of(study, plan(study, arguments.settings)),
    )
    load_plugins(settings.plugins)
    found = read_results(arguments.records, settings, questions=arguments.questions)
    sizes = {}
    if arguments.table1:
        sizes = pd.read_csv(arguments.table1).groupby("dataset")["examples"].sum().to_dict()
    outputs = [*([arguments.table1] if arguments.table1 else []), *arguments.runs, *arguments.scores]
    runs = [read_json(path) for path in arguments.runs]
    verdict = read_verdict(arguments.verdict)
    text = overview(settings, found, verdict, runs, sizes, warned(outputs))
    with atomic_write(arguments.output) as file:
        file.write(text)


if __name__ == "__main__":
    command_line.run(main)
