"""Cells of a table → texts, answers, options and boxes. A cell that fits nothing is an InvalidRow."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any, Literal

from modomodo.data.answers import parse_boxes
from modomodo.data.conventions import SIDES
from modomodo.data.examples import Box
from modomodo.data.images import InvalidRow
from modomodo.data.letters import letter
from modomodo.errors import InputError, nearest

UNITS = tuple(
    convention for convention in SIDES if convention != "locations"
)  # those that numbers are written in


# --- texts --------------------------------------------------------------------------------------------------


def is_empty(value: object) -> bool:
    """Whether a cell says nothing: missing, not a number, blank, or a list or mapping of such."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, Mapping):
        return all(is_empty(inner) for inner in value.values())
    return isinstance(value, list | tuple) and all(is_empty(inner) for inner in value)


def text_of_cell(value: object, name: str) -> str:
    """A cell as text: a whole number without its `.0`, which tables with gaps give it. Raises InvalidRow."""
    if is_empty(value):
        raise InvalidRow(f"{name}: empty")
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRow(f"{name}: {value} is no finite number")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bool | int | float | date | time):
        return str(value)
    if isinstance(value, list | tuple) and len(value) == 1:
        return text_of_cell(value[0], name)
    if isinstance(value, Mapping):
        keys = [key for key in map(str, value) if not is_empty(value[key])]
        raise InvalidRow(
            f"{name}: found keys and values ({', '.join(keys)}), expected a text or a number: name one of them, as "
            f"<column>.{keys[0]}"
        )
    raise InvalidRow(f"{name}: found {type(value).__name__}, expected a text or a number")


def texts_of_cell(value: object, name: str) -> list[str]:
    """A cell that may list several answers, each of which is accepted.

    Raises InvalidRow for several numbers: a point, a set and the like are right as a whole, and none of its numbers is.
    """
    if isinstance(value, list | tuple):
        filled = [inner for inner in value if not is_empty(inner)]
        if not filled:
            raise InvalidRow(f"{name}: empty")
        texts = list(dict.fromkeys(text_of_cell(inner, name) for inner in filled))
        if len(texts) > 1 and all(isinstance(inner, int | float | Decimal) for inner in filled):
            raise InvalidRow(
                f"{name}: a list of {len(filled)} numbers: write them as one text where they are right together, as "
                "texts where each of them is"
            )
        return texts
    return [text_of_cell(value, name)]


def listed_texts(text: str) -> list[str] | None:
    """The texts that a text lists, as JSON or as Python writes it: answers of Skywork-OR1 and of VizWiz; else None.

    >>> listed_texts("['grey', 'gray']"), listed_texts("[1, 2]")
    (['grey', 'gray'], None)
    """
    if not re.match(r"""\s*\[\s*["']""", text) or re.search(r"""["']\s+["']""", text):
        return None  # numpy's ['a' 'b'] is one text to Python
    listed = data_in(text)
    return listed if isinstance(listed, list) and all(isinstance(one, str) for one in listed) else None


# --- where the answer stands in a text ----------------------------------------------------------------------

_TAGS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def _after_hashes(text: str) -> str | None:
    """GSM8K's: what follows the last `####` on its line, thousands without commas."""
    found = re.findall(r"####\s*([^\n]*)", text)
    answer = found[-1].strip() if found else ""
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", answer) or None


def _in_tags(text: str) -> str | None:
    """What stands in the last answer tags."""
    found = _TAGS.findall(text)
    return found[-1].strip() or None if found else None


def _boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{…}` or `\fbox{…}`, whose braces may be nested."""
    start = max((found.end() for found in re.finditer(r"\\(?:boxed|fbox)\s*\{", text)), default=None)
    if start is None:
        return None
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if text[place - 1] == "\\":
            depth -= {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place].strip() or None
    return None


PATTERNS: dict[str, Callable[[str], str | None]] = {
    "####": _after_hashes,
    "<answer>": _in_tags,
    "\\boxed{}": _boxed,
}


def pattern_named(text: str) -> Callable[[str], str | None]:
    """A named pattern, also written as in an example of it (`#### 42`), or a regular expression with one group.

    Raises InputError for one that is neither.
    """
    text = text.replace("\boxed", "\\boxed")  # "\boxed" between YAML's double quotes begins with a backspace
    for start, name in (("####", "####"), ("<answer>", "<answer>"), ("\\boxed", "\\boxed{}")):
        if text.strip().startswith(start) and "(" not in text:
            return PATTERNS[name]
    try:
        expression = re.compile(text, re.DOTALL)
    except re.error as error:
        raise InputError(
            f"options.answer_pattern: '{text}' is no regular expression: {error}; named: {', '.join(PATTERNS)}"
        ) from None
    if expression.groups != 1:
        raise InputError(
            f"options.answer_pattern: '{text}' needs one group, the answer; named: {', '.join(PATTERNS)}"
        )

    def found(answer: str) -> str | None:
        every = expression.findall(answer)
        return every[-1].strip() or None if every else None

    return found


# --- multiple choice ----------------------------------------------------------------------------------------


_MOST_OPTIONS = 26  # A to Z


def options_of_cell(value: object) -> tuple[list[str], list[str] | None]:
    """Texts of the options, and their names where the table has them (ARC's {text, label}). Raises InvalidRow."""
    if isinstance(value, str):
        value = data_in(value)
    names = None
    if isinstance(value, Mapping):
        if set(value) >= {"text", "label"}:
            names = [str(name) for name in value["label"]]
            value = value["text"]
        else:  # {"A": "red", "B": "blue"}
            names, value = [str(key) for key in value], list(value.values())
            filled = [place for place, inner in enumerate(value) if not is_empty(inner)]
            names, value = [names[place] for place in filled], [value[place] for place in filled]
    if not isinstance(value, list | tuple):
        raise InvalidRow("choices: no list of texts")
    texts = [text_of_cell(inner, "choices") for inner in value]
    if len(texts) < 2:
        raise InvalidRow(f"choices: {len(texts)}, at least two expected")
    if len(texts) > _MOST_OPTIONS:
        raise InvalidRow(
            f"choices: {len(texts)}, more than there are letters: columns: {{choices: null}} asks for the text"
        )
    lettered = [
        re.fullmatch(rf"\(?{letter(place)}[.):]\s*(.+)", text, re.DOTALL) for place, text in enumerate(texts)
    ]
    if all(lettered):  # AQuA's "A)21"
        texts = [found.group(1).strip() for found in lettered if found]
    return texts, names


def data_in(text: str) -> Any:
    """A list or mapping that a text cell holds as JSON or as Python writes it; else the text."""
    import ast

    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return text


def are_listed(choices: Sequence[str], question: str) -> bool:
    """Whether a question lists its options, each behind its letter; texts that it happens to hold are no list.

    >>> are_listed(["red", "blue"], "Which? (A) red (B) blue"), are_listed(["3", "4", "5"], "Of the 3-4-5 triangle?")
    (True, False)
    """
    return all(
        re.search(rf"(?<![A-Za-z]){letter(place)}\W{{0,6}}{re.escape(choice)}", question, re.IGNORECASE)
        for place, choice in enumerate(choices)
    )


Counting = Literal["text", 0, 1]  # a number that answers is an option's text, or its position from 0 or 1


def letter_of_answer(
    answer: str, choices: Sequence[str], names: Sequence[str] | None, counting: Counting
) -> str:
    """The letter of the option that an answer means: by its name, letter, text or position. Raises InvalidRow."""
    if names is not None and answer in names:
        return letter(list(names).index(answer))
    is_position = re.fullmatch(r"\d+", answer) and counting != "text"
    if answer in choices and not is_position:
        return letter(list(choices).index(answer))
    if is_position and 0 <= int(answer) - int(counting) < len(choices):
        return letter(int(answer) - int(counting))
    found = re.match(r"(?:option\s+)?[*(\[]*([A-Za-z])(?:[*)\].:]+\s*(.*))?$", answer, re.DOTALL)
    if found:
        place = ord(found.group(1).upper()) - ord("A")
        if names is not None and all(
            re.fullmatch("[A-Z]", name) for name in names
        ):  # B may be none of A, C, D
            place = list(names).index(found.group(1).upper()) if found.group(1).upper() in names else -1
        if 0 <= place < len(choices) and (not found.group(2) or found.group(2).strip(" .") in choices[place]):
            return letter(place)
    folded = [choice.casefold().rstrip(".") for choice in choices]
    if folded.count(answer.casefold().rstrip(".")) == 1:
        return letter(folded.index(answer.casefold().rstrip(".")))
    raise InvalidRow(f"answer: '{answer[:80]}' is none of the {len(choices)} options")


# --- boxes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoxFormat:
    """How a table writes boxes."""

    units: str  # one of UNITS
    corners: bool  # x1 y1 x2 y2; else x y width height


def box_format(text: str) -> BoxFormat:
    """`pixels`, `0-1 xywh`: units, and the layout where it is not xyxy. Raises InputError."""
    layouts = ("xyxy", "xywh")
    words = text.replace(",", " ").split()
    unknown = next((word for word in words if word not in (*UNITS, *layouts)), None)
    if unknown is not None:
        raise InputError(
            f"options.box_format: unknown '{unknown}': {nearest(unknown, [*UNITS, *layouts])} (e.g. pixels xywh)"
        )
    named = [unit for unit in UNITS if unit in words]
    if len(named) != 1 or len(words) > 2 or len(set(words)) != len(words):
        raise InputError(
            f"options.box_format: '{text}': expected one of {', '.join(UNITS)}, then xyxy or xywh"
        )
    return BoxFormat(named[0], "xywh" not in words)


_CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
_BOX_KEYS = ("bbox_2d", "bbox", "box", "Position", "position")


def boxes_of_cell(value: object) -> list[Box]:
    """The numbers of one box or several, as the table has them. Raises InvalidRow."""
    if isinstance(value, str):
        parsed = parse_boxes(value)
        if parsed:
            return [scored.box for scored in parsed]
        data = data_in(value)
        if isinstance(data, str):
            raise InvalidRow(f"box: '{value[:60]}' is no box")
        value = data
    if isinstance(value, Mapping):
        for names in _CORNERS:
            if all(name in value for name in names):
                return boxes_of_cell([value[name] for name in names])
        inner = next((value[key] for key in _BOX_KEYS if key in value), None)
        if inner is None:
            raise InvalidRow(f"box: no box among {', '.join(map(str, value))}")
        return boxes_of_cell(inner)
    if is_empty(value) or not isinstance(value, list | tuple):
        raise InvalidRow("box: there is none")
    if all(isinstance(number, int | float) and not isinstance(number, bool) for number in value):
        if len(value) != 4:
            raise InvalidRow(f"box: {len(value)} numbers, four expected")
        x1, y1, x2, y2 = (float(number) for number in value)
        return [(x1, y1, x2, y2)]
    return [box for inner in value for box in boxes_of_cell(inner)]


def stored_box(box: Box, form: BoxFormat) -> Box:
    """Corners, in the table's units. Raises InvalidRow for one outside the image, where the units tell."""
    x1, y1, x2, y2 = box if form.corners else (box[0], box[1], box[0] + box[2], box[1] + box[3])
    most = SIDES[form.units]
    if most is None:
        return x1, y1, x2, y2
    rounding = 1e-6 * most
    if not (-rounding <= min(x1, y1) and max(x1, y1, x2, y2) <= most + rounding):
        raise InvalidRow(f"box: [{x1:g}, {y1:g}, {x2:g}, {y2:g}] lies outside {form.units}")
    return max(0.0, x1), max(0.0, y1), min(most, x2), min(most, y2)
