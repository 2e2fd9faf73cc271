"""Greedy answers by transformers' own generation, on the CPU or one GPU."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel, ProcessorMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from modomodo.config.schema import Evaluation, Templates
from modomodo.data.examples import Example
from modomodo.evaluation.engines.base import (
    KEPT_BYTES,
    Batch,
    Engine,
    LazyBatches,
    prediction_of,
    stop_tokens,
)
from modomodo.evaluation.predictions import Prediction
from modomodo.training.models import load_model

SEEN = "seen"  # among the inputs of a batch: what the vision tower answers to its images


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


class TransformersEngine(Engine):
    """transformers' own generation, on the CPU or one GPU.

    Checkpoints of one frozen vision tower see every image alike: what the tower answers is kept with the batches, in
    the place of the pixels, until a checkpoint with another tower comes.
    """

    model: PreTrainedModel | None = None

    def __init__(self, processor: ProcessorMixin, evaluation: Evaluation, dtype: str) -> None:
        super().__init__(processor, evaluation.max_completion_length)
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
            max_new_tokens=self.max_completion_length,
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
