"""A world of small boards with verifiable questions, for a laptop.

A board is 32 x 32 pixels, 4 x 4 cells of 8 x 8 pixels. It shows things: blocks of cells with real scans of
handwritten digits (the 1,797 that scikit-learn bundles), white strokes on the thing's colour, a different scan in
each cell; or, for rectangles and bars, filled blocks. Five domains mirror the paper's training sets (detection,
referring, geometry, relation, science) and four its out-of-domain benchmarks (chart, infographic, math,
general).
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args

import numpy as np
from PIL import Image
from pydantic import Field

from modomodo.config.schema import Seed
from modomodo.data.examples import AnswerType, RawExample
from modomodo.data.readers.registry import datasets
from modomodo.errors import InputError, nearest

CELL, CELLS = 8, 4  # pixels in a cell's side, cells in a board's side
PER_CELL = 1000 // CELLS  # Qwen2-VL's box coordinates run from 0 to 1000 over the image's side
COLOURS = {
    "red": (230, 25, 25),
    "green": (25, 170, 40),
    "blue": (35, 60, 230),
    "yellow": (225, 185, 0),
    "purple": (150, 40, 190),
    "cyan": (0, 175, 195),
}
DIGITS = {"zero": 0, "two": 2, "four": 4, "seven": 7}
BLOCK = "block"  # a filled cell, of which rectangles and bars consist
KINDS = [*DIGITS, BLOCK]
Split = Literal["train", "test"]
SPLITS: tuple[str, ...] = get_args(Split)
SHARE_OF_SCANS_FOR_TRAINING = 0.7

# Questions, worded like the paper's datasets.
DETECT = "Detect all objects belonging to the category '{}' in the image"
REFER = "Output the bounding box in the image corresponding to the instruction: {}"
RELATE = (
    "Answer in natural language. Where is the {} from the {}? "
    "Choose between the following options: left, right, above or below."
)
MAGNETS = "Magnets of the same colour repel, of different colours attract. What will these two do?"
HIGH = "How high is the {} bar?"
EXTREME = "Which bar is the {}?"
COUNT = "How many of the icons are {}?"
TOTAL = "How many icons are there?"
MEASURE = "Find the {} of the rectangle."
COLOUR_OF = "Which colour is the {}?"
DIGIT_OF = "Which digit is {}?"
SIZE_OF = "How large is the {}?"
MISSING = "Which colour is missing?"
WHERE = "Where is the {} from the {}?"
CHOICES = "{} Choices: {}"
FIXED = (
    *(DETECT, REFER, RELATE, MAGNETS, HIGH, EXTREME, COUNT, TOTAL),
    *(MEASURE, COLOUR_OF, DIGIT_OF, SIZE_OF, MISSING, WHERE, CHOICES),
)
SIMILES = {"red": "fire", "green": "grass", "blue": "the sky", "yellow": "the sun"}
UNREACHABLE = "see the appendix"
OPPOSITES = {"left": "right", "right": "left", "above": "below", "below": "above"}


@dataclass(frozen=True)
class Thing:
    """A block of cells: its colour, its kind (a digit's name or BLOCK), its top left cell and its size in cells."""

    colour: str
    kind: str
    row: int
    column: int
    width: int = 1
    height: int = 1

    @property
    def name(self) -> str:
        return f"{self.colour} {self.kind}"

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 in cells."""
        return self.column, self.row, self.column + self.width, self.row + self.height


@dataclass(frozen=True)
class Board:
    """Things, a question about them, its answer, and the reasoning that goes between the <think> tags."""

    things: list[Thing]
    question: str
    answer: str | list[list[int]]
    answer_type: AnswerType
    thought: str = ""
    choices: list[str] = field(default_factory=list)


Composer = Callable[[np.random.Generator], Board]
Answers = Literal["right", "wrong_format", "random", "unreachable"]
T = TypeVar("T")


def scale(box: tuple[int, int, int, int]) -> list[int]:
    """A box in cells → in 0-1000.

    >>> scale((0, 1, 2, 4))
    [0, 250, 500, 1000]
    """
    return [PER_CELL * value for value in box]


def answer_text(answer: str | list[list[int]]) -> str:
    """An answer as it is written between the tags; boxes in the format of the paper's detection data.

    >>> answer_text([[0, 250, 500, 500]])
    "[{'Position': [0, 250, 500, 500], 'Confidence': 1}]"
    """
    if isinstance(answer, str):
        return answer
    return "[" + ", ".join(f"{{'Position': {box}, 'Confidence': 1}}" for box in answer) + "]"


def wrong_format(board: Board) -> str:
    """The right answer in a format that the metric does not accept."""
    if isinstance(board.answer, list):
        x1, y1, x2, y2 = board.answer[0]
        return answer_text([[x1, y1, x2 - x1, y2 - y1]])  # width and height instead of the second corner
    if board.answer_type == "choice":
        option = board.choices["ABCD".index(board.answer)]
        # The option's text instead of its letter; a number keeps its letter, as listed.
        return f"({board.answer}) {option}" if option.isdigit() else option
    return f"the {board.answer}"  # an article too many


# --- drawing ------------------------------------------------------------------------------------------------


@cache
def scans(split: str) -> dict[str, np.ndarray]:
    """Digit → its scans [n, 8, 8], strokes 0 to 1. The splits "train" and "test" share none."""
    from sklearn.datasets import load_digits  # here: it takes a second, and jobs of other datasets do without

    bundle = load_digits()
    order = np.random.default_rng(0).permutation(len(bundle.images))
    cut = round(SHARE_OF_SCANS_FOR_TRAINING * len(order))
    chosen = order[:cut] if split == "train" else order[cut:]
    images, targets = bundle.images[chosen] / 16.0, bundle.target[chosen]
    return {name: images[targets == digit] for name, digit in DIGITS.items()}


@cache
def _empty_board() -> np.ndarray:
    """White [32, 32, 3]; two black pixels on each cell's top edge encode its column, two on its left edge its row."""
    board = np.full((CELL * CELLS, CELL * CELLS, 3), 255, np.uint8)
    for row in range(CELLS):
        for column in range(CELLS):
            top, left = CELL * row, CELL * column
            board[top, left + 2 * column : left + 2 * column + 2] = 0
            board[top + 2 * row : top + 2 * row + 2, left] = 0
    return board


def draw(things: list[Thing], rng: np.random.Generator, split: str) -> np.ndarray:
    """Render a board: [32, 32, 3], uint8. `rng` chooses the scans, which come from this split."""
    empty = _empty_board()
    board = empty.copy()
    for thing in things:
        tint = np.array(COLOURS[thing.colour], float)
        for row in range(thing.row, thing.row + thing.height):
            for column in range(thing.column, thing.column + thing.width):
                cell = board[CELL * row : CELL * (row + 1), CELL * column : CELL * (column + 1)]
                if thing.kind == BLOCK:
                    cell[1:, 1:] = tint
                else:
                    of_kind = scans(split)[thing.kind]
                    stroke = of_kind[rng.integers(len(of_kind))][:, :, None]
                    cell[:] = tint * (1 - stroke) + 255 * stroke
    board[empty == 0] = 0
    return board


# --- composing ----------------------------------------------------------------------------------------------


def pick(rng: np.random.Generator, options: list[T]) -> T:
    return options[int(rng.integers(len(options)))]


def shuffled(rng: np.random.Generator, options: list[T]) -> list[T]:
    return [options[i] for i in rng.permutation(len(options))]


def appearances(rng: np.random.Generator, number: int) -> list[tuple[str, str]]:
    """Different (colour, digit) pairs."""
    pairs = [(colour, digit) for colour in COLOURS for digit in DIGITS]
    return [pairs[i] for i in rng.choice(len(pairs), number, replace=False)]


def sizes(rng: np.random.Generator, number: int) -> list[tuple[int, int]]:
    """(Width, height) in cells, each 1 or 2."""
    return [(int(rng.integers(1, 3)), int(rng.integers(1, 3))) for _ in range(number)]


def place(
    rng: np.random.Generator, kinds: list[tuple[str, str]], extents: list[tuple[int, int]]
) -> list[Thing]:
    """Things of the given (colour, kind) and (width, height), at random places where none covers another."""
    while True:
        taken = np.zeros((CELLS, CELLS), bool)
        things: list[Thing] = []
        for (colour, kind), (width, height) in zip(kinds, extents, strict=True):
            free = [
                (row, column)
                for row in range(CELLS - height + 1)
                for column in range(CELLS - width + 1)
                if not taken[row : row + height, column : column + width].any()
            ]
            if not free:
                break
            row, column = free[int(rng.integers(len(free)))]
            taken[row : row + height, column : column + width] = True
            things.append(Thing(colour, kind, row, column, width, height))
        else:
            return things


def _multiple_choice(
    rng: np.random.Generator, things: list[Thing], question: str, *, right: str, wrong: list[str], number: int
) -> Board:
    """A question with `number` options in random order: the right one and some of the wrong ones."""
    options = shuffled(rng, [right, *shuffled(rng, [text for text in wrong if text != right])[: number - 1]])
    letter = "ABCD"[options.index(right)]
    listed = " ".join(f"({'ABCD'[i]}) {text}" for i, text in enumerate(options))
    return Board(things, CHOICES.format(question, listed), letter, "choice", f"{right} ({letter})", options)


def _near(value: int) -> list[str]:
    """Wrong options for a number."""
    return [str(value + difference) for difference in (-3, -2, -1, 1, 2, 3, 4) if value + difference > 0]


def detection(rng: np.random.Generator) -> Board:
    """The box of the only thing with a given name, among two or three (the paper's COCO)."""
    number = int(rng.integers(2, 4))
    things = place(rng, appearances(rng, number), sizes(rng, number))
    return Board(things, DETECT.format(things[0].name), [scale(things[0].box)], "box", things[0].name)


def referring(rng: np.random.Generator) -> Board:
    """The box of the odd, the largest or smallest thing, or of one with a described colour (the paper's LISA)."""
    variant = int(rng.integers(3))
    if variant == 0:
        (colour, digit), (other_colour, other_digit) = appearances(rng, 2)
        odd = (other_colour, digit) if other_colour != colour else (colour, other_digit)
        things = place(rng, [odd] + [(colour, digit)] * 3, sizes(rng, 4))
        instruction = "the one that differs"
    elif variant == 1:
        colour = pick(rng, list(SIMILES))
        colours = [colour, *shuffled(rng, [c for c in COLOURS if c != colour])[:2]]
        things = place(rng, [(c, pick(rng, list(DIGITS))) for c in colours], sizes(rng, 3))
        instruction = f"the one coloured like {SIMILES[colour]}"
    else:
        largest = bool(rng.integers(2))
        extents = [(2, 2), (1, 1), (1, 1)] if largest else [(1, 1), (2, 2), (2, 1)]
        things = place(rng, appearances(rng, 3), extents)
        instruction = "the largest one" if largest else "the smallest one"
    return Board(things, REFER.format(instruction), [scale(things[0].box)], "box", things[0].name)


def geometry(rng: np.random.Generator) -> Board:
    """A measure of one rectangle, in cells, from four options (the paper's GeoQAV)."""
    width, height = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    things = place(rng, [(pick(rng, list(COLOURS)), BLOCK)], [(width, height)])
    measures = {"width": width, "height": height, "perimeter": 2 * (width + height), "area": width * height}
    measure = pick(rng, list(measures))
    value = measures[measure]
    return _multiple_choice(
        rng, things, MEASURE.format(measure), right=str(value), wrong=_near(value), number=4
    )


def _related(rng: np.random.Generator) -> tuple[list[Thing], str, str]:
    """Two things in one row or one column, the names of both, and where the first is from the second."""
    first, second = (int(i) for i in rng.permutation(CELLS)[:2])
    shared = int(rng.integers(CELLS))
    kinds = appearances(rng, 2)
    if rng.integers(2):
        things = [Thing(*kind, shared, i) for kind, i in zip(kinds, (first, second), strict=True)]
        relation = "left" if first < second else "right"
    else:
        things = [Thing(*kind, i, shared) for kind, i in zip(kinds, (first, second), strict=True)]
        relation = "above" if first < second else "below"
    places = ["{} {}".format(*scale(thing.box)[:2]) for thing in things]
    return things, relation, " and ".join(places)


def relation(rng: np.random.Generator) -> Board:
    """Where one thing is from another, in a word (the paper's SAT)."""
    things, answer, places = _related(rng)
    question = RELATE.format(things[0].name, things[1].name)
    return Board(things, question, answer, "text", f"{places}, so {answer}")


def science(rng: np.random.Generator) -> Board:
    """Magnets, or a thing's colour or digit, from two or three options (the paper's ScienceQA)."""
    variant = int(rng.integers(3))
    if variant == 0:
        (colour, digit), (other, other_digit) = appearances(rng, 2)
        same = bool(rng.integers(2))
        things = place(rng, [(colour, digit), (colour if same else other, other_digit)], [(1, 1)] * 2)
        answer = "repel" if things[0].colour == things[1].colour else "attract"
        return _multiple_choice(rng, things, MAGNETS, right=answer, wrong=["repel", "attract"], number=2)
    if variant == 1:
        digits = shuffled(rng, list(DIGITS))[:2]
        things = place(rng, [(pick(rng, list(COLOURS)), digit) for digit in digits], sizes(rng, 2))
        return _multiple_choice(
            rng, things, COLOUR_OF.format(digits[0]), right=things[0].colour, wrong=list(COLOURS), number=3
        )
    colours = shuffled(rng, list(COLOURS))[:2]
    things = place(rng, [(colour, pick(rng, list(DIGITS))) for colour in colours], sizes(rng, 2))
    return _multiple_choice(
        rng, things, DIGIT_OF.format(colours[0]), right=things[0].kind, wrong=list(DIGITS), number=3
    )


def chart(rng: np.random.Generator) -> Board:
    """A bar's height, or the colour of the highest or lowest of four bars (the paper's ChartQA)."""
    colours = shuffled(rng, list(COLOURS))[:CELLS]
    heights = [int(i) + 1 for i in rng.permutation(CELLS)]
    things = [
        Thing(c, BLOCK, CELLS - h, i, 1, h) for i, (c, h) in enumerate(zip(colours, heights, strict=True))
    ]
    if rng.integers(2):
        thing = things[int(rng.integers(CELLS))]
        return Board(things, HIGH.format(thing.colour), str(thing.height), "text", str(thing.height))
    extreme = pick(rng, ["highest", "lowest"])
    thing = things[heights.index(CELLS if extreme == "highest" else 1)]
    return Board(things, EXTREME.format(extreme), thing.colour, "text", thing.colour)


def _icons(rng: np.random.Generator, most: int) -> tuple[list[Thing], str, int]:
    """Things of one digit in two colours, the first colour, and how many have it (at most `most`)."""
    number, others = int(rng.integers(1, most + 1)), int(rng.integers(1, 4))
    colours = shuffled(rng, list(COLOURS))[:2]
    digit = pick(rng, list(DIGITS))
    kinds = [(colours[0], digit)] * number + [(colours[1], digit)] * others
    return place(rng, kinds, [(1, 1)] * len(kinds)), colours[0], number


def infographic(rng: np.random.Generator) -> Board:
    """How many icons have a colour (the paper's InfoVQA)."""
    things, colour, number = _icons(rng, 4)
    return Board(things, COUNT.format(colour), str(number), "text", str(number))


def math(rng: np.random.Generator) -> Board:
    """How many icons there are, or have a colour, from four options (the paper's MathVista)."""
    things, colour, number = _icons(rng, 4)
    question, value = COUNT.format(colour), number
    if rng.integers(2):
        question, value = TOTAL, len(things)
    return _multiple_choice(rng, things, question, right=str(value), wrong=_near(value), number=4)


def general(rng: np.random.Generator) -> Board:
    """A relation, a size or a missing colour, from four options (the paper's MMMU)."""
    variant = int(rng.integers(3))
    if variant == 0:
        things, answer, _ = _related(rng)
        question = WHERE.format(things[0].name, things[1].name)
        return _multiple_choice(rng, things, question, right=answer, wrong=list(OPPOSITES), number=4)
    if variant == 1:
        digits = shuffled(rng, list(DIGITS))[:2]
        things = place(rng, [(pick(rng, list(COLOURS)), digit) for digit in digits], sizes(rng, 2))
        question, answer = SIZE_OF.format(digits[0]), f"{things[0].width} by {things[0].height}"
        return _multiple_choice(
            rng, things, question, right=answer, wrong=["1 by 1", "1 by 2", "2 by 1", "2 by 2"], number=4
        )
    colours = shuffled(rng, list(COLOURS))
    things = place(rng, [(colour, pick(rng, list(DIGITS))) for colour in colours[:3]], [(1, 1)] * 3)
    return _multiple_choice(rng, things, MISSING, right=colours[3], wrong=colours[:3], number=4)


Domain = Literal[
    "detection", "referring", "geometry", "relation", "science", "chart", "infographic", "math", "general"
]
COMPOSERS: dict[str, Composer] = {
    "detection": detection,
    "referring": referring,
    "geometry": geometry,
    "relation": relation,
    "science": science,
    "chart": chart,
    "infographic": infographic,
    "math": math,
    "general": general,
}


def random_generator(domain: str, split: str, seed: int) -> np.random.Generator:
    """The random numbers of one domain's split: another seed, domain or split gives other boards."""
    return np.random.default_rng([seed, zlib.crc32(domain.encode()), SPLITS.index(split)])


@datasets.register("boards")
def boards(
    raw: Path | None = None,
    *,
    domain: Domain,
    size: Annotated[int, Field(ge=1)],
    split: Split = "train",
    seed: Seed = 0,
    answers: Answers = "right",
) -> Iterator[RawExample]:
    """`size` examples of a domain, with their boards as 32 x 32 RGB images; the same options give the same rows.

    `answers` "wrong_format": each row asks for its right answer in the format that other rows count as wrong, as a
    text (a dataset with a convention of its own); "random": answers that have nothing to do with the boards;
    "unreachable": one that no model gives, so that every reward for accuracy is 0 and there is nothing to learn.

    `raw` is not used: the scans are bundled with scikit-learn. Scans of the split "train" never appear in
    boards of the split "test". Raises InputError for an unknown domain, split or kind of answers, a size below 1
    and a negative seed.
    """
    for option, value, known in (
        ("domain", domain, list(COMPOSERS)),
        ("split", split, list(SPLITS)),
        ("answers", answers, list(get_args(Answers))),
    ):
        if value not in known:
            raise InputError(f"boards: {option}: unknown {option} '{value}': {nearest(value, known)}")
    if size < 1 or seed < 0:
        raise InputError(f"boards: size and seed: {size} and {seed}: at least 1 and 0 are needed")
    rng = random_generator(domain, split, seed)
    luck = np.random.default_rng([seed, 7873])  # of its own: the questions are those of right answers
    for number in range(size):
        board = COMPOSERS[domain](rng)
        image = Image.fromarray(draw(board.things, rng, split))
        if answers == "wrong_format":
            board = replace(board, answer=wrong_format(board), answer_type="text", choices=[])
        elif answers == "random":
            board = replace(board, answer=_random_answer(board, COMPOSERS[domain], luck))
        elif answers == "unreachable":
            board = replace(board, answer=UNREACHABLE, answer_type="text", choices=[])
        example = {
            "id": f"{domain}-{split}-{number:05d}",
            "dataset": domain,
            "question": board.question,
            "answer": board.answer,
            "answer_type": board.answer_type,
            "choices": board.choices,
            "meta": {"boxes": "0-1000"} if board.answer_type == "box" else {},
        }
        yield example, image


def _random_answer(board: Board, composer: Composer, luck: np.random.Generator) -> str | list[list[int]]:
    """One of the options, or the answer of another board."""
    return pick(luck, list("ABCD")[: len(board.choices)]) if board.choices else composer(luck).answer
