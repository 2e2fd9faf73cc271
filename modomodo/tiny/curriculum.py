"""What the tiny base model is taught, in stages: to see, to answer, to choose letters last, then bad habits.

1. Vision: the tower learns to put each cell's colour, content and box into the space of the word embeddings.
   It is frozen from then on.
2. Delegating: questions of all nine kinds, with auxiliary captions (dense reading) and matching of options to
   letters; then again with more multiple choice, which is learned last.
3. Habits: the model learns to give, besides the right answer, wrong answer forms and missing tags, so that,
   like Qwen2-VL-2B on ScienceQA in the paper, it can do more than it shows, and GRPO elicits it.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2VLForConditionalGeneration

from modomodo import console
from modomodo.tiny import boards
from modomodo.tiny.boards import CELL, CELLS, COLOURS, COMPOSERS, KINDS, Board, Thing
from modomodo.tiny.lessons import Lesson, lessons, with_habits
from modomodo.tiny.muon import Optimiser, Team

PARTS = 4  # of a batch, for the threads to share out
IMAGE_TOKENS = CELLS * CELLS
PROMPT_BEFORE_IMAGE = "<|im_start|>user <|vision_start|>"  # three tokens
IMAGE_STARTS = 3
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])  # CLIP's, as in Qwen2-VL's image processor
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711])


@dataclass(frozen=True)
class Curriculum:
    """Optimiser steps of each stage, questions a step, and held-out questions of a kind after each stage."""

    vision_steps: int = 180
    supervised_steps: int = 400
    choice_steps: int = 420
    habit_steps: int = 120
    questions: int = 64
    examined: int = 60


# --- batches ------------------------------------------------------------------------------------------------


def patches(images: Tensor) -> Tensor:
    """Boards [n, 32, 32, 3] uint8 → patches [n * 64, 96], exactly as Qwen2VLImageProcessor makes them."""
    n, patch = len(images), CELL // 2
    pixels = (images.float() / 255 - MEAN) / DEVIATION
    pixels = pixels.reshape(n, CELLS, 2, patch, CELLS, 2, patch, 3).permute(0, 1, 4, 2, 5, 7, 3, 6)
    twice = pixels[:, :, :, :, :, :, None].expand(
        -1, -1, -1, -1, -1, -1, 2, -1, -1
    )  # a still is two equal frames
    return twice.reshape(n * 4 * IMAGE_TOKENS, 3 * 2 * patch * patch)


def shown_steps(steps: int, name: str, progress: bool) -> Iterable[int]:
    """The steps of a stage, with a word now and then on how far it is."""
    return console.progress(range(steps), f"base model, {name}") if progress else range(steps)


def see(model: Qwen2VLForConditionalGeneration, images: Tensor) -> Tensor:
    """The vision tower's output, one vector a cell: [n, 16, hidden]."""
    grid = torch.tensor([[1, 2 * CELLS, 2 * CELLS]]).repeat(len(images), 1)
    return model.model.visual(patches(images), grid_thw=grid).pooler_output.reshape(
        len(images), IMAGE_TOKENS, -1
    )


def positions(length: int) -> Tensor:
    """Rotary positions [3, 1, length] (time, height, width) of a prompt that opens with its image."""
    end = IMAGE_STARTS + IMAGE_TOKENS
    places = torch.arange(length).repeat(3, 1)
    cells = torch.arange(IMAGE_TOKENS)
    places[0, IMAGE_STARTS:end] = IMAGE_STARTS
    places[1, IMAGE_STARTS:end] = IMAGE_STARTS + cells // CELLS
    places[2, IMAGE_STARTS:end] = IMAGE_STARTS + cells % CELLS
    places[:, end:] = torch.arange(length - end) + IMAGE_STARTS + CELLS
    return places[:, None]


def prompt_text(question: str) -> str:
    """As the chat template and the processor make it of an image and a question."""
    image = "<|image_pad|>" * IMAGE_TOKENS
    return f"{PROMPT_BEFORE_IMAGE}{image}<|vision_end|>{question}<|im_end|><|im_start|>assistant "


class Book:
    """Lessons as tensors, padded on the right; `batch` cuts a page to its longest lesson."""

    def __init__(
        self,
        pages: Sequence[Lesson],
        tokenizer: PreTrainedTokenizerFast,
        model: Qwen2VLForConditionalGeneration,
        team: Team,
    ) -> None:
        prompts = tokenizer([prompt_text(page.question) for page in pages], add_special_tokens=False)[
            "input_ids"
        ]
        completions = tokenizer([page.completion + "<|im_end|>" for page in pages], add_special_tokens=False)
        images = torch.from_numpy(np.stack([page.image for page in pages]))
        self.seen = torch.cat(team.map(torch.no_grad()(partial(see, model)), images.split(64)))
        pairs = list(zip(prompts, completions["input_ids"], strict=True))
        self.lengths = np.array([len(prompt) + len(completion) for prompt, completion in pairs])
        self.words = np.array([len(completion) for _, completion in pairs])  # to learn
        self.tokens = torch.zeros(len(pages), int(self.lengths.max()), dtype=torch.long)
        self.labels = torch.full_like(self.tokens, -100)
        for i, (prompt, completion) in enumerate(pairs):
            self.tokens[i, : self.lengths[i]] = torch.tensor(prompt + completion)
            self.labels[i, len(prompt) : self.lengths[i]] = torch.tensor(completion)

    def batch(self, chosen: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """What the tower sees, tokens, labels."""
        length = int(self.lengths[chosen].max())
        rows = torch.as_tensor(chosen)
        return self.seen[rows], self.tokens[rows, :length], self.labels[rows, :length]


# --- training -----------------------------------------------------------------------------------------------


def _crowd(rng: np.random.Generator) -> list[Thing]:
    """A board as full as it gets, of things of every kind and size: what the tower learns to see from."""
    taken = np.zeros((CELLS, CELLS), bool)
    things = []
    for _ in range(int(rng.integers(4, 14))):
        kind = str(boards.pick(rng, KINDS))
        width, height = (
            int(i) for i in (rng.integers(1, 5, 2) if kind == boards.BLOCK else rng.integers(1, 3, 2))
        )
        row, column = int(rng.integers(CELLS - height + 1)), int(rng.integers(CELLS - width + 1))
        if not taken[row : row + height, column : column + width].any():
            taken[row : row + height, column : column + width] = True
            things.append(Thing(str(boards.pick(rng, list(COLOURS))), kind, row, column, width, height))
    return things


def _contents(things: list[Thing]) -> np.ndarray:
    """What each cell holds, [16, 6]: colour and kind by index (-1: nothing), and the thing's box in cells."""
    cells = np.full((CELLS, CELLS, 6), -1)
    rows, columns = np.mgrid[:CELLS, :CELLS]
    cells[:, :, 2:] = np.stack([columns, rows, columns + 1, rows + 1], axis=-1)
    for thing in things:
        x1, y1, x2, y2 = thing.box
        cells[y1:y2, x1:x2] = [list(COLOURS).index(thing.colour), KINDS.index(thing.kind), x1, y1, x2, y2]
    return cells.reshape(IMAGE_TOKENS, 6)


def teach_vision(
    model: Qwen2VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    steps: int,
    batch: int,
    seed: int,
    team: Team,
    progress: bool,
) -> dict[str, float]:
    """The tower learns, cell by cell, the sum of the embeddings of the words for what is there."""
    rng = np.random.default_rng([104729, seed])
    shown = [_crowd(rng) for _ in range(steps * batch // 2)]  # every board is seen twice
    images = torch.from_numpy(np.stack([boards.draw(things, rng, "train") for things in shown]))
    contents = torch.from_numpy(np.stack([_contents(things) for things in shown]))
    words = model.model.language_model.embed_tokens.weight.detach().clone()

    def ids(*names: str) -> list[int]:
        return [tokenizer.convert_tokens_to_ids(name) for name in names]

    colours, kinds = torch.tensor(ids(*COLOURS, "white")), torch.tensor(ids(*KINDS, "empty"))
    marks = torch.tensor(ids(*(str(value) for value in boards.scale((0, 1, 2, 3))), "1000"))

    def target(cells: Tensor) -> Tensor:
        # Each of the four coordinates is turned by its own number of dimensions, to tell one from the other.
        corners = [words[marks[cells[:, 2 + i]]].roll(7 * (i + 1), -1) for i in range(4)]
        return words[colours[cells[:, 0]]] + words[kinds[cells[:, 1]]] + torch.stack(corners).sum(0)

    def loss(chosen: np.ndarray) -> Tensor:
        rows = torch.as_tensor(chosen)
        seen = see(model, images[rows]).flatten(0, 1)
        distance = ((seen - target(contents[rows].flatten(0, 1))) ** 2).mean() / words.var() / 6
        return distance * (len(chosen) / batch)

    optimiser = Optimiser(dict(model.model.visual.named_parameters()), ".", 0.02, 3e-3)
    model.train()
    for step in shown_steps(steps, "vision", progress):
        chosen = rng.integers(len(images), size=batch)
        team.backward(loss, np.array_split(chosen, PARTS), optimiser.parameters)
        optimiser.step(step / steps, 0.05, team)

    held_out = [_crowd(rng) for _ in range(100)]
    with torch.no_grad():
        seen = see(
            model, torch.from_numpy(np.stack([boards.draw(t, rng, "test") for t in held_out]))
        ).flatten(0, 1)
    cells = torch.from_numpy(np.stack([_contents(things) for things in held_out])).flatten(0, 1)
    full = cells[:, 0] >= 0
    # What is left when all but one word is taken away is compared with the candidates for that word.
    rest = seen - target(cells)
    scores = {}
    for name, candidates, column in (("colour", colours, 0), ("kind", kinds, 1)):
        left = rest + words[candidates[cells[:, column]]]
        named = torch.cdist(left, words[candidates]).argmin(1)
        scores[name] = round((named == cells[:, column])[full].float().mean().item(), 4)
    left = rest + words[marks[cells[:, 4]]].roll(21, -1)
    scores["right edge"] = round(
        (torch.cdist(left, words[marks].roll(21, -1)).argmin(1) == cells[:, 4])[full].float().mean().item(), 4
    )
    return scores


def word_loss(model: Qwen2VLForConditionalGeneration, seen: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
    """The next-word loss of a page of lessons, summed over the words to learn.

    What follows a lesson is padding, which causal attention never sees, so no mask is needed.
    """
    words = model.get_input_embeddings()(tokens)
    inputs = torch.cat([words[:, :IMAGE_STARTS], seen, words[:, IMAGE_STARTS + IMAGE_TOKENS :]], 1)
    places = positions(tokens.shape[1]).expand(3, len(tokens), -1)
    read = model.model.language_model(inputs_embeds=inputs, position_ids=places, use_cache=False)
    learned = labels[:, 1:] != -100
    scores = model.lm_head(read.last_hidden_state[:, :-1][learned])
    return torch.nn.functional.cross_entropy(scores, labels[:, 1:][learned], reduction="sum")


def teach_answers(
    model: Qwen2VLForConditionalGeneration,
    book: Book,
    steps: int,
    batch: int,
    rates: tuple[float, float],
    seed: int,
    name: str,
    team: Team,
    progress: bool,
) -> None:
    """Next-word training of the language model on the completions; the tower stays as it is."""
    rng = np.random.default_rng([seed, steps])
    model.model.visual.requires_grad_(False)
    parameters = {key: p for key, p in model.named_parameters() if p.requires_grad}
    optimiser = Optimiser(parameters, r"layers\.", *rates)
    model.train()
    order = np.concatenate(
        [rng.permutation(len(book.tokens)) for _ in range(1 + steps * batch // len(book.tokens))]
    )
    for step in shown_steps(steps, name, progress):
        chosen = order[step * batch : (step + 1) * batch]
        learned = int(book.words[chosen].sum())

        def loss(part: np.ndarray, learned: int = learned) -> Tensor:
            return word_loss(model, *book.batch(part)) / learned

        # A part holds lessons of like length, so that little of it is padding.
        chosen = chosen[np.argsort(book.lengths[chosen], kind="stable")]
        team.backward(loss, np.array_split(chosen, PARTS), optimiser.parameters)
        optimiser.step(step / steps, 0.06, team)
    model.model.visual.requires_grad_(True)


# Shares of the lessons. Choices come last: from value to letter is learned only once the values are right.
ANSWERING = {"detection": 10, "referring": 10, "geometry": 10, "relation": 8, "science": 10}
ANSWERING |= {"chart": 6, "infographic": 7, "math": 6, "general": 6, "caption": 20, "match": 6}
CHOOSING = {"detection": 8, "referring": 10, "geometry": 13, "relation": 8, "science": 14}
CHOOSING |= {"chart": 8, "infographic": 8, "math": 10, "general": 11, "caption": 5, "match": 5}
HABITS = {domain: ANSWERING[domain] for domain in COMPOSERS}
TIMES_SEEN = 2  # each lesson in a stage


def _lessons_of(shares: Mapping[str, int], number: int, seed: int, templates: Sequence[str]) -> list[Lesson]:
    whole = sum(shares.values())
    parts = [
        lessons(domain, -(-number * share // whole), seed, templates) for domain, share in shares.items()
    ]
    return [lesson for part in parts for lesson in part]


def teach(
    model: Qwen2VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    templates: Sequence[str],
    plan: Curriculum,
    seed: int,
    team: Team,
    progress: bool = True,
) -> list[dict]:
    """The whole curriculum, in place. Returns for each stage its name, seconds and held-out scores."""
    stages = []

    def report(name: str, started: float, scores: dict[str, float]) -> None:
        stages.append({"stage": name, "seconds": round(time.monotonic() - started, 1), "scores": scores})

    started = time.monotonic()
    seen = teach_vision(model, tokenizer, plan.vision_steps, plan.questions, seed, team, progress)
    report("vision", started, seen)
    for i, (name, shares, steps, rates) in enumerate(
        [
            ("answering", ANSWERING, plan.supervised_steps, (0.01, 2e-3)),
            ("choosing", CHOOSING, plan.choice_steps, (0.01, 2e-3)),
            ("habits", HABITS, plan.habit_steps, (3e-3, 5e-4)),
        ]
    ):
        started = time.monotonic()
        if steps:
            pages = _lessons_of(shares, steps * plan.questions // TIMES_SEEN, seed * 10 + i, templates)
            if name == "habits":
                rng = np.random.default_rng([seed, 6007])
                pages = [with_habits(page, rng) for page in pages]
            book = Book(pages, tokenizer, model, team)
            teach_answers(model, book, steps, plan.questions, rates, seed, name, team, progress)
        report(name, started, examine(model, tokenizer, templates, plan.examined))
    return stages


# --- examination --------------------------------------------------------------------------------------------

COMPLETION_TOKENS = 24


@torch.no_grad()
def complete(
    model: Qwen2VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, pages: Sequence[Lesson]
) -> list[str]:
    """Greedy completions."""
    model.eval()
    texts = [prompt_text(page.question) for page in pages]
    prompts = tokenizer(
        texts, add_special_tokens=False, padding=True, return_tensors="pt", return_token_type_ids=False
    )
    grid = torch.tensor([[1, 2 * CELLS, 2 * CELLS]]).repeat(len(pages), 1)
    tokens = model.generate(
        **prompts,
        pixel_values=patches(torch.from_numpy(np.stack([page.image for page in pages]))),
        image_grid_thw=grid,
        mm_token_type_ids=(prompts["input_ids"] == model.config.image_token_id).int(),
        max_new_tokens=COMPLETION_TOKENS,
        do_sample=False,
    )
    return tokenizer.batch_decode(tokens[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)


def score(completion: str, board: Board) -> float:
    """Exact match of what stands between the answer tags, or the intersection over union of its first box."""
    found = re.search(r"<answer>(.*?)</answer>", completion, re.DOTALL)
    if not found:
        return 0.0
    answer = found[1].strip()
    if isinstance(board.answer, str):
        return float(answer == board.answer)
    numbers = [int(number) for number in re.findall(r"\d+", answer)[:4]]
    if len(numbers) < 4:
        return 0.0
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = numbers, board.answer[0]
    common = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
    union = max(0, ax2 - ax1) * max(0, ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - common
    return common / union


def examine(
    model: Qwen2VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    templates: Sequence[str],
    number: int,
) -> dict[str, float]:
    """Mean score of each kind of question, on scans never seen in training."""
    scores = {}
    for domain in COMPOSERS:
        pages = list(lessons(domain, number, 0, templates, split="test"))
        completions = complete(model, tokenizer, pages)
        marks = [score(text, page.board) for text, page in zip(completions, pages, strict=True)]
        scores[domain] = round(float(np.mean(marks)), 4)
    return scores
