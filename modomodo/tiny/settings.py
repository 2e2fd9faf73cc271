"""Options of the builder of the tiny model."""

from typing import ClassVar

from pydantic import Field

from modomodo.config.schema import Seed, Settings
from modomodo.tiny.examples import Corruptions


class Curriculum(Settings):
    """Optimiser steps of each stage, examples per step, and questions per domain to evaluate each stage on."""

    RENAMED: ClassVar[dict[str, str]] = {
        "supervised_steps": "answer_steps",
        "habit_steps": "corruption_steps",
        "questions": "batch_size",
        "examined": "eval_size",
    }

    vision_steps: int = Field(180, ge=0)
    answer_steps: int = Field(400, ge=0)
    choice_steps: int = Field(420, ge=0)
    corruption_steps: int = Field(120, ge=0)
    batch_size: int = Field(64, ge=1)
    eval_size: int = Field(60, ge=1)


class BuildOptions(Curriculum):
    """What a study may say of the tiny model."""

    seed: Seed = 0
    hidden: int = Field(128, ge=32, multiple_of=32)
    layers: int = Field(3, ge=1)
    corruptions: Corruptions = Field(default_factory=Corruptions)
