"""Reading and writing the files between stages: complete or not there, and the same bytes for the same data."""

import ast
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from modomodo.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A free path for a new file or directory, which is moved to `path` once the block has succeeded.

    So `path` is complete or as it was before. It lies on the same file system, since only there is a move atomic.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        yield temporary
        if temporary.is_dir():
            usual_modes(temporary)
            shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise


def usual_modes(directory: Path) -> None:
    """Give everything in a directory the mode that new files have here: safetensors writes files for their owner alone.

    The directory's own mode tells which bits this process's umask leaves.
    """
    allowed = directory.stat().st_mode & 0o777
    for written in directory.rglob("*"):
        if not written.is_symlink():  # what it leads to is somebody else's
            written.chmod(allowed if written.is_dir() else allowed & 0o666)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """A directory that appears under its name once it is complete, in place of an older one.

    What an earlier attempt left that was killed is removed first; so two processes must not write one at once.
    """
    path = Path(path)
    for unfinished in path.parent.glob(f".{glob.escape(path.name)}.*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    with atomic_path(path) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def atomic_write(path: str | Path) -> Iterator[TextIO]:
    """A text file that appears under its name once it is complete."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        yield file


def write_bytes(path: str | Path, data: bytes) -> None:
    """A file of these bytes, complete or not there."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


FIX_LINE = "fix the line, or delete the file to rebuild it"  # what to do about a damaged line


def canonical(value: Any) -> str:
    """JSON with sorted keys and shortest floats: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def digest(value: Any) -> str:
    """Twelve hexadecimal digits that name a JSON value, whatever the order of its keys."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:12]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, value: Any) -> None:
    """One JSON value, indented for people, keys in the order given."""
    with atomic_write(path) as file:
        json.dump(value, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def read_json(path: str | Path, *keys: str) -> Any:
    """Raises InputError when the file is missing, is not JSON, or lacks one of the keys."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}): delete it and run again") from None
    check_keys(path, value, *keys)
    return value


def check_keys(path: str | Path, value: Any, *keys: str) -> None:
    """Raises InputError when what was read from a file lacks one of the keys."""
    for key in keys:
        if key not in value:
            raise InputError(f"{path}: no '{key}': delete it and run again")


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> int:
    """One JSON object a line. Returns how many."""
    count = 0
    with atomic_write(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict]]:
    """(line number from 1, object). Raises InputError naming file and line."""
    number = 0
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = json.loads(line.decode())
                except json.JSONDecodeError as error:
                    raise InputError(f"{path}:{number}: not valid JSON: {error.msg}: {FIX_LINE}") from None
                if not isinstance(row, dict):
                    raise InputError(
                        f"{path}:{number}: expected a JSON object, found {type(row).__name__}: {FIX_LINE}"
                    )
                yield number, row
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: not UTF-8: {error.reason}: {FIX_LINE}") from None


def write_csv(path: str | Path, frame: "pd.DataFrame") -> None:
    """Comma-separated, no index, shortest round-trip floats, empty for missing."""
    with atomic_write(path) as file:
        frame.to_csv(file, index=False, lineterminator="\n")


def code_digest(*modules: str) -> str:
    """Digest of what modules of this package do, for results that are cheap to make again.

    Of their syntax and not of their text: comments and formatting do nothing. `tables` is tables.py; a name with
    a suffix is another file, taken as it is, e.g. `reporting/explorer/page.js`.
    """
    return digest({module: _source_digest(module) for module in modules})


@cache
def _source_digest(module: str) -> str:
    """Digest of one module, or of another file of the package."""
    folder = Path(__file__).parent
    if "." in module:
        return file_digest(folder / module)
    source = (folder / f"{module}.py").read_text(encoding="utf-8")
    return digest(ast.dump(ast.parse(source)))
