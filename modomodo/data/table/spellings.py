"""Which column is what, where the study does not say: the spellings of common trainers and datasets.

- open-r1, R1-V: problem, solution, image (github.com/huggingface/open-r1, github.com/Deep-Agent/R1-V)
- VLM-R1, LLaVA: conversations of {from, value}, image (github.com/om-ai-lab/VLM-R1)
- EasyR1: problem, answer, images (github.com/hiyouga/EasyR1)
- verl: prompt as a conversation, reward_model.ground_truth (verl.readthedocs.io)
- ms-swift: messages or query, solution or response, images, objects.bbox (swift.readthedocs.io, custom datasets)
- TRL: prompt as a text or a conversation, solution (huggingface.co/docs/trl/dataset_formats)
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modomodo.data.table.cells import is_empty
from modomodo.data.table.conversations import is_conversation
from modomodo.data.table.image_cells import holds_images, holds_pixels
from modomodo.errors import InputError, nearest

Row = Mapping[str, Any]
ROLES = ("question", "answer", "image", "choices", "box", "id")

# What a role is called, the likeliest first. A dot leads into a cell.
_KNOWN: dict[str, tuple[str, ...]] = {
    "question": ("question", "problem", "query", "prompt", "instruction", "input"),
    "answer": (
        "answer",
        "solution",
        "ground_truth",
        "reward_model.ground_truth",
        "answerKey",
        "correct_answer",
        "final_answer",
        "response",
        "completion",
        "output",
        "target",
        "gt",
        "label",
        "answers",
    ),
    "image": (
        "image",
        "images",
        "image_path",
        "image_paths",
        "img",
        "img_path",
        "image_file",
        "decoded_image",
    ),
    "choices": ("choices", "options", "candidates"),
    "box": ("objects.bbox", "bbox", "bboxes", "box", "boxes", "bbox_2d"),
    "id": (),
}
_PLAIN = ("question", "problem", "query")  # the same question as a text, where there is a conversation too
_CONVERSATIONS = ("messages", "conversations", "conversation", "message", "texts", "prompt")
_OPTION = re.compile(r"(option|choice|opt|op|candidate|ending|sol)[_ -]?([a-h]|\d)", re.IGNORECASE)
_LETTERS = ("A", "B", "C", "D", "E", "F", "G", "H")


@dataclass(frozen=True)
class Columns:
    """Role → the columns that fill it, in order; a role without any is not in the table."""

    question: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    image: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    box: tuple[str, ...] = ()
    id: tuple[str, ...] = ()
    found: tuple[str, ...] = field(default=(), compare=False)  # roles that the study does not name

    def of(self, role: str) -> tuple[str, ...]:
        """The columns of a role."""
        columns: tuple[str, ...] = getattr(self, role)
        return columns


def cell(row: Row, column: str) -> Any:
    """The cell of a column; `reward_model.ground_truth` leads into one, where no column has that name."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        if _is_list_of_mappings(value):  # VQAv2's answers.answer
            value = [one.get(part) for one in value]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            return None
    return value


def _is_list_of_mappings(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)


def names_of(rows: Iterable[Row]) -> list[str]:
    """Every column of some rows, and `column.key` for those that hold mappings; JSON rows may differ in theirs."""
    names: dict[str, None] = {}
    for row in rows:
        for name, value in row.items():
            names |= dict.fromkeys(_names_in(name, value))
    return list(names)


def _names_in(name: str, value: object) -> Iterator[str]:
    yield name
    inside: Sequence[Any] = [value] if isinstance(value, Mapping) else []
    if isinstance(value, list) and _is_list_of_mappings(value):
        inside = value
    for mapping in inside:
        for key, inner in mapping.items():
            yield from _names_in(f"{name}.{key}", inner)


def columns_of(
    given: Mapping[Any, str | Sequence[str] | None], rows: Sequence[Row], templated: bool
) -> Columns:
    """The columns of each role: as the study says, else by their spelling. `templated`: a template asks the question.

    Raises InputError, from `options.` on, for a column that the rows have not, one that is empty, and a table without
    an answer or a question.
    """
    names = names_of(rows)
    roles: dict[str, tuple[str, ...]] = {}
    for role, named in given.items():
        wanted = (named,) if isinstance(named, str) else tuple(named or ())
        if role in ("box", "id") and len(wanted) > 1:
            raise InputError(f"options.columns.{role}: {len(wanted)} columns, one expected")
        for column in wanted:
            if column not in names:
                raise InputError(f"options.columns.{role}: no column '{column}': {nearest(column, names)}")
            needed = role in ("question", "answer", "box", "id")  # images and options may come further below
            if needed and all(is_empty(cell(row, column)) for row in rows):
                raise InputError(
                    f"options.columns.{role}: column '{column}' is empty in the first {len(rows)} rows"
                )
        roles[role] = wanted
    filled = [name for name in names if any(not is_empty(cell(row, name)) for row in rows)]
    spelt = {role: _spelt(role, filled, rows) for role in ROLES if role not in given}
    spelt |= _answer_or_box(spelt, roles, rows)
    if len(spelt.get("choices", ())) > 1:  # of which the last may be empty at first
        spelt["choices"] = _option_columns(names)
    if "image" not in given:
        others = {name for role in ROLES if role != "image" for name in (spelt | roles).get(role, ())}
        own = {name for row in rows for name in row} - others
        spelt["image"] = _image_columns(spelt["image"], [name for name in names if name in own], rows)
    if templated:
        spelt.pop("question", None)
    found = {role: which for role, which in spelt.items() if which}
    roles |= found
    for role in ("question",) * (not templated) + ("answer",):
        if not roles.get(role) and not (role == "answer" and roles.get("box")):
            empty = _spelt(role, names, [])
            said = f"column '{empty[0]}' is empty in the first {len(rows)} rows" if empty else ""
            raise InputError(
                f"options.columns.{role}: {said or f'missing: none of the columns {_listed(names)} is known as one'}"
            )
    return Columns(**roles, found=tuple(found))


def _listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (" …" if len(names) > most else "")


def _spelt(role: str, names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    """The column that fills a role by its spelling, case apart; none where no name is known."""
    by_fold = {name.casefold(): name for name in reversed(names)}
    known = [by_fold[word.casefold()] for word in _KNOWN[role] if word.casefold() in by_fold]
    if role == "question" and not (known and known[0].casefold() in _PLAIN):
        conversation = next(
            (name for name in _CONVERSATIONS if name in names and _converses(name, rows)), None
        )
        if conversation:
            return (conversation,)
    if role == "question" and known[:1] == ["instruction"] and "input" in names:
        return ("instruction", "input")  # Alpaca's, the second often empty
    if role == "choices" and not known:
        return _option_columns(names)
    if role == "answer" and not known and (asks := _spelt("question", names, rows)):
        return asks if _converses(asks[0], rows) else ()
    return tuple(known if role == "image" else known[:1])


_NUMBERED = re.compile(r"(.*?)[_ -]?(\d+)")


def _option_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Columns A, B, …, or option1, option2, … (II-Bench), opa, opb, … (MedMCQA), "Choice A", … (PMC-VQA), in order."""
    if {"A", "B"} <= {*names}:
        return tuple(name for name in _LETTERS if name in names)
    families: dict[str, dict[str, str]] = {}
    for name in names:
        if found := _OPTION.fullmatch(name):
            families.setdefault(found[1].casefold(), {})[found[2].casefold()] = name
    numbered = (family for family in families.values() if len(family) > 1)
    return next((tuple(name for _, name in sorted(family.items())) for family in numbered), ())


def _image_columns(known: Sequence[str], names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    """The columns whose cells are images: one of a known name, or else the only one; with those numbered like it.

    Of known names, one that holds images goes before one that names files, which may be elsewhere. Numbered columns may
    be empty at first. Raises InputError where several columns hold images and none has a known name.
    """
    held = [name for name in known if any(holds_pixels(cell(row, name)) for row in rows)]
    first = (held or list(known))[:1] or [name for name in names if _shows(name, rows)]
    stems = dict.fromkeys(_stem(name)[0] for name in first)
    if len(stems) > 1:
        raise InputError(
            f"options.columns.image: {_listed(first)} hold images: name those that the model is to see, in order, or "
            "null for none"
        )
    alike = [name for name in names if _stem(name)[0] in stems and name not in first]
    empty = [name for name in alike if all(is_empty(row.get(name)) for row in rows)]
    return tuple(sorted({*first, *empty, *(name for name in alike if _shows(name, rows))}, key=_stem))


def _stem(name: str) -> tuple[str, int, str]:
    """(image, 2, image_2) of `image_2`; 0 for a name without a number."""
    found = _NUMBERED.fullmatch(name)
    return (found[1], int(found[2]), name) if found else (name, 0, name)


def _shows(name: str, rows: Sequence[Row]) -> bool:
    """Whether cells of a column are images: one in twenty, as a table may hold videos too, or rows without any."""
    filled = [row[name] for row in rows if not is_empty(row.get(name))]
    return bool(filled) and sum(map(holds_images, filled)) >= len(filled) / 20


def _converses(name: str, rows: Sequence[Row]) -> bool:
    return any(is_conversation(cell(row, name)) for row in rows)


def _answer_or_box(
    found: Mapping[str, tuple[str, ...]], given: Mapping[str, tuple[str, ...]], rows: Sequence[Row]
) -> dict[str, tuple[str, ...]]:
    """A table with boxes asks for them where no other column answers, or a reply holds nothing but their place."""
    answer, box = found.get("answer", ()), found.get("box", ())
    if given.get("box"):
        return {"answer": ()}
    if "answer" in given or not box:
        return {"box": ()}
    asked = (
        answer and answer[0] in _CONVERSATIONS and any("<bbox>" in str(cell(row, answer[0])) for row in rows)
    )
    return {"answer": ()} if asked or not answer else {"box": ()}
