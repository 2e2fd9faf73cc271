"""The registry of dataset functions, which readers and plugins add to."""

from collections.abc import Callable, Iterator

from modomodo.data.examples import RawExample
from modomodo.registry import Registry

datasets: Registry[Callable[..., Iterator[RawExample]]] = Registry("dataset")
