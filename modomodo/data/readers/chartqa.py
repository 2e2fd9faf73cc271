"""ChartQA: questions about charts, lmms-lab/ChartQA, test (1,250 human, 1,250 augmented).

Columns type, question, answer, image. The question is given as published; lmms-eval's "Answer the question
with a single word." is not appended, since the reasoning template takes its place. The answer is a text
also where it is a number: the metric decides what a number is.
"""

from collections.abc import Iterator
from pathlib import Path

from modomodo.data.examples import RawExample
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
    repo="lmms-lab/ChartQA",
    formerly=["lmms-lab-encoder/ChartQA"],
    files={"test": ["data/test-*.parquet"]},
    licence="none on its card; gpl-3.0 on HuggingFaceM4's and ahmed-masry's",
    differs={
        "test": "the published test split has exactly the paper's 2,500 rows: check source and revision"
    },
)


@published("chartqa", ABOUT)
def chartqa(raw: Path | None = None, *, split: str = "test") -> Iterator[RawExample]:
    """Rows in the order of the files. Raises InputError for an unknown option and damaged files."""
    check_option("split", split, list(ABOUT.files))
    rows = parquet_rows(raw, ["question", "answer", "image"], ["type"])
    folder = Path(raw or ".")

    def example(row: Row, id_: str) -> RawExample:
        fields = {
            "id": id_,
            "question": text_of(row, "question"),
            "answer": text_of(row, "answer"),
            "answer_type": "text",
            "meta": {"type": row["type"]} if row.get("type") else {},
        }
        return fields, image_of(row["image"], folder)

    return examples_of(rows, lambda row, number: f"{split}-{number:05d}", example)
