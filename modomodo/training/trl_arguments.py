"""A study's training settings as TRL's arguments: the paper's objective, and what generates the completions."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trl import GRPOConfig

from modomodo.config.schema import Training
from modomodo.training.launch import free_port
from modomodo.training.trackers import NOWHERE, Tracking

# The paper's objective in TRL's words, whatever the defaults of the installed TRL: docs/fidelity.md compares them with
# those of the paper's time.
OBJECTIVE: dict[str, Any] = {
    "num_iterations": 1,
    "epsilon": 0.2,
    "importance_sampling_level": "token",
    "scale_rewards": "group",
    "multi_objective_aggregation": "sum_then_normalize",
    "mask_truncated_completions": False,
    "use_bias_correction_kl": False,  # would multiply the KL term by the ratio, and change its gradient
    "vllm_importance_sampling_correction": False,
    "top_p": 1.0,
    "top_k": 0,
    "repetition_penalty": 1.0,
    "disable_dropout": False,
    "optim": "adamw_torch_fused",
    "adam_beta1": 0.9,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.0,
    "lr_scheduler_type": "linear",
    "average_tokens_across_devices": False,
    "remove_unused_columns": False,  # the rewards read them
    "shuffle_dataset": False,  # the stream's order is the order
}

# Of a GPU that trains too: 24 of 80 GB, for Qwen2-VL-2B's 4.4 GB of weights and room for all completions of a step.
COLOCATED_MEMORY = 0.3


def trainer_arguments(
    settings: Training,
    folder: Path,
    seed: int,
    reward_names: Sequence[str],
    server: str = "",
    tracking: Tracking = NOWHERE,
) -> GRPOConfig:
    """The study's training settings as TRL's."""
    gpu = settings.gpus > 0
    options = {
        **OBJECTIVE,
        **vllm_arguments(settings, server),
        **({"run_name": tracking.name, "project": tracking.group} if tracking.report_to else {}),
        **settings.trl,
    }
    return GRPOConfig(
        **options,
        output_dir=str(folder),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.samples,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        num_generations=settings.num_generations,
        learning_rate=settings.learning_rate,
        warmup_steps=round(settings.warmup_ratio * settings.steps),
        adam_beta2=settings.adam_beta2,
        max_grad_norm=settings.max_grad_norm,
        beta=settings.beta,
        loss_type=settings.loss_type,
        reward_weights=[settings.reward_weights[name] for name in reward_names],
        temperature=settings.temperature,
        max_completion_length=settings.max_completion_length,
        seed=seed,
        data_seed=seed,
        bf16=settings.bf16,
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        gradient_checkpointing=settings.gradient_checkpointing,
        logging_steps=1,
        save_strategy="steps",
        # A resumed run draws new completions, so between two steps that share theirs it would not be the same run.
        save_steps=math.ceil(settings.save_steps / settings.iterations) * settings.iterations,
        save_total_limit=2,  # the last one may be half written when the job is killed
        report_to=list(tracking.report_to),
        disable_tqdm=True,
        log_completions=False,
        # Would gather each step's images from all processes, for a log that nobody reads, and wait for ever for one
        # whose rows have none.
        log_multimodal=False,
    )


def vllm_arguments(settings: Training, server: str) -> dict[str, Any]:
    """What generates the completions, as TRL's settings."""
    if settings.vllm == "off":
        return {}
    if settings.vllm == "colocate":
        return {
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_gpu_memory_utilization": COLOCATED_MEMORY,
        }
    return {
        "use_vllm": True,
        "vllm_mode": "server",
        "vllm_server_base_url": server,
        "vllm_group_port": free_port(),  # by which the weights go to the server
    }
