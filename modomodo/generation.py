"""Checkpoint + questions → predictions, greedily, with transformers (with vLLM: `vllm_generation`).

An engine answers one batch after another with the checkpoint that it has loaded; its batches are made ready as it
wants them, and the same ones serve every checkpoint.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel, ProcessorMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from modomodo.answers import extract
from modomodo.examples import Example, image_paths, open_image
from modomodo.models import load_model, load_processor
from modomodo.predictions import Prediction
from modomodo.prompts import Templates, messages
from modomodo.study import Evaluation


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
SEEN = "seen"  # among the inputs of a batch: what the vision tower answers to its images


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


class Batches(LazyBatches):
    """Batches for transformers: the processor's tensors, padded to one length; images as `see` leaves them."""

    def __init__(
        self,
        rows: Sequence[tuple[Example, Path]],
        processor: ProcessorMixin,
        templates: Templates,
        size: int,
        kept: int = KEPT_BYTES,
        see: Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]] = lambda inputs: inputs,
    ) -> None:
        super().__init__(rows, processor, templates, size, kept)
        self._see = see

    def _make_ready(
        self, texts: Sequence[str], images: Sequence[Sequence[PIL.Image.Image]]
    ) -> tuple[Any, int]:
        processed = self._processor(
            text=list(texts),
            images=[image for of_one in images for image in of_one],  # flat: it counts each text's marks
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        inputs = self._see(dict(processed))
        return inputs, sum(tensor.nbytes for tensor in inputs.values())


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
        answer=extract(completion),
        finish_reason="length" if end is None else "stop",
        tokens=len(kept),
    )


class Engine(ABC):
    """What answers questions: loaded with one checkpoint after another."""

    def __init__(self, processor: ProcessorMixin, max_completion_tokens: int) -> None:
        self.processor = processor
        self.max_completion_tokens = max_completion_tokens

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


class TransformersEngine(Engine):
    """transformers' own generation, on the CPU or one GPU.

    Checkpoints of one frozen vision tower see every image alike: what the tower answers is kept with the batches, in
    the place of the pixels, until a checkpoint with another tower comes.
    """

    model: PreTrainedModel | None = None

    def __init__(self, processor: ProcessorMixin, evaluation: Evaluation, dtype: str) -> None:
        super().__init__(processor, evaluation.max_completion_tokens)
        self.device = "cuda" if evaluation.gpus else "cpu"
        self.dtype = dtype
        self._batches: list[LazyBatches] = []

    def load(self, directory: Path) -> None:
        before, self.model = self.model, load_model(directory, self.dtype).to(self.device).eval()
        if before is not None and not _equal(before.model.visual, self.model.model.visual):
            self.look_again()

    def look_again(self) -> None:
        """Forget what the vision tower answered: its weights have changed."""
        for batches in self._batches:
            batches.forget()

    def batches(
        self, rows: Sequence[tuple[Example, Path]], templates: Templates, size: int, kept: int
    ) -> LazyBatches:
        made = Batches(rows, self.processor, templates, size, kept, self._see)
        self._batches.append(made)
        return made

    def _see(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The processor's tensors with the tower's answer, [merged patches of all images, hidden], for the pixels."""
        assert self.model is not None, "load a checkpoint before its questions are made ready"
        rest = dict(inputs)
        pixels, grids = rest.pop("pixel_values"), rest["image_grid_thw"]
        with torch.inference_mode():
            seen = self.model.get_image_features(
                pixels.to(self.device), grids.to(self.device), return_dict=True
            )
        return rest | {SEEN: torch.cat(seen.pooler_output)}

    def answer(self, batch: Batch) -> dict[str, Prediction]:
        model, processor = self.model, self.processor
        assert model is not None
        stops = stop_tokens(model.generation_config)
        # A configuration of its own: Qwen2-VL's brings sampling settings that greedy decoding warns about.
        greedy = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.max_completion_tokens,
            eos_token_id=sorted(stops),
            pad_token_id=processor.tokenizer.pad_token_id,
        )
        inputs = {name: tensor.to(model.device) for name, tensor in batch.inputs.items()}
        seen = BaseModelOutputWithPooling(pooler_output=(inputs.pop(SEEN),))
        with torch.inference_mode():
            output = model.generate(**inputs, mm_encoder_outputs={"image": seen}, generation_config=greedy)
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        return {
            id_: prediction_of(id_, row, stops, processor) for id_, row in zip(batch.ids, rows, strict=True)
        }


def _equal(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules of one shape hold the same weights."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def start_engine(
    evaluation: Evaluation, dtype: str, directory: Path, rows: Sequence[tuple[Example, Path]]
) -> Engine:
    """What the settings want to answer `rows` with, for checkpoints of the shape of `directory`.

    `dtype` is the precision of the weights where the settings name none.
    """
    processor = load_processor(directory)
    dtype = evaluation.dtype or dtype
    if evaluation.engine == "vllm":
        from modomodo.vllm_generation import VllmEngine, most_images

        return VllmEngine(processor, evaluation, dtype, most_images(rows))
    return TransformersEngine(processor, evaluation, dtype)
