"""Cells of a table → questions, answers, boxes, options and images. A cell that fits nothing is an InvalidRow."""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from modomodo.data.answers import parse_boxes
from modomodo.data.conventions import SIDES
from modomodo.data.examples import Box, leaves_its_folder
from modomodo.data.images import ImageLike, InvalidRow
from modomodo.data.letters import letter
from modomodo.errors import InputError, nearest

UNITS = tuple(
    convention for convention in SIDES if convention != "locations"
)  # those that numbers are written in
MARK = "<image>"  # in a question: here the model sees the next image


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
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list | tuple) and len(value) == 1:
        return text_of_cell(value[0], name)
    raise InvalidRow(f"{name}: found {type(value).__name__}, expected a text or a number")


def texts_of_cell(value: object, name: str) -> list[str]:
    """A cell that may list several answers."""
    if isinstance(value, list | tuple):
        texts = [text_of_cell(inner, name) for inner in value if not is_empty(inner)]
        if not texts:
            raise InvalidRow(f"{name}: empty")
        return list(dict.fromkeys(texts))
    return [text_of_cell(value, name)]


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


def options_of_cell(value: object) -> tuple[list[str], list[str] | None]:
    """Texts of the options, and their names where the table has them (ARC's {text, label}). Raises InvalidRow."""
    if isinstance(value, str):
        value = _as_data(value)
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
    lettered = [
        re.fullmatch(rf"\(?{letter(place)}[.):]\s*(.+)", text, re.DOTALL) for place, text in enumerate(texts)
    ]
    if all(lettered):  # AQuA's "A)21"
        texts = [found.group(1).strip() for found in lettered if found]
    return texts, names


def _as_data(text: str) -> Any:
    """A list or mapping that a text cell holds as JSON or as Python writes it; else the text."""
    import ast

    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return text


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


_CORNERS = (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom"))
_BOX_KEYS = ("bbox_2d", "bbox", "box", "Position", "position")


def boxes_of_cell(value: object) -> list[Box]:
    """The numbers of one box or several, as the table has them. Raises InvalidRow."""
    if isinstance(value, str):
        parsed = parse_boxes(value)
        if parsed:
            return [scored.box for scored in parsed]
        data = _as_data(value)
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


# --- images -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImagePlace:
    """Where the images lie that a table names."""

    folder: Path
    inside: bool  # a download's paths may not lead out of it; one's own files may name any


def images_of_cell(value: object, place: ImagePlace) -> list[ImageLike]:
    """None, one or several images: decoded, encoded, a path, {bytes, path}, or base64. Raises InvalidRow."""
    if is_empty(value):
        return []
    if isinstance(value, list | tuple):
        return [image for inner in value for image in images_of_cell(inner, place)]
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path") or value.get("url")
        return images_of_cell(path if data is None else data, place)
    if isinstance(value, str):
        return [_named_image(value.strip(), place)]
    return [value]  # type: ignore[list-item]  # whose form is judged where it is decoded


def _named_image(text: str, place: ImagePlace) -> ImageLike:
    if text.startswith("data:image/") or (len(text) > 200 and "." not in text):
        try:
            return base64.b64decode(
                text.partition(",")[2] if text.startswith("data:") else text, validate=True
            )
        except (binascii.Error, ValueError):
            raise InvalidRow(f"image: '{text[:40]}…' is neither a path nor base64") from None
    if "://" in text and not text.startswith("file://"):
        raise InvalidRow(f"image: {text} is an address: download it, and name the file")
    path = Path(text.removeprefix("file://")).expanduser()
    if place.inside and leaves_its_folder(text):
        raise InvalidRow(f"image: '{text}' leads out of the downloaded files")
    return place.folder / path


# --- conversations ------------------------------------------------------------------------------------------

_ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "system": "system",
}


@dataclass(frozen=True)
class Turns:
    """A conversation of one question: its text with a mark for each image in it, and what answers it, if anything."""

    question: str
    answer: str | None
    images: list[Any]  # cells of images that stand in the question itself


def is_conversation(value: object) -> bool:
    """Whether a cell is a list of turns: {role, content}, {from, value} or {human, assistant}."""
    value = _unpacked(value)
    return isinstance(value, list) and bool(value) and all(_turns_of(turn) is not None for turn in value)


def _unpacked(value: object) -> object:
    """A conversation that a text cell holds as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        with suppress(json.JSONDecodeError):
            return json.loads(value)
    return value


def _turns_of(turn: object) -> list[tuple[str, object]] | None:
    if not isinstance(turn, Mapping):
        return None
    for role, content in (("role", "content"), ("from", "value")):
        if role in turn and content in turn and str(turn[role]) in _ROLES:
            return [(_ROLES[str(turn[role])], turn[content])]
    if "human" in turn and "assistant" in turn:
        return [("user", turn["human"]), ("assistant", turn["assistant"])]
    return None


def has_system_turn(value: object) -> bool:
    """Whether a conversation begins with instructions, which are left out."""
    turns: Any = _unpacked(value) if is_conversation(value) else []
    return any("system" in (turn.get("role"), turn.get("from")) for turn in turns)


def turns_of_cell(value: object, name: str) -> Turns:
    """Raises InvalidRow for no conversation, and for one that asks several questions."""
    if not is_conversation(value):
        raise InvalidRow(f"{name}: no conversation")
    said = [turn for part in _unpacked(value) for turn in _turns_of(part) or ()]  # type: ignore[attr-defined]
    questions = [content for role, content in said if role == "user"]
    if len(questions) != 1:
        raise InvalidRow(f"{name}: {len(questions)} turns of the user, one expected")
    answers = [content for role, content in said if role == "assistant"]
    question, images = _content(questions[0], name)
    answer = _content(answers[-1], name)[0] if answers and not is_empty(answers[-1]) else None
    return Turns(question, answer, images)


def _content(content: object, name: str) -> tuple[str, list[Any]]:
    """Text and images of a turn, which may be a text or blocks of text and images."""
    if not isinstance(content, list):
        return text_of_cell(content, name), []
    texts: list[str] = []
    images: list[Any] = []
    for block in content:
        kind = block.get("type") if isinstance(block, Mapping) else None
        if kind == "text":
            texts.append(str(block.get("text") or ""))
        elif kind in ("image", "image_url"):
            texts.append(MARK)
            image = block.get("image") or block.get("image_url") or block.get("url") or block.get("path")
            images += [] if is_empty(image) else [image]
        else:
            raise InvalidRow(f"{name}: a block of type '{kind}', text or image expected")
    return "".join(texts).strip(), images
