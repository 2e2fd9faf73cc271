"""Checkpoint + questions → predictions, greedily, with transformers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, ProcessorMixin

from modomodo.answers import extract
from modomodo.examples import Example, image_paths, open_image
from modomodo.predictions import Prediction
from modomodo.prompts import Templates, messages


@dataclass(frozen=True)
class Batch:
    """Questions made ready once and answered by every checkpoint."""

    ids: Sequence[str]
    inputs: Mapping[str, torch.Tensor]


# Pixels of one batch, as published: a page of InfoVQA's size is a batch of its own. In the processor's tensors a
# pixel takes 24 bytes (three colours, two equal frames, float32).
BATCH_PIXELS = 1 << 24
# Prepared batches kept for the next checkpoint, in bytes, over all benchmarks. Beyond it they are prepared anew:
# InfoVQA's would take hundreds of gigabytes.
KEPT_BYTES = 1 << 30


class Batches:
    """A benchmark's questions in batches, each made ready when it is asked for.

    May be gone through once a checkpoint. The first `kept` bytes of tensors stay for the next time, the rest are
    made anew, with the same result. Raises InputError naming the image that cannot be read.
    """

    def __init__(
        self,
        rows: Sequence[tuple[Example, Path]],
        processor: ProcessorMixin,
        templates: Templates,
        size: int,
        kept: int = KEPT_BYTES,
    ) -> None:
        """Batches of at most `size` questions of similar length and `BATCH_PIXELS` of images, one at least.

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
        self._chosen = list(_split(order, [_pixels(*row) for row in rows], size))
        self._kept: dict[int, Batch] = {}
        self._room = kept

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[Batch]:
        for number, chosen in enumerate(self._chosen):
            if number in self._kept:
                yield self._kept[number]
                continue
            batch = self._make(chosen)
            bytes_ = sum(tensor.nbytes for tensor in batch.inputs.values())
            if bytes_ <= self._room:
                self._room -= bytes_
                self._kept[number] = batch
            yield batch

    def _make(self, chosen: Sequence[int]) -> Batch:
        images = []
        for example, folder in (self._rows[i] for i in chosen):
            for path in image_paths(example):  # one flat list: the processor counts each text's image marks
                with open_image(example, path, folder) as image:
                    images.append(image.convert("RGB"))
        inputs = self._processor(
            text=[self._texts[i] for i in chosen],
            images=images,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        return Batch([self._rows[i][0].id for i in chosen], dict(inputs))


def _pixels(example: Example, folder: Path) -> int:
    """Pixels of an example's images, by their headers."""
    total = 0
    for path in image_paths(example):
        with open_image(example, path, folder) as image:
            total += image.width * image.height
    return total


def _split(order: Sequence[int], pixels: Sequence[int], size: int) -> Iterator[list[int]]:
    """Cut into runs of at most `size` rows and `BATCH_PIXELS`; a larger row stands alone."""
    chosen: list[int] = []
    for i in order:
        if chosen and (len(chosen) == size or sum(pixels[j] for j in chosen) + pixels[i] > BATCH_PIXELS):
            yield chosen
            chosen = []
        chosen.append(i)
    if chosen:
        yield chosen


def predict(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    batches: Iterable[Batch],
    max_completion_tokens: int,
    after_batch: Callable[[], Any] = lambda: None,
) -> dict[str, Prediction]:
    """Greedy answers by example id."""
    stop = model.generation_config.eos_token_id
    stops = set(stop) if isinstance(stop, list) else {stop}
    # A configuration of its own: Qwen2-VL's brings sampling settings that greedy decoding warns about.
    greedy = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_completion_tokens,
        eos_token_id=stop,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    model.eval()
    predictions = {}
    for batch in batches:
        inputs = {name: tensor.to(model.device) for name, tensor in batch.inputs.items()}
        with torch.inference_mode():
            output = model.generate(**inputs, generation_config=greedy)
        for id_, row in zip(batch.ids, output[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
            predictions[id_] = _prediction(id_, row, stops, processor)
        after_batch()
    return predictions


def _prediction(id_: str, tokens: list[int], stops: set[int], processor: ProcessorMixin) -> Prediction:
    end = next((i for i, token in enumerate(tokens) if token in stops), None)
    kept = tokens if end is None else tokens[:end]
    completion = processor.tokenizer.decode(kept, skip_special_tokens=True)
    return Prediction(
        id=id_,
        completion=completion,
        answer=extract(completion),
        finish_reason="length" if end is None else "stop",
        tokens=len(kept),
    )
