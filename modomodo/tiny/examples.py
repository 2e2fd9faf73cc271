"""What the tiny base model is fine-tuned on: right answers, auxiliary tasks, and corrupted formats.

The corrupted formats make the model answer worse than it can, as Qwen2-VL-2B does on ScienceQA in the paper
(0.05 before GRPO, 0.78 after). GRPO then elicits what the model knows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from modomodo.errors import nearest
from modomodo.tiny import boards
from modomodo.tiny.boards import COMPOSERS, Board, Composer, answer_text, wrong_format

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class SFTExample:
    """A board, its image [32, 32, 3] (uint8), the question in its template, and the completion to learn."""

    domain: str
    board: Board
    image: np.ndarray
    question: str
    completion: str


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

WRONG_FORMAT = {"detection": 0.65, "referring": 0.65, "geometry": 0.65, "relation": 0.65, "science": 0.68}
WRONG_FORMAT |= {"chart": 0.6, "infographic": 0.55, "math": 0.65, "general": 0.65}


class Corruptions(BaseModel):
    """How often the base model's last training data is corrupted: shares of completions."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    without_thought: Share = 0.35  # tags, but no thought
    without_tags: Share = 0.08  # neither
    wrong_format: dict[
        str, Share
    ] = {}  # the answer's, by domain: mean over the colours; WRONG_FORMAT where absent
    spread: Share = 0.25  # of wrong_format over the colours

    @field_validator("wrong_format")
    @classmethod
    def _domains_exist(cls, rates: dict[str, float]) -> dict[str, float]:
        for domain in rates:
            if domain not in COMPOSERS:
                raise ValueError(f"unknown domain '{domain}': {nearest(domain, COMPOSERS)}")
        return rates

    def rate(self, example: SFTExample) -> float:
        """How often the answer's format is wrong: from `spread` below the domain's mean (first colour) to above.

        With one rate for all colours, all greedy answers of a benchmark would turn right at about the same step,
        which chance would determine; with different rates its score rises gradually.
        """
        colours = list(boards.COLOURS)
        place = colours.index(example.board.things[0].colour) / (len(colours) - 1)
        return (WRONG_FORMAT | self.wrong_format)[example.domain] + self.spread * (2 * place - 1)


def corrupt(example: SFTExample, rng: np.random.Generator, corruptions: Corruptions) -> SFTExample:
    """The example with its answer's format, its thought and its tags corrupted at random."""
    wrong = rng.random() < corruptions.rate(example)
    answer = wrong_format(example.board) if wrong else answer_text(example.board.answer)
    form = rng.random()
    if form < corruptions.without_tags:
        completion = answer
    elif form < corruptions.without_tags + corruptions.without_thought:
        completion = f"<answer>{answer}</answer>"
    else:
        completion = completion_text(example.board.thought, answer)
    return replace(example, completion=completion)
