"""A task of lmms-eval, loaded by lmms-eval itself: runs in its environment alone (`enter_lmms_environment`)."""

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modomodo.data.lmms_eval.environment import installed
from modomodo.data.lmms_eval.task_files import Task, find_task, included_file
from modomodo.errors import InputError, told

DOCS, ROWS = (
    "docs",
    "rows.parquet",
)  # a task's rows as lmms-eval has them, and the questions that it makes of them
COLUMNS = ["id", "question", "answers", "images"]
OWN_DATA = (
    "where there is no network, put its rows into a file and name a task of your own, own.yaml: {include: "
    "lmms_eval/tasks/…, task: …, dataset_path: parquet, dataset_kwargs: {data_files: {test: rows.parquet}}}, or set "
    "data.raw_from (docs/lmms.md)"
)


def load_task(named: str, docs: Path | None = None) -> Any:
    """The task as lmms-eval's own object, of the rows in `docs` where they were kept, else of those that it loads.

    Raises InputError, in one line, where its code or its rows cannot be loaded.
    """
    package = installed()
    task = find_task(named, package)
    make = _quiet_task_class()
    try:
        config = _configuration(task, package)
        if docs is not None:
            config |= {
                "dataset_path": str(docs),
                "dataset_kwargs": {"load_from_disk": True},
                "process_docs": None,
            }
        return make(config=config, model_name="modomodo")
    except ImportError as error:
        raise InputError(
            f"{task.name}: its code needs a package that lmms-eval leaves out: {told(error)}: add it to envs/lmms.in, "
            "then make lock, make lmms"
        ) from error
    except Exception as error:  # of another's code: from no network to a column that is missing
        cause: BaseException = error
        if hasattr(error, "last_attempt"):  # lmms-eval tries a download five times and then says so alone
            cause = error.last_attempt.exception() or error
        raise InputError(
            f"{task.name}: {task.dataset} cannot be loaded: {told(cause)}: {OWN_DATA}"
        ) from error


def _quiet_task_class() -> Any:
    """lmms-eval's class of tasks, once what it looks up by name is imported; of its log, the warnings."""
    import lmms_eval.evaluator  # noqa: F401  (registers "mean" and all others)
    from lmms_eval.api.task import ConfigurableTask
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="WARNING", format="lmms-eval: {level}: {message}")
    return ConfigurableTask


def _configuration(task: Task, package: Path) -> dict[str, Any]:
    """The task's file with its functions imported; its own includes may lead into lmms-eval."""
    import yaml
    from huggingface_hub import get_token
    from lmms_eval import utils

    yaml.add_constructor("!function", utils.import_function)
    with task.path.open("rb") as file:
        config: dict[str, Any] = yaml.full_load(file)
    named = config.get("include")
    if named is not None:
        includes = named if isinstance(named, list) else [named]
        config["include"] = [str(included_file(str(name), task.path, package)) for name in includes]
    config = dict(utils.load_yaml_config(yaml_config=config, yaml_dir=str(task.path.parent), mode="full"))
    kwargs = config.get("dataset_kwargs")
    if isinstance(kwargs, dict) and kwargs.get("token") is True and get_token() is None:
        # Most tasks ask for a token, without which public data, too, would be refused.
        config["dataset_kwargs"] = {key: value for key, value in kwargs.items() if key != "token"}
    return config


def write_questions(named: str, folder: Path) -> None:
    """Leave a task's rows and the questions that it makes of them in a folder.

    Raises InputError as `load_task` does, and for a question that shows anything but images.
    """
    import datasets
    import pyarrow
    import pyarrow.parquet

    task = load_task(named)
    task.build_all_requests()
    split = task.instances[0].args[5]
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / DOCS, ignore_errors=True)
    datasets.DatasetDict({split: task.dataset[split]}).save_to_disk(str(folder / DOCS))
    image = pyarrow.list_(pyarrow.binary())
    kinds = [pyarrow.string(), pyarrow.string(), pyarrow.list_(pyarrow.string()), image]
    schema = pyarrow.schema(list(zip(COLUMNS, kinds, strict=True)))
    with pyarrow.parquet.ParquetWriter(folder / ROWS, schema) as file:
        for row in _rows(task):
            file.write_table(pyarrow.Table.from_pylist([row], schema=schema))


def _rows(task: Any) -> Iterator[dict[str, Any]]:
    for instance in task.instances:
        context, _, look, doc_id, name, split = instance.args
        doc = task.dataset[split][doc_id]
        try:
            target, seen = task.doc_to_target(doc), look(doc) if look else []
        except Exception as error:  # of another's code
            raise InputError(f"{name}: question {doc_id}: {told(error)}") from error
        answers = [str(one) for one in (target if isinstance(target, list) else [target])]
        images = [_png(one, name, doc_id) for one in seen or []]
        yield {"id": str(doc_id), "question": str(context), "answers": answers, "images": images}


def _png(image: Any, task: str, doc_id: int) -> bytes:
    """An image without loss. Raises InputError for what is none."""
    if not hasattr(image, "convert"):
        raise InputError(
            f"{task}: question {doc_id} shows a {type(image).__name__}: only images can be shown"
        )
    file = io.BytesIO()
    image.convert("RGB").save(file, format="PNG")
    return file.getvalue()
