"""MathVista: mathematics in images, AI4Math/MathVista, testmini (540 multiple choice, 460 free form).

Columns pid, question, decoded_image, choices, unit, precision, answer (a text: "145°", "1000", "0.6"),
question_type, answer_type, query and more. A multiple choice becomes the letter of the option whose text the
answer is; a free form keeps its text, and `meta` gives the metric its answer_type and precision.

Open in the paper, an option: `text`: `query` (default), MathVista's own prompt with its hint on the form of
the answer, which lmms-eval builds on; `question`: question, unit and options only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modomodo.data.examples import RawExample
from modomodo.data.images import InvalidRow
from modomodo.data.letters import letter, lettered
from modomodo.data.readers.published import (
    Published,
    Row,
    check_option,
    examples_of,
    image_of,
    parquet_rows,
    published,
    text_of,
)

ABOUT = Published(
    repo="AI4Math/MathVista",
    files={"testmini": ["data/testmini-*.parquet"]},
    licence="cc-by-sa-4.0",
    differs={"testmini": "testmini has exactly the paper's 1,000 rows: check source and revision"},
)


@published("mathvista", ABOUT)
def mathvista(
    raw: Path | None = None, *, split: str = "testmini", text: str = "query"
) -> Iterator[RawExample]:
    """Rows in the order of the files. Raises InputError for an unknown option and damaged files."""
    check_option("split", split, list(ABOUT.files))
    check_option("text", text, ["query", "question"])
    columns = ["pid", "question", "decoded_image", "choices", "unit", "precision", "answer", "question_type"]
    rows = parquet_rows(raw, [*columns, "answer_type", "query"])
    folder = Path(raw or ".")

    def example(row: Row, id_: str) -> RawExample:
        question = text_of(row, "query") if text == "query" else plain_question(row)
        fields = {"id": id_, "question": question, **_answer(row)}
        return fields, image_of(row["decoded_image"], folder)

    return examples_of(rows, lambda row, number: str(row["pid"]), example)


def plain_question(row: Row) -> str:
    """Question, unit and options as MathVista's own prompt writes them, without its hint."""
    question = text_of(row, "question")
    if row["unit"]:
        question += f" (Unit: {row['unit']})"
    if row["choices"]:
        question += f"\nChoices:\n{lettered(row['choices'], '({}) {}')}"
    return question


def _answer(row: Row) -> dict[str, Any]:
    """The fields of the answer. Raises InvalidRow when it is not among the options or of no known type."""
    answer = text_of(row, "answer")
    if row["question_type"] == "multi_choice":
        choices = row["choices"] or []
        if answer not in choices:
            raise InvalidRow(f"answer: '{answer}' is not among the {len(choices)} options")
        # Where two options read the same, either is right: the metric compares their texts.
        return {"answer": letter(choices.index(answer)), "answer_type": "choice", "choices": choices}
    kind = row["answer_type"]
    if kind not in ("integer", "float", "list"):
        raise InvalidRow(f"answer_type: '{kind}': expected integer, float or list")
    meta: dict[str, Any] = {"answer_type": kind}
    if kind == "float":
        precision = row["precision"]
        if not isinstance(precision, int | float) or not 0 <= precision <= 15:  # NaN neither
            raise InvalidRow(f"precision: {precision}: expected a float's number of decimals")
        meta["precision"] = int(precision)
    return {"answer": answer, "answer_type": "text" if kind == "list" else "number", "meta": meta}
