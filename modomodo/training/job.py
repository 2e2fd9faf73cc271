"""One training run, as its script hands it to the trainer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modomodo.data.examples import Example
from modomodo.training.settings import TrainSettings
from modomodo.training.trackers import NOWHERE, Tracking


@dataclass(frozen=True)
class TrainJob:
    """One training run.

    `rows` are the prompts in the order of the stream, each with the folder that its image paths start from.
    `last_step` is the step at which the stream ends. `checkpoint_steps` maps each scored step to the step at which its
    checkpoint is really taken.
    """

    base: Path
    rows: Sequence[tuple[Example, Path]]
    folder: Path
    settings: TrainSettings
    seed: int
    last_step: int
    checkpoint_steps: Mapping[int, int]
    tracking: Tracking = NOWHERE
