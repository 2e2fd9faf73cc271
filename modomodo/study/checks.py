"""A study read and checked: every name in it is known, and every option that can be judged without a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modomodo.config.loading import load_plugins, parse, read_yaml
from modomodo.config.schema import Dataset, Study
from modomodo.errors import InputError, nearest
from modomodo.registry import Registry


def read_study(path: str | Path) -> Study:
    """A study from its YAML file, every name in it checked."""
    return study_from(read_yaml(path), str(path))


def study_from(data: Any, where: str) -> Study:
    """A study from plain data, with every name in it checked. Raises InputError."""
    if isinstance(data, dict) and "records" in data:
        raise InputError(
            f"{where}: recorded runs, of which nothing is trained: snakemake --configfile={where}, or "
            f"scripts/propose.py --config {where}"
        )
    study = parse(data, Study, where)
    check_functions(study, where)
    return study


def check_functions(study: Study, where: str) -> None:
    """Raises InputError when the study names a function that is not registered."""
    # Here, since these import this module or what a user's plugin adds to.
    from modomodo.data.readers.published import catalogue
    from modomodo.data.readers.registry import datasets
    from modomodo.evaluation.metrics.metric import metrics
    from modomodo.mixtures.strategies.base import strategies
    from modomodo.training.builders import model_builders
    from modomodo.training.rewards import rewards

    try:
        load_plugins(study.plugins)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    named: list[tuple[str, Registry, str]] = [("model.builder", model_builders, study.model.builder)]
    for name, domain in study.domains.items():
        named.append((f"domains.{name}.loader", datasets, domain.loader))
        named += [(f"domains.{name}.rewards", rewards, reward) for reward in domain.rewards]
    for name, benchmark in study.benchmarks.items():
        named.append((f"benchmarks.{name}.loader", datasets, benchmark.loader))
        named.append((f"benchmarks.{name}.metric", metrics, benchmark.metric))
    for name, held_out in study.held_out.items():
        named.append((f"held_out.{name}.loader", datasets, held_out.loader))
        named.append((f"held_out.{name}.metric", metrics, held_out.metric))
    for name, strategy in study.strategies.items():
        named.append((f"strategies.{name}.propose", strategies, strategy.propose))
    for key, registry, value in named:
        try:
            registry[value]
        except InputError as error:
            raise InputError(f"{where}: {key}: {error}") from None
    for name, benchmark in study.benchmarks.items():
        if metrics[benchmark.metric].prompt is not None and study.judge is None:
            raise InputError(
                f"{where}: benchmarks.{name}.metric: '{benchmark.metric}' asks a judge: name its model under "
                "judge.model"
            )
    for name, held_out in study.held_out.items():
        if metrics[held_out.metric].prompt is not None:
            raise InputError(
                f"{where}: held_out.{name}.metric: '{held_out.metric}' asks a judge, held-out questions have none: "
                "use another metric"
            )
    for name, domain in study.domains.items():
        for reward in domain.rewards:
            if reward not in study.training.reward_weights:
                raise InputError(
                    f"{where}: training.reward_weights: no weight for '{reward}', a reward of domain '{name}'"
                )
    parts: dict[str, Mapping[str, Dataset]]
    parts = {"domains": study.domains, "benchmarks": study.benchmarks, "held_out": study.held_out}
    for part, entries in parts.items():
        for name, entry in entries.items():
            about = catalogue.get(entry.loader)
            if about is None:
                if entry.source is not None:
                    raise InputError(
                        f"{where}: {part}.{name}.source: loader '{entry.loader}' reads no raw files: remove "
                        "it"
                    )
                continue
            if about.split(entry.options) not in about.files:
                split = about.split(entry.options)
                raise InputError(
                    f"{where}: {part}.{name}.options.split: unknown '{split}': {nearest(split, about.files)}"
                )
            if about.repo and entry.source is None:
                raise InputError(
                    f"{where}: {part}.{name}.source: missing: loader '{entry.loader}' reads {about.repo}: "
                    "name a revision, e.g. source: {revision: main}"
                )
