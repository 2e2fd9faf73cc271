"""What went wrong and stopped nothing: said in the log of a job, kept beside its result, shown by report and status.

runs/all/42/run.json      runs/all/42/warnings.json
scores/all/42.json        scores/all/42/warnings.json
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modomodo.files import read_json, write_json

SHOWN = 3  # results that are named with a warning


@dataclass(frozen=True)
class Warned:
    """A warning, and the results that it is about."""

    text: str
    results: Sequence[str]

    def __str__(self) -> str:
        further = len(self.results) - SHOWN
        shown = ", ".join(self.results[:SHOWN]) + (f" and {further} more" if further > 0 else "")
        return f"{self.text} ({shown})"


def warnings_at(output: Path) -> Path:
    """Where the warnings about a job's result lie."""
    folder = output.parent if output.name == "run.json" else output.with_suffix("")
    return folder / "warnings.json"


def warn(output: Path, texts: Sequence[str], said: Sequence[str] = ()) -> None:
    """Say the warnings about a result in the job's log, and keep them and those that were said already."""
    for text in texts:
        print(f"warning: {text}", file=sys.stderr)
    path = warnings_at(output)
    if said or texts:
        write_json(path, {"warnings": [*said, *texts]})
    else:
        path.unlink(missing_ok=True)


def warned(outputs: Iterable[Path]) -> list[Warned]:
    """The warnings about these results, each once. Raises InputError for a damaged file.

    A run's result is named by its mixture and seed, any other by its file. Of a run that took places of a race
    (`race@60-01`), the last of its results counts, and its own name.
    """
    found: dict[tuple[Path, str], list[str]] = {}
    for output in outputs:
        path = warnings_at(output)
        texts = read_json(path, "warnings")["warnings"] if path.is_file() else []
        if texts or (_of_place(output) and output.is_file()):
            found[path.parent.parent.parent, _name(output)] = texts
    results: dict[str, list[str]] = {}
    for (_, name), texts in found.items():
        for text in texts:
            results.setdefault(text, []).append(name)
    return [Warned(text, list(dict.fromkeys(names))) for text, names in results.items()]


def _of_place(output: Path) -> bool:
    """Whether it is the run, or the scores, of one that took a place: what has warnings for each part of a run."""
    if output.name == "run.json":
        return "@" in output.parent.parent.name
    return output.parent.parent.name == "scores" and "@" in output.parent.name and output.suffix == ".json"


def _name(output: Path) -> str:
    if _of_place(output):
        taken = read_json(output, "mixture", "seed")
        return f"{taken['mixture']}/{taken['seed']}"
    if output.name == "run.json":
        return "/".join(output.parts[-3:-1])
    return "/".join(output.with_suffix("").parts[-2:]) if output.suffix == ".json" else output.name
