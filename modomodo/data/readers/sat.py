"""SAT: spatial questions answered in words, from array/SAT.

Columns image_bytes (one or two images), question, answers, question_type, correct_answer (a text, not a
letter). The paper takes "the original train split for GRPO Post-Training and val split for evaluation". Its
15,000 and its answer type fit the file that VisualThinker-R1-Zero, which it cites, makes: the first 15,000
rows, those with two images left out, asked as "Answer in natural language. … Choose between the following
options: a, b or c" (no full stop). Where that leaves fewer than Table 1's 15,000, the next rows fill up. 1928 of
val's 4,001 rows is taken to be the same, all rows of one image.

SAT's generator makes some count questions whose right number stands twice among the options (it builds the wrong ones
from another object's count). They are kept as published: the answer is a text, so either is right.

Open, each an option:

- `first`: examples taken from the start; by default 15000 of train and all of val (null: all).
- `single_image`: false keeps rows of two images, both shown.
- `order` of the options: `shuffled` (default; VisualThinker shuffles without a seed, here `seed` and the
  row's number decide) or `published`, where the right one tends to stand first.
- `layout`: `visualthinker` (default) or `plain`, the question and its options without the opening sentence.

A row whose image cannot be decoded is found only later and is not made up for.

Its options are joined from the list itself; VisualThinker splits a text at ", ", which breaks options that
contain it.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modomodo.data.examples import Filtered, RawExample
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
from modomodo.errors import InputError

LAYOUTS = {
    "visualthinker": "Answer in natural language. {question} Choose between the following options: {options}",
    "plain": "{question} Options: {options}.",
}

ABOUT = Published(
    repo="array/SAT",
    files={"train": ["SAT_train.parquet"], "val": ["SAT_val.parquet"]},
    licence="mit",
    version=2,
    differs={
        "train": "the paper's 15,000 are taken to be the first rows with one image: see options.first",
        "val": "the paper's 1,928 are taken to be the rows with one image: see options.single_image",
    },
)


@published("sat", ABOUT)
def sat(
    raw: Path | None = None,
    *,
    split: str = "train",
    first: int | str | None = "paper",
    single_image: bool = True,
    order: str = "shuffled",
    seed: int = 42,
    layout: str = "visualthinker",
) -> Iterator[RawExample]:
    """Rows in the order of the file. Raises InputError for an unknown option and damaged files."""
    check_option("split", split, list(ABOUT.files))
    check_option("order", order, ["shuffled", "published"])
    check_option("layout", layout, list(LAYOUTS))
    if first == "paper":
        first = 15000 if split == "train" else None
    if first is not None and (not isinstance(first, int) or first < 1):
        raise InputError(f"options.first: {first}: expected a number of examples or null")
    rows = parquet_rows(raw, ["image_bytes", "question", "answers", "correct_answer"])
    folder = Path(raw or ".")

    def example(row: Row, id_: str) -> RawExample:
        images = row["image_bytes"]
        images = images if isinstance(images, list) else [images]
        if single_image and len(images) > 1:
            return Filtered("more than one image")
        options, answer = _options(row), text_of(row, "correct_answer")
        if answer not in options:
            raise InvalidRow(f"correct_answer: '{answer}' is not among the {len(options)} options")
        if order == "shuffled":
            random.Random(f"{seed}:{id_}").shuffle(options)
        fields: dict[str, Any] = {
            "id": id_,
            "question": LAYOUTS[layout].format(question=text_of(row, "question"), options=listed(options)),
            "answer": answer,
            "answer_type": "text",
            "choices": options,
        }
        return fields, [image_of(image, folder) for image in images]

    return _taken(examples_of(rows, lambda row, number: f"{split}-{number:06d}", example), first)


def _taken(rows: Iterator[RawExample], first: int | None) -> Iterator[RawExample]:
    """Rows up to the `first`-th example: neither one that is left out nor one that fails a check counts."""
    taken = 0
    for row in rows:
        yield row
        taken += isinstance(row, tuple)
        if taken == first:
            return


def _options(row: Row) -> list[str]:
    options = row["answers"]
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise InvalidRow("answers: no list of texts")
    options = [option.strip() for option in options]
    if len(options) < 2 or not all(options):
        raise InvalidRow(f"answers: {len(options)} options, or an empty one")
    return options


def listed(options: list[str]) -> str:
    """Options as an enumeration in a sentence.

    >>> listed(["left", "right", "no, neither"])
    'left, right or no, neither'
    """
    return f"{', '.join(options[:-1])} or {options[-1]}"
