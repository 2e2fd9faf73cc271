"""A study read and checked: every name in it is known, and every option that can be judged without a run."""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modomodo.config.accelerate_file import is_installed, zero_stage
from modomodo.config.loading import load_plugins, parse, plugins_beside
from modomodo.config.options import check_files, check_options
from modomodo.config.reading import beside, read_yaml
from modomodo.config.schema import Benchmark, Dataset, HeldOut, Study, name_and_options
from modomodo.data.readers.published import catalogue, hosted
from modomodo.data.readers.registry import datasets
from modomodo.errors import InputError, nearest
from modomodo.metrics.metric import called, metrics
from modomodo.metrics.weights import reward_weight
from modomodo.mixtures.cheaper_runs import locate
from modomodo.mixtures.strategies.base import declaration, strategies
from modomodo.mixtures.strategies.base import read_options as read_strategy_options
from modomodo.registry import Registry
from modomodo.reporting.settings import check_exportable
from modomodo.study.lmms_tasks import check_lmms_eval
from modomodo.training.builders import model_builders, read_options
from modomodo.training.model_directory import check_targets
from modomodo.training.rewards import asks_judge, reward_of, rewards
from modomodo.training.trackers import check_installed

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
    study = parse(_with_accelerate_file(data, where), Study, where)
    located = {name: locate(strategy, where) for name, strategy in study.strategies.items()}
    plugins = plugins_beside(study.plugins, where)
    study = study.model_copy(
        update={"plugins": plugins, "strategies": located, **_tables_beside(study, where)}
    )
    check_functions(study, where)
    return study


def _with_accelerate_file(data: Any, where: str) -> Any:
    """The study with the content of its accelerate file in place of the file's name, so that an edit is noticed."""
    training = data.get("training") if isinstance(data, dict) else None
    if not isinstance(training, dict) or not isinstance(training.get("accelerate"), str):
        return data
    path = beside(training["accelerate"], where)
    try:
        file = read_yaml(path)
    except InputError as error:
        raise InputError(f"{where}: training.accelerate: {error}") from None
    if not isinstance(file, dict):
        raise InputError(
            f"{where}: training.accelerate: {path}: no file of accelerate config: it holds no keys"
        )
    return {**data, "training": {**training, "accelerate": file}}


def _tables_beside(study: Study, where: str) -> dict[str, dict[str, Dataset]]:
    """The sections of datasets, with the paths of tables as they are from the working directory."""
    return {
        section: {name: _table_beside(entry, where) for name, entry in getattr(study, section).items()}
        for section in ("domains", "benchmarks", "held_out")
    }


def _table_beside(entry: Dataset, where: str) -> Dataset:
    if entry.loader not in hosted:
        return entry
    paths = {
        key: _place_of(value, where)
        for key in ("path", "image_folder", "task")
        if isinstance(value := entry.options.get(key), str) and value
    }
    return entry.model_copy(update={"options": entry.options | paths})


def _place_of(path: str, where: str) -> str:
    """A path, or a pattern of paths, beside the study; as it is written where nothing is there."""
    own = Path(path).expanduser()
    near = beside(path, where)
    return str(own) if own.is_absolute() else near if glob.glob(near) or Path(near).exists() else path


def check_functions(study: Study, where: str) -> None:
    """Raises InputError when the study names a function that is not registered, or what it names does not fit."""
    try:
        load_plugins(study.plugins)
        for key, registry, name in _named_functions(study):
            _check_registered(key, registry, name)
        _check_model(study)
        _check_metrics(study)
        _check_rewards(study)
        check_installed(study.training.report_to)
        _check_accelerate(study)
        _check_lora(study)
        _check_merges(study)
        for key, entry in _datasets(study):
            check_lmms_eval(key, entry)
            _check_source(key, entry)
            _check_loader_options(key, entry)
        _check_surrogate(study)
        _check_in_score(study)
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


def is_task(scored: Benchmark | HeldOut) -> bool:
    """Whether it is a task of lmms-eval, whose metric is that task's."""
    return isinstance(scored, Benchmark) and scored.task is not None


def _named_functions(study: Study) -> Iterator[tuple[str, Registry, str]]:
    """(key, registry, name) of every function that the study calls by name."""
    yield "model.builder", model_builders, study.model.builder
    for key, entry in _datasets(study):
        yield f"{key}.loader", datasets, entry.loader
    for name, domain in study.domains.items():
        for reward in domain.rewards:
            yield f"domains.{name}.rewards", rewards, name_and_options(reward)[0]
    for key, scored in _scored(study):
        if not is_task(scored):
            yield f"{key}.metric", metrics, name_and_options(scored.metric)[0]
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


def _check_lora(study: Study) -> None:
    """Targets are judged where the model lies in a folder of this machine; those of a download, in the first job."""
    path = study.model.options.get("path")
    if study.training.lora and study.model.builder == "folder" and isinstance(path, str):
        check_targets(Path(path), study.training.lora.targets)


def _check_in_score(study: Study) -> None:
    """Some strategies weigh the In-Score, which a study need not have."""
    if any(benchmark.group == "in" for benchmark in study.benchmarks.values()):
        return
    for name, strategy in study.strategies.items():
        options = read_strategy_options(strategy.propose, strategy.options, f"strategies.{name}.options")
        if mend := declaration(strategy.propose).weighs_in_score(options):
            raise InputError(
                f"strategies.{name}.propose: '{strategy.propose}' weighs the In-Score, and no benchmark has group "
                f"'in': {mend}"
            )


def _check_surrogate(study: Study) -> None:
    """The explorer evaluates the surrogate in the page, which knows the formulas of some."""
    if study.reporting.surrogate:
        check_exportable(study.reporting.surrogate)


def _check_accelerate(study: Study) -> None:
    file = study.training.accelerate
    if isinstance(file, dict) and not is_installed(file):
        raise InputError(
            "training.accelerate: DeepSpeed is not installed: write deepspeed into envs/own.txt, then make env"
        )


def _check_merges(study: Study) -> None:
    """Merging adds up what training changed, of which checkpoints in bfloat16 keep only the larger part."""
    for name, strategy in study.strategies.items():
        if (
            declaration(strategy.propose).screens
            and (study.model.dtype == "bfloat16" or _keeps_bfloat16(study))
            and study.training.lora is None
        ):
            raise InputError(
                f"strategies.{name}: '{strategy.propose}' merges checkpoints, and in bfloat16 they lose small changes: "
                "set model.dtype to float32 (with DeepSpeed, training.bf16 to false), or train adapters (training.lora)"
            )


def _keeps_bfloat16(study: Study) -> bool:
    """DeepSpeed turns the weights themselves into bfloat16 where the computation is."""
    file = study.training.accelerate
    return study.training.bf16 and isinstance(file, dict) and zero_stage(file) > 0


def _check_metrics(study: Study) -> None:
    """Options are the metric's; one that asks a judge needs one, and held-out questions have none."""
    for key, scored in _scored(study):
        if is_task(scored):
            continue
        name, _ = name_and_options(scored.metric)
        if called(scored.metric, f"{key}.metric.{name}").prompt is None:
            continue
        if isinstance(scored, HeldOut):
            raise InputError(
                f"{key}.metric: '{name}' asks a judge, held-out questions have none: use another metric"
            )
        if study.judge is None:
            raise InputError(f"{key}.metric: '{name}' asks a judge: name its model under judge.model")


def _check_rewards(study: Study) -> None:
    """Options are the reward's, each has a weight, and one that asks a judge needs one."""
    given = study.training.reward_weights
    for reward in given:
        _check_registered("training.reward_weights", rewards, reward)
    for name, domain in study.domains.items():
        names = [name_and_options(call)[0] for call in domain.rewards]
        for call, reward in zip(domain.rewards, names, strict=True):
            reward_of(call, f"domains.{name}.rewards.{reward}")
            if reward_weight(reward, given, domain.reward_weights) is None:
                raise InputError(
                    f"training.reward_weights: no weight for '{reward}', a reward of domain '{name}'"
                )
            if asks_judge(call) and study.judge is None:
                raise InputError(
                    f"domains.{name}.rewards: '{reward}' asks a judge: name its model under judge.model"
                )
        for reward in domain.reward_weights:
            if reward not in names:
                raise InputError(
                    f"domains.{name}.reward_weights: '{reward}' is no reward of this domain: {nearest(reward, names)}"
                )


def _check_loader_options(key: str, entry: Dataset) -> None:
    loader = datasets[entry.loader]
    check_options(loader, entry.options, f"{key}.options")
    if entry.loader not in catalogue and entry.loader not in hosted:
        check_files(
            loader, entry.options, f"{key}.options"
        )  # those of the others would lie in the raw folder
    elif loader.__module__.startswith("modomodo."):
        try:
            loader(None, **entry.options)  # it judges its options when called, and reads when iterated
        except InputError as error:
            if str(error).startswith("options."):
                raise InputError(f"{key}.{error}") from None
            if entry.loader in hosted:
                raise InputError(f"{key}: {error}") from None


def _check_source(key: str, entry: Dataset) -> None:
    """A published dataset needs a known split and, where it lies on the hub, a revision; no other has a source."""
    about = catalogue.get(entry.loader)
    if entry.loader in hosted and hosted[entry.loader].always:
        if entry.source is not None:
            raise InputError(
                f"{key}.source: loader '{entry.loader}' knows where its questions are: remove it"
            )
        return
    if entry.loader in hosted:
        _check_hosted(key, entry)
        return
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


def _check_hosted(key: str, entry: Dataset) -> None:
    """Such a dataset has its rows from a path, or else from a repository that it names."""
    path = entry.options.get("path")
    if path and entry.source is not None:
        raise InputError(f"{key}.options.path: the rows are those of {key}.source: remove one of the two")
    if not path and entry.source is None:
        raise InputError(
            f"{key}.options.path: missing: a file or folder of yours; or name a repository of the hub as "
            f"{key}.source: {{repo: owner/name, revision: …}}"
        )
    if entry.source is not None and not entry.source.repo:
        raise InputError(f"{key}.source.repo: missing: the repository's name on the hub, owner/name")
