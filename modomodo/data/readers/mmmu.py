"""MMMU: college-level questions with one to seven images, lmms-lab/MMMU, validation (847 choices, 53 open).

Columns id, question, options (a list written as a Python literal), answer, question_type, image_1 …
image_7. The options are joined to the question, "A. …", one a line, as lmms-eval does. The images that question
and options refer to come in the order of their numbers, and their placeholders, `<image 2>`, stay in the text; an
image that only the explanation refers to is not shown. The answer of an open question may be a list written as a
literal ("['24/7', '3.429']"): all of them are accepted. The test split has no answers.

A row that refers to an image which it has not is rejected. In MMMU's own recorded outputs the options of
validation_Math_7 are "<image 7>, <image 8>, …" up to <image 30>, of which the published columns could hold image 7 at
most; whether the published row is so, or mended, is not known here. Then there are 899 rows and one rejected.
"""

import ast
import io
import re
import tokenize
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

_IMAGES = [f"image_{number}" for number in range(1, 8)]
_PLACEHOLDER = re.compile(r"<image (\d+)>")
_LONGEST_LITERAL = 100_000  # characters; more is no list of options

ABOUT = Published(
    repo="lmms-lab/MMMU",
    formerly=["lmms-lab-encoder/MMMU"],
    files={"validation": ["data/validation-*.parquet"], "dev": ["data/dev-*.parquet"]},
    licence="apache-2.0 (MMMU/MMMU)",
    differs={
        "validation": "the validation split has exactly the paper's 900 rows: check source and revision"
    },
)


@published("mmmu", ABOUT)
def mmmu(raw: Path | None = None, *, split: str = "validation") -> Iterator[RawExample]:
    """Rows in the order of the files. Raises InputError for an unknown option and damaged files."""
    check_option("split", split, list(ABOUT.files))
    rows = parquet_rows(raw, ["id", "question", "options", "answer", "question_type", "image_1"], _IMAGES[1:])
    folder = Path(raw or ".")

    def example(row: Row, id_: str) -> RawExample:
        choices = literal_list(row["options"] or "[]")
        question = text_of(row, "question")
        if choices:
            question = f"{question}\n{lettered(choices)}"
        present = [column for column in _IMAGES if row.get(column) is not None]
        named = {f"image_{number}" for number in _PLACEHOLDER.findall(question)}
        for column in sorted(named):
            if column not in present:
                raise InvalidRow(f"question: refers to <{column.replace('_', ' ')}>, which it has not")
        shown = [column for column in present if column in named or not named]
        return {"id": id_, "question": question, **_answer(row, choices)}, [
            image_of(row[column], folder) for column in shown
        ]

    return examples_of(rows, lambda row, number: str(row["id"]), example)


def _answer(row: Row, choices: list[str]) -> dict[str, Any]:
    """The fields of the answer. Raises InvalidRow when it is not among the options."""
    answer = text_of(row, "answer")
    if row["question_type"] == "multiple-choice":
        letters = [letter(position) for position in range(len(choices))]
        if answer not in letters:
            raise InvalidRow(f"answer: '{answer}' is not among the {len(choices)} options")
        return {"answer": answer, "answer_type": "choice", "choices": choices}
    accepted = literal_list(answer) if answer.startswith("[") else [answer]
    if not accepted:
        raise InvalidRow("answer: empty")
    meta = {"answers": accepted} if len(accepted) > 1 else {}
    return {"answer": accepted[0], "answer_type": "text", "meta": meta}


def literal_list(text: str) -> list[str]:
    """The texts of a list written as a Python literal; read, never evaluated. Raises InvalidRow for anything else.

    numpy writes an array of texts without commas, which Python would read as a single text.

    >>> literal_list("['$6', \\"<image 2>\\"]"), literal_list("['a' 'b']")
    (['$6', '<image 2>'], ['a', 'b'])
    """
    try:
        value = ast.literal_eval(text) if len(text) <= _LONGEST_LITERAL else None
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline)) if value else []
    except (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError):
        value = None
    if not isinstance(value, list) or not all(isinstance(one, str | int | float) for one in value):
        raise InvalidRow(f"not a list of texts: {text[:80]}")
    texts = [token.string for token in tokens if token.type == tokenize.STRING]
    if len(texts) > sum(isinstance(one, str) for one in value):
        if any(token.string == "," for token in tokens):
            raise InvalidRow(f"a list with a comma missing between its texts: {text[:80]}")
        return [ast.literal_eval(one) for one in texts]
    return [str(one) for one in value]
