"""examples → Table 1: how many examples each training set and benchmark has, and whether they suffice.

Example:
    python scripts/table1.py --settings config/tiny.yaml --examples results/tiny/examples/*.jsonl \\
        --output /tmp/table1.csv

Where the study says how many examples it expects (the paper's Table 1), two columns compare, and a difference is
a warning with its likely cause. Another one says when the steps of a run need more prompts than all domains together
hold: the first stream of all domains then stops the study. Stops when a benchmark has no rows.
A single domain may be exhausted: its run then ends early, as in the paper. `in_training` counts the questions of a
benchmark that are training rows too, image and all: a warning.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from modomodo import command_line
from modomodo.data.examples import find_examples, read_examples, rejected_path
from modomodo.data.overlap import Row, overlaps, rows_of
from modomodo.data.settings import Expected, Table1Settings
from modomodo.errors import InputError
from modomodo.files import read_jsonl, write_csv
from modomodo.mixtures.stream import check_enough
from modomodo.warning_files import warn


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
    questions: dict[str, list[Row]] = {}
    for name, role in settings.roles:
        examples = list(read_examples(files[name]))
        if not examples:
            raise InputError(f"{files[name]}: no examples: a {role} set needs some")
        if role == "training":
            sizes[name] = len(examples)
        questions[name] = rows_of(examples)
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
    texts = add_overlaps(rows, questions, [name for name, role in settings.roles if role == "training"])
    if settings.expected:
        for row in rows:
            texts += compare(row, settings.expected.get(str(row["dataset"])))
    try:
        check_enough(sizes, settings.steps, settings.prompts_per_step, settings.iterations)
    except InputError as error:
        texts.append(str(error))
    warn(arguments.output, texts)
    # Nullable integers: a dataset without an expected count leaves its cells empty, not the others "5997.0".
    write_csv(arguments.output, pd.DataFrame(rows).convert_dtypes())


def add_overlaps(
    rows: list[dict[str, Any]], questions: dict[str, list[Row]], domains: Sequence[str]
) -> list[str]:
    """Add to the rows of benchmarks how many of their questions are in any training set; a warning for each set."""
    training = {domain: questions[domain] for domain in domains}
    everything = {"": [row for domain in domains for row in questions[domain]]}
    texts = []
    for row in rows:
        row["in_training"] = None
        if row["role"] == "training":
            continue
        name = str(row["dataset"])
        row["in_training"] = overlaps(questions[name], everything).get("", 0)
        texts += [
            f"{name}: {count} of its {row['examples']} questions are training rows of {domain} too, image and all: "
            "a better score need not be a better skill"
            for domain, count in overlaps(questions[name], training).items()
        ]
    return texts


def compare(row: dict[str, Any], expected: Expected | None) -> list[str]:
    """Add the expected count and the difference to a row of the table, and a warning when they differ."""
    row["expected"] = expected.examples if expected else None
    row["difference"] = row["examples"] - expected.examples if expected else None
    if expected is None or row["difference"] == 0:
        return []
    causes = [expected.cause] if expected.cause else []
    if row["rejected"]:
        causes.insert(0, f"{row['rejected']} rows failed a check, see {row['dataset']}.rejected.jsonl")
    return [
        f"{row['dataset']}: {row['examples']} examples, {expected.examples} expected "
        f"({row['difference']:+d}): {'; '.join(causes) or 'the raw data differs'}",
    ]


if __name__ == "__main__":
    command_line.run(main)
