"""examples → Table 1: how many examples each training set and benchmark has, and whether they suffice.

Example:
    python scripts/table1.py --settings config/tiny.yaml --examples results/tiny/examples/*.jsonl \\
        --output /tmp/table1.csv

Where the study says how many examples it expects (the paper's Table 1), two columns compare, and a difference is
a warning with its likely cause. Another one says when the steps of a run need more prompts than all domains together
hold: the first stream of all domains then stops the study. Stops when a benchmark has no rows.
A single domain may be exhausted: its run then ends early, as in the paper.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from modomodo import command_line
from modomodo.data.examples import find_examples, read_examples, rejected_path
from modomodo.data.settings import Expected, Table1Settings
from modomodo.errors import InputError
from modomodo.files import read_jsonl, write_csv
from modomodo.mixtures.stream import check_enough


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument(
        "--examples", type=Path, required=True, nargs="+", help="DATASET.jsonl files, all of them"
    )
    parser.add_argument("--output", type=Path, required=True, help="table1.csv")
    arguments = parser.parse_args()
    settings = command_line.settings(arguments.settings, Table1Settings, Table1Settings.of)
    files = find_examples(arguments.examples, [name for name, _ in settings.roles], "--examples")
    rows: list[dict[str, Any]] = []
    sizes = {}
    for name, role in settings.roles:
        examples = list(read_examples(files[name]))
        if not examples:
            raise InputError(f"{files[name]}: no examples: a {role} set needs some")
        if role == "training":
            sizes[name] = len(examples)
        rejected = rejected_path(files[name])
        rows.append(
            {
                "dataset": name,
                "role": role,
                "answer_type": "+".join(sorted({example.answer_type for example in examples})),
                "examples": len(examples),
                "rejected": sum(1 for _ in read_jsonl(rejected)) if rejected.exists() else 0,
            }
        )
    if settings.expected:
        for row in rows:
            compare(row, settings.expected.get(str(row["dataset"])))
    try:
        check_enough(sizes, settings.steps, settings.prompts_per_step)
    except InputError as error:
        print(f"warning: {error}", file=sys.stderr)
    # Nullable integers: a dataset without an expected count leaves its cells empty, not the others "5997.0".
    write_csv(arguments.output, pd.DataFrame(rows).convert_dtypes())


def compare(row: dict[str, Any], expected: Expected | None) -> None:
    """Add the expected count and the difference to a row of the table, and warn when they differ."""
    row["expected"] = expected.examples if expected else None
    row["difference"] = row["examples"] - expected.examples if expected else None
    if expected is None or row["difference"] == 0:
        return
    causes = [expected.cause] if expected.cause else []
    if row["rejected"]:
        causes.insert(0, f"{row['rejected']} rows failed a check, see {row['dataset']}.rejected.jsonl")
    print(
        f"warning: {row['dataset']}: {row['examples']} examples, {expected.examples} expected "
        f"({row['difference']:+d}): {'; '.join(causes) or 'the raw data differs'}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    command_line.run(main)
