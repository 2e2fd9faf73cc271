"""Questions of a benchmark that are training rows too: what is known by heart is no skill."""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from modomodo.data.examples import Example, image_paths

Row = tuple[tuple[str, ...], str]  # digests of the images, which are their names, and the question


def rows_of(examples: Iterable[Example]) -> list[Row]:
    """What makes each example the same question as another one's, whatever its dataset, its id and its spacing."""
    return [
        (
            tuple(PurePosixPath(path).name for path in image_paths(example)),
            " ".join(example.question.split()).casefold(),
        )
        for example in examples
    ]


def overlaps(benchmark: Iterable[Row], training: Mapping[str, Iterable[Row]]) -> dict[str, int]:
    """Domain → how many of a benchmark's questions are its training rows too, image and all; no domain without any.

    An image that was resized for one of the two (`longest`) is another image here.
    """
    questions = list(benchmark)
    known = {domain: set(rows) for domain, rows in training.items()}
    counts = {domain: sum(row in rows for row in questions) for domain, rows in known.items()}
    return {domain: count for domain, count in counts.items() if count}
