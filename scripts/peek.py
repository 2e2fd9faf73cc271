"""Look at a table before it is in any study: a proposed entry, three rows as the model sees them, what is rejected.

Example:
    python scripts/peek.py own/maths.jsonl

    python scripts/peek.py openai/gsm8k@main --options '{name: main, split: train}'

SOURCE is what `path` of `loader: table` may be (a file, a pattern of files, a folder), or a repository of the Hugging
Face hub, owner/name@revision, whose first rows are read without downloading the whole. `--options` takes options of
`loader: table` as YAML, to try them. Paths are relative to where you run.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from modomodo import command_line
from modomodo.config.options import check_options
from modomodo.config.schema import Templates
from modomodo.data.readers import datasets
from modomodo.data.table.peek import columns_shown, entry_of, kind_of, tried
from modomodo.data.table.reading import Options, options_of
from modomodo.data.table.settling import first_rows, opened, settle
from modomodo.errors import InputError


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("source", metavar="SOURCE", help="file, folder, or owner/name@revision on the hub")
    parser.add_argument("--options", default="{}", help="options of loader: table, as YAML")
    parser.add_argument("--rows", type=int, default=200, help="rows to try, images included (default: 200)")
    arguments = parser.parse_args()
    given = options_given(arguments)
    with tempfile.TemporaryDirectory() as folder:
        look(arguments, given, Path(folder))


def options_given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options on the command line, checked as a study's are."""
    try:
        given = yaml.safe_load(arguments.options)
    except yaml.YAMLError as error:
        raise InputError(f"--options: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(given, dict):
        raise InputError("--options: expected keys and values, e.g. '{split: train}'")
    check_options(datasets["table"], given, "--options")
    return given


def look(arguments: argparse.Namespace, given: dict[str, Any], folder: Path) -> None:
    """Print what there is to see. `folder`: for the first rows of a repository."""
    name, source_key = Path(arguments.source).stem, {}
    repository = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w.-]+))?", arguments.source)
    if repository and not Path(arguments.source).exists():
        from modomodo.data.table.hub import first_rows_of

        repo, revision = repository[1], repository[2] or "main"
        options = options_of({**given, "path": ""})
        commit, file = first_rows_of(repo, revision, options, arguments.rows, folder)
        source_key = {"repo": repo, "revision": commit}
        shown, name = given, repo.rpartition("/")[2]
        options = options_of({**given, "path": str(file), "name": None, "split": None, "slice": None})
    else:
        shown = {"path": arguments.source, **given}
        options = options_of(shown)
    show(options, shown, source_key, re.sub(r"\W+", "_", name).strip("_"), arguments.rows)


def show(options: Options, written: dict[str, Any], source_key: dict[str, str], name: str, rows: int) -> None:
    """Columns first, so that they are seen too where the table cannot be read yet."""
    source = opened(options, None)
    assert source is not None
    print("columns:", *columns_shown(first_rows(options, source)), sep="\n")
    reading, first = settle(options, source)
    for line in reading.said:
        print(line)
    entry = entry_of(name, written, source_key, reading, kind_of(reading, first))
    print(f"\nentry, under domains of a study:\n\n{entry}\n")
    result = tried(options, source, reading, rows, Templates())
    for text in result.shown:
        print(f"--- {text}\n")
    total = result.kept + result.filtered + sum(int(line.split()[0]) for line in result.rejected)
    print(f"of the first {total} rows {result.kept} are kept, {result.filtered} filtered, rejected:")
    print(*(f"  {line}" for line in result.rejected or ["none"]), sep="\n")


if __name__ == "__main__":
    command_line.run(main)
