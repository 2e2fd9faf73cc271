"""The questions of benchmarks, read from the files of their examples."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from modomodo.data.examples import Example, check_image, find_examples, read_examples
from modomodo.errors import InputError
from modomodo.files import file_digest

Row = tuple[Example, Path]  # a question, and the folder that the paths of its images start from


@dataclass(frozen=True)
class Questions:
    """The questions of one benchmark, or a part of them."""

    name: str
    path: Path
    examples: Sequence[Example]

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def rows(self) -> list[Row]:
        """Each question with the folder of its images."""
        return [(example, self.path.parent) for example in self.examples]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file that they were read from."""
        return file_digest(self.path)

    def part(self, places: Iterable[int]) -> "Questions":
        """Those at some places, from 0."""
        return replace(self, examples=[self.examples[i] for i in places])

    def check_images(self) -> None:
        """Raises InputError naming the first image that cannot be read."""
        for example in self.examples:
            check_image(example, self.path.parent)


def load_benchmarks(
    paths: Sequence[Path], names: Iterable[str] | None = None, option: str = "--benchmarks"
) -> dict[str, Questions]:
    """Name → questions, of some benchmarks or of every file NAME.jsonl. `option`: how a script was given the files.

    Raises InputError for a benchmark without a file or without rows, and for a damaged row.
    """
    found = {}
    for name, path in find_examples(paths, names, option).items():
        found[name] = Questions(name, path, list(read_examples(path)))
        if not found[name].examples:
            raise InputError(
                f"{path}: benchmark without rows: look at its options and .rejected.jsonl, then delete the file"
            )
    return found
