"""Options of TRL's GRPOConfig that a study may set under `training.trl`, judged by the source of the installed TRL.

The source is parsed and not imported, since torch takes seconds that reading a study need not wait. Options that are
not in FREE are the study's own keys, or would break what every run keeps: the stream's order, the same bytes after a
resume, prompts that are the same in training and in evaluation.
"""

import ast
import importlib.util
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from modomodo.errors import nearest

_OBJECTIVE = """
epsilon epsilon_high delta importance_sampling_level num_iterations scale_rewards multi_objective_aggregation
mask_truncated_completions use_bias_correction_kl off_policy_mask_threshold top_entropy_quantile entropy_coef
use_adaptive_entropy entropy_coef_min entropy_coef_max entropy_coef_delta entropy_target sapo_temperature_neg
sapo_temperature_pos vespo_k_pos vespo_lambda_pos vespo_k_neg vespo_lambda_neg router_aux_loss_coef
"""
_OPTIMISER = """
optim optim_args optim_target_modules weight_decay adam_beta1 adam_epsilon lr_scheduler_type lr_scheduler_kwargs
"""
_SAMPLING = "top_p top_k min_p repetition_penalty generation_kwargs"
_COMPUTATION = """
disable_dropout cast_lm_head_to_fp32 cache_implementation tf32 full_determinism
gradient_checkpointing_kwargs torch_compile torch_compile_backend torch_compile_mode torch_empty_cache_steps
average_tokens_across_devices ddp_backend ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters
ddp_static_graph ddp_timeout ds3_gather_for_generation
"""
_COLOCATED = "vllm_enable_sleep_mode vllm_gpu_memory_utilization vllm_max_model_length vllm_model_impl"
_WITH_VLLM = """
vllm_importance_sampling_correction vllm_importance_sampling_mode vllm_importance_sampling_clip_max
vllm_importance_sampling_clip_min vllm_structured_outputs_regex
"""
COLOCATED = frozenset(_COLOCATED.split())  # of a vLLM that generates inside the trainer
WITH_VLLM = frozenset(_WITH_VLLM.split())  # of one wherever it generates
FREE = COLOCATED | WITH_VLLM | {*f"{_OBJECTIVE} {_OPTIMISER} {_SAMPLING} {_COMPUTATION}".split()}

_Positive = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(gt=0, le=1)]
# Narrower than the annotations in TRL, which finds these values wrong only once it trains, if at all.
_ACCEPTED: dict[str, Any] = {
    "epsilon": _Positive,
    "epsilon_high": _Positive | None,
    "delta": _Positive | None,
    "importance_sampling_level": Literal["token", "sequence"],
    "num_iterations": Annotated[int, Field(ge=1)],
    "scale_rewards": Literal["group", "batch", "none"] | bool,
    "multi_objective_aggregation": Literal["sum_then_normalize", "normalize_then_sum"],
    "top_entropy_quantile": Annotated[float, Field(ge=0, le=1)],
    "top_p": _Share,
    "top_k": Annotated[int, Field(ge=0)],
    "min_p": Annotated[float, Field(ge=0, le=1)] | None,
    "repetition_penalty": _Positive,
    "weight_decay": Annotated[float, Field(ge=0)],
    "adam_beta1": Annotated[float, Field(ge=0, lt=1)],
    "adam_epsilon": _Positive,
    "vllm_gpu_memory_utilization": _Share,
    "vllm_importance_sampling_mode": Literal[
        "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"
    ],
}
# Where an annotation is an enumeration: its class and the file of transformers that has it.
_ENUMERATED = {
    "optim": ("OptimizerNames", "training_args.py"),
    "lr_scheduler_type": ("SchedulerType", "trainer_utils.py"),
}
_UNFIT = dict.fromkeys(
    ["reduce_lr_on_plateau", "greedy"], "it wants an evaluation during the training, and there is none"
)


def check_trl(options: Mapping[str, Any], own_keys: Mapping[str, str]) -> None:
    """Raises ValueError for an option that the installed TRL does not have, that is not free, or of a wrong value.

    `own_keys`: option → what the study says instead.
    """
    for name, value in options.items():
        if name not in FREE:
            if name in own_keys:
                raise ValueError(f"{name}: not free to choose here: {own_keys[name]}")
            raise ValueError(f"{name}: TRL's GRPOConfig has no such option: {nearest(name, FREE)}")
        if name not in installed_options():
            raise ValueError(f"{name}: the installed TRL has no such option: {nearest(name, FREE)}")
        _check_value(name, value)


def _check_value(name: str, value: Any) -> None:
    if name in _ENUMERATED:
        kind, file = _ENUMERATED[name]
        values = set(_enumerated(kind, file)) - _UNFIT.keys()
        if value not in values:
            raise ValueError(f"{name}: '{value}': {_UNFIT.get(str(value)) or nearest(str(value), values)}")
        return
    try:
        # As JSON, in which a whole number is a number too, but a text is none.
        TypeAdapter(_kind_of(name)).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        finding = error.errors()[0]
        message = finding["msg"][0].lower() + finding["msg"][1:]
        raise ValueError(f"{name}: {message}, found {value!r}") from None


def _kind_of(name: str) -> Any:
    """The type of an option's values; any where TRL's annotation is of a class that only its import would give."""
    if name in _ACCEPTED:
        return _ACCEPTED[name]
    try:
        kind = eval(installed_options()[name], {"Any": Any, "Literal": Literal})
        TypeAdapter(kind)
    except (NameError, TypeError, PydanticSchemaGenerationError):
        return Any
    return kind


@cache
def installed_options() -> dict[str, str]:
    """Every option of the installed GRPOConfig and its annotation as it is written."""
    classes = [
        ("transformers", "training_args.py", "TrainingArguments"),
        ("trl", "trainer/base_config.py", "_BaseConfig"),
        ("trl", "trainer/grpo_config.py", "GRPOConfig"),
    ]
    return {
        node.target.id: ast.unparse(node.annotation)
        for package, file, name in classes
        for node in _body(package, file, name)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _enumerated(name: str, file: str) -> Iterator[str]:
    for node in _body("transformers", file, name):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def _body(package: str, file: str, name: str) -> list[ast.stmt]:
    """The statements of a class in an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ValueError(f"{package} is not installed: make env")
    tree = ast.parse((Path(found.origin).parent / file).read_text(encoding="utf-8"))
    return next((node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), [])
