"""Compare our MathVista and MMMU scorers with the official verdicts on real model answers.

Example:
    python benchmarks/conformance.py ../shared/conformance/*.jsonl

Each FILE holds one answer a line. MathVista rows go from `extraction` to `prediction` and `true_false`, MMMU
rows from `response` to `official_correct`; MMMU rows in which the official parser drew at random (`fallback`)
are left out, but a row in which only ours finds no option disagrees. Prints `FILE: agree/total` and the ids
of the rows that disagree. Exit status 1 when any does.
"""

import sys
from pathlib import Path
from typing import Any

from modomodo import command_line
from modomodo.errors import InputError
from modomodo.evaluation.metrics import mathvista, mmmu
from modomodo.files import read_jsonl


def mathvista_agrees(row: dict[str, Any]) -> bool:
    """Whether our normalisation and verdict are the official ones."""
    choices = row["choices"] if row["question_type"] == "multi_choice" else []
    prediction = mathvista.normalise(row["extraction"], choices, row["answer_type"], row["precision"])
    return prediction == row["prediction"] and (prediction == row["answer"]) == row["true_false"]


def mmmu_agrees(row: dict[str, Any]) -> bool | None:
    """Whether our verdict is the official one; None for a row that the official parser drew."""
    if row["fallback"]:
        return None
    accepted = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
    if row["question_type"] != "multiple-choice":
        return mmmu.is_open_match(row["response"], accepted) == row["official_correct"]
    letter = mmmu.parse_choice(row["response"], row["index2ans"])
    return letter is not None and (letter in accepted) == row["official_correct"]


def compare(path: str | Path) -> tuple[int, list[str]]:
    """(rows compared, ids of those that disagree). Raises InputError naming file and line of a bad row."""
    total, disagreeing = 0, []
    for number, row in read_jsonl(path):
        try:
            identity, agrees = (
                (row["pid"], mathvista_agrees(row)) if "extraction" in row else (row["id"], mmmu_agrees(row))
            )
        except KeyError as error:
            raise InputError(
                f"{path}:{number}: no field {error}: neither a MathVista nor an MMMU row"
            ) from None
        except (TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{path}:{number}: a field of another type than published: {error}") from None
        if agrees is not None:
            total += 1
            if not agrees:
                disagreeing.append(identity)
    return total, disagreeing


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("files", metavar="FILE", nargs="+", help="answers with official verdicts, JSONL")
    disagreed = False
    for path in parser.parse_args().files:
        total, disagreeing = compare(path)
        print(f"{Path(path).name}: {total - len(disagreeing)}/{total}")
        for identity in disagreeing:
            print(f"  {identity}")
        disagreed |= bool(disagreeing)
    sys.exit(1 if disagreed else 0)


if __name__ == "__main__":
    command_line.run(main)
