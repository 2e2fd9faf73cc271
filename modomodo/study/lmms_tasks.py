"""A benchmark that is a task of lmms-eval, judged by the task's own files before anything runs."""

import os
from pathlib import Path
from typing import Any

from modomodo.config.schema import LMMS_EVAL, Benchmark, Dataset, Study
from modomodo.data.lmms_eval.environment import installed
from modomodo.data.lmms_eval.questions import OWN_DATA
from modomodo.data.lmms_eval.task_files import (
    LOCAL,
    Function,
    Task,
    asks_judge,
    find_task,
    returns_nothing,
)
from modomodo.data.raw_folder import MANIFEST
from modomodo.data.readers.lmms_eval import edition, kept_rows, short_name
from modomodo.errors import InputError, first_line, nearest


def check_lmms_eval(key: str, entry: Dataset) -> None:
    """Raises InputError for a task that is not there, that lmms-eval would not score, or without such a metric."""
    if entry.loader != LMMS_EVAL or not isinstance(entry.options.get("task"), str):
        return
    try:
        package = installed()
        task = find_task(entry.options["task"], package)
        _check_kind(task)
        if isinstance(entry, Benchmark) and entry.task is not None:
            check_metric(task, str(entry.metric), package)
        _check_local_data(task)
    except InputError as error:
        raise InputError(f"{key}.{LMMS_EVAL}: {error}") from None


def _check_kind(task: Task) -> None:
    """Raises InputError for a task that is no list of questions about images, each answered once."""
    kind = task.config.get("output_type", "generate_until")
    if "class" in task.config:
        raise InputError(
            f"'{task.name}' is a program of its own ({task.config['class']}): take a task of questions"
        )
    if kind != "generate_until":
        raise InputError(
            f"'{task.name}' is of the kind {kind}: take one whose answers are generated (generate_until)"
        )
    kwargs = task.config.get("dataset_kwargs")
    if isinstance(kwargs, dict) and (kwargs.get("video") or kwargs.get("From_YouTube")):
        raise InputError(f"'{task.name}' shows videos: take a task of images or of text")


def check_metric(task: Task, metric: str, package: Path) -> None:
    """Raises InputError for a metric that the task has not, that is no number, or that a judge decides."""
    name, _, chosen = metric.partition(",")
    numbers = {known for known, how in task.metrics.items() if not returns_nothing(how) and known != "bypass"}
    if not numbers:
        listed = ", ".join(task.metrics) or "none"
        raise InputError(
            f"'{task.name}' has no metric that is a number, but writes files to submit ({listed})"
        )
    if name not in numbers:
        raise InputError(f"'{task.name}' has no metric '{name}': {nearest(name, numbers)}")
    whole = [f"{name},{each}" for each in task.filters]
    if chosen and metric not in whole:
        raise InputError(f"'{task.name}' has no metric '{metric}': {nearest(metric, whole)}")
    if not chosen and len(whole) > 1:
        raise InputError(
            f"'{task.name}' computes '{name}' for {len(whole)} filters of answers: write {' or '.join(whole)}"
        )
    scorers: list[Any] = [task.config.get("process_results"), task.metrics[name]]
    if any(isinstance(one, Function) and asks_judge(one, package) for one in scorers):
        raise InputError(
            f"'{task.name}' has its answers read by a judge, a model behind an API, which a study does not ask for "
            "lmms-eval: take another task, or a metric of ours with a judge (docs/lmms.md)"
        )


def _check_local_data(task: Task) -> None:
    for path in task.data_files:
        if not path.is_file():
            raise InputError(f"{task.path}: dataset_kwargs.data_files: {path}: no such file")


def check_reachable(study: Study) -> None:
    """Raises InputError for a task whose questions are on the hub, not yet here, and the hub does not answer.

    Asks the network: for whoever starts a run, not for its jobs.
    """
    for name, entry in study.datasets.items():
        if entry.loader != LMMS_EVAL:
            continue
        named = str(entry.options["task"])
        if (kept_rows(named, edition(named)).parent / MANIFEST).is_file():
            continue
        task = find_task(named, installed())
        prepared = study.data.raw_from and Path(study.data.raw_from, LMMS_EVAL, short_name(named)).is_dir()
        if task.dataset in LOCAL or prepared or Path(task.dataset).exists() or _is_cached(task.dataset):
            continue
        if reason := _refusal(task.dataset):
            raise InputError(
                f"{name}: '{task.name}' needs {task.dataset} of the hub, and {reason}: {OWN_DATA}"
            )


def _is_cached(repo: str) -> bool:
    """Whether the datasets library has kept it."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets").expanduser()
    return (cache / repo.replace("/", "___")).is_dir() or (cache / repo.replace("/", "___").lower()).is_dir()


def _refusal(repo: str) -> str | None:
    """Why the hub does not give a repository, None where it does."""
    from huggingface_hub import HfApi, errors

    try:
        HfApi().dataset_info(repo, timeout=10)
    except errors.OfflineModeIsEnabled:
        return "HF_HUB_OFFLINE is set"
    except errors.GatedRepoError:
        return f"it is gated: accept its terms at https://huggingface.co/datasets/{repo} and set HF_TOKEN"
    except errors.RepositoryNotFoundError:
        return "the hub does not know it, or it is private"
    except Exception as error:  # of the network, in all its ways
        return f"the hub does not answer ({first_line(error)})"
    return None
