"""Functions that the config calls by name: datasets, rewards, metrics, strategies, surrogates."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from modomodo.errors import InputError, nearest

F = TypeVar("F", bound=Callable)


class Registry(Generic[F]):
    """Name → function. `kind` is the word the user knows it by, e.g. "metric".

    `also`: another registry, and what makes a function of this kind of one of its own: those are known here too.

    `members`: module → the names that it registers when it is imported. They are known from the start; the module,
    with the libraries that it needs, is imported when one of its functions is first asked for. `successors`: names of
    earlier versions → what to write instead.

    >>> metrics = Registry("metric")
    >>> @metrics.register("exact_match")
    ... def exact_match(answer, example): ...
    """

    def __init__(
        self,
        kind: str,
        members: Mapping[str, Iterable[str]] | None = None,
        also: "tuple[Registry, Callable[..., F]] | None" = None,
        successors: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.also = also
        self.successors = dict(successors or {})
        self._functions: dict[str, F] = {}
        self._modules = {name: module for module, names in (members or {}).items() for name in names}

    def register(self, name: str) -> Callable[[F], F]:
        """Decorator. Raises InputError when another function already has the name."""

        def decorate(function: F) -> F:
            known = self._functions.get(name, function)
            owner = self._modules.get(name, known.__module__)
            if known is not function or owner != function.__module__:
                raise InputError(
                    f"{self.kind} '{name}' is registered twice, by {owner} and {function.__module__}: rename one"
                )
            self._functions[name] = function
            return function

        return decorate

    def check(self, name: str) -> None:
        """Raises InputError with the successor or the nearest known name for an unknown one. Imports nothing."""
        if name not in self:
            self.check_current(name)
            hint = nearest(name, self)
            if hint.startswith("known"):
                hint += "; one of your own is registered by a file under plugins (docs/extending.md)"
            raise InputError(f"unknown {self.kind} '{name}': {hint}")

    def check_current(self, name: str) -> None:
        """Raises InputError with the successor of a name that earlier versions knew."""
        if name in self.successors and name not in self:
            raise InputError(f"{self.kind} '{name}' is gone: use '{self.successors[name]}' instead")

    def __getitem__(self, name: str) -> F:
        """Raises InputError with the nearest known name."""
        self.check(name)
        if self.also is not None and not self.is_own(name):
            others, make = self.also
            return make(others[name])
        if name not in self._functions:
            importlib.import_module(self._modules[name])
        return self._functions[name]

    def is_own(self, name: object) -> bool:
        """Whether the name is known, and not from another registry."""
        return name in self._functions or name in self._modules

    def __contains__(self, name: object) -> bool:
        return self.is_own(name) or (self.also is not None and name in self.also[0])

    def __iter__(self) -> Iterator[str]:
        others = self.also[0] if self.also is not None else ()
        return iter(sorted({*self._functions, *self._modules, *others}))
