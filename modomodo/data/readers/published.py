"""What the readers of published datasets share: where a dataset is published, and its rows, one at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from modomodo.config.options import local_files
from modomodo.config.schema import Dataset
from modomodo.data.examples import Filtered, RawExample, Rejected, leaves_its_folder
from modomodo.data.images import Background, Image, InvalidRow
from modomodo.data.readers.registry import datasets
from modomodo.errors import InputError, nearest, told

__all__ = [
    "Filtered",
    "InvalidRow",
    "Published",
    "Rejected",
    "catalogue",
    "check_option",
    "examples_of",
    "image_of",
    "parquet_rows",
    "published",
    "published_as",
    "text_of",
    "watched_files",
]

BATCH_ROWS = 16  # rows decoded from a parquet file at once: few, since a row holds whole images


# (names of the files there, text of the README) → names of those needed
Choice = Callable[[Sequence[str], str], list[str]]


@dataclass(frozen=True)
class Published:
    """Where a dataset is published and what to know about it (docs/datasets.md says it to people)."""

    files: Mapping[str, Sequence[str]]  # split → patterns of the files needed, as they lie in the repository
    licence: str
    version: int = 1  # raise when the same settings would give other examples: they are then made again
    repo: str = ""  # on the Hugging Face hub; empty: it has to be fetched by hand
    formerly: Sequence[str] = ()  # other names of the repository, tried in turn
    by_hand: str = ""  # where from, and what to put where
    differs: Mapping[str, str] = field(
        default_factory=dict
    )  # split → likely cause of another count than the paper's
    choose: Choice | None = None  # of all files there, where the patterns are those of everything
    make: Callable[[Path], None] | None = None  # leaves the files in a folder, in place of a download
    revision: str = ""  # of files that are made

    def split(self, options: Mapping[str, Any]) -> str:
        """The split that a dataset's options choose, its first one by default."""
        return str(options.get("split", next(iter(self.files))))


catalogue: dict[str, Published] = {}


@dataclass(frozen=True)
class Hosted:
    """A loader that reads any repository, or files of one's own."""

    about: Callable[
        [Dataset], tuple[str, Published]
    ]  # what its raw files are called, and where they are published
    named_files: Callable[[Dataset], list[str]]  # files of this machine that rows name, which are watched
    always: bool = False  # it has raw files also where the study names no repository


hosted: dict[str, Hosted] = {}


def published_as(dataset: Dataset) -> tuple[str, Published] | None:
    """What a dataset's raw files are called, and where they are published; None for one that needs none."""
    if dataset.loader in hosted and (dataset.source is not None or hosted[dataset.loader].always):
        return hosted[dataset.loader].about(dataset)
    about = catalogue.get(dataset.loader)
    return None if about is None else (dataset.loader, about)


def watched_files(dataset: Dataset) -> list[str]:
    """Files of this machine that a dataset is made from: those that its options name, and its rows where known."""
    named = hosted[dataset.loader].named_files(dataset) if dataset.loader in hosted else []
    return list(dict.fromkeys([*local_files(dataset.options), *named]))


F = TypeVar("F", bound=Callable[..., Iterator[RawExample]])


def published(name: str, about: Published) -> Callable[[F], F]:
    """Decorator: register the reader of a dataset whose raw files are downloaded."""

    def decorate(reader: F) -> F:
        datasets.register(name)(reader)
        catalogue[name] = about
        return reader

    return decorate


def check_option(key: str, value: str, known: Sequence[str]) -> None:
    """Raises InputError unless the value of an option is a known one."""
    if value not in known:
        raise InputError(f"options.{key}: unknown '{value}': {nearest(value, known)}")


Row = dict[str, Any]


def parquet_rows(raw: Path | None, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Row]:
    """Rows of all parquet files of a folder, in the order of their paths; `optional` columns may be absent.

    A few rows are in memory at a time, also where a file is one single row group (SAT's is, of 4.6 GB): its
    columns are read page by page. Raises InputError for no file, a damaged one, or a missing column.
    """
    import pyarrow
    import pyarrow.parquet

    if raw is None:
        raise InputError("--raw: missing: the folder of the downloaded parquet files")
    paths = sorted(path for path in Path(raw).rglob("*.parquet") if ".cache" not in path.parts)
    if not paths:
        raise InputError(f"{raw}: no parquet file: download the dataset first")
    for path in paths:
        try:
            with pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
                present = set(file.schema_arrow.names)
                missing = [column for column in columns if column not in present]
                if missing:
                    raise InputError(
                        f"{path}: no column '{missing[0]}': {nearest(missing[0], present)}: is this the "
                        "dataset that the loader reads?"
                    )
                wanted = [*columns, *(column for column in optional if column in present)]
                for batch in file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False):
                    yield from batch.to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{path}: cannot be read as parquet ({reason}): delete it and download again"
            ) from None


def examples_of(
    rows: Iterator[Row], name: Callable[[Row, int], str], convert: Callable[[Row, str], RawExample]
) -> Iterator[RawExample]:
    """Each row by `convert(row, id)`; what that finds InvalidRow becomes Rejected under its id.

    So does a row whose cells are not of the published types. `name(row, number)` gives the id; the number
    counts from 0 over all files.
    """
    for number, row in enumerate(rows):
        id_ = name(row, number)
        example: RawExample
        try:
            example = convert(row, id_)
        except InvalidRow as error:
            example = Rejected(id_, str(error))
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            example = Rejected(id_, f"not of the published form ({told(error)})")
        yield example


def image_of(value: object, raw: Path, longest: int | None = None, background: Background = "white") -> Image:
    """An image cell: bytes, or the hub's {bytes, path} where the path leads to a file in the raw folder.

    Raises InvalidRow when there is no image and when the path leaves the folder.
    """
    data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if isinstance(data, bytes):
        return Image(data, longest, background)
    if isinstance(path, str) and path:
        if leaves_its_folder(path) or not (raw / path).resolve().is_relative_to(raw.resolve()):
            raise InvalidRow(f"image: '{path}' leads out of the raw folder")
        return Image(raw / path, longest, background)
    raise InvalidRow("image: there is none")


def text_of(row: Row, column: str) -> str:
    """A cell's text without surrounding white space. Raises InvalidRow when it is empty or no text."""
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise InvalidRow(f"{column}: empty")
    return value.strip()
