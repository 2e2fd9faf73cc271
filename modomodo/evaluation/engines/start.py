"""The engine that a study's settings ask for, and the environment it runs in."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modomodo.config.schema import Evaluation
from modomodo.data.examples import Example
from modomodo.training.gpus import acquire_gpus
from modomodo.training.vllm_environment import check_vllm, enter_vllm_environment

if TYPE_CHECKING:
    from modomodo.evaluation.engines.base import Engine


def start_engine(
    evaluation: Evaluation, dtype: str, directory: Path, rows: Sequence[tuple[Example, Path]]
) -> "Engine":
    """What the settings want to answer `rows` with, for checkpoints of the shape of `directory`.

    `dtype` is the precision of the weights where the settings name none.
    """
    # Here: vLLM may run in another environment, which ready_to_answer enters before torch is loaded.
    from modomodo.training.models import load_processor

    processor = load_processor(directory)
    dtype = evaluation.dtype or dtype
    if evaluation.engine == "vllm":
        from modomodo.evaluation.engines.vllm import VllmEngine, most_images

        return VllmEngine(processor, evaluation, dtype, most_images(rows))
    from modomodo.evaluation.engines.hf import TransformersEngine

    return TransformersEngine(processor, evaluation, dtype)


def ready_to_answer(evaluation: Evaluation) -> None:
    """Go to vLLM's environment if the settings want it, then take the GPUs they want.

    Raises InputError when either is not to be had.
    """
    if evaluation.engine == "vllm":
        enter_vllm_environment()
        check_vllm("evaluation.engine", "transformers", gpus=evaluation.gpus)
    acquire_gpus(evaluation.gpus, "evaluation.gpus")
