"""Published datasets, one module each: raw files → rows of the examples format.

A dataset is `reader(raw, **options)`, where `raw` is the folder of its raw files. It yields, row by row and
always in the same order:

- the fields of an `Example` but `image`, and the image: as published (`images.Image`) or drawn
  (Pillow's), or a list of several, of which the first becomes `image` and the others `meta.images`;
- `Rejected`, in place of a row that fails a check;
- `Filtered`, in place of a row that the dataset's own filter drops.

It reads text only. Images are decoded by whoever writes the examples, on all cores (see `images`).
"""

from modomodo.data.examples import Filtered, RawExample, Rejected
from modomodo.data.readers import (  # they register themselves
    chartqa,
    coco,
    geoqav,
    infovqa,
    lisa,
    lmms_eval,
    mathvista,
    mmmu,
    sat,
    scienceqa,
    table,
)
from modomodo.data.readers.registry import datasets

__all__ = [
    "Filtered",
    "RawExample",
    "Rejected",
    "chartqa",
    "coco",
    "datasets",
    "geoqav",
    "infovqa",
    "lisa",
    "lmms_eval",
    "mathvista",
    "mmmu",
    "sat",
    "scienceqa",
    "table",
]
