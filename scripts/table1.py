"""examples → Table 1: how many examples each training set and benchmark has, and whether they suffice.

Example:
    python scripts/table1.py --settings config/tiny.yaml --examples results/tiny/examples/*.jsonl \\
        --output /tmp/table1.csv

Stops when a benchmark has no rows, or when the steps of a run need more prompts than all domains together hold.
A single domain may run dry: its run then ends early, as in the paper.
"""

from pathlib import Path

import pandas as pd

from modomodo import command_line
from modomodo.errors import InputError
from modomodo.examples import read_examples, rejected_path
from modomodo.files import read_jsonl, write_csv
from modomodo.steps import Table1Step
from modomodo.streams import check_enough


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument(
        "--examples", type=Path, required=True, nargs="+", help="DATASET.jsonl files, all of them"
    )
    parser.add_argument("--output", type=Path, required=True, help="table1.csv")
    arguments = parser.parse_args()
    step = command_line.settings(arguments.settings, Table1Step, Table1Step.of)
    files = {path.stem: path for path in arguments.examples}
    rows = []
    sizes = {}
    for name, role in step.roles:
        if name not in files:
            raise InputError(f"--examples: no {name}.jsonl among them")
        examples = list(read_examples(files[name]))
        if not examples:
            raise InputError(f"{files[name]}: no examples: a {role} set needs some")
        if role == "training":
            sizes[name] = len(examples)
        aside = rejected_path(files[name])
        rows.append(
            {
                "dataset": name,
                "role": role,
                "answer_type": "+".join(sorted({example.answer_type for example in examples})),
                "examples": len(examples),
                "rejected": sum(1 for _ in read_jsonl(aside)) if aside.exists() else 0,
            }
        )
    check_enough(sizes, step.steps, step.prompts_per_step)
    write_csv(arguments.output, pd.DataFrame(rows))


if __name__ == "__main__":
    command_line.run(main)
