"""scores → records.csv: one row a (mixture, seed, step), weights in, scores out.

Example:
    python scripts/collect_records.py --settings config/tiny.yaml --scores results/tiny/scores/*/*.json \\
        --mixtures results/tiny/mixtures/*.json --output /tmp/records.csv
"""

from pathlib import Path

from modomodo import command_line
from modomodo.evaluation.scores import read_scored
from modomodo.mixtures.records import write_records
from modomodo.mixtures.settings import RecordsSettings
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--scores", type=Path, required=True, nargs="+", help="scores of the runs")
    parser.add_argument("--mixtures", type=Path, required=True, nargs="+", help="their mixtures")
    parser.add_argument("--output", type=Path, required=True, help="records.csv")
    arguments = parser.parse_args()
    settings = command_line.settings(arguments.settings, RecordsSettings, RecordsSettings.of)
    records = read_scored(arguments.scores, arguments.mixtures, settings.domains, dict(settings.benchmarks))
    write_records(arguments.output, records)
    describe(arguments.output, settings, [*arguments.scores, *arguments.mixtures])


if __name__ == "__main__":
    command_line.run(main)
