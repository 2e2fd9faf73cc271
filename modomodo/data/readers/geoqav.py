"""GeoQAV: geometry and maths as multiple choice, from lmms-lab/multimodal-open-r1-8k-verified.

Columns image, problem, solution, original_question, original_answer. Kept are rows "whose answers match the
expected multiple-choice regex pattern" (paper, section 3.1); images longer than 640 pixels are resized. The
question is given as published, its options in it; the answer is the letter.

Open in the paper, each an option:

- `pattern`, which it does not print. `solution` (default): what stands in the solution's answer tags is a
  letter alone or after "is", e.g. "C", "(C)", "C.", "The correct answer is C". `bare`: a letter alone.
  `original`: the last "Answer: C" of original_answer. Any other text is a regular expression of your own
  with one group, of which the last match in the solution's answer counts. `python
  benchmarks/geoqav_patterns.py FOLDER` counts them on the real file; the one that gives 1969 is the paper's.
- `question`: `problem` (default, the rewritten one) or `original_question`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from modomodo.data.examples import Filtered, RawExample
from modomodo.data.images import InvalidRow
from modomodo.data.readers.published import (
    Published,
    Row,
    check_option,
    examples_of,
    image_of,
    letter,
    parquet_rows,
    published,
    text_of,
)
from modomodo.errors import InputError

PATTERNS = {
    "solution": r"^(?:.*\bis:?\s*)?[\"'*(]*([A-Z])[\"'*)]*\.?$",
    "bare": r"^\(?([A-Z])\)?\.?$",
    "original": r"\bAnswer:\s*\(?([A-Z])\b",
}
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
# "A. 3", "A) 3", "(A) 3", "A: 3", each on a line of its own.
_OPTION = re.compile(r"^[ \t]*\(?([A-Z])[.):][ \t]*(\S.*)$", re.MULTILINE)

ABOUT = Published(
    repo="lmms-lab/multimodal-open-r1-8k-verified",
    formerly=["lmms-lab-encoder/multimodal-open-r1-8k-verified"],
    files={"train": ["data/train-*.parquet"]},
    licence="none stated on its card",
    differs={
        "train": "the paper does not print its regular expression: count the candidates with "
        "benchmarks/geoqav_patterns.py and set options.pattern"
    },
)


@published("geoqav", ABOUT)
def geoqav(
    raw: Path | None = None,
    *,
    split: str = "train",
    pattern: str = "solution",
    question: str = "problem",
    longest: int = 640,
) -> Iterator[RawExample]:
    """Rows in the order of the file. Raises InputError for an unknown option and damaged files."""
    check_option("split", split, list(ABOUT.files))
    check_option("question", question, ["problem", "original_question"])
    column = "original_answer" if pattern == "original" else "solution"
    expression = compiled(pattern)
    rows = parquet_rows(raw, ["image", question, column])
    folder = Path(raw or ".")

    def example(row: Row, id_: str) -> RawExample:
        found = answer_letter(row, pattern, expression)
        if found is None:
            return Filtered(f"answer is no option's letter by pattern '{pattern}'")
        return _example(row, id_, found, question, folder, longest)

    return examples_of(rows, lambda row, number: f"{split}-{number:05d}", example)


def compiled(pattern: str) -> re.Pattern[str]:
    """A named pattern, or one's own. Raises InputError unless it has one group."""
    try:
        expression = re.compile(PATTERNS.get(pattern, pattern))
    except re.error as error:
        raise InputError(f"options.pattern: '{pattern}' is no regular expression: {error}") from None
    if expression.groups != 1:
        raise InputError(
            f"options.pattern: '{pattern}' needs one group, the letter; named ones: {', '.join(PATTERNS)}"
        )
    return expression


def answer_letter(row: Row, pattern: str, expression: re.Pattern[str]) -> str | None:
    """The letter that a pattern finds last in a row's answer, None when it finds none."""
    if pattern == "original":
        text = row["original_answer"] or ""
    else:
        answers = _ANSWER.findall(row["solution"] or "")
        text = (answers[-1] if answers else "").strip()
    letters: list[str] = [found.group(1) for found in expression.finditer(text)]
    return letters[-1] if letters else None


def _example(row: Row, id_: str, answer: str, question: str, raw: Path, longest: int) -> RawExample:
    text = text_of(row, question)
    choices = options_in(text)
    if not choices:  # a layout unknown here: the letters stand for themselves
        choices = [letter(i) for i in range(max(4, ord(answer) - ord("A") + 1))]
    elif ord(answer) - ord("A") >= len(choices):
        raise InvalidRow(f"answer: '{answer}' is not among the {len(choices)} options")
    fields = {"id": id_, "question": text, "answer": answer, "answer_type": "choice", "choices": choices}
    return fields, image_of(row["image"], raw, longest)


def options_in(question: str) -> list[str]:
    """The options listed at the end of a question, one a line from A on; empty when there are none.

    >>> options_in("Which? Choices:\\nA. 3\\n(B) 5")
    ['3', '5']
    """
    found = _OPTION.findall(question)
    starts = [position for position, (name, _) in enumerate(found) if name == "A"]
    options: list[str] = []
    for name, text in found[starts[-1] :] if starts else []:
        if name != letter(len(options)):
            break
        options.append(text.rstrip())
    return options if len(options) > 1 else []
