"""What the tiny base model is fine-tuned on: right answers, auxiliary tasks, and corrupted formats.

The corrupted formats make the model answer worse than it can, as Qwen2-VL-2B does on ScienceQA in the paper
(0.05 before GRPO, 0.78 after). GRPO then elicits what the model knows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from modomodo.tiny import boards
from modomodo.tiny.boards import COMPOSERS, Board, Composer


@dataclass(frozen=True)
class SFTExample:
    """A board, its image [32, 32, 3] (uint8), the question in its template, and the completion to learn."""

    domain: str
    board: Board
    image: np.ndarray
    question: str
    completion: str


def answer_text(answer: str | list[list[int]]) -> str:
    """An answer as it is written between the tags; boxes in the format of the paper's detection data.

    >>> answer_text([[0, 250, 500, 500]])
    "[{'Position': [0, 250, 500, 500], 'Confidence': 1}]"
    """
    if isinstance(answer, str):
        return answer
    return "[" + ", ".join(f"{{'Position': {box}, 'Confidence': 1}}" for box in answer) + "]"


def completion_text(thought: str, answer: str) -> str:
    return f"<think>{thought}</think><answer>{answer}</answer>"


# --- auxiliary tasks: in the training data, in no benchmark --------------------------------------------------


def caption(rng: np.random.Generator) -> Board:
    """Name everything on the board, with its box, in reading order."""
    number = int(rng.integers(1, 4))
    things = boards.place(rng, boards.appearances(rng, number), boards.sizes(rng, number))
    things.sort(key=lambda thing: (thing.row, thing.column))
    listed = " ".join("{} {}, {}, {}, {}".format(thing.name, *boards.scale(thing.box)) for thing in things)
    return Board(things, "Describe the image", "-", "text", listed)


OPTIONS = [list(boards.COLOURS), list(boards.DIGITS), list(boards.OPPOSITES), [str(i) for i in range(1, 17)]]


def match(rng: np.random.Generator) -> Board:
    """Give the letters of four options, from their texts."""
    words = boards.shuffled(rng, OPTIONS[int(rng.integers(len(OPTIONS)))])[:4]
    asked = rng.permutation(4)
    listed = " ".join(f"({'ABCD'[i]}) {word}" for i, word in enumerate(words))
    question = f"Match: {' '.join(words[i] for i in asked)} Choices: {listed}"
    return Board([], question, "-", "text", " ".join(f"{words[i]} ({'ABCD'[i]})" for i in asked))


AUXILIARY: dict[str, Composer] = {"caption": caption, "match": match}


def sft_examples(
    domain: str, number: int, seed: int, templates: Sequence[str], *, split: str = "train"
) -> Iterator[SFTExample]:
    """`number` examples of a domain with right answers, their questions in the first template.

    An auxiliary task has no template and no tags: its completion is the bare thought.
    """
    rng = np.random.default_rng([7919, seed, *domain.encode(), boards.SPLITS.index(split)])
    for _ in range(number):
        if domain in AUXILIARY:
            board = AUXILIARY[domain](rng)
            question, completion = board.question, board.thought
        else:
            board = COMPOSERS[domain](rng)
            question = templates[0].replace("{question}", board.question, 1)
            completion = completion_text(board.thought, answer_text(board.answer))
        yield SFTExample(domain, board, boards.draw(board.things, rng, split), question, completion)


# --- format corruptions -------------------------------------------------------------------------------------

# Shares of completions: tags without a thought, neither thought nor tags, the answer in the wrong format.
WITHOUT_THOUGHT, WITHOUT_TAGS = 0.35, 0.08
WRONG_FORMAT = {"detection": 0.65, "referring": 0.65, "geometry": 0.65, "relation": 0.65, "science": 0.68}
WRONG_FORMAT |= {"chart": 0.6, "infographic": 0.55, "math": 0.65, "general": 0.65}  # mean over the colours
SPREAD = 0.25  # of WRONG_FORMAT over the colours


def wrong_format(example: SFTExample) -> str:
    """The right answer in a format that the metric does not accept."""
    board = example.board
    if isinstance(board.answer, list):
        x1, y1, x2, y2 = board.answer[0]
        return answer_text([[x1, y1, x2 - x1, y2 - y1]])  # width and height instead of the second corner
    if board.answer_type == "choice":
        option = board.choices["ABCD".index(board.answer)]
        # The option's text instead of its letter; a number keeps its letter, as listed.
        return f"({board.answer}) {option}" if option.isdigit() else option
    return f"the {board.answer}"  # an article too many


def wrong_format_rate(example: SFTExample) -> float:
    """How often the answer's format is wrong: from SPREAD below the domain's mean (first colour) to SPREAD above.

    With one rate for all colours, all greedy answers of a benchmark would turn right at about the same step,
    which chance would determine; with different rates its score rises gradually.
    """
    colours = list(boards.COLOURS)
    place = colours.index(example.board.things[0].colour) / (len(colours) - 1)
    return WRONG_FORMAT[example.domain] + SPREAD * (2 * place - 1)


def corrupt(example: SFTExample, rng: np.random.Generator) -> SFTExample:
    """The example with its answer's format, its thought and its tags corrupted at random."""
    wrong = rng.random() < wrong_format_rate(example)
    answer = wrong_format(example) if wrong else answer_text(example.board.answer)
    form = rng.random()
    if form < WITHOUT_TAGS:
        completion = answer
    elif form < WITHOUT_TAGS + WITHOUT_THOUGHT:
        completion = f"<answer>{answer}</answer>"
    else:
        completion = completion_text(example.board.thought, answer)
    return replace(example, completion=completion)
