"""Published datasets, one module each: raw files → rows of the examples format.

A dataset is `reader(raw, **options)`, where `raw` is the folder of its raw files. It yields, row by row and
always in the same order:

- the fields of an `Example` but `image`, and the image: as published (`pictures.Picture`) or drawn
  (Pillow's), or a list of several, of which the first becomes `image` and the others `meta.images`;
- `Rejected`, in place of a row that fails a check;
- `LeftOut`, in place of a row that the dataset's own filter leaves out.

It reads text only. Images are decoded by whoever writes the examples, on all cores (see `pictures`).
"""

from collections.abc import Callable, Iterator

from modomodo.data.examples import LeftOut, RawExample, Rejected
from modomodo.data.readers.registry import datasets
from modomodo.registry import Registry
from modomodo.tiny import boards

__all__ = ["LeftOut", "RawExample", "Rejected", "datasets"]
