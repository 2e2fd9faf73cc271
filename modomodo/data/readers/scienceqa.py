"""ScienceQA: school science as multiple choice, from lmms-lab/ScienceQA, config ScienceQA-IMG.

Columns image, question, choices (two to five), answer (position from 0), hint and more. As the paper says,
only questions with an image are kept, the options are joined to the question, and the answer is its letter.
The config has just those (6218 train, 2017 test); rows without an image, as derek-thomas/ScienceQA has, are
left out.

Open in the paper, each an option: `layout` of an option, "{}. {}" by default (as lmms-eval and Fig. 2 write
it), e.g. "({}) {}"; `hint`: true puts "Context: …" before the question, as lmms-eval does and the paper does
not mention.
"""

from collections.abc import Iterator
from pathlib import Path

from modomodo.data.examples import Filtered, RawExample
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
from modomodo.errors import InputError

_COUNT = "ScienceQA-IMG has exactly the paper's rows: check source.repo, source.files and revision"

ABOUT = Published(
    repo="lmms-lab/ScienceQA",
    formerly=["lmms-lab-encoder/ScienceQA"],
    files={
        "train": ["ScienceQA-IMG/train-*.parquet"],
        "validation": ["ScienceQA-IMG/validation-*.parquet"],
        "test": ["ScienceQA-IMG/test-*.parquet"],
    },
    licence="CC BY-NC-SA 4.0 by its authors; cc-by-sa-4.0 on derek-thomas' card",
    differs={"train": _COUNT, "test": _COUNT},
)


@published("scienceqa", ABOUT)
def scienceqa(
    raw: Path | None = None, *, split: str = "train", layout: str = "{}. {}", hint: bool = False
) -> Iterator[RawExample]:
    """Rows in the order of the files. Raises InputError for an unknown option and damaged files."""
    check_option("split", split, list(ABOUT.files))
    if layout.count("{}") != 2:
        raise InputError(f"options.layout: '{layout}': needs {{}} twice, for the letter and for the option")
    rows = parquet_rows(raw, ["image", "question", "choices", "answer"], ["hint"])
    folder = Path(raw or ".")

    def example(row: Row, id_: str) -> RawExample:
        if row["image"] is None:
            return Filtered("no image")
        choices = row["choices"]
        if not isinstance(choices, list) or not all(isinstance(c, str) and c.strip() for c in choices):
            raise InvalidRow("choices: no list of texts")
        answer = row["answer"]
        if not isinstance(answer, int) or not 0 <= answer < len(choices):
            raise InvalidRow(f"answer: {answer} is not among the {len(choices)} options")
        question = f"{text_of(row, 'question')}\n{lettered(choices, layout)}"
        context = (row.get("hint") or "").strip()
        if hint and context:
            question = f"Context: {context}\n{question}"
        fields = {
            "id": id_,
            "question": question,
            "answer": letter(answer),
            "answer_type": "choice",
            "choices": choices,
        }
        return fields, image_of(row["image"], folder)

    return examples_of(rows, lambda row, number: f"{split}-{number:05d}", example)
