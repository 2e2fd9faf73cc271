"""Compare our MathVista and MMMU scorers with the official verdicts on real model answers.

Example:
    python benchmarks/conformance.py ../shared/conformance/*.jsonl

Each FILE holds one answer a line. MathVista rows go from `extraction` to `prediction` and `true_false`, MMMU
rows from `response` to `official_correct`; MMMU rows in which the official parser drew at random (`fallback`)
are left out, but a row in which only ours finds no option disagrees. Prints `FILE: agree/total` and the ids
of the rows that disagree. Exit status 1 when any does.

With --metric: how many official verdicts the metric `mathvista` changes, which never takes an answer that it cannot
read for the nearest option: once from the published extraction on, once from the whole response.
"""

import sys
from pathlib import Path
from typing import Any

from modomodo import command_line
from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.files import read_jsonl
from modomodo.metrics import mathvista, mmmu


def mathvista_agrees(row: dict[str, Any]) -> bool:
    """Whether our normalisation and verdict are the official ones."""
    choices = row["choices"] if row["question_type"] == "multi_choice" else []
    prediction = mathvista.normalise(row["extraction"], choices, row["answer_type"], row["precision"])
    return prediction == row["prediction"] and (prediction == row["answer"]) == row["true_false"]


def changed_verdicts(path: str | Path) -> str:
    """A line on the official verdicts of a MathVista file that the metric changes, with the share of rows unparsed."""
    rows = [row for _, row in read_jsonl(path) if "extraction" in row]
    parts = []
    for field in ("extraction", "response"):
        scores = [mathvista.mathvista.score(str(row[field]), _example(row)) for row in rows]
        pairs = list(zip(rows, scores, strict=True))
        lost = sum(row["true_false"] and not score.value for row, score in pairs)
        won = sum(bool(score.value) and not row["true_false"] for row, score in pairs)
        unparsed = sum(not score.parsed for score in scores)
        parts.append(f"{lost + won} from the {field} ({lost} right to wrong, {unparsed} unparsed)")
    return f"{Path(path).name}: of {len(rows)} verdicts changed: {', '.join(parts)}"


def _example(row: dict[str, Any]) -> Example:
    """A MathVista row as an example; where two options have the same text, the first is the answer."""
    choices = row["choices"] if row["question_type"] == "multi_choice" else []
    return Example(
        id=row["pid"],
        dataset="MathVista",
        image="unread",
        question="?",
        answer=chr(ord("A") + choices.index(row["answer"])) if choices else row["answer"],
        answer_type="choice" if choices else "text",
        choices=choices,
        meta={"answer_type": row["answer_type"], "precision": row["precision"]},
    )


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
    parser.add_argument(
        "--metric", action="store_true", help="count the verdicts that the metric changes instead"
    )
    arguments = parser.parse_args()
    disagreed = False
    for path in arguments.files:
        if arguments.metric:
            print(changed_verdicts(path))
            continue
        total, disagreeing = compare(path)
        print(f"{Path(path).name}: {total - len(disagreeing)}/{total}")
        for identity in disagreeing:
            print(f"  {identity}")
        disagreed |= bool(disagreeing)
    sys.exit(1 if disagreed else 0)


if __name__ == "__main__":
    command_line.run(main)
