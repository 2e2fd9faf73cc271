"""Greedy answers by transformers' own generation, on the CPU or one GPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel, ProcessorMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from modomodo.config.schema import Evaluation, Templates
from modomodo.evaluation.benchmarks import Row
from modomodo.evaluation.engines.base import (
    Batch,
    BatchLimits,
    Engine,
    LazyBatches,
    prediction_of,
    render_prompts,
    stop_tokens,
)
from modomodo.evaluation.predictions import Prediction
from modomodo.training.models import load_model, own_generation_settings

VISION_FEATURES = "vision_features"  # among the inputs of a batch: the vision tower's output for its images


def processor_inputs(
    processor: ProcessorMixin, prompts: Sequence[str], images: Sequence[Sequence[PIL.Image.Image]]
) -> dict[str, torch.Tensor]:
    """The processor's tensors, padded on the left to one length."""
    return dict(
        processor(
            text=list(prompts),
            images=[
                image for of_one in images for image in of_one
            ],  # flat: it counts each prompt's placeholders
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
    )


class TransformersEngine(Engine):
    """transformers' own generation, on the CPU or one GPU.

    Checkpoints of one frozen vision tower encode every image alike: the tower's features are kept with the batches
    instead of the pixels, until a checkpoint with another tower is loaded.
    """

    model: PreTrainedModel | None = None

    def __init__(self, processor: ProcessorMixin, evaluation: Evaluation, dtype: str) -> None:
        super().__init__(processor, evaluation.max_completion_length)
        self.device = "cuda" if evaluation.gpus else "cpu"
        self.dtype = dtype
        self._batches: list[LazyBatches] = []

    def load(self, directory: Path, checked: bool = False) -> None:
        before, self.model = self.model, load_model(directory, self.dtype).to(self.device).eval()
        self.stops = stop_tokens(self.model.generation_config, self.processor.tokenizer)
        if before is not None and not _equal(before.model.visual, self.model.model.visual):
            self.clear_cache()

    def clear_cache(self) -> None:
        """Encode all images again: the weights of the vision tower have changed."""
        for batches in self._batches:
            batches.clear_cache()

    def batches(self, rows: Sequence[Row], templates: Templates, limits: BatchLimits) -> LazyBatches:
        prompts = render_prompts(rows, self.processor, templates)
        self._batches.append(LazyBatches(rows, prompts, self._inputs, limits))
        return self._batches[-1]

    def _inputs(self, prompts: Sequence[str], images: Sequence[Sequence[PIL.Image.Image]]) -> tuple[Any, int]:
        inputs = self._encode(processor_inputs(self.processor, prompts, images))
        return inputs, sum(tensor.nbytes for tensor in inputs.values())

    def _encode(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Qwen2-VL's inputs with the vision features, [merged patches of all images, hidden], for the pixels."""
        assert self.model is not None, "load a checkpoint before its questions are prepared"
        rest = dict(inputs)
        pixels, grids = rest.pop("pixel_values"), rest["image_grid_thw"]
        with torch.inference_mode():
            encoded = self.model.get_image_features(
                pixels.to(self.device), grids.to(self.device), return_dict=True
            )
        return rest | {VISION_FEATURES: torch.cat(encoded.pooler_output)}

    def answer(self, batch: Batch) -> dict[str, Prediction]:
        model, processor = self.model, self.processor
        assert model is not None
        greedy = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.max_new_tokens,
            eos_token_id=sorted(self.stops),
            pad_token_id=processor.tokenizer.pad_token_id,
        )
        inputs = {name: tensor.to(model.device) for name, tensor in batch.inputs.items()}
        encoded = BaseModelOutputWithPooling(pooler_output=(inputs.pop(VISION_FEATURES),))
        with torch.inference_mode(), own_generation_settings(model):
            output = model.generate(**inputs, mm_encoder_outputs={"image": encoded}, generation_config=greedy)
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        return {
            id_: prediction_of(id_, row, self.stops, processor)
            for id_, row in zip(batch.ids, rows, strict=True)
        }


def _equal(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules of one shape hold the same weights."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
