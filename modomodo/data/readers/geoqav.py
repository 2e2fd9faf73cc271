"""GeoQAV: geometry and maths as multiple choice, from lmms-lab/multimodal-open-r1-8k-verified.

Columns image, problem, solution, original_question, original_answer. Kept are rows "whose answers match the
expected multiple-choice regex pattern" (paper, section 3.1); images longer than 640 pixels are resized. The
question is given as published, its options in it; the answer is the letter.

`problem` is a rewriting of `original_question`, which lost the options of some rows. Such a row asks the original
question. Where neither lists options that can be read, a letter says nothing, and the row is left out.

Open in the paper, each an option:

- `pattern`, which it does not print. `solution` (default): what stands in the solution's answer tags names an
  option's letter, e.g. "C", "(C)", "The correct answer is C", "B. 12 sq km", "which corresponds to option A".
  `bare`: a letter alone. `original`: the last "Answer: C" of original_answer. Any other text is a regular
  expression of your own with one group, of which the last match in the solution's answer counts. `python
  benchmarks/geoqav_patterns.py FOLDER` counts them on the real file (docs/datasets.md says what is known of it).
- `question`: `problem` (default) or `original_question`; the other is asked where only that lists the options.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from modomodo.data.examples import Filtered, RawExample
from modomodo.data.images import InvalidRow
from modomodo.data.letters import letter
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

# A letter in brackets, quotes, bold or mathematics.
_OPEN = r"(?:\\(?:boxed|text|textbf|mathrm|mathbf)\{|\\\(|[\"'*(\[$])*"
_CLOSE = r"(?:\\\)|[\"'*)\]}$])*"
# What follows it: the end of the line, the option's text behind a mark, or "is correct"; not a further letter.
_END = rf"{_CLOSE}\.?[ \t]*(?:$|\n)"
_TEXT = r"(?:[\"'*)\]}$]*[.:,]|[\"'*]*\))[\"'*]*\s(?!\s*(?:and\s+|or\s+)?[A-Z]\b)"
_CORRECT = rf"{_CLOSE}\s+is\s+(?:the\s+)?(?:correct|right)\b"
_ALONE = rf"(?:^|\b(?:is|be|(?i:answer))(?::\s*|\s+)){_OPEN}(?=[A-Z](?:{_END}|{_TEXT}|{_CORRECT}))"
_NAMED = rf"(?<!not )\b(?i:option|choice)(?::\s*|\s+){_OPEN}(?=[A-Z]\b(?!\s*(?:,|and|or)\s*[A-Z]\b))"

PATTERNS = {
    "solution": rf"(?:{_ALONE}|{_NAMED})([A-Z])",
    "bare": r"^\(?([A-Z])\)?\.?$",
    "original": r"\bAnswer:\s*\(?([A-Z])\b",
}
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
# "A. 3", "A) 3", "(A) 3", "A: 3", each on a line of its own.
_OPTION = re.compile(r"^[ \t]*(?:[-*][ \t]+)?\**\(?([A-Z])[.):．、：）]\**[ \t]*(\S.*)$", re.MULTILINE)
# "… option: (A) 1, (B) 7, (C) 8." and "… choices: A. 1, B. 7": the first behind a mark or the word for it.
_FIRST = re.compile(
    r"(?:[:?.;：？。；\n]|(?i:\b(?:options?|choices|following|below)))"
    r"[ \t]*(\(A\)|(?<![\w(])A[.):．：、）](?=[\s\d\\$]))"
)
_BETWEEN = re.compile(r"(?:[,;]\s*(?:and|or)?|\s(?:and|or)|\.)\s*$")
_SENTENCE = re.compile(r"\.\s+(?=[A-Z][a-z]+\s)")  # behind the last option

ABOUT = Published(
    repo="lmms-lab/multimodal-open-r1-8k-verified",
    formerly=["lmms-lab-encoder/multimodal-open-r1-8k-verified"],
    files={"train": ["data/train-*.parquet"]},
    licence="none stated on its card",
    version=2,
    differs={
        "train": "the paper does not print its regular expression, and no named pattern is known to give its count: "
        "see docs/datasets.md, and benchmarks/geoqav_patterns.py, which counts candidates for options.pattern"
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
    texts = ["problem", "original_question"]
    rows = parquet_rows(raw, ["image", question, column], [text for text in texts if text != question])
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
    column, choices = options_of(row, question, answer)
    if not choices:
        return Filtered("answer is a letter, but no options are listed")
    if ord(answer) - ord("A") >= len(choices):
        raise InvalidRow(f"answer: '{answer}' is not among the {len(choices)} options")
    fields = {
        "id": id_,
        "question": text_of(row, column),
        "answer": answer,
        "answer_type": "choice",
        "choices": choices,
        "meta": {} if column == question else {"question": column},
    }
    return fields, image_of(row["image"], raw, longest)


def options_of(row: Row, question: str, answer: str) -> tuple[str, list[str]]:
    """The column that is asked and the options it lists: `question`, or the other where only that has the answer's."""
    (other,) = {"problem", "original_question"} - {question}
    listed = {column: options_in(row.get(column) or "") for column in (question, other)}
    enough = [column for column, options in listed.items() if ord(answer) - ord("A") < len(options)]
    column = enough[0] if enough else question
    return column, listed[column]


def options_in(question: str) -> list[str]:
    """The options listed at the end of a question, from A on; empty when there are none.

    >>> options_in("Which? Choices:\\nA. 3\\n(B) 5"), options_in("Choose the correct option: (A) 1, (B) 7.")
    (['3', '5'], ['1', '7'])
    """
    found = _OPTION.findall(question)
    starts = [position for position, (name, _) in enumerate(found) if name == "A"]
    options: list[str] = []
    for name, text in found[starts[-1] :] if starts else []:
        if name != letter(len(options)):
            break
        options.append(text.rstrip())
    return options if len(options) > 1 else _options_in_a_line(question)


def _options_in_a_line(question: str) -> list[str]:
    """The options behind the last mark of the first one, all marked in its way."""
    first = max(_FIRST.finditer(question), key=lambda found: found.start(), default=None)
    if first is None:
        return []
    mark, start = first.group(1), first.end()
    options: list[str] = []
    while True:
        following = re.compile(rf"(?<![\w(]){re.escape(mark.replace('A', letter(len(options) + 1)))}")
        end = following.search(question, start)
        text = question[start : end.start() if end else None].strip().partition("\n")[0]
        if end is None:
            text = _SENTENCE.split(text, maxsplit=1)[0]
        options.append(_BETWEEN.sub("", text).strip())
        if end is None:
            break
        start = end.end()
    return options if len(options) > 1 and all(options) else []
