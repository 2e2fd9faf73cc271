"""Greedy answers by transformers' own generation, on the CPU or one GPU."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from transformers import GenerationConfig, PreTrainedModel

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
from modomodo.training.processors import Processor, tokenizer_of
from modomodo.training.vision import caches_vision, see_alike

PIXELS = {"pixel_values", "pixel_attention_mask"}  # among the inputs of a batch; in place of them:
VISION_FEATURES = "vision_features"  # what the model makes of its images


def processor_inputs(
    processor: Processor, prompts: Sequence[str], images: Sequence[Sequence[PIL.Image.Image]]
) -> dict[str, torch.Tensor]:
    """The processor's tensors, padded on the left to one length."""
    # A list for each prompt, an empty one where it has none: of the forms that processors take, the one that all do.
    shown = {"images": [list(of_one) for of_one in images]} if any(images) else {}
    return dict(
        processor(text=list(prompts), **shown, padding=True, padding_side="left", return_tensors="pt")
    )


class TransformersEngine(Engine):
    """transformers' own generation, on the CPU or one GPU.

    Checkpoints of one frozen vision tower encode every image alike: the tower's features are kept with the batches
    instead of the pixels, until a checkpoint with another tower is loaded.
    """

    model: PreTrainedModel | None = None

    def __init__(self, processor: Processor, evaluation: Evaluation, dtype: str) -> None:
        super().__init__(processor, evaluation.max_completion_length)
        self.device = "cuda" if evaluation.gpus else "cpu"
        self.dtype = dtype
        self._batches: list[LazyBatches] = []

    def load(self, directory: Path, checked: bool = False) -> None:
        before, self.model = self.model, load_model(directory, self.dtype).to(self.device).eval()
        self.stops = stop_tokens(self.model.generation_config, tokenizer_of(self.processor))
        if before is not None and not see_alike(before, self.model):
            self.clear_cache()

    def clear_cache(self) -> None:
        """Encode all images again: the weights of the vision tower have changed."""
        for batches in self._batches:
            batches.clear_cache()

    def batches(self, rows: Sequence[Row], templates: Templates, limits: BatchLimits) -> LazyBatches:
        prompts = render_prompts(rows, self.processor, self.boxes.templates(templates))
        self._batches.append(LazyBatches(rows, prompts, self._inputs, limits))
        return self._batches[-1]

    def _inputs(self, prompts: Sequence[str], images: Sequence[Sequence[PIL.Image.Image]]) -> tuple[Any, int]:
        inputs = self._encode(processor_inputs(self.processor, prompts, images))
        return inputs, _nbytes(inputs)

    def _encode(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs with the vision features in the place of the pixels, where the family allows to keep them."""
        model = self.model
        assert model is not None, "load a checkpoint before its questions are prepared"
        if "pixel_values" not in inputs or not caches_vision(model):
            return dict(inputs)
        takes = inspect.signature(model.get_image_features).parameters
        given = {name: value.to(self.device) for name, value in inputs.items() if name in takes}
        with torch.inference_mode():
            encoded = model.get_image_features(**given, return_dict=True)
        # What the language model reads of them: hidden states by layer would be many times as large.
        features = {
            name: encoded[name] for name in ("pooler_output", "deepstack_features") if name in encoded
        }
        rest = {name: value for name, value in inputs.items() if name not in PIXELS}
        return rest | {VISION_FEATURES: type(encoded)(**features)}

    def answer(self, batch: Batch) -> dict[str, Prediction]:
        model, processor = self.model, self.processor
        assert model is not None
        greedy = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.max_new_tokens,
            eos_token_id=sorted(self.stops),
            pad_token_id=tokenizer_of(processor).pad_token_id,
        )
        inputs = _to_device(batch.inputs, model.device)
        if VISION_FEATURES in inputs:
            inputs["mm_encoder_outputs"] = {"image": inputs.pop(VISION_FEATURES)}
        with torch.inference_mode(), own_generation_settings(model):
            output = model.generate(**inputs, generation_config=greedy)
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        return {
            id_: prediction_of(id_, row, self.stops, processor)
            for id_, row in zip(batch.ids, rows, strict=True)
        }


def _nbytes(value: Any) -> int:
    """The bytes of all tensors in it, however nested."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(_nbytes, value.values()))
    return sum(map(_nbytes, value)) if isinstance(value, list | tuple) else 0


def _to_device(value: Any, device: torch.device) -> Any:
    """All tensors in it, however nested, on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return type(value)(**{name: _to_device(one, device) for name, one in value.items()})
    return type(value)(_to_device(one, device) for one in value) if isinstance(value, list | tuple) else value
