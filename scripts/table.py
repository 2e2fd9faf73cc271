"""records.csv → Table 2, as CSV and as Markdown.

Example:
    python scripts/table.py --settings config/tiny.yaml --records results/tiny/records.csv \\
        --questions results/tiny/question_scores.csv --runs results/tiny/runs/*/*/run.json --output /tmp/table2.csv

The CSV has every number with its standard error and that of its difference from the best of the column. The Markdown
has the best of each column in bold and marks what cannot be told apart from it; below are the
spread between mixtures and that between seeds, which also go to noise.json. It opens on the verdict: which mixture to
use and how sure that is. verdict.json holds it for the other pages, verdict.txt in the words that they all show.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.files import atomic_write, write_csv, write_json
from modomodo.mixtures.plan import plan
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.trained_runs import runs_so_far
from modomodo.reporting.questions import read_question_scores
from modomodo.reporting.results import results_of
from modomodo.reporting.settings import VerdictSettings
from modomodo.reporting.tables import noise_report, render, with_differences
from modomodo.reporting.verdict import verdict_of
from modomodo.reporting.wording import as_markdown, as_text
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--records", type=Path, required=True, help="records.csv")
    command_line.add_questions(parser)
    parser.add_argument(
        "--runs", type=Path, nargs="*", default=[], help="run.json of the runs: what they cost"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="table2.csv; its .md, noise.json, verdict.json and verdict.txt are written to the same folder",
    )
    arguments = parser.parse_args()
    settings = command_line.settings(
        arguments.settings,
        VerdictSettings,
        lambda study: VerdictSettings.of(study, plan(study, arguments.settings)),
    )
    records = read_records(arguments.records)
    questions = read_question_scores(arguments.questions) if arguments.questions else None
    results = results_of(records, settings.headings, questions=questions)
    records, table, found = results.records, results.table, results.differences
    verdict = verdict_of(results, settings.surrogate, list(runs_so_far(arguments.runs).values()))
    write_csv(arguments.output, with_differences(table, found))
    with atomic_write(arguments.output.with_suffix(".md")) as file:
        file.write(f"{as_markdown(verdict)}\n{render(records, table, found, results.stopped)}")
    write_json(
        arguments.output.with_name("verdict.json"),
        verdict.model_dump(mode="json", exclude=None if verdict.online else {"online"}),
    )
    with atomic_write(arguments.output.with_name("verdict.txt")) as file:
        file.write(as_text(verdict))
    write_json(arguments.output.with_name("noise.json"), noise_report(records, table))
    inputs = [path for path in (arguments.records, arguments.questions) if path]
    describe(arguments.output, settings, inputs)


if __name__ == "__main__":
    command_line.run(main)
