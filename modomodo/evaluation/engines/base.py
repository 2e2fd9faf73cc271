"""Checkpoint + questions → predictions, greedily: what every engine shares.

An engine answers one batch after another with the checkpoint that it has loaded. Batches are prepared when it wants
them, and the same ones serve every checkpoint.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
from transformers import GenerationConfig, PreTrainedTokenizerBase

from modomodo.config.schema import Templates
from modomodo.data.answers import extract_answer
from modomodo.data.examples import Example, image_paths, open_image
from modomodo.data.prompts import messages
from modomodo.evaluation.benchmarks import Questions, Row
from modomodo.evaluation.predictions import Prediction
from modomodo.evaluation.settings import PredictSettings
from modomodo.training.model_boxes import ModelBoxes
from modomodo.training.processors import Processor, tokenizer_of

# Pixels of one batch, as published: a page of InfoVQA's size is a batch of its own. In Qwen2-VL's tensors a pixel takes
# 24 bytes (three colours, two equal frames, float32).
BATCH_PIXELS = 1 << 24
# Prepared batches kept for the next checkpoint, in bytes, over all benchmarks. Beyond it they are prepared again:
# InfoVQA's would take hundreds of gigabytes.
CACHE_BYTES = 1 << 28


@dataclass(frozen=True)
class BatchLimits:
    """How large batches may be, and how much of them stays in memory; one row at least makes a batch."""

    questions: int  # of one batch
    cache_bytes: int = CACHE_BYTES  # of all prepared batches that are kept
    pixels: int = BATCH_PIXELS  # of the images of one batch


@dataclass(frozen=True)
class Batch:
    """Prepared questions, for any checkpoint to answer; `inputs` are whatever their engine takes."""

    rows: Sequence[Row]
    inputs: Any
    nbytes: int

    @property
    def ids(self) -> list[str]:
        return [example.id for example, _ in self.rows]


# (prompts, images of each prompt) → (what an engine takes for these questions, how many bytes that are)
Prepare = Callable[[Sequence[str], Sequence[Sequence[PIL.Image.Image]]], tuple[Any, int]]


class LazyBatches:
    """A benchmark's questions in batches of similar length, each prepared when it is asked for.

    May be iterated once a checkpoint. The first `limits.cache_bytes` of what was prepared are kept until
    `clear_cache`; the rest is prepared again, with the same result. Raises InputError naming an image that cannot be
    read.
    """

    def __init__(
        self, rows: Sequence[Row], prompts: Sequence[str], prepare: Prepare, limits: BatchLimits
    ) -> None:
        self._rows = rows
        self._prompts = prompts
        self._prepare = prepare
        order = sorted(range(len(rows)), key=lambda i: (len(prompts[i]), i))
        self._batches = list(_split(order, [_pixels(*row) for row in rows], limits))
        self._cache: dict[int, Batch] = {}
        self._free = limits.cache_bytes

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        for number, chosen in enumerate(self._batches):
            if number in self._cache:
                yield self._cache[number]
                continue
            images = [_images(*self._rows[i]) for i in chosen]
            inputs, nbytes = self._prepare([self._prompts[i] for i in chosen], images)
            batch = Batch([self._rows[i] for i in chosen], inputs, nbytes)
            if nbytes <= self._free:
                self._free -= nbytes
                self._cache[number] = batch
            yield batch
            del batch  # before the next one is prepared

    def clear_cache(self) -> None:
        """Prepare every batch again the next time."""
        self._free += sum(batch.nbytes for batch in self._cache.values())
        self._cache.clear()


def render_prompts(rows: Sequence[Row], processor: Processor, templates: Templates) -> list[str]:
    """Each question as the model's chat template has it, up to where the answer begins."""
    return [
        processor.apply_chat_template(
            messages(example, templates, blocks=not isinstance(processor, PreTrainedTokenizerBase)),
            tokenize=False,
            add_generation_prompt=True,
        )
        for example, _ in rows
    ]


def _images(example: Example, folder: Path) -> list[PIL.Image.Image]:
    images = []
    for path in image_paths(example):
        with open_image(example, path, folder) as image:
            images.append(image.convert("RGB"))
    return images


def _pixels(example: Example, folder: Path) -> int:
    """Pixels of an example's images, by their headers."""
    total = 0
    for path in image_paths(example):
        with open_image(example, path, folder) as image:
            total += image.width * image.height
    return total


def _split(order: Sequence[int], pixels: Sequence[int], limits: BatchLimits) -> Iterator[list[int]]:
    """Cut rows into batches; a row with more pixels than a batch may have is one by itself."""
    chosen: list[int] = []
    for i in order:
        full = len(chosen) == limits.questions or sum(pixels[j] for j in chosen) + pixels[i] > limits.pixels
        if chosen and full:
            yield chosen
            chosen = []
        chosen.append(i)
    if chosen:
        yield chosen


def stop_tokens(configuration: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that end a completion, as in TRL's rollouts: generation_config.json's and the tokenizer's own."""
    named = configuration.eos_token_id
    return {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])} - {None}


def prediction_of(id_: str, tokens: Sequence[int], stops: set[int], processor: Processor) -> Prediction:
    """The prediction that these generated tokens are; what follows a stop token is padding."""
    end = next((i for i, token in enumerate(tokens) if token in stops), None)
    generated = list(tokens if end is None else tokens[:end])
    completion = tokenizer_of(processor).decode(generated, skip_special_tokens=True)
    return Prediction(
        id=id_,
        completion=completion,
        answer=extract_answer(completion),
        finish_reason="length" if end is None else "stop",
        tokens=len(generated),
    )


class Engine(ABC):
    """What answers questions: loaded with one checkpoint after another. `boxes`: how the model writes those."""

    boxes = ModelBoxes()

    def __init__(self, processor: Processor, max_new_tokens: int) -> None:
        self.processor = processor
        self.max_new_tokens = max_new_tokens

    @abstractmethod
    def load(self, directory: Path, checked: bool = False) -> None:
        """Take the weights of this checkpoint; the model's shape is that of the first.

        Raises InputError for weights that do not match, unless they are known to be `checked`.
        """

    @abstractmethod
    def batches(self, rows: Sequence[Row], templates: Templates, limits: BatchLimits) -> LazyBatches:
        """Questions prepared for this engine, at most `limits.questions` of them answered at once."""

    @abstractmethod
    def answer(self, batch: Batch) -> dict[str, Prediction]:
        """Greedy answers by example id."""

    def prepare(self, parts: Sequence[Questions], settings: PredictSettings) -> list[LazyBatches]:
        """The batches of each part; all parts share the memory for prepared batches equally."""
        limits = BatchLimits(settings.evaluation.batch_size, CACHE_BYTES // max(1, len(parts)))
        return [self.batches(part.rows, settings.for_benchmark(part.name).prompts, limits) for part in parts]

    def answer_all(
        self, batches: Iterable[Batch], after_each: Callable[[], object] = lambda: None
    ) -> dict[str, Prediction]:
        """Greedy answers of all batches by example id; `after_each` batch may show progress.

        Boxes in them are in the convention of their rows; the completion is what the model wrote.
        """
        answers: dict[str, Prediction] = {}
        for batch in batches:
            found = self.answer(batch)
            for example, folder in batch.rows:
                prediction = found[example.id]
                own = self.boxes.answer(prediction.answer, example, folder)
                answers[example.id] = prediction.model_copy(update={"answer": own})
            after_each()
        return answers
