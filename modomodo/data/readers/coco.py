"""COCO: all boxes of one category in one image, from laolao77/ViRFT_COCO (Visual-RFT, "all categories").

Columns image, problem, solution. `problem` holds the question and a reasoning template; the template is cut
off, since prompts.py appends it (one home for the text). `solution` is a Python literal in answer tags,
`<answer>[{'Position': [x1, y1, x2, y2], 'Confidence': 1}, …]</answer>`, read without evaluating it. Boxes are
integers in 0-1000 as published, and the images keep their size. They were published as RGBA; transparent
pixels, if any, are laid on `background`.

Open: the paper says "the full object-category subset used by Liu et al.", which this repository is by its
card; its 5997 rows could not be counted here.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from modomodo.data.answers import parse_boxes
from modomodo.data.examples import RawExample
from modomodo.data.images import Background, InvalidRow
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

# Visual-RFT's template, from its first words to its last; the line breaks inside vary.
_TEMPLATE = re.compile(
    r"Output the thinking process in <think>.*?Please strictly follow the format\.?", re.DOTALL
)
_CATEGORY = re.compile(r"category '([^']+)'")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)

ABOUT = Published(
    repo="laolao77/ViRFT_COCO",
    files={"train": ["data/train-*.parquet"]},
    licence="apache-2.0 on its card; CC BY-NC 4.0 for data by Visual-RFT's README; images: Flickr",
    differs={
        "train": "the paper used ViRFT_COCO, not ViRFT_COCO_base65: check source.repo and source.revision"
    },
)


@published("coco", ABOUT)
def coco(
    raw: Path | None = None, *, split: str = "train", background: Background = "white"
) -> Iterator[RawExample]:
    """Rows in the order of the files. Raises InputError for an unknown option and damaged files."""
    check_option("split", split, list(ABOUT.files))
    check_option("background", background, ["white", "black"])
    rows = parquet_rows(raw, ["image", "problem", "solution"])
    folder = Path(raw or ".")
    return examples_of(
        rows,
        lambda row, number: f"{split}-{number:05d}",
        lambda row, id_: _example(row, id_, folder, background),
    )


def _example(row: Row, id_: str, raw: Path, background: Background) -> RawExample:
    question = without_template(text_of(row, "problem"))
    solution = text_of(row, "solution")
    answers = _ANSWER.findall(solution)
    if len(answers) > 1:
        raise InvalidRow(f"solution: {len(answers)} answers: ambiguous")
    boxes = parse_boxes(answers[0] if answers else solution)
    if boxes is None:
        raise InvalidRow(f"solution: no list of boxes: {solution[:80]}")
    category = _CATEGORY.search(question)
    fields = {
        "id": id_,
        "question": question,
        "answer": [list(scored.box) for scored in boxes],
        "answer_type": "box",
        "meta": {"boxes": "0-1000", **({"category": category.group(1)} if category else {})},
    }
    return fields, image_of(row["image"], raw, background=background)


def without_template(problem: str) -> str:
    """The question alone. Raises InvalidRow when a template of another wording is left in it."""
    question = "\n".join(part.strip() for part in _TEMPLATE.split(problem)).strip()
    if "<think>" in question or "<answer>" in question:
        raise InvalidRow("problem: holds a reasoning template of an unknown wording")
    return question
