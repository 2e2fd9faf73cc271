"""Conversations in a cell → the question that is asked in them, its images, and its answer."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from modomodo.data.images import InvalidRow
from modomodo.data.table.cells import is_empty, text_of_cell

MARK = "<image>"  # in a question: here the model sees the next image

_KEYS = (("role", "content"), ("from", "value"))
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
class Asked:
    """The question of a conversation: its text, with a mark for each image in it, and the cells of these images."""

    question: str
    images: list[Any]


def is_conversation(value: object) -> bool:
    """Whether a cell is a list of turns: {role, content}, {from, value} or {user, assistant}."""
    return bool(_said(value))


def _said(value: object) -> list[tuple[str, object]]:
    """Who says what in a conversation; nothing in any other cell."""
    value = _unpacked(value)
    turns = [_turns_of(turn) for turn in value] if isinstance(value, list) else []
    return [] if None in turns else [said for turn in turns for said in turn or ()]


def _unpacked(value: object) -> object:
    """A conversation that a text cell holds as JSON, or that the datasets library keeps as a list for each key."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        with suppress(json.JSONDecodeError):
            return json.loads(value)
    if isinstance(value, Mapping):
        for keys in _KEYS:
            lists = [value.get(key) for key in keys]
            if all(isinstance(one, list) for one in lists):
                return [dict(zip(keys, turn, strict=True)) for turn in zip(*lists, strict=False)]
    return value


def _turns_of(turn: object) -> list[tuple[str, object]] | None:
    if not isinstance(turn, Mapping):
        return None
    for role, content in _KEYS:
        if role in turn and content in turn and str(turn[role]) in _ROLES:
            return [(_ROLES[str(turn[role])], turn[content])]
    asks = next((key for key in ("human", "user") if key in turn), None)
    if asks and "assistant" in turn:  # the second one's, of The Cauldron
        return [("user", turn[asks]), ("assistant", turn["assistant"])]
    return None


def has_system_turn(value: object) -> bool:
    """Whether a conversation begins with instructions, which are left out."""
    return any(role == "system" for role, _ in _said(value))


def question_in(value: object, name: str) -> Asked:
    """Raises InvalidRow for no conversation, and for one that asks several questions."""
    questions = _said_by("user", value, name)
    if len(questions) != 1:
        raise InvalidRow(f"{name}: {len(questions)} turns of the user, one expected")
    return Asked(*_content(questions[0], name))


def answer_in(value: object, name: str) -> str | None:
    """What the assistant says last, if anything. Raises InvalidRow for no conversation."""
    answers = _said_by("assistant", value, name)
    return _content(answers[-1], name)[0] if answers and not is_empty(answers[-1]) else None


def _said_by(role: str, value: object, name: str) -> list[object]:
    said = _said(value)
    if not said:
        raise InvalidRow(f"{name}: no conversation")
    return [content for who, content in said if who == role]


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
