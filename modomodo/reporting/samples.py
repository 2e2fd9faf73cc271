"""Which questions of a benchmark a run's page shows: those that its training changed, then the first ones.

The choice follows from the scores alone, in the order of the questions, so that runs that changed the same questions
show the same ones.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

RIGHT = 0.5  # a value from which on an answer counts as right: an overlap of boxes may be anything between 0 and 1
SHOWN = 12  # questions of a benchmark
CHANGED = 5  # of them newly right at most, and newly wrong


class Change(StrEnum):
    """What a training made of a question, against the base model."""

    RIGHT = "newly right"
    WRONG = "newly wrong"
    NONE = "unchanged"


class Outcome(NamedTuple):
    """What came of a question: what training changed, the run's value, and the base model's, None where not asked."""

    change: Change
    value: float
    base: float | None


def change(value: float, base: float | None) -> Change:
    """`base`: the base model's value of the same question; None where it was not asked."""
    if base is None or (value >= RIGHT) == (base >= RIGHT):
        return Change.NONE
    return Change.RIGHT if value >= RIGHT else Change.WRONG


def choose(changes: Sequence[Change]) -> list[int]:
    """The places of the questions to show: newly right ones, newly wrong ones, the first of the others.

    Where there are few others, more of the changed ones take their places.
    """
    places = {kind: [i for i, each in enumerate(changes) if each == kind] for kind in Change}
    chosen = {kind: places[kind][:CHANGED] for kind in (Change.RIGHT, Change.WRONG)}
    chosen[Change.NONE] = places[Change.NONE][: SHOWN - sum(map(len, chosen.values()))]
    for kind in (Change.RIGHT, Change.WRONG):
        room = SHOWN - sum(map(len, chosen.values()))
        chosen[kind] = places[kind][: len(chosen[kind]) + room]
    return [place for kind in (Change.RIGHT, Change.WRONG, Change.NONE) for place in chosen[kind]]
