r"""A table of one's own or of the hub, by its options alone: JSONL, JSON, CSV, parquet, Arrow, folders, images.

`path` is a file, a pattern of files or a folder, beside the study's file; or the files are those of a hub
repository, named as `source: {repo: owner/name, revision: commit}`. `name` and `split` choose among a folder's
configurations and splits, `slice` takes rows from and to ("80%:"), `filter` those for which a jinja expression is
true. `columns` says which column is the question, answer, image, choices, box or id; what it leaves out is recognised
by the names that common trainers use, and said. `template` is jinja for the question. `answer_pattern` finds the answer
in a longer text: "####", "<answer>", "\boxed{}" or a regular expression with one group; "" takes the whole cell.
`box_format` gives units and layout of boxes, e.g. "pixels xywh". docs/extending.md shows it all.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from modomodo.config.options import MOST_FILES
from modomodo.config.schema import Dataset
from modomodo.data.examples import AnswerType, RawExample
from modomodo.data.readers.published import Hosted, Published, hosted
from modomodo.data.readers.registry import datasets
from modomodo.data.table.doubts import WARNING
from modomodo.data.table.files import needed_files
from modomodo.data.table.reading import Role, options_of, read
from modomodo.data.table.settling import named_images, opened, refuse_hopeless, settle
from modomodo.errors import InputError
from modomodo.files import canonical


@datasets.register("table")
def table(
    raw: Path | None = None,
    *,
    path: str = "",
    name: str | None = None,
    split: str | None = None,
    slice: str | None = None,
    columns: dict[Role, str | list[str] | None] | None = None,
    template: str = "",
    filter: str = "",
    answer_pattern: str | None = None,
    answer_type: AnswerType | None = None,
    box_format: str | None = None,
    image_folder: Path | None = None,
) -> Iterator[RawExample]:
    """The rows in the table's order. Raises InputError, when called, for what its first rows show to be wrong."""
    given = {name: value for name, value in locals().items() if name != "raw"}
    options = options_of(given)
    source = opened(options, raw)
    if source is None:
        return iter(())
    reading, first = settle(options, source)
    refuse_hopeless(reading, first)
    return TableRows(source.shown, reading.said, read(options, source, reading))


class TableRows:
    """The rows of a table; what was recognised is said before the first, and `warnings` is what may be wrong."""

    def __init__(self, table: str, said: Sequence[str], rows: Iterator[RawExample]) -> None:
        self._said = [f"{table}: {line}" for line in said if not line.startswith(WARNING)]
        self._rows = rows
        self.warnings = [
            f"{table}: {line.removeprefix(WARNING)}" for line in said if line.startswith(WARNING)
        ]

    def __iter__(self) -> Iterator[RawExample]:
        return self

    def __next__(self) -> RawExample:
        while self._said:
            print(self._said.pop(0), flush=True)
        return next(self._rows)


_ONLY = "rows"  # in place of the split's name, where a repository has one and the study names none


def _hosted(dataset: Dataset) -> tuple[str, Published]:
    """The repository that a study names, and its files for one split."""
    assert dataset.source is not None
    repo, options = dataset.source.repo or "", dataset.options
    config, split = options.get("name"), options.get("split")
    split = None if split == _ONLY else split
    about = Published(
        repo=repo,
        files={split or _ONLY: dataset.source.files or ["*"]},
        licence="see its card",
        choose=lambda names, readme: needed_files(names, readme, config, split, repo),
    )
    return "--".join([*repo.split("/"), *([config] if config else [])]), about


def _named_images(dataset: Dataset) -> list[str]:
    return list(_images_named_by(canonical(dataset.options)))


@functools.cache  # Snakemake asks for each job that it considers
def _images_named_by(text: str) -> Sequence[str]:
    """Images that the rows of a table name; of a table of very many, the folders that they lie in."""
    options = options_of(json.loads(text))
    if not options.path:
        return []
    try:
        paths = named_images(options, MOST_FILES)
    except InputError:
        return []  # which the job will say
    there = sorted({path for path in paths if path.is_file()})
    return [
        str(path) for path in (there if len(there) <= MOST_FILES else sorted({path.parent for path in there}))
    ]


hosted["table"] = Hosted(_hosted, _named_images)
