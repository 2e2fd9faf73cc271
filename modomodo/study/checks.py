"""A study read and checked: every name in it is known, and every option that can be judged without a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modomodo.config.loading import load_plugins, parse, plugins_beside
from modomodo.config.options import check_files, check_options
from modomodo.config.reading import read_yaml
from modomodo.config.schema import Benchmark, Dataset, HeldOut, Study
from modomodo.data.readers.published import catalogue
from modomodo.data.readers.registry import datasets
from modomodo.errors import InputError, nearest
from modomodo.evaluation.metrics.metric import metrics
from modomodo.mixtures.cheaper_runs import locate
from modomodo.mixtures.strategies.base import strategies
from modomodo.registry import Registry
from modomodo.reporting.settings import check_exportable
from modomodo.training.builders import model_builders, read_options
from modomodo.training.rewards import rewards

# What the project's own plugins register, for the hint to a study that does not name them.
FIRST_PARTY_PLUGINS = {"boards": "modomodo.tiny", "tiny_qwen2vl": "modomodo.tiny"}


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
    located = {name: locate(strategy, where) for name, strategy in study.strategies.items()}
    plugins = plugins_beside(study.plugins, where)
    study = study.model_copy(update={"plugins": plugins, "strategies": located})
    check_functions(study, where)
    return study


def check_functions(study: Study, where: str) -> None:
    """Raises InputError when the study names a function that is not registered, or what it names does not fit."""
    try:
        load_plugins(study.plugins)
        for key, registry, name in _named_functions(study):
            _check_registered(key, registry, name)
        _check_model(study)
        _check_judges(study)
        _check_reward_weights(study)
        for key, entry in _datasets(study):
            _check_source(key, entry)
            _check_loader_options(key, entry)
        _check_surrogate(study)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _datasets(study: Study) -> Iterator[tuple[str, Dataset]]:
    """Every dataset of the study with its key."""
    for name, domain in study.domains.items():
        yield f"domains.{name}", domain
    yield from _scored(study)


def _scored(study: Study) -> Iterator[tuple[str, Benchmark | HeldOut]]:
    """Every dataset that is scored, with its key."""
    for name, benchmark in study.benchmarks.items():
        yield f"benchmarks.{name}", benchmark
    for name, held_out in study.held_out.items():
        yield f"held_out.{name}", held_out


def _named_functions(study: Study) -> Iterator[tuple[str, Registry, str]]:
    """(key, registry, name) of every function that the study calls by name."""
    yield "model.builder", model_builders, study.model.builder
    for key, entry in _datasets(study):
        yield f"{key}.loader", datasets, entry.loader
    for name, domain in study.domains.items():
        for reward in domain.rewards:
            yield f"domains.{name}.rewards", rewards, reward
    for key, scored in _scored(study):
        yield f"{key}.metric", metrics, scored.metric
    for name, strategy in study.strategies.items():
        yield f"strategies.{name}.propose", strategies, strategy.propose


def _check_registered(key: str, registry: Registry, name: str) -> None:
    plugin = FIRST_PARTY_PLUGINS.get(name)
    try:
        if plugin is not None and name not in registry:
            raise InputError(
                f"{registry.kind} '{name}' comes with the plugin {plugin}: add it: plugins: [{plugin}]"
            )
        registry.check(name)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None


def _check_model(study: Study) -> None:
    try:
        read_options(study.model.builder, study.model.options)
    except InputError as error:
        raise InputError(f"model.options: {error}") from None


def _check_surrogate(study: Study) -> None:
    """The explorer evaluates the surrogate in the page, which knows the formulas of some."""
    check_exportable(study.reporting.surrogate)


def _check_judges(study: Study) -> None:
    """A metric that asks a judge needs one, and held-out questions have none."""
    for key, scored in _scored(study):
        if metrics[scored.metric].prompt is None:
            continue
        if isinstance(scored, HeldOut):
            raise InputError(
                f"{key}.metric: '{scored.metric}' asks a judge, held-out questions have none: use another metric"
            )
        if study.judge is None:
            raise InputError(
                f"{key}.metric: '{scored.metric}' asks a judge: name its model under judge.model"
            )


def _check_reward_weights(study: Study) -> None:
    for name, domain in study.domains.items():
        for reward in domain.rewards:
            if reward not in study.training.reward_weights:
                raise InputError(
                    f"training.reward_weights: no weight for '{reward}', a reward of domain '{name}'"
                )


def _check_loader_options(key: str, entry: Dataset) -> None:
    loader = datasets[entry.loader]
    check_options(loader, entry.options, f"{key}.options")
    if entry.loader not in catalogue:  # whose paths would lie in the raw folder
        check_files(loader, entry.options, f"{key}.options")
    elif loader.__module__.startswith("modomodo."):
        try:
            loader(None, **entry.options)  # it judges its options when called, and reads when iterated
        except InputError as error:
            if str(error).startswith("options."):
                raise InputError(f"{key}.{error}") from None


def _check_source(key: str, entry: Dataset) -> None:
    """A published dataset needs a known split and, where it lies on the hub, a revision; no other has a source."""
    about = catalogue.get(entry.loader)
    if about is None:
        if entry.source is not None:
            raise InputError(f"{key}.source: loader '{entry.loader}' reads no raw files: remove it")
        return
    split = about.split(entry.options)
    if split not in about.files:
        raise InputError(f"{key}.options.split: unknown '{split}': {nearest(split, about.files)}")
    if about.repo and entry.source is None:
        raise InputError(
            f"{key}.source: missing: loader '{entry.loader}' reads {about.repo}: name a revision, e.g. "
            "source: {revision: main}"
        )
