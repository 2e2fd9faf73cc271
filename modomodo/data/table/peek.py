"""A look at a table before it is in any study: its columns, a proposed entry, rows as the model sees them."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from modomodo.config.schema import Dataset, Templates
from modomodo.data.examples import (
    Example,
    image_paths,
    open_image,
    read_examples,
    rejected_path,
    write_examples,
)
from modomodo.data.prompts import prompt_text
from modomodo.data.table import cells
from modomodo.data.table.files import Source
from modomodo.data.table.reading import Options, Reading, converted
from modomodo.data.table.settling import First
from modomodo.data.table.sources import sliced
from modomodo.errors import InputError
from modomodo.files import read_jsonl

SHOWN, LONGEST = 3, 1500  # rows that are shown, and characters of each
FITTING = {  # kind of answer → reward, and metric
    "box": ("iou", "mean_iou"),
    "choice": ("choice", "choice"),
    "number": ("number", "number"),
    "formula": ("math", "math"),
    "text": ("exact_match_normalised", "exact_match_normalised"),
}
_FORMULA = re.compile(r"[\\^=+*/]|\d\s*-\s*\d")


def columns_shown(first: First, most: int = 60) -> Iterator[str]:
    """Each column with the type and the beginning of its first cell that says something."""
    cells_of: dict[str, Any] = {}
    for _, _, row in first:
        for name, value in row.items():
            if cells.is_empty(cells_of.get(name)):
                cells_of[name] = value
    for name, value in cells_of.items():
        text = f"{len(value)} bytes" if isinstance(value, bytes) else " ".join(str(_short(value)).split())
        shown = text if len(text) <= most else f"{text[:most]} …"
        yield f"  {name}: {type(value).__name__} {shown}"


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _short(inner) for key, inner in value.items()}
    return f"{len(value)} bytes" if isinstance(value, bytes) else value


def kind_of(reading: Reading, first: First) -> str:
    """What the answers of the first rows are, as a key of FITTING."""
    found = [converted(reading, row, str(number), where) for number, where, row in first]
    examples = [example[0] for example in found if isinstance(example, tuple)]
    kinds = Counter(fields["answer_type"] for fields in examples)
    kind = kinds.most_common(1)[0][0] if kinds else reading.answer_type
    formulas = sum(bool(_FORMULA.search(str(fields["answer"]))) for fields in examples)
    return "formula" if kind == "text" and 2 * formulas > len(examples) else kind


def entry_of(
    name: str, options: Mapping[str, Any], source: Mapping[str, str], reading: Reading, kind: str
) -> str:
    """The YAML of a domain, with what was recognised written out, and the metric it would have as a benchmark."""
    columns = {
        role: list(reading.columns.of(role))
        for role in ("question", "answer", "image", "choices", "box", "id")
    }
    given = options.get("columns") or {}
    written = {
        role: named[0] if len(named) == 1 else named or None
        for role, named in columns.items()
        if named or role in given
    }
    if reading.template is not None:
        written.pop("question", None)
    if written.get("answer") == written.get("box"):
        written.pop("answer", None)
    entry: dict[str, Any] = {"loader": "table"}
    if source:
        entry["source"] = dict(source)
    entry["options"] = {**options, "columns": written}
    if reading.box_format is not None:
        entry["options"]["box_format"] = reading.box_format.units + (
            "" if reading.box_format.corners else " xywh"
        )
    reward, metric = FITTING[kind]
    lines = yaml.safe_dump({name: entry}, sort_keys=False, width=100, allow_unicode=True).rstrip()
    scored = f"  # as a benchmark, instead of rewards: metric: {metric}, group: out"
    return f"{lines}\n  rewards: [{reward}, format]\n{scored}"


@dataclass(frozen=True)
class Tried:
    """What became of a table's first rows."""

    kept: int
    filtered: int
    rejected: list[str]  # reasons, the commonest first, with their counts
    shown: list[str]  # the first rows as the model sees them


def tried(options: Options, source: Source, reading: Reading, rows: int, templates: Templates) -> Tried:
    """Make examples of the first rows, images and all, in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "table.jsonl"
        dataset = Dataset(loader="table", max_rejected=1.0)
        raw = (
            converted(reading, row, f"row-{number:05d}", where)
            for number, where, row in islice(sliced(source, options.slice), rows)
        )
        counts: dict[str, int] = {}
        try:
            counts = write_examples("table", raw, output, dataset=dataset)
        except InputError as error:  # no row was kept: the reasons are below
            if not rejected_path(output).exists():
                raise error
        reasons = Counter(_kind(row["reason"]) for _, row in read_jsonl(rejected_path(output)))
        first = list(islice(read_examples(output), SHOWN)) if counts else []
        return Tried(
            kept=counts.get("kept", 0),
            filtered=counts.get("filter", 0),
            rejected=[f"{count} x {reason}" for reason, count in reasons.most_common()],
            shown=[_as_seen(example, output.parent, templates) for example in first],
        )


def _kind(reason: str) -> str:
    """A reason without the place of its row, so that equal ones are counted together."""
    return reason.rpartition(" (")[0] if reason.endswith(")") and " (" in reason else reason


def _as_seen(example: Example, folder: Path, templates: Templates) -> str:
    sizes = []
    for path in image_paths(example):
        with open_image(example, path, folder) as image:
            sizes.append(f"[image {image.width} x {image.height}]")
    text = prompt_text(example, templates)
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    answer = example.answer if isinstance(example.answer, str) else [list(box) for box in example.answer]
    return "\n".join([f"{example.id}, {example.answer_type}: {answer}", *sizes, text])
