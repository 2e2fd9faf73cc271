"""GRPO on a pre-drawn stream, with TRL's trainer.

TRL does the algorithm. Ours is what it lacks: the stream read in its order, rewards that apply to some
domains only, checkpoints at the scored steps, and a resume that really restores a Qwen2-VL.

One process trains, or several that launch.py started, one a GPU: each runs all of this, and the first one writes.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from datasets import Dataset, Features, Image, List, Value
from transformers import PreTrainedModel
from transformers.trainer_callback import PrinterCallback

from modomodo.config.accelerate_file import shards
from modomodo.config.schema import Templates, Training
from modomodo.data.examples import Example, image_paths
from modomodo.data.prompts import interleaved, messages
from modomodo.errors import InputError, Interrupted
from modomodo.training.adapters import lora_config
from modomodo.training.callbacks import KeepScored, Progress, SaveOnSignal, SeedServer, StopAt, write_log
from modomodo.training.job import TrainJob
from modomodo.training.live_stream import LiveRows, counted, live_rows
from modomodo.training.live_trainer import LiveTrainer
from modomodo.training.model_boxes import model_boxes
from modomodo.training.models import load_model
from modomodo.training.processors import check_images, load_processor
from modomodo.training.resume import keep_newest_complete, step_of
from modomodo.training.reward_functions import reward_functions, summed_weights
from modomodo.training.rewards import columns
from modomodo.training.run_folder import link_shared_checkpoints
from modomodo.training.stream_trainer import StreamTrainer
from modomodo.training.trackers import finish_trackers, tell_trackers
from modomodo.training.trl_arguments import trainer_arguments
from modomodo.training.vision import (
    cache_vision_features,
    caches_vision,
    freeze_vision,
    image_placeholder,
)


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
    trainer, live = make_trainer(job, server)
    end = end_of(job, live)
    on_signal = SaveOnSignal(end, settings.iterations)
    trainer.add_callback(on_signal)
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


def make_trainer(job: TrainJob, server: str) -> tuple[StreamTrainer, LiveRows | None]:
    """A job's trainer with its model, rows, rewards and callbacks; and its rows, where they are decided as it trains.

    Raises InputError for rows that the model or the way it is trained cannot take, before the model is loaded.
    """
    settings, folder = job.settings.training, job.folder
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
    end = end_of(job, live)
    keep = KeepScored(folder, job.base, lambda: scored_by(job, end()), live)
    stop = StopAt(end, settings.iterations if job.goes_on else None)
    common = {"live": live, "train_dataset": counted(job)} if live else {"train_dataset": dataset}
    trainer = (LiveTrainer if live else StreamTrainer)(
        model=model,
        args=trainer_arguments(weighed, folder / "trainer", job.seed, names, server, job.tracking),
        reward_funcs=functions,
        processing_class=processor,
        peft_config=lora_config(model, settings.lora, not settings.freeze_vision) if settings.lora else None,
        callbacks=[keep, stop, Progress(job.last_step)],
        **common,
    )
    trainer.remove_callback(PrinterCallback)
    if settings.accelerate:
        keep.gather = lambda: trainer.accelerator.get_state_dict(trainer.model_wrapped)
    cache_frozen_vision(trainer, model, settings)
    if settings.vllm != "off":
        prepare_vllm(trainer, model, job)
    return trainer, live


def cache_frozen_vision(trainer: StreamTrainer, model: PreTrainedModel, settings: Training) -> None:
    """Let a frozen vision tower see each image once, where that changes nothing."""
    divided = isinstance(settings.accelerate, dict) and shards(settings.accelerate)
    if settings.freeze_vision and caches_vision(model) and not divided:
        # Not a reference that a launcher wrapped (DeepSpeed): that keeps a tower of its own.
        reference = [trainer.ref_model] if isinstance(trainer.ref_model, type(model)) else []
        cache_vision_features([model, *reference])


def prepare_vllm(trainer: StreamTrainer, model: PreTrainedModel, job: TrainJob) -> None:
    """Have vLLM answer by the run's seed, and with no image placeholder."""
    if job.settings.training.vllm == "colocate":
        set_seed(job.seed, device_specific=True)  # its engine has set all seeds to the process's number
    options = trainer.vllm_generation.generation_kwargs
    placeholder = image_placeholder(model)
    if placeholder is not None:
        # As TRL does for transformers: a completion with an image placeholder would want an image, and the step fails.
        options["logit_bias"] = {placeholder: -100.0}
    if job.settings.training.vllm == "server":
        trainer.add_callback(SeedServer(options, job.seed))


def end_of(job: TrainJob, live: LiveRows | None) -> Callable[[], int]:
    """The step at which a job ends, as far as it is known when it is asked for."""
    return (lambda: min(live.last_step, job.last_step)) if live else (lambda: job.last_step)


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
