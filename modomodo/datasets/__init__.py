"""Published datasets, one module each: raw files → rows of the examples format.

A dataset is `reader(raw, **options)`, where `raw` is the folder of its raw files. It yields, row by row and
always in the same order:

- the fields of an `Example` but `image`, and the image: as published (`pictures.Picture`) or drawn (Pillow's),
  or a list of several, of which the first becomes `image` and the others `meta.images`;
- `Rejected`, in place of a row that fails a check;
- `LeftOut`, in place of a row that the dataset's own filter leaves out.

It reads text only. Images are decoded by whoever writes the examples, on all cores (see `pictures`).
"""

from collections.abc import Callable, Iterator

from modomodo.examples import LeftOut, RawExample, Rejected
from modomodo.registry import Registry

__all__ = ["LeftOut", "RawExample", "Rejected", "datasets"]

datasets: Registry[Callable[..., Iterator[RawExample]]] = Registry("dataset")

from modomodo.datasets import (  # noqa: E402  (they register themselves)
    boards,  # noqa: F401
    chartqa,  # noqa: F401
    coco,  # noqa: F401
    geoqav,  # noqa: F401
    infovqa,  # noqa: F401
    lisa,  # noqa: F401
    mathvista,  # noqa: F401
    mmmu,  # noqa: F401
    sat,  # noqa: F401
    scienceqa,  # noqa: F401
)
