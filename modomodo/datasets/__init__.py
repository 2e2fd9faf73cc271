"""Published datasets, one module each: raw files → rows of the examples format.

A dataset is `reader(raw, **options)`: it yields, row by row and always in the same order, the fields of an
`Example` but `image`, and the image itself.
"""

from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image

from modomodo.registry import Registry

RawExample = tuple[dict[str, Any], Image.Image]
datasets: Registry[Callable[..., Iterator[RawExample]]] = Registry("dataset")

from modomodo.datasets import boards  # noqa: E402, F401  (it registers itself, here)
