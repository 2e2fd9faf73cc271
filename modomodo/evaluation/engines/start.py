"""The engine that a study's settings ask for, in the environment and with the GPUs that it needs."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from modomodo.console import imports
from modomodo.evaluation.benchmarks import Questions
from modomodo.evaluation.settings import PredictSettings
from modomodo.training.gpus import acquire_gpus
from modomodo.training.vllm_environment import check_vllm, enter_vllm_environment

if TYPE_CHECKING:
    from modomodo.evaluation.engines.base import Engine


def start_engine(settings: PredictSettings, directory: Path, questions: Iterable[Questions]) -> "Engine":
    """What answers `questions` by these settings, for checkpoints of the shape of `directory`.

    Enters vLLM's environment if the settings want it, then waits for the GPUs. Raises InputError when either is not
    to be had, and for an image that cannot be read.
    """
    evaluation = settings.evaluation
    if evaluation.engine == "vllm":
        enter_vllm_environment()
        check_vllm("evaluation.engine", "transformers", gpus=evaluation.gpus)
    acquire_gpus(evaluation.gpus, "evaluation.gpus")
    rows = []
    for each in questions:
        each.check_images()
        rows += each.rows
    with imports():  # here: a job that finds all its results cached should not wait for them
        import torch

        from modomodo.evaluation.engines.hf import TransformersEngine
        from modomodo.training.model_boxes import model_boxes
        from modomodo.training.processors import check_images, load_processor

    torch.set_num_threads(evaluation.threads)
    check_images(directory, (example for example, _ in rows))
    processor = load_processor(directory)
    dtype = evaluation.dtype or settings.dtype
    engine: Engine
    if evaluation.engine == "vllm":
        from modomodo.evaluation.engines.vllm import VllmEngine, most_images

        engine = VllmEngine(processor, evaluation, dtype, most_images(rows))
    else:
        engine = TransformersEngine(processor, evaluation, dtype)
    engine.boxes = model_boxes(directory, processor)
    return engine
