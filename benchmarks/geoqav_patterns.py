"""Find the regular expression that gives the paper's 1,969 GeoQAV examples.

Example:
    python benchmarks/geoqav_patterns.py resources/geoqav-train/main

Counts the rows of the published file in which each named pattern of `modomodo.data.readers.geoqav`, and each
expression given, finds a letter, and those of them that are kept, since their options are listed; prints the difference
of both from 1,969. Set the one that fits as `domains.GeoQAV.options.pattern`.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.data.readers.geoqav import PATTERNS, answer_letter, compiled, options_of
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
    found, kept = dict.fromkeys(expressions, 0), dict.fromkeys(expressions, 0)
    total = 0
    columns = ["solution", "original_answer", "problem", "original_question"]
    for row in parquet_rows(arguments.folder, columns):
        total += 1
        for name, expression in expressions.items():
            letter = answer_letter(row, name, expression)
            if letter is not None:
                found[name] += 1
                _, options = options_of(row, "problem", letter)
                kept[name] += ord(letter) - ord("A") < len(options)
    for name in expressions:
        print(
            f"{name:>12}: a letter in {found[name]} of {total} rows ({found[name] - PAPER:+d}), "
            f"kept {kept[name]} ({kept[name] - PAPER:+d})"
        )


if __name__ == "__main__":
    command_line.run(main)
