"""records.csv → Table 2, as CSV and as Markdown.

Example:
    python scripts/table.py --settings config/tiny.yaml --records results/tiny/records.csv --output /tmp/table2.csv

The CSV has every number with its standard error. The Markdown has the best of each column in bold and marks what is
within noise of it; below are the spread between mixtures and that between seeds, which also go to noise.json.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.files import atomic_write, write_csv, write_json
from modomodo.mixtures.plan import plan
from modomodo.mixtures.records_csv import read_records
from modomodo.reporting.settings import TableSettings
from modomodo.reporting.tables import noise_report, render, table2
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--records", type=Path, required=True, help="records.csv")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="table2.csv; its .md and noise.json are written to the same folder",
    )
    arguments = parser.parse_args()
    settings = command_line.settings(
        arguments.settings,
        TableSettings,
        lambda study: TableSettings.of(study, plan(study, arguments.settings)),
    )
    records = read_records(arguments.records)
    table = table2(records, settings.headings, settings.seed)
    write_csv(arguments.output, table)
    with atomic_write(arguments.output.with_suffix(".md")) as file:
        file.write(render(records, table))
    write_json(arguments.output.with_name("noise.json"), noise_report(records, table))
    describe(arguments.output, settings, [arguments.records])


if __name__ == "__main__":
    command_line.run(main)
