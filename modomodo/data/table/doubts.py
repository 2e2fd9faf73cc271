"""What the first rows of a table show that may be wrong: it is read all the same, and said as a warning."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from numbers import Number
from pathlib import Path
from typing import Any

from modomodo.data.table.cells import is_empty
from modomodo.data.table.reading import shortened
from modomodo.data.table.spellings import Row

WARNING = "warning: "  # begins what is said of rows that may be wrong
LONG_ANSWER = 300  # characters: more than a reward is likely to find word for word
# Columns without which a question may make no sense.
_CONTEXTS = (
    "context",
    "passage",
    "hint",
    "article",
    "paragraph",
    "document",
    "story",
    "background",
    "premise",
)
_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".wav", ".mp3", ".flac")
_ANNOUNCED = re.compile(
    r"\b(?:answer(?: is)?\s?[:\uff1a]|the answer is)\s+\S|\u7b54\u6848\s?[:\uff1a\u662f]", re.I
)


def doubts_of_columns(
    used: Collection[str], names: Sequence[str], rows: Sequence[Row], templated: bool
) -> Iterator[str]:
    """Columns that a question may need and does not get: what it is about, and videos."""
    for name in [] if templated else names:
        if (
            name.casefold() in _CONTEXTS
            and name not in used
            and any(not is_empty(row.get(name)) for row in rows)
        ):
            yield (
                f"{WARNING}column '{name}' is not shown to the model: template: \"{{{{ {name} }}}} {{{{ … }}}}\" would"
            )
    for name in names:
        if name not in used and any(_is_video(row.get(name)) for row in rows):
            yield f"{WARNING}column '{name}' names videos or sounds, which are not shown to the model"


def _is_video(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_video, value))
    return isinstance(value, str) and len(value) < 1000 and Path(value.strip()).suffix.lower() in _VIDEOS


def doubts_of_answers(column: str, given: Sequence[Any], answers: Sequence[str], boxes: int) -> Iterator[str]:
    """`given`: the cells of the first rows; `answers`: the texts read from them, of which so many are `boxes`."""
    yield from _of_mixture(column, given)
    yield from _of_length(answers)
    half = len(answers) / 2
    objects = [data for text in answers if (data := _object_in(text))]
    if objects and len(objects) >= half:
        yield (
            f"{WARNING}the answers are JSON with the keys {', '.join(map(str, objects[0]))}, as of tests that a "
            "program runs: no reward here reads them, only one of your own would (docs/extending.md)"
        )
    if boxes > len(answers) / 20:
        yield (
            f"{WARNING}{boxes} of the first {len(answers)} answers are boxes, the others are not, and all are compared "
            "as texts: filter the boxes into an entry of their own"
        )
    announced = [text for text in answers if _ANNOUNCED.search(text)]
    if announced and len(announced) >= half:
        yield (
            f"{WARNING}{len(announced) / len(answers):.0%} of the first answers announce themselves, e.g. "
            f"'{shortened(announced[0])}', and are compared as a whole: name answer_pattern, e.g. "
            "'(?i).*answer(?: is)?:? *([^\\n]+)'"
        )


def _object_in(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _of_mixture(column: str, given: Sequence[Any]) -> Iterator[str]:
    """A warning for answers of several kinds, of which some will be rejected or read as texts."""
    kinds = Counter(
        "truth values"
        if isinstance(value, bool)
        else "numbers"
        if isinstance(value, Number)
        else "texts"
        if isinstance(value, str)
        else "lists"
        if isinstance(value, list | tuple)
        else "mappings"
        for value in given
        if not is_empty(value)
    )
    if len(kinds) > 1:
        shares = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        yield f"{WARNING}column '{column}' mixes {shares}"
    empty = sum(map(is_empty, given))
    if empty:
        yield f"{WARNING}{empty} of the first {len(given)} rows have no answer and are rejected"


def _of_length(answers: Sequence[str]) -> Iterator[str]:
    """A warning for answers that are whole texts: the solution rather than what it ends in."""
    lengths = sorted(map(len, answers))
    if lengths and lengths[len(lengths) // 2] > LONG_ANSWER:
        yield (
            f"{WARNING}half of the first answers have more than {LONG_ANSWER} characters, e.g. "
            f"'{shortened(answers[0])}': name answer_pattern where they end in the answer"
        )
