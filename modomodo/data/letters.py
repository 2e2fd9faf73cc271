"""The letters of multiple choice: A is the first option."""

from collections.abc import Sequence


def letter(position: int) -> str:
    """The letter of the option at a position, from 0.

    >>> letter(2)
    'C'
    """
    return chr(ord("A") + position)


def lettered(choices: Sequence[str], form: str = "{}. {}") -> str:
    """The options, one a line, each behind its letter.

    >>> lettered(["West Virginia", "Louisiana"])
    'A. West Virginia\\nB. Louisiana'
    """
    return "\n".join(form.format(letter(position), choice) for position, choice in enumerate(choices))
