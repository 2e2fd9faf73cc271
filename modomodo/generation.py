"""Checkpoint + questions → predictions, greedily, with transformers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from transformers import GenerationConfig, PreTrainedModel, ProcessorMixin

from modomodo.answers import extract
from modomodo.examples import Example, image_paths
from modomodo.predictions import Prediction
from modomodo.prompts import Templates, messages


@dataclass(frozen=True)
class Batch:
    """Questions made ready once and answered by every checkpoint."""

    ids: Sequence[str]
    inputs: Mapping[str, torch.Tensor]


def make_batches(
    rows: Sequence[tuple[Example, Path]], processor: ProcessorMixin, templates: Templates, size: int
) -> list[Batch]:
    """Batches of at most `size` questions of similar length. Rows: (example, folder of its image path)."""
    texts = [
        processor.apply_chat_template(
            messages(example, templates), tokenize=False, add_generation_prompt=True
        )
        for example, _ in rows
    ]
    order = sorted(range(len(rows)), key=lambda i: (len(texts[i]), i))
    batches = []
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        images = []
        for example, folder in (rows[i] for i in chosen):
            for path in image_paths(example):  # one flat list: the processor counts each text's image marks
                with PIL.Image.open(folder / path) as image:
                    images.append(image.convert("RGB"))
        inputs = processor(
            text=[texts[i] for i in chosen],
            images=images,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        batches.append(Batch([rows[i][0].id for i in chosen], dict(inputs)))
    return batches


def predict(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    batches: Sequence[Batch],
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
