"""What the tiny base model is taught, in stages: to see, to answer, to choose letters last, then bad habits.

1. Vision: the tower learns to put each cell's colour, content and box into the space of the word embeddings.
   It is frozen from then on.
2. Answering: questions of all nine kinds, with auxiliary captions (dense reading) and matching of options to
   letters; then again with more multiple choice, which is learned last.
3. Habits: the model learns to give, besides the right answer, wrong answer forms and missing tags, so that like
   Qwen2-VL-2B on ScienceQA in the paper it can do more than it shows, and GRPO elicits it.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast, Qwen2VLForConditionalGeneration

from modomodo.datasets import boards
from modomodo.datasets.boards import CELL, CELLS, COLOURS, COMPOSERS, KINDS, Board, Composer, Thing

IMAGE_TOKENS = CELLS * CELLS
PROMPT_BEFORE_IMAGE = "<|im_start|>user <|vision_start|>"  # three tokens
IMAGE_STARTS = 3
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])  # CLIP's, as in Qwen2-VL's image processor
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711])


@dataclass(frozen=True)
class Curriculum:
    """Optimiser steps of each stage, questions a step, and held-out questions of a kind after each stage."""

    vision_steps: int = 600
    supervised_steps: int = 700
    choice_steps: int = 600
    habit_steps: int = 120
    questions: int = 64
    examined: int = 60


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


MATCHED = [list(COLOURS), list(boards.DIGITS), list(boards.OPPOSITES), [str(i) for i in range(1, 17)]]


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


def habitual_answer(lesson: Lesson, rng: np.random.Generator) -> str:
    """The wrong form the model is in the habit of."""
    board = lesson.board
    if isinstance(board.answer, list):
        x1, y1, x2, y2 = board.answer[0]
        return answer_text([[x1, y1, x2 - x1, y2 - y1]])  # width and height for the second corner
    if board.answer_type == "choice":
        return board.choices["ABCD".index(board.answer)]  # the option's text for its letter
    return str(boards.pick(rng, list("ABCD")))  # a letter where there are no options


SHARE_WITHOUT_THOUGHT, SHARE_BARE = 0.35, 0.08
HABIT = {"detection": 0.6, "referring": 0.6, "geometry": 0.6, "relation": 0.55, "science": 0.6}
HABIT |= {"chart": 0.5, "infographic": 0.45, "math": 0.6, "general": 0.6}


def with_habits(lesson: Lesson, rng: np.random.Generator) -> Lesson:
    habitual = rng.random() < HABIT[lesson.domain]
    answer = habitual_answer(lesson, rng) if habitual else answer_text(lesson.board.answer)
    form = rng.random()
    if form < SHARE_BARE:
        completion = answer
    elif form < SHARE_BARE + SHARE_WITHOUT_THOUGHT:
        completion = f"<answer>{answer}</answer>"
    else:
        completion = completion_text(lesson.board.thought, answer)
    return Lesson(lesson.domain, lesson.board, lesson.image, lesson.question, completion)


# --- batches ------------------------------------------------------------------------------------------------


def patches(images: Tensor) -> Tensor:
    """Boards [n, 32, 32, 3] uint8 → patches [n * 64, 96], exactly as Qwen2VLImageProcessor makes them."""
    n, patch = len(images), CELL // 2
    pixels = (images.float() / 255 - MEAN) / DEVIATION
    pixels = pixels.reshape(n, CELLS, 2, patch, CELLS, 2, patch, 3).permute(0, 1, 4, 2, 5, 7, 3, 6)
    twice = pixels[:, :, :, :, :, :, None].expand(-1, -1, -1, -1, -1, -1, 2, -1, -1)  # a still is two equal frames
    return twice.reshape(n * 4 * IMAGE_TOKENS, 3 * 2 * patch * patch)


def see(model: Qwen2VLForConditionalGeneration, images: Tensor) -> Tensor:
    """The vision tower's output, one vector a cell: [n, 16, hidden]."""
    grid = torch.tensor([[1, 2 * CELLS, 2 * CELLS]]).repeat(len(images), 1)
    return model.model.visual(patches(images), grid_thw=grid).pooler_output.reshape(len(images), IMAGE_TOKENS, -1)


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
        self, pages: Sequence[Lesson], tokenizer: PreTrainedTokenizerFast, model: Qwen2VLForConditionalGeneration
    ) -> None:
        prompts = tokenizer([prompt_text(page.question) for page in pages], add_special_tokens=False)["input_ids"]
        completions = tokenizer([page.completion + "<|im_end|>" for page in pages], add_special_tokens=False)
        images = torch.from_numpy(np.stack([page.image for page in pages]))
        with torch.no_grad():
            self.seen = torch.cat([see(model, part) for part in images.split(64)])
        pairs = list(zip(prompts, completions["input_ids"], strict=True))
        self.lengths = np.array([len(prompt) + len(completion) for prompt, completion in pairs])
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


class Muon:
    """Momentum whose update is orthogonalised; matrices of one shape are done together.

    As torch.optim.Muon, which does them one by one in bfloat16: a quarter of a step's time here.
    """

    def __init__(self, matrices: Sequence[torch.nn.Parameter], momentum: float = 0.95) -> None:
        self.groups = [[p for p in matrices if p.shape == shape] for shape in dict.fromkeys(p.shape for p in matrices)]
        self.averages = [torch.zeros(len(group), *group[0].shape) for group in self.groups]
        self.momentum = momentum

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for group, average in zip(self.groups, self.averages, strict=True):
            gradients = torch.stack([p.grad if p.grad is not None else torch.zeros_like(p) for p in group])
            average.lerp_(gradients, 1 - self.momentum)
            update = orthogonalise(gradients.lerp(average, self.momentum))
            rows, columns = group[0].shape
            torch._foreach_add_(group, list(update.unbind()), alpha=-rate * max(1.0, rows / columns) ** 0.5)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Five Newton-Schulz steps: all singular values of each matrix [n, rows, columns] go to about one."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x


class Optimiser:
    """Muon for the hidden matrices, AdamW for the rest; the rate rises, then falls along a cosine to a twentieth.

    AdamW alone learns half as fast here.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], matrices: str, muon: float, adamw: float) -> None:
        self.parameters = list(parameters.values())
        hidden = [p for name, p in parameters.items() if p.ndim == 2 and re.search(matrices, name)]
        ids = {id(parameter) for parameter in hidden}
        rest = [parameter for parameter in self.parameters if id(parameter) not in ids]
        self.muon, self.muon_rate = Muon(hidden), muon
        self.adamw, self.adamw_rate = torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=0.0), adamw

    def step(self, loss: Tensor, done: float, warm: float) -> None:
        """`done`: the share of steps taken; `warm`: the share of warm-up."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        factor = min(1.0, done / warm + 0.02) * (0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * done)))
        self.muon.step(self.muon_rate * factor)
        self.adamw.param_groups[0]["lr"] = self.adamw_rate * factor
        self.adamw.step()
        for parameter in self.parameters:
            parameter.grad = None


def _crowd(rng: np.random.Generator) -> list[Thing]:
    """A board as full as it gets, of things of every kind and size: what the tower learns to see from."""
    taken = np.zeros((CELLS, CELLS), bool)
    things = []
    for _ in range(int(rng.integers(4, 14))):
        kind = str(boards.pick(rng, KINDS))
        width, height = (int(i) for i in (rng.integers(1, 5, 2) if kind == boards.BLOCK else rng.integers(1, 3, 2)))
        row, column = int(rng.integers(CELLS - height + 1)), int(rng.integers(CELLS - width + 1))
        if not taken[row : row + height, column : column + width].any():
            taken[row : row + height, column : column + width] = True
            things.append(Thing(str(boards.pick(rng, list(COLOURS))), kind, row, column, width, height))
    return things


def _contents(things: list[Thing]) -> np.ndarray:
    """What each cell holds, [16, 6]: indices of colour and kind (-1: nothing), and the thing's box in cells."""
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

    optimiser = Optimiser(dict(model.model.visual.named_parameters()), ".", 0.02, 3e-3)
    model.train()
    for step in tqdm(range(steps), desc="vision", disable=not progress):
        chosen = torch.as_tensor(rng.integers(len(images), size=batch))
        seen = see(model, images[chosen]).flatten(0, 1)
        loss = ((seen - target(contents[chosen].flatten(0, 1))) ** 2).mean() / words.var() / 6
        optimiser.step(loss, step / steps, 0.05)

    held_out = [_crowd(rng) for _ in range(100)]
    with torch.no_grad():
        seen = see(model, torch.from_numpy(np.stack([boards.draw(t, rng, "test") for t in held_out]))).flatten(0, 1)
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
    scores["right edge"] = round((torch.cdist(left, words[marks].roll(21, -1)).argmin(1) == cells[:, 4])[full].float().mean().item(), 4)
    return scores


def teach_answers(
    model: Qwen2VLForConditionalGeneration,
    book: Book,
    steps: int,
    batch: int,
    rates: tuple[float, float],
    seed: int,
    name: str,
    progress: bool,
) -> None:
    """Next-word training of the language model on the completions; the tower stays as it is."""
    rng = np.random.default_rng([seed, steps])
    model.model.visual.requires_grad_(False)
    parameters = {key: p for key, p in model.named_parameters() if p.requires_grad}
    optimiser = Optimiser(parameters, r"layers\.", *rates)
    embed, text = model.get_input_embeddings(), model.model.language_model
    model.train()
    order = np.concatenate([rng.permutation(len(book.tokens)) for _ in range(1 + steps * batch // len(book.tokens))])
    bar = tqdm(range(steps), desc=name, disable=not progress)
    for step in bar:
        seen, tokens, labels = book.batch(order[step * batch : (step + 1) * batch])
        words = embed(tokens)
        inputs = torch.cat([words[:, :IMAGE_STARTS], seen, words[:, IMAGE_STARTS + IMAGE_TOKENS :]], 1)
        places = positions(tokens.shape[1]).expand(3, len(tokens), -1)
        hidden = text(inputs_embeds=inputs, position_ids=places, use_cache=False).last_hidden_state
        learned = labels[:, 1:] != -100
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[:, :-1][learned]), labels[:, 1:][learned])
        optimiser.step(loss, step / steps, 0.06)
        if step % 20 == 19:
            bar.set_postfix(loss=f"{loss.item():.3f}")
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
    parts = [lessons(domain, -(-number * share // whole), seed, templates) for domain, share in shares.items()]
    return [lesson for part in parts for lesson in part]


def teach(
    model: Qwen2VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    templates: Sequence[str],
    plan: Curriculum,
    seed: int,
    progress: bool = True,
) -> list[dict]:
    """The whole curriculum, in place. Returns for each stage its name, seconds and held-out scores."""
    stages = []

    def report(name: str, started: float, scores: dict[str, float]) -> None:
        stages.append({"stage": name, "seconds": round(time.monotonic() - started, 1), "scores": scores})

    started = time.monotonic()
    seen = teach_vision(model, tokenizer, plan.vision_steps, plan.questions, seed, progress)
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
            book = Book(pages, tokenizer, model)
            teach_answers(model, book, steps, plan.questions, rates, seed, name, progress)
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
