"""Which column is what, where the study does not say: the spellings of common trainers and datasets.

- open-r1, R1-V: problem, solution, image (github.com/huggingface/open-r1, github.com/Deep-Agent/R1-V)
- VLM-R1, LLaVA: conversations of {from, value}, image (github.com/om-ai-lab/VLM-R1)
- EasyR1: problem, answer, images (github.com/hiyouga/EasyR1)
- verl: prompt as a conversation, reward_model.ground_truth (verl.readthedocs.io)
- ms-swift: messages or query, solution or response, images, objects.bbox (swift.readthedocs.io, custom datasets)
- TRL: prompt as a text or a conversation, solution (huggingface.co/docs/trl/dataset_formats)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modomodo.data.table.cells import is_conversation, is_empty
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
_CONVERSATIONS = ("messages", "conversations", "conversation", "prompt")
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
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def names_of(rows: Iterable[Row]) -> list[str]:
    """Every column of some rows, and `column.key` for those that hold mappings; JSON rows may differ in theirs."""
    names: dict[str, None] = {}
    for row in rows:
        for name, value in row.items():
            names[name] = None
            if isinstance(value, Mapping):
                names |= dict.fromkeys(f"{name}.{key}" for key in value)
    return list(names)


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
        letters = [name for name in _LETTERS if name in names]
        return tuple(letters) if letters[:2] == ["A", "B"] else ()
    if role == "answer" and not known and (asks := _spelt("question", names, rows)):
        return asks if _converses(asks[0], rows) else ()
    return tuple(known[:1])


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
