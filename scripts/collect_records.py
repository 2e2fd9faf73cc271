"""scores → records.csv and question_scores.csv: a row a run and step, and a row a question.

Example:
    python scripts/collect_records.py --settings config/tiny.yaml --scores results/tiny/scores/*/*.json \\
        --mixtures results/tiny/mixtures/*.json --output /tmp/records.csv
"""

from pathlib import Path

from modomodo import command_line
from modomodo.evaluation.scores import read_scored
from modomodo.files import write_csv
from modomodo.mixtures.records import write_records
from modomodo.mixtures.settings import RecordsSettings
from modomodo.reporting.questions import collect_questions
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument(
        "--scores", type=Path, required=True, nargs="+", help="scores of the runs, each with its CSV"
    )
    parser.add_argument("--mixtures", type=Path, required=True, nargs="+", help="their mixtures")
    parser.add_argument(
        "--online", type=Path, nargs="*", default=[], help="run.json of the runs of mixtures that are online"
    )
    parser.add_argument("--output", type=Path, required=True, help="records.csv")
    arguments = parser.parse_args()
    settings = command_line.settings(arguments.settings, RecordsSettings, RecordsSettings.of)
    records = read_scored(
        arguments.scores,
        arguments.mixtures,
        settings.domains,
        dict(settings.benchmarks),
        arguments.online,
    )
    questions = [path.with_suffix(".csv") for path in arguments.scores]
    write_csv(arguments.output.with_name("question_scores.csv"), collect_questions(questions))
    write_records(arguments.output, records)
    describe(
        arguments.output, settings, [*arguments.scores, *questions, *arguments.mixtures, *arguments.online]
    )


if __name__ == "__main__":
    command_line.run(main)
