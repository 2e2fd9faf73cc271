"""Checkpoint + questions → predictions, greedily, with vLLM: many questions at once, each ending when it will.

Only the generation is vLLM's. Prompts, stop tokens, the text of the tokens and the answer in it are made as for
transformers, so that the two differ in arithmetic alone.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import PIL.Image
from transformers import GenerationConfig

from modomodo.config.schema import Evaluation, Templates
from modomodo.data.examples import image_paths
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
from modomodo.training.models import check_model
from modomodo.training.plain_directory import plain_directory
from modomodo.training.processors import Processor, tokenizer_of

MEMORY = 0.9  # of the GPU, which nothing else uses
# vLLM is handed more than it answers at once, so that its last questions are a small part: many batches' worth, and
# decoded images of at most 1.6 GB.
AHEAD, AHEAD_PIXELS = 16, 1 << 29


def prompt_inputs(
    processor: Processor, prompts: Sequence[str], images: Sequence[Sequence[PIL.Image.Image]]
) -> tuple[list[dict[str, Any]], int]:
    """Prompts with their images, which vLLM processes itself, and the images' bytes."""
    tokenizer = tokenizer_of(processor)
    inputs: list[dict[str, Any]] = []
    for prompt, of_one in zip(prompts, images, strict=True):
        given: dict[str, Any] = {"prompt": prompt}
        if tokenizer.bos_token is not None and prompt.startswith(tokenizer.bos_token):
            # As tokens: to a text vLLM's tokenizer would add the token that begins it once more.
            given = {"prompt_token_ids": tokenizer(prompt, add_special_tokens=False)["input_ids"]}
        inputs.append(given | ({"multi_modal_data": {"image": list(of_one)}} if of_one else {}))
    return inputs, sum(3 * image.width * image.height for of_one in images for image in of_one)


class VllmEngine(Engine):
    """vLLM within this process; loads further checkpoints into the running engine."""

    def __init__(
        self, processor: Processor, evaluation: Evaluation, dtype: str, images: int, **options: Any
    ) -> None:
        """`images` is the most that one question shows; `options` go to vLLM's `LLM`."""
        super().__init__(processor, evaluation.max_completion_length)
        self.evaluation = evaluation
        # Within this process, as it is, no engine is left behind when a job is killed.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        self.options = {
            "dtype": dtype,
            "tensor_parallel_size": max(1, evaluation.gpus),
            "gpu_memory_utilization": MEMORY,
            "max_num_seqs": evaluation.batch_size,
            **({"limit_mm_per_prompt": {"image": images, "video": 0}} if images else {}),
            "enforce_eager": evaluation.gpus == 0,  # compiling pays on a GPU only
            "seed": 0,
        } | options
        self.llm: Any = None
        self.first = ""

    def load(self, directory: Path, checked: bool = False) -> None:
        """The first directory has to stay, of the others only the weights are read."""
        from vllm import LLM, SamplingParams

        directory = plain_directory(directory)
        if not checked:
            check_model(directory)  # vLLM looks for names alone
        if self.llm is None:
            self.llm = LLM(model=str(directory), **self.options)
            self.first = str(directory)
        else:
            self.llm.collective_rpc("reload_weights", kwargs={"weights_path": str(directory)})
            # Which names the directory as the model's, and the processor is read from there when the next question
            # comes: a merge's directory is gone by then.
            self.llm.llm_engine.model_config.model = self.first
            # What it remembers of prompts and images was computed by the weights before.
            self.llm.reset_prefix_cache()
            self.llm.llm_engine.reset_encoder_cache()
        self.stops = stop_tokens(generation_settings(directory), tokenizer_of(self.processor))
        self.greedy = SamplingParams(
            temperature=0.0,
            max_tokens=self.max_new_tokens,
            stop_token_ids=sorted(self.stops),
            detokenize=False,
        )

    def batches(self, rows: Sequence[Row], templates: Templates, limits: BatchLimits) -> LazyBatches:
        prompts = render_prompts(rows, self.processor, self.boxes.templates(templates))
        ahead = replace(limits, questions=limits.questions * AHEAD, pixels=AHEAD_PIXELS)
        return LazyBatches(rows, prompts, partial(prompt_inputs, self.processor), ahead)

    def answer(self, batch: Batch) -> dict[str, Prediction]:
        outputs = self.llm.generate(batch.inputs, self.greedy, use_tqdm=False)
        return {
            id_: prediction_of(id_, output.outputs[0].token_ids, self.stops, self.processor)
            for id_, output in zip(batch.ids, outputs, strict=True)
        }


def generation_settings(directory: Path) -> GenerationConfig:
    """The directory's generation_config.json; as for transformers, none names no stop token."""
    if not (directory / "generation_config.json").is_file():
        return GenerationConfig()
    return GenerationConfig.from_pretrained(str(directory))


def most_images(rows: Sequence[Row]) -> int:
    """The most images that one question shows."""
    return max(len(image_paths(example)) for example, _ in rows)
