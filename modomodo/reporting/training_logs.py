"""What a training run wrote down: rewards by domain, step by step, and the shares that its prompts really had."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modomodo.config.schema import Call, name_and_options
from modomodo.files import read_jsonl
from modomodo.metrics.weights import reward_weight
from modomodo.mixtures.trained_runs import home_of, runs_so_far


@dataclass(frozen=True)
class Run:
    """One training run, as its files describe it.

    `rewards` {domain: [steps]} is the mean weighted reward of a domain's completions, over the largest there
    can be, NaN at a step without one of its prompts. `effective`: shares of the prompts that taught; None where the log
    does not count them. `online`: it changed its mixture while it trained, and `requested` is where it began.
    """

    mixture: str
    seed: int
    rewards: Mapping[str, np.ndarray]
    requested: Mapping[str, float]
    realised: Mapping[str, float]
    prompts: int
    seconds: float
    effective: Mapping[str, float] | None = None
    online: bool = False


def rewards_by_domain(
    lines: Sequence[Mapping],
    rewards: Mapping[str, Sequence[Call]],
    given: Mapping[str, float],
    own: Mapping[str, Mapping[str, float]] = {},
) -> dict[str, np.ndarray]:
    """Per domain [steps] from the lines of a run's log, whose columns are `rewards/<domain>/<reward>`.

    `given`: the study's weights, `own`: those of domains.
    """
    curves = {}
    for domain, calls in rewards.items():
        names = [name_and_options(call)[0] for call in calls]
        weights = {name: reward_weight(name, given, own.get(domain, {})) or 0.0 for name in names}
        most = sum(weights[name] for name in names)
        values = np.full(len(lines), np.nan)
        for step, line in enumerate(lines):
            seen = {name: line.get(f"rewards/{domain}/{name}") for name in names}
            known = {name: value for name, value in seen.items() if value is not None}
            if len(known) == len(names):
                values[step] = sum(weights[name] * value for name, value in known.items()) / most
        if np.isfinite(values).any():
            curves[domain] = values
    return curves


def read_runs(paths: Iterable[Path]) -> dict[Path, Run]:
    """The runs that were trained, each from its `run.json` and the `log.jsonl` where its work lies.

    Raises InputError when a file is missing or damaged.
    """
    found = runs_so_far(paths, "mixture", "seed", "settings", "stream", "seconds", "checkpoints")
    return {path: _with_log(path, run) for path, run in found.items()}


def _with_log(path: Path, run: Mapping[str, Any]) -> Run:
    settings, stream = run["settings"], run["stream"]
    weights = settings["training"].get("reward_weights", {})
    lines = [line for _, line in read_jsonl(home_of(path, run) / "log.jsonl")]
    return Run(
        mixture=run["mixture"],
        seed=run["seed"],
        rewards=rewards_by_domain(lines, settings["rewards"], weights, settings.get("reward_weights", {})),
        requested=stream["requested"],
        realised=stream["realised"],
        prompts=stream["prompts"],
        seconds=training_seconds(run),
        effective=stream.get("effective"),
        online="online" in stream,
    )


def training_seconds(run: Mapping[str, Any]) -> float:
    """What a run took, from the contents of its run.json."""
    return float(sum(run["seconds"].values()))


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Mean [steps] over the known values of the last `window` steps; NaN before the first."""
    return pd.Series(values).rolling(window, min_periods=1).mean().to_numpy()
