"""The questions of a task of lmms-eval, as `make lmms`'s lmms-eval words them: no prompt of ours is in them yet."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modomodo.config.schema import LMMS_EVAL as LOADER
from modomodo.config.schema import Dataset
from modomodo.data.examples import RawExample
from modomodo.data.images import Image
from modomodo.data.lmms_eval.environment import RELEASE, enter_lmms_environment, installed
from modomodo.data.lmms_eval.questions import COLUMNS, DOCS, ROWS, write_questions
from modomodo.data.lmms_eval.task_files import find_task, is_file_of_ones_own
from modomodo.data.raw_folder import folder_of
from modomodo.data.readers.published import Hosted, Published, examples_of, hosted, parquet_rows
from modomodo.data.readers.registry import datasets
from modomodo.errors import InputError
from modomodo.files import digest, file_digest


@datasets.register(LOADER)
def lmms_eval(raw: Path | None = None, *, task: str) -> Iterator[RawExample]:
    """One example a row of the task, whose number there is its id; the accepted answers are for readers alone."""
    return examples_of(parquet_rows(raw, COLUMNS), lambda row, _: row["id"], _example) if raw else iter(())


def _example(row: dict[str, Any], id_: str) -> RawExample:
    answers = [answer for answer in row["answers"] if answer.strip()] or ["(not published)"]
    fields: dict[str, Any] = {
        "id": id_,
        "question": row["question"],
        "answer": answers[0],
        "answer_type": "text",
    }
    if answers[1:]:
        fields["meta"] = {"answers": answers}
    return fields, [Image(data) for data in row["images"]]


def edition(task: str) -> str:
    """What a task's questions and rules depend on: lmms-eval's release; of a file of one's own, its content too."""
    if not is_file_of_ones_own(task):
        return RELEASE
    found = find_task(task, installed())
    beside = sorted(found.path.parent.glob("*.py"))
    files = [path for path in [*found.files, *beside, *found.data_files] if path.is_file()]
    stats = [path.stat() for path in files]
    seen = tuple((path, each.st_mtime_ns, each.st_size) for path, each in zip(files, stats, strict=True))
    return f"{RELEASE}-{_content(seen)}"


@functools.cache  # Snakemake asks for each job that it considers
def _content(files: tuple[tuple[Path, int, int], ...]) -> str:
    """A digest of what files hold, which are known by their times and sizes."""
    return digest([file_digest(path) for path, _, _ in files])[:12]


def kept_rows(task: str, edition_: str) -> Path:
    """Where a task's rows were kept, of an edition, when its questions were made."""
    return folder_of(LOADER, short_name(task), edition_) / DOCS


def short_name(task: str) -> str:
    """What a task's raw files are called: by its name in lmms-eval, or by its file."""
    return Path(task).stem if is_file_of_ones_own(task) else task


def _about(dataset: Dataset) -> tuple[str, Published]:
    task = str(dataset.options.get("task"))

    def make(folder: Path) -> None:
        try:
            enter_lmms_environment()
        except InputError as error:
            raise InputError(f"{task}: {error}") from None
        write_questions(task, folder)

    about = Published(
        files={short_name(task): [ROWS, f"{DOCS}/*.json", f"{DOCS}/*/*"]},
        licence="see its card",
        revision=edition(task),
        make=make,
    )
    return LOADER, about


def _named_files(dataset: Dataset) -> list[str]:
    return []  # they are part of the edition, and so of the raw folder's name


hosted[LOADER] = Hosted(_about, _named_files, always=True)
