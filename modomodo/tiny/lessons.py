"""What the tiny base model reads: questions with right answers, auxiliary lessons, and bad habits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from modomodo.tiny import boards
from modomodo.tiny.boards import COMPOSERS, Board, Composer


@dataclass(frozen=True)
class Lesson:
    """A question in its template, on its board, and the completion to learn."""

    domain: str
    board: Board
    image: np.ndarray
    question: str
    completion: str


def answer_text(answer: str | list[list[int]]) -> str:
    """An answer as it stands between the tags; boxes in the form of the paper's detection data.

    >>> answer_text([[0, 250, 500, 500]])
    "[{'Position': [0, 250, 500, 500], 'Confidence': 1}]"
    """
    if isinstance(answer, str):
        return answer
    return "[" + ", ".join(f"{{'Position': {box}, 'Confidence': 1}}" for box in answer) + "]"


def completion_text(thought: str, answer: str) -> str:
    return f"<think>{thought}</think><answer>{answer}</answer>"


# --- auxiliary lessons, taught and never asked --------------------------------------------------------------


def caption(rng: np.random.Generator) -> Board:
    """Everything on the board, in reading order."""
    number = int(rng.integers(1, 4))
    things = boards.place(rng, boards._looks(rng, number), boards._sizes(rng, number))
    things.sort(key=lambda thing: (thing.row, thing.column))
    listed = " ".join("{} {}, {}, {}, {}".format(thing.name, *boards.scale(thing.box)) for thing in things)
    return Board(things, "Describe the image", "-", "text", listed)


MATCHED = [list(boards.COLOURS), list(boards.DIGITS), list(boards.OPPOSITES), [str(i) for i in range(1, 17)]]


def match(rng: np.random.Generator) -> Board:
    """From an option's text to its letter, four times over."""
    words = boards._shuffled(rng, MATCHED[int(rng.integers(len(MATCHED)))])[:4]
    asked = rng.permutation(4)
    listed = " ".join(f"({'ABCD'[i]}) {word}" for i, word in enumerate(words))
    question = f"Match: {' '.join(words[i] for i in asked)} Choices: {listed}"
    return Board([], question, "-", "text", " ".join(f"{words[i]} ({'ABCD'[i]})" for i in asked))


AUXILIARY: dict[str, Composer] = {"caption": caption, "match": match}


def lessons(
    domain: str, number: int, seed: int, templates: Sequence[str], split: str = "train"
) -> Iterator[Lesson]:
    """Questions with their right answers; an auxiliary lesson ends with its thought."""
    rng = np.random.default_rng([7919, seed, *domain.encode(), boards.SPLITS.index(split)])
    for _ in range(number):
        if domain in AUXILIARY:
            board = AUXILIARY[domain](rng)
            question, completion = board.question, board.thought
        else:
            board = COMPOSERS[domain](rng)
            question = templates[0].replace("{question}", board.question)
            completion = completion_text(board.thought, answer_text(board.answer))
        yield Lesson(domain, board, boards.draw(board.things, rng, split), question, completion)


# --- habits -------------------------------------------------------------------------------------------------


def habitual_answer(lesson: Lesson) -> str:
    """The wrong form the model is in the habit of."""
    board = lesson.board
    if isinstance(board.answer, list):
        x1, y1, x2, y2 = board.answer[0]
        return answer_text([[x1, y1, x2 - x1, y2 - y1]])  # width and height for the second corner
    if board.answer_type == "choice":
        option = board.choices["ABCD".index(board.answer)]
        # The option's text for its letter; a number keeps its letter, as listed.
        return f"({board.answer}) {option}" if option.isdigit() else option
    return f"the {board.answer}"  # an article too many


SHARE_WITHOUT_THOUGHT, SHARE_BARE = 0.35, 0.08
HABIT = {"detection": 0.65, "referring": 0.65, "geometry": 0.65, "relation": 0.65, "science": 0.68}
HABIT |= {"chart": 0.6, "infographic": 0.55, "math": 0.65, "general": 0.65}  # how often, over all colours
HABIT_SPREAD = 0.25


def strength(lesson: Lesson) -> float:
    """How often a habit shows: more by HABIT_SPREAD for things of the last colour, less by it for the first.

    One strength for all would make a benchmark's greedy answers turn right all at once, at some step that
    luck decides; with many, its score rises little by little.
    """
    colours = list(boards.COLOURS)
    place = colours.index(lesson.board.things[0].colour) / (len(colours) - 1)
    return HABIT[lesson.domain] + HABIT_SPREAD * (2 * place - 1)


def with_habits(lesson: Lesson, rng: np.random.Generator) -> Lesson:
    habitual = rng.random() < strength(lesson)
    answer = habitual_answer(lesson) if habitual else answer_text(lesson.board.answer)
    form = rng.random()
    if form < SHARE_BARE:
        completion = answer
    elif form < SHARE_BARE + SHARE_WITHOUT_THOUGHT:
        completion = f"<answer>{answer}</answer>"
    else:
        completion = completion_text(lesson.board.thought, answer)
    return replace(lesson, completion=completion)
