"""Rows of a table, one at a time: JSONL, JSON, CSV, parquet and Arrow files, folders of them, folders of images.

Cells come as they are written: a CSV's are texts, so that "007" and "None" stay what they are. A row that cannot be
read is a text, the reason, and costs no other row.
"""

import bz2
import codecs
import csv
import gzip
import io
import itertools
import json
import lzma
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modomodo.data.table.files import PACKED, TABLES, Source
from modomodo.errors import InputError, nearest

Row = dict[str, Any]
Rows = Iterator[tuple[str, Row | str]]  # (where it stands, the row or why it cannot be read)

BATCH_ROWS = 16  # of a parquet or Arrow file, decoded at once: few, since a row may hold whole images


def _zstandard(path: Path, mode: str) -> Any:
    import pyarrow

    return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))


_OPENED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstandard}
_DELIMITERS = ",\t;|"
_EXCEL = re.compile(
    r"sep=(.)", re.IGNORECASE
)  # its first line, for a delimiter that its country does not have


def rows_of(source: Source) -> Rows:
    """The rows in the order of the files. Raises InputError naming a file that cannot be read at all."""
    if source.kind == "disk":
        yield from _disk_rows(source.paths[0], source.split)
    elif source.kind == "images":
        yield from _image_rows(source)
    else:
        for path in source.paths:
            yield from _file_rows(path, source.split)


def _file_rows(path: Path, split: str | None) -> Rows:
    packed = path.suffix.lower() in PACKED
    suffix = (Path(path.stem) if packed else path).suffix.lower()
    if suffix not in TABLES:
        raise InputError(f"{path}: no table that is read here: {', '.join(TABLES)}")
    try:
        if suffix in (".jsonl", ".ndjson"):
            yield from _json_lines(path)
        elif suffix == ".json":
            yield from _json_rows(path, split)
        elif suffix in (".csv", ".tsv"):
            yield from _csv_rows(path)
        elif suffix == ".parquet":
            yield from _parquet_rows(path)
        else:
            yield from _arrow_rows(path)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason}): save it as UTF-8") from None


def _text(path: Path) -> Any:
    """The file as text: UTF-8, or the UTF-16 that Excel calls Unicode, as its first bytes say."""
    opened = _OPENED.get(path.suffix.lower(), open)
    with opened(path, "rb") as file:
        utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return io.TextIOWrapper(opened(path, "rb"), encoding="utf-16" if utf16 else "utf-8-sig", newline="")


def _json_lines(path: Path) -> Rows:
    with _text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                yield where, f"not valid JSON: {error.msg}"
                continue
            yield where, row if isinstance(row, dict) else f"found {type(row).__name__}, not a JSON object"


def _json_rows(path: Path, split: str | None) -> Rows:
    """A list of objects, or objects by split or under one key."""
    with _text(path) as file:
        text = file.read()
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSONL under another name
            yield from _json_lines(path)
            return
        raise InputError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None
    if isinstance(data, Mapping):
        lists = {key: value for key, value in data.items() if _is_list_of_rows(value)}
        if split not in lists and len(lists) == 1:  # {"data": [...]}
            split = next(iter(lists))
        if split is not None and split not in lists:
            raise InputError(f"options.split: {path} has no '{split}': {nearest(split, lists)}")
        if split is None and len(lists) > 1:
            raise InputError(f"options.split: missing: {path} has the splits {', '.join(lists)}")
        data = lists[split] if split is not None else next(iter(lists.values()), None)
    if not isinstance(data, list):
        raise InputError(f"{path}: found no list of objects")
    for number, row in enumerate(data, 1):
        yield (
            f"{path}:row {number}",
            row if isinstance(row, dict) else f"found {type(row).__name__}, not an object",
        )


def _is_list_of_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _csv_rows(path: Path) -> Rows:
    """Cells as texts; the delimiter is what parts the header into most columns. Columns without a name are left out."""
    csv.field_size_limit(2**31 - 1)  # a cell may hold an image in base64
    with _text(path) as file:
        first = file.readline()
        told = _EXCEL.fullmatch(first.strip())
        if told:
            first = file.readline()
        lines = csv.reader(
            itertools.chain([first], file), delimiter=told[1] if told else _delimiter(path, first)
        )
        header = [name.strip() for name in next(lines, [])]
        twice = next((name for name in header if name and header.count(name) > 1), None)
        if not any(header) or twice is not None:
            raise InputError(f"{path}: {f'two columns {twice!r}' if twice is not None else 'no header'}")
        for cells in lines:
            if not cells:
                continue
            where = f"{path}:{lines.line_num + bool(told)}"
            if len(cells) != len(header):
                yield where, f"{len(cells)} cells, but the header has {len(header)}"
            else:
                yield where, {name: value for name, value in zip(header, cells, strict=True) if name}


def _delimiter(path: Path, header: str) -> str:
    if ".tsv" in path.name.lower():
        return "\t"
    return max(_DELIMITERS, key=lambda sign: len(next(csv.reader([header], delimiter=sign), [])))


def _labels(schema: Any) -> dict[str, list[str]]:
    """Column → names of its classes, as the datasets library notes them in a file's schema."""
    noted = (schema.metadata or {}).get(b"huggingface")
    features = json.loads(noted)["info"]["features"] if noted else {}
    return {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _named(row: Row, labels: Mapping[str, Sequence[str]]) -> Row:
    """The row with the names of classes in place of their numbers; -1 is a missing one."""
    for column, names in labels.items():
        value = row.get(column)
        if isinstance(value, int):
            row[column] = names[value] if 0 <= value < len(names) else None
    return row


def _parquet_rows(path: Path) -> Rows:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            labels = _labels(file.schema_arrow)
            batches = file.iter_batches(BATCH_ROWS, use_threads=False)
            yield from _batch_rows(path, batches, labels)
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: cannot be read as parquet ({str(error).splitlines()[0]})") from None


def _arrow_rows(path: Path) -> Rows:
    import pyarrow
    import pyarrow.ipc

    try:
        with pyarrow.memory_map(str(path)) as file:
            try:
                reader = pyarrow.ipc.open_stream(file)
                batches: Iterable[Any] = reader
            except pyarrow.ArrowInvalid:
                reader = pyarrow.ipc.open_file(file)
                batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
            parts = (
                batch.slice(start, BATCH_ROWS)
                for batch in batches
                for start in range(0, batch.num_rows, BATCH_ROWS)
            )
            yield from _batch_rows(path, parts, _labels(reader.schema))
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: cannot be read as Arrow ({str(error).splitlines()[0]})") from None


def _batch_rows(path: Path, batches: Iterable[Any], labels: Mapping[str, Sequence[str]]) -> Rows:
    """Rows of Arrow's batches or tables."""
    rows = itertools.chain.from_iterable(_with_short_numbers(batch).to_pylist() for batch in batches)
    for number, row in enumerate(rows, 1):
        yield f"{path}:row {number}", _named(row, labels)


def _with_short_numbers(batch: Any) -> Any:
    """A batch whose numbers of 32 bits are as they were written: 0.1, and not 0.10000000149011612."""
    import pyarrow as pa

    for place, field in enumerate(batch.schema):
        listed = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
        inner = field.type.value_type if listed else field.type
        if pa.types.is_float32(inner):
            text, number = (pa.list_(kind) if listed else kind for kind in (pa.string(), pa.float64()))
            batch = batch.set_column(place, field.name, batch.column(place).cast(text).cast(number))
    return batch


def _disk_rows(folder: Path, split: str | None) -> Rows:
    """What Dataset.save_to_disk or DatasetDict.save_to_disk wrote."""
    from datasets import ClassLabel, DatasetDict, load_from_disk

    try:
        data = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder}: cannot be read as save_to_disk wrote it ({reason})") from None
    if isinstance(data, DatasetDict):
        if split is None and len(data) > 1:
            raise InputError(f"options.split: missing: {folder} has the splits {', '.join(data)}")
        if split is not None and split not in data:
            raise InputError(f"options.split: {folder} has no '{split}': {nearest(split, data)}")
        data = data[split or next(iter(data))]
    elif split is not None:
        raise InputError(f"options.split: {folder} has no splits: leave it out")
    labels = {
        column: feature.names for column, feature in data.features.items() if isinstance(feature, ClassLabel)
    }
    tables = data.with_format("arrow").iter(BATCH_ROWS)
    yield from _batch_rows(folder, tables, labels)


def _image_rows(source: Source) -> Rows:
    """A folder of images: `image` and what metadata.csv or .jsonl says of it, or `label`, the name of its folder."""
    from datasets import ClassLabel, Image, load_dataset

    files = {"train": [str(path.resolve()) for path in source.paths]}
    try:
        data = load_dataset("imagefolder", data_files=files, split="train", streaming=True)
        labels = {
            column: feature.names
            for column, feature in data.features.items()
            if isinstance(feature, ClassLabel)
        }
        rows = iter(data.cast_column("image", Image(decode=False)))
    except (ValueError, OSError) as error:
        raise InputError(
            f"{source.shown}: cannot be read as images ({' '.join(str(error).split())})"
        ) from None
    for number, row in enumerate(rows, 1):
        yield f"{source.shown}:row {number}", _named(row, labels)


# --- a slice of them ----------------------------------------------------------------------------------------


def slice_bounds(text: str) -> tuple[str, str]:
    """`100:600`, `:80%`, `-100:` → start and stop, as written. Raises InputError."""
    found = re.fullmatch(r"\[?\s*(-?\d+%?)?\s*:\s*(-?\d+%?)?\s*\]?", text)
    if not found:
        raise InputError(
            f'options.slice: \'{text}\': expected rows from and to, the second one left out, e.g. ":500", "80%:"'
        )
    return found.group(1) or "", found.group(2) or ""


def sliced(source: Source, text: str | None) -> Iterator[tuple[int, str, Row | str]]:
    """(number in the table from 0, where, row) of a slice; rows are counted before any is left out."""
    start, stop = slice_bounds(text) if text else ("", "")
    total = _count(source) if "%" in start + stop or "-" in start + stop else 0
    rows = ((number, where, row) for number, (where, row) in enumerate(rows_of(source)))
    yield from itertools.islice(rows, _place(start, total, 0), _place(stop, total, None))


def _count(source: Source) -> int:
    """How many rows there are; parquet files say it."""
    if source.kind == "files" and all(path.suffix.lower() == ".parquet" for path in source.paths):
        import pyarrow.parquet

        return sum(pyarrow.parquet.read_metadata(path).num_rows for path in source.paths)
    return sum(1 for _ in rows_of(source))


def _place(bound: str, total: int, default: int | None) -> int | None:
    if not bound:
        return default
    place = total * int(bound[:-1]) // 100 if bound.endswith("%") else int(bound)
    return max(0, place + total) if bound.startswith("-") else place
