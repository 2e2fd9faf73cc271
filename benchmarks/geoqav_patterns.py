"""Find the regular expression that gives the paper's 1,969 GeoQAV examples.

Example:
    python benchmarks/geoqav_patterns.py resources/geoqav-train/main

Counts the rows of the published file that each named pattern of `modomodo.data.readers.geoqav` keeps, and each
expression given, and prints the difference from 1,969. Set the one that fits as `domains.GeoQAV.options.pattern`.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.data.readers.geoqav import PATTERNS, answer_letter, compiled
from modomodo.data.readers.published import parquet_rows

PAPER = 1969


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder of the downloaded parquet file")
    parser.add_argument(
        "pattern", nargs="*", help="further expressions, with one group: the answer in the solution"
    )
    arguments = parser.parse_args()
    expressions = {name: compiled(name) for name in [*PATTERNS, *arguments.pattern]}
    kept = dict.fromkeys(expressions, 0)
    total = 0
    for row in parquet_rows(arguments.folder, ["solution", "original_answer"]):
        total += 1
        for name, expression in expressions.items():
            kept[name] += answer_letter(row, name, expression) is not None
    for name, count in kept.items():
        print(f"{name:>12}: {count} of {total} rows ({count - PAPER:+d})")


if __name__ == "__main__":
    command_line.run(main)
