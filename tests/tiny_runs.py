"""Training runs of an untrained tiny model, in this process and in a second or two."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image

from modomodo.config.schema import Training
from modomodo.data.examples import Example
from modomodo.files import file_digest
from modomodo.tiny.qwen2vl import make_model, make_processor
from modomodo.training import trainer
from modomodo.training.job import TrainJob
from modomodo.training.rewards import rewards
from modomodo.training.run_folder import open_run
from modomodo.training.settings import TrainSettings
from modomodo.training.trackers import NOWHERE, Tracking

QUICK = {
    "steps": 4,
    "scored_steps": [2, 4],
    "train_batch_size": 8,
    "num_generations": 4,
    "learning_rate": 1e-3,
    "max_completion_length": 6,
    "save_steps": 100,
    "bf16": False,
    "gradient_checkpointing": False,
    "reward_weights": {"letters": 1.0},
}


def make_base(folder: Path) -> Path:
    """An untrained Qwen2-VL, with images beside it."""
    processor = make_processor(["{question} Think."])
    make_model(processor.tokenizer, seed=0).save_pretrained(folder / "base")
    processor.save_pretrained(folder / "base")
    draw_images(folder)
    return folder / "base"


def draw_images(folder: Path) -> None:
    """Eight images, which a base in this folder is asked about."""
    for number in range(8):
        PIL.Image.new("RGB", (32, 32), (30 * number, 100, 50)).save(folder / f"{number}.png")


def run(
    base: Path,
    folder: Path,
    signal_at: int = 0,
    tracking: Tracking = NOWHERE,
    images: bool = True,
    since: int = 0,
    until: int | None = None,
    last_step: int | None = None,
    **changes: Any,
) -> list[list[str]]:
    """Train in `folder`; what the reward was shown, call by call. It sends SIGTERM in its call `signal_at`, from 1.

    `since` and `until`: the part of the run that is trained, as in a race; `last_step`: where its stream ends.
    """
    settings = Training(**QUICK | changes)
    shown: list[list[str]] = []

    def letters(prompts: list, completions: list, id: list[str], **columns: Any) -> list[float]:
        texts = [completion[-1]["content"] for completion in completions]
        shown.append([f"{name}: {text}" for name, text in zip(id, texts, strict=True)])
        if len(shown) == signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return [len(text) / 10 for text in texts]

    examples = [
        Example(
            id=f"q{number}",
            dataset="colours",
            image=f"{number % 8}.png" if images else "",
            question="How high is the red bar?",
            answer="3",
            answer_type="number",
        )
        for number in range(settings.steps // settings.iterations * settings.prompts_per_step)
    ]
    job = TrainJob(
        base=base,
        rows=[(example, base.parent) for example in examples],
        folder=folder,
        settings=TrainSettings(training=settings, dtype="float32", rewards={"colours": ["letters"]}),
        seed=7,
        last_step=min(last_step or settings.steps, until or settings.steps),
        checkpoint_steps={
            step: min(step, last_step or settings.steps)
            for step in settings.scored_steps
            if until is None or step <= until
        },
        tracking=tracking,
        since=since,
        goes_on=until is not None,
    )
    open_run(folder, "a fingerprint")
    _with_reward("letters", letters, lambda: trainer.train(job))
    return shown


def _with_reward(name: str, reward: Callable, then: Callable) -> None:
    """Call `then` with a reward registered, and with SIGTERM handled as before afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    rewards._functions[name] = reward
    try:
        then()
    finally:
        del rewards._functions[name]
        signal.signal(signal.SIGTERM, before)


def digests(folder: Path) -> dict[str, str]:
    """The log and every file of the scored checkpoints."""
    files = [folder / "log.jsonl", *folder.glob("checkpoint-*/*")]
    return {str(path.relative_to(folder)): file_digest(path) for path in files}
