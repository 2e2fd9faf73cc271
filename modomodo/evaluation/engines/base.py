"""Checkpoint + questions → predictions, greedily, with transformers (with vLLM: `vllm_generation`).

An engine answers one batch after another with the checkpoint that it has loaded; its batches are made ready as it
wants them, and the same ones serve every checkpoint.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
from transformers import GenerationConfig, ProcessorMixin

from modomodo.config.schema import Templates
from modomodo.data.answers import extract_answer
from modomodo.data.examples import Example, image_paths, open_image
from modomodo.data.prompts import messages
from modomodo.evaluation.predictions import Prediction


@dataclass(frozen=True)
class Batch:
    """Questions made ready, for any checkpoint to answer; `inputs` are whatever their engine takes."""

    ids: Sequence[str]
    inputs: Any
    nbytes: int


# Pixels of one batch, as published: a page of InfoVQA's size is a batch of its own. In the processor's tensors a
# pixel takes 24 bytes (three colours, two equal frames, float32).
BATCH_PIXELS = 1 << 24
# Prepared batches kept for the next checkpoint, in bytes, over all benchmarks. Beyond it they are prepared anew:
# InfoVQA's would take hundreds of gigabytes.
KEPT_BYTES = 1 << 28


class LazyBatches(ABC):
    """A benchmark's questions in batches, each made ready when it is asked for.

    May be gone through once a checkpoint. The first `kept` bytes of what was made ready stay for the next time, until
    `forget`; the rest is made anew, with the same result. Raises InputError naming the image that cannot be read.
    """

    def __init__(
        self,
        rows: Sequence[tuple[Example, Path]],
        processor: ProcessorMixin,
        templates: Templates,
        size: int,
        kept: int = KEPT_BYTES,
        pixels: int | None = None,
    ) -> None:
        """Batches of at most `size` questions of similar length and `pixels` of images, one at least.

        Rows: (example, folder of its image path).
        """
        self._rows = rows
        self._processor = processor
        self._texts = [
            processor.apply_chat_template(
                messages(example, templates), tokenize=False, add_generation_prompt=True
            )
            for example, _ in rows
        ]
        order = sorted(range(len(rows)), key=lambda i: (len(self._texts[i]), i))
        self._chosen = list(_split(order, [_pixels(*row) for row in rows], size, pixels or BATCH_PIXELS))
        self._kept: dict[int, Batch] = {}
        self._room = kept

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[Batch]:
        for number, chosen in enumerate(self._chosen):
            if number in self._kept:
                yield self._kept[number]
                continue
            images = [self._images(i) for i in chosen]
            inputs, nbytes = self._make_ready([self._texts[i] for i in chosen], images)
            batch = Batch([self._rows[i][0].id for i in chosen], inputs, nbytes)
            if nbytes <= self._room:
                self._room -= nbytes
                self._kept[number] = batch
            yield batch
            del batch  # while the next one is made

    def forget(self) -> None:
        """Make every batch ready anew the next time."""
        self._room += sum(batch.nbytes for batch in self._kept.values())
        self._kept.clear()

    def _images(self, row: int) -> list[PIL.Image.Image]:
        example, folder = self._rows[row]
        images = []
        for path in image_paths(example):
            with open_image(example, path, folder) as image:
                images.append(image.convert("RGB"))
        return images

    @abstractmethod
    def _make_ready(
        self, texts: Sequence[str], images: Sequence[Sequence[PIL.Image.Image]]
    ) -> tuple[Any, int]:
        """What the engine takes for these questions, and how many bytes that are."""


def _pixels(example: Example, folder: Path) -> int:
    """Pixels of an example's images, by their headers."""
    total = 0
    for path in image_paths(example):
        with open_image(example, path, folder) as image:
            total += image.width * image.height
    return total


def _split(order: Sequence[int], pixels: Sequence[int], size: int, most: int) -> Iterator[list[int]]:
    """Cut into runs of at most `size` rows and `most` pixels; a larger row stands alone."""
    chosen: list[int] = []
    for i in order:
        if chosen and (len(chosen) == size or sum(pixels[j] for j in chosen) + pixels[i] > most):
            yield chosen
            chosen = []
        chosen.append(i)
    if chosen:
        yield chosen


def stop_tokens(configuration: GenerationConfig) -> set[int]:
    """The tokens that end a completion."""
    stop = configuration.eos_token_id
    return set(stop) if isinstance(stop, list) else {stop}


def prediction_of(id_: str, tokens: Sequence[int], stops: set[int], processor: ProcessorMixin) -> Prediction:
    """The prediction that these generated tokens are; what follows a stop token is padding."""
    end = next((i for i, token in enumerate(tokens) if token in stops), None)
    kept = list(tokens if end is None else tokens[:end])
    completion = processor.tokenizer.decode(kept, skip_special_tokens=True)
    return Prediction(
        id=id_,
        completion=completion,
        answer=extract_answer(completion),
        finish_reason="length" if end is None else "stop",
        tokens=len(kept),
    )


class Engine(ABC):
    """What answers questions: loaded with one checkpoint after another."""

    def __init__(self, processor: ProcessorMixin, max_completion_length: int) -> None:
        self.processor = processor
        self.max_completion_length = max_completion_length

    @abstractmethod
    def load(self, directory: Path) -> None:
        """Take the weights of this checkpoint; the model's shape is that of the first."""

    @abstractmethod
    def batches(
        self, rows: Sequence[tuple[Example, Path]], templates: Templates, size: int, kept: int
    ) -> LazyBatches:
        """Questions made ready for this engine, `size` answered at once; at most `kept` bytes of them stay."""

    @abstractmethod
    def answer(self, batch: Batch) -> dict[str, Prediction]:
        """Greedy answers by example id."""
