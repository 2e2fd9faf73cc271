"""Functions that the config calls by name: datasets, rewards, metrics, strategies, surrogates."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from modomodo.errors import InputError, nearest

F = TypeVar("F", bound=Callable)


class Registry(Generic[F]):
    """Name → function. `kind` is the word the user knows it by, e.g. "metric".

    >>> metrics = Registry("metric")
    >>> @metrics.register("exact_match")
    ... def exact_match(answer, example): ...
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._functions: dict[str, F] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Decorator. Raises InputError when another function already has the name."""

        def decorate(function: F) -> F:
            known = self._functions.get(name)
            if known is not None and (known.__module__, known.__qualname__) != (
                function.__module__,
                function.__qualname__,
            ):
                raise InputError(
                    f"{self.kind} '{name}' is registered twice, by {known.__module__} and "
                    f"{function.__module__}: rename one"
                )
            self._functions[name] = function
            return function

        return decorate

    def __getitem__(self, name: str) -> F:
        """Raises InputError with the nearest known name."""
        if name not in self._functions:
            raise InputError(f"unknown {self.kind} '{name}': {nearest(name, self._functions)}")
        return self._functions[name]

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._functions))
