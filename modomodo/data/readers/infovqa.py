"""InfoVQA: questions about infographics, lmms-lab/DocVQA, config InfographicVQA, validation (2,801).

Columns questionId, question, answers (all accepted ones), image and more. The first answer is the
example's, all of them stand in `meta.answers` when there are several. Pages have up to 6250 x 9375 pixels
and are kept as published; how many of them a model sees is its image processor's affair. The test split has
no answers.
"""

from collections.abc import Iterator
from pathlib import Path

from modomodo.data.examples import RawExample
from modomodo.data.images import InvalidRow
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
    repo="lmms-lab/DocVQA",
    formerly=["lmms-lab-encoder/DocVQA"],
    files={"validation": ["InfographicVQA/validation-*.parquet"]},
    licence="apache-2.0 on its card; the original's terms are the RRC portal's",
    differs={
        "validation": "InfographicVQA's validation split has exactly the paper's 2,801 rows: check source"
    },
)


@published("infovqa", ABOUT)
def infovqa(raw: Path | None = None, *, split: str = "validation") -> Iterator[RawExample]:
    """Rows in the order of the files. Raises InputError for an unknown option and damaged files."""
    check_option("split", split, list(ABOUT.files))
    rows = parquet_rows(raw, ["questionId", "question", "answers", "image"])
    folder = Path(raw or ".")

    def example(row: Row, id_: str) -> RawExample:
        answers = [text.strip() for text in row["answers"] or [] if isinstance(text, str) and text.strip()]
        if not answers:
            raise InvalidRow("answers: empty")
        fields = {
            "id": id_,
            "question": text_of(row, "question"),
            "answer": answers[0],
            "answer_type": "text",
            "meta": {"answers": answers} if len(answers) > 1 else {},
        }
        return fields, image_of(row["image"], folder)

    return examples_of(rows, lambda row, number: str(row["questionId"]), example)
