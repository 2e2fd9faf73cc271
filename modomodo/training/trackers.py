"""Trackers that a run is shown in besides its log.jsonl: what each is told of the run, and whether it is installed.

The trackers' own callbacks are transformers'; they take the run's place, group and tags from the environment. What is
set there already by the user (WANDB_PROJECT, WANDB_MODE, MLFLOW_TRACKING_URI, …) stays.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modomodo.errors import InputError
from modomodo.files import digest

# Tracker → modules of which one has to be there, and what envs/own.txt says to get it.
INSTALLED_BY: dict[str, tuple[tuple[str, ...], str]] = {
    "tensorboard": (("tensorboard", "tensorboardX"), "tensorboard"),
    "wandb": (("wandb",), "wandb"),
    # Older ones than those that transformers speaks to would be installed otherwise, beside a newer pillow.
    "trackio": (("trackio",), "trackio>=0.21.1"),
    "mlflow": (("mlflow",), "mlflow>=3"),
    "swanlab": (("swanlab",), "swanlab"),
}


@dataclass(frozen=True)
class Tracking:
    """Where a run is shown, and as what: `group` is the study, `weights` are the mixture's."""

    report_to: Sequence[str] = ()
    group: str = ""
    mixture: str = ""
    seed: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The run's name."""
        return f"{self.mixture}/{self.seed}"

    @property
    def tags(self) -> list[str]:
        """The mixture, and each domain with its weight."""
        return [
            self.mixture,
            *(f"{domain}={weight:.3g}" for domain, weight in self.weights.items() if weight),
        ]


NOWHERE = Tracking()


def check_installed(report_to: Sequence[str]) -> None:
    """Raises InputError for a tracker that is not installed."""
    for name in report_to:
        modules, requirement = INSTALLED_BY[name]
        if not any(importlib.util.find_spec(module) for module in modules):
            raise InputError(
                f"training.report_to: '{name}' is not installed: write {requirement} into envs/own.txt, then make env"
            )


def tell_trackers(tracking: Tracking, folder: Path) -> None:
    """Set the environment by which the trackers' callbacks call a run. `folder`: the run's, made ready by open_run."""
    fingerprint = (folder / "fingerprint").read_text(encoding="utf-8")
    identity = digest([tracking.group, tracking.name, fingerprint])
    weights = {f"weight.{domain}": f"{weight:g}" for domain, weight in tracking.weights.items()}
    told = {
        "tensorboard": {"TENSORBOARD_LOGGING_DIR": str(folder / "tensorboard")},
        "wandb": {
            "WANDB_PROJECT": "modomodo",
            "WANDB_RUN_GROUP": tracking.group,
            "WANDB_TAGS": ",".join(tag.replace(",", ";")[:64] for tag in tracking.tags),
            "WANDB_DIR": str(folder),
            # A resumed run goes on in the same one.
            "WANDB_RUN_ID": identity,
            "WANDB_RESUME": "allow",
        },
        "mlflow": {
            "MLFLOW_EXPERIMENT_NAME": tracking.group,
            "MLFLOW_TAGS": json.dumps({"mixture": tracking.mixture, "seed": str(tracking.seed), **weights}),
        },
        "swanlab": {
            "SWANLAB_PROJECT": tracking.group,
            "SWANLAB_LOG_DIR": str(folder / "swanlab"),
            "SWANLAB_RUN_ID": identity,
            "SWANLAB_RESUME": "allow",
        },
    }
    for name in tracking.report_to:
        for variable, value in told.get(name, {}).items():
            os.environ.setdefault(variable, value)


def finish_trackers(tracking: Tracking) -> None:
    """Let those end their run whose callback leaves it to the end of the process, which several do not reach."""
    for name in ("wandb", "swanlab"):
        if name in tracking.report_to and name in sys.modules:
            sys.modules[name].finish()
