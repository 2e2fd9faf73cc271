"""GRPO on a pre-drawn stream, with TRL's trainer.

TRL does the algorithm. Ours is what it lacks: the stream read in its order, rewards that apply to some
domains only, checkpoints at the scored steps, and a resume that really restores a Qwen2-VL.

One process trains, or several that launch.py started, one a GPU: each runs all of this, and the first one writes.
"""

import math
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from datasets import Dataset, Features, Image, List, Value
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig

from modomodo.config.accelerate_file import shards
from modomodo.config.schema import Templates, Training
from modomodo.console import progress_line
from modomodo.data.examples import Example, image_paths
from modomodo.data.prompts import interleaved, messages
from modomodo.errors import InputError, Interrupted
from modomodo.files import atomic_directory, write_jsonl
from modomodo.training.adapters import is_adapted, lora_config, save_adapter
from modomodo.training.groups import with_shares
from modomodo.training.job import TrainJob
from modomodo.training.launch import free_port
from modomodo.training.live_stream import LiveRows, counted, live_rows
from modomodo.training.live_trainer import LiveTrainer
from modomodo.training.model_boxes import model_boxes
from modomodo.training.models import copy_beside_weights, load_model
from modomodo.training.processors import check_images, load_processor
from modomodo.training.resume import complete_checkpoint, keep_newest_complete, step_of
from modomodo.training.reward_functions import reward_functions, summed_weights
from modomodo.training.rewards import columns
from modomodo.training.run_folder import link_shared_checkpoints, names_of_steps
from modomodo.training.stream_trainer import StreamTrainer
from modomodo.training.trackers import NOWHERE, Tracking, finish_trackers, tell_trackers
from modomodo.training.vision import (
    cache_vision_features,
    caches_vision,
    freeze_vision,
    image_placeholder,
)

# What differs between two equal runs does not belong in their log; run.json has the durations.
VOLATILE = {"step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second"}

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


def train(job: TrainJob, server: str = "") -> dict[str, float]:
    """Train the job's base on its rows, in the order of the stream.

    Leaves `checkpoint-<scored step>/` for each scored step (those past the end of the stream share a directory) and
    `log.jsonl` in the job's folder; resumes from the newest complete checkpoint in `trainer/` there. The learning
    rate follows the study's steps even when the stream ends before, at `last_step`. `server` is where TRL's vLLM
    server answers, for settings that want one. Returns durations in seconds.

    Raises Interrupted after SIGTERM, once a checkpoint to resume from is saved.
    """
    started = time.monotonic()
    settings, folder = job.settings.training, job.folder
    torch.set_num_threads(settings.threads)
    rows = [*job.rows, *job.spare]
    check_images(job.base, (example for example, _ in rows), settings)
    check_divided(settings, [bool(image_paths(example)) for example, _ in rows])
    processor = load_processor(job.base)
    boxes = model_boxes(job.base, processor)
    model = load_model(job.base, job.settings.dtype)
    if settings.freeze_vision:
        freeze_vision(model)
    if job.tracking.report_to:
        tell_trackers(job.tracking, folder)
    functions = reward_functions(job.settings, folder)
    names = [function.__name__ for function in functions]
    weighed = settings.model_copy(update={"reward_weights": summed_weights(job.settings)})
    dataset = training_dataset(
        [(boxes.truth(example, place), place) for example, place in rows],
        boxes.templates(job.settings.prompts),
        {name: boxes.templates(own) for name, own in job.settings.own_prompts.items()},
    )
    live = live_rows(job, dataset, names, weighed) if job.live else None
    end = (lambda: min(live.last_step, job.last_step)) if live else (lambda: job.last_step)
    keep = KeepScored(folder, job.base, lambda: scored_by(job, end()), live)
    common = {"live": live, "train_dataset": counted(job)} if live else {"train_dataset": dataset}
    trainer = (LiveTrainer if live else StreamTrainer)(
        model=model,
        args=trainer_arguments(weighed, folder / "trainer", job.seed, names, server, job.tracking),
        reward_funcs=functions,
        processing_class=processor,
        peft_config=lora_config(model, settings.lora, not settings.freeze_vision) if settings.lora else None,
        callbacks=[
            keep,
            StopAt(end, settings.iterations if job.goes_on else None),
            Progress(job.last_step),
        ],
        **common,
    )
    trainer.remove_callback(PrinterCallback)
    if settings.accelerate:
        keep.gather = lambda: trainer.accelerator.get_state_dict(trainer.model_wrapped)
    on_signal = SaveOnSignal(end, settings.iterations)
    trainer.add_callback(on_signal)
    divided = isinstance(settings.accelerate, dict) and shards(settings.accelerate)
    if settings.freeze_vision and caches_vision(model) and not divided:
        # Not a reference that a launcher wrapped (DeepSpeed): that keeps a tower of its own.
        reference = [trainer.ref_model] if isinstance(trainer.ref_model, type(model)) else []
        cache_vision_features([model, *reference])
    if settings.vllm == "colocate":
        set_seed(job.seed, device_specific=True)  # its engine has set all seeds to the process's number
    placeholder = image_placeholder(model)
    if settings.vllm != "off" and placeholder is not None:
        # As TRL does for transformers: a completion with an image placeholder would want an image, and the step fails.
        trainer.vllm_generation.generation_kwargs["logit_bias"] = {placeholder: -100.0}
    if settings.vllm == "server":
        trainer.add_callback(SeedServer(trainer.vllm_generation.generation_kwargs, job.seed))
    ready = time.monotonic()
    with PartialState().main_process_first():
        checkpoint = keep_newest_complete(folder / "trainer", min(job.left, default=None))
    if trainer.is_world_process_zero():
        for unfinished in folder.glob(".checkpoint-*"):  # of an attempt that was killed while it wrote one
            shutil.rmtree(unfinished)
    if live and checkpoint:
        live.resume(checkpoint)
    finished = checkpoint is not None and step_of(checkpoint) >= end()  # killed after its last save
    if not finished:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finish_trackers(job.tracking)
    if on_signal.stopped_at is None and trainer.is_world_process_zero():
        link_shared_checkpoints(folder, scored_by(job, end()))
        if not finished:
            write_log(folder, trainer.state.log_history)
        if live:
            live.save(folder)
    trainer.accelerator.wait_for_everyone()  # the group stays open: command_line.run exits without closing it
    if on_signal.stopped_at is not None:
        raise Interrupted(
            f"stopped: saved at step {on_signal.stopped_at} of {job.last_step}, run again to resume"
        )
    return {"start": ready - started, "train": time.monotonic() - ready}


def scored_by(job: TrainJob, last_step: int) -> dict[int, int]:
    """Scored step → the step that its checkpoint is of, in a run that ends at `last_step`."""
    return {scored: min(step, last_step) for scored, step in job.checkpoint_steps.items()}


def check_divided(settings: Training, with_image: Sequence[bool]) -> None:
    """Raises InputError for rows with and without images where the weights are divided over the processes.

    One that has no image in a step would not ask for its part of the vision tower, and the others wait for ever.
    """
    file = settings.accelerate
    if isinstance(file, dict) and shards(file) and len(set(with_image)) > 1:
        raise InputError(
            "training.accelerate: FSDP and ZeRO-3 hang where only some rows have images: use ZeRO-2 (zero_stage: 2)"
        )


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


BLOCKS = List({"type": Value("string"), "text": Value("string")})


def training_dataset(
    rows: Sequence[tuple[Example, Path]], templates: Templates, own_templates: Mapping[str, Templates] = {}
) -> Dataset:
    """One row a prompt, in the stream's order, with its images and the columns that rewards see.

    `own_templates`: domain → its templates, where they are not `templates`. A row without images has an empty list of
    them; where no row has any, there is no such column. The prompts are texts, to which TRL adds the images in front;
    where any question marks the places of its images, all are blocks of text and images.
    """
    blocks = any(interleaved(example) for example, _ in rows)
    records = [
        {
            "prompt": messages(example, own_templates.get(example.dataset, templates), blocks),
            "images": [str(folder / path) for path in image_paths(example)],
            **columns(example),
        }
        for example, folder in rows
    ]
    features = {name: Value("string") for name in records[0]} | {
        "prompt": [{"role": Value("string"), "content": BLOCKS if blocks else Value("string")}],
        "images": List(Image()),
    }
    if not any(record["images"] for record in records):
        del features["images"]
        for record in records:
            del record["images"]
    return Dataset.from_list(records, features=Features(features))


class SeedServer(TrainerCallback):
    """Gives the vLLM server each step's own seed, so that a resumed run is answered as if it had never stopped."""

    def __init__(self, request: dict[str, Any], seed: int) -> None:
        self.request = request
        self.seed = seed

    def on_step_begin(self, args, state, control, **kwargs):
        # vLLM counts on from it, one for each completion of a group.
        self.request["seed"] = (self.seed * 1_000_000 + state.global_step) * 1000


class KeepScored(TrainerCallback):
    """Keeps the checkpoints that will be scored, the log, and what a live stream noted, as they come.

    `checkpoint_steps`: scored step → the step that its checkpoint is of, as far as that is known.
    """

    def __init__(
        self,
        folder: Path,
        base: Path,
        checkpoint_steps: Callable[[], Mapping[int, int]],
        live: LiveRows | None = None,
    ) -> None:
        self.folder = folder
        self.base = base
        self.checkpoint_steps = checkpoint_steps
        self.live = live
        # Gives the whole weights where all processes ask for them.
        self.gather: Callable[[], dict[str, torch.Tensor]] | None = None

    def on_step_end(self, args, state, control, model=None, **kwargs):
        # The first scored step of a step names its directory; link_shared_checkpoints gives it its other names.
        name = names_of_steps(self.checkpoint_steps()).get(state.global_step)
        if name is None:
            return
        weights = self.gather() if self.gather else None  # of which each process may hold a part
        if not state.is_world_process_zero:
            return
        with atomic_directory(self.folder / f"checkpoint-{name}") as directory:
            if is_adapted(model):
                save_adapter(model, directory, self.base, weights)
            else:
                model.save_pretrained(directory, state_dict=weights)
            copy_beside_weights(self.base, directory)

    def on_save(self, args, state, control, **kwargs):
        PartialState().wait_for_everyone()  # each process writes its random state into the checkpoint
        if state.is_world_process_zero:
            write_log(self.folder, state.log_history)
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if self.live:
                self.live.save(checkpoint)
            complete_checkpoint(checkpoint)


class StopAt(TrainerCallback):
    """Ends the training with the stream, which may be before the schedule does; `last_step` as far as it is known.

    `iterations`: of a run that may go on, which is saved then; but not between steps that learn from the same
    completions.
    """

    def __init__(self, last_step: Callable[[], int], iterations: int | None = None) -> None:
        self.last_step = last_step
        self.iterations = iterations

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= self.last_step():
            control.should_training_stop = True
            if self.iterations and state.global_step % self.iterations == 0:
                control.should_save = True


class SaveOnSignal(TrainerCallback):
    """On SIGTERM (time limit, preemption, `scancel`): save after the current step, and stop.

    A trainer's state is complete only between two steps. All processes of a run stop at the same one.
    """

    def __init__(self, last_step: Callable[[], int], iterations: int = 1) -> None:
        self.last_step = last_step
        self.iterations = (
            iterations  # steps that learn from the same completions, which a checkpoint does not hold
        )
        self.received = False
        self.stopped_at: int | None = None
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, *_: object) -> None:
        self.received = True

    def on_step_end(self, args, state, control, **kwargs):
        received = torch.tensor(float(self.received), device=args.device)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX)
        between = state.global_step % self.iterations
        if received.item() and not between and state.global_step < self.last_step():  # else it is done anyway
            self.stopped_at = state.global_step
            control.should_save = control.should_training_stop = True


class Progress(TrainerCallback):
    """One calm bar in a terminal, a plain line now and then elsewhere.

    Reward and KL are means of the last ten steps: of two prompts a step they are noisy.
    """

    def __init__(self, last_step: int, every: float = 15.0) -> None:
        self.last_step = last_step
        self.every = every
        self.bar: Any = None
        self.recent: deque[tuple[float, float]] = deque(maxlen=10)

    def on_train_begin(self, args, state, control, **kwargs):
        self.first = state.global_step
        self.start = self.printed = time.monotonic()
        if sys.stderr.isatty() and state.is_world_process_zero:
            from tqdm import tqdm

            self.bar = tqdm(total=self.last_step, initial=self.first, desc="train")

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not logs or "reward" not in logs or not state.is_world_process_zero:
            return
        self.recent.append((logs["reward"], logs.get("kl") or 0.0))
        reward, divergence = (sum(part) / len(self.recent) for part in zip(*self.recent, strict=True))
        values = f"reward {reward:.2f}, KL {divergence:.3f}"
        now = time.monotonic()
        if self.bar is not None:
            self.bar.set_postfix_str(values, refresh=False)
            self.bar.update(state.global_step - self.bar.n)
        elif now - self.printed >= self.every:
            self.printed = now
            done = state.global_step - self.first
            line = progress_line("train", done, self.last_step - self.first, now - self.start)
            print(f"{line}, {values}", file=sys.stderr, flush=True)

    def on_train_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.close()


def write_log(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """`log.jsonl`: a line a step with loss, reward (in all and by domain), KL, lengths, clipped share and mixtures."""
    steps = (
        entry for entry in history if "reward" in entry or "loss" in entry
    )  # no reward: of earlier completions
    rows = (
        {"step": row["step"], **{k: v for k, v in sorted(row.items()) if k not in VOLATILE | {"step"}}}
        for row in with_shares(steps)
    )
    write_jsonl(folder / "log.jsonl", rows)
