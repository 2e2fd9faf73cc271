"""Threads that share out a batch of the tiny model."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import torch
from torch import Tensor

Part = TypeVar("Part")
Output = TypeVar("Output")


class ThreadPool:
    """Threads that each work on a part of a batch, with torch's own threads off.

    At this size a matrix is too small to be shared: two threads within each operation gain nothing, while two
    halves of a batch take little more than half the time. Results come in the order of the parts, so the
    number of threads changes the speed and nothing else.
    """

    def __init__(self, threads: int) -> None:
        self.executor = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.executor.shutdown(cancel_futures=True)

    def map(self, function: Callable[[Part], Output], parts: Iterable[Part]) -> list[Output]:
        """Apply a function to each part. Gradient modes belong to a thread: the function sets the one it needs."""
        return list(self.executor.map(function, parts))

    def backward(
        self, loss: Callable[[Part], Tensor], parts: Iterable[Part], parameters: Sequence[torch.nn.Parameter]
    ) -> None:
        """Set each parameter's `.grad` to the gradient of the sum of the parts' losses."""

        def gradients(part: Part) -> tuple[Tensor, ...]:
            return torch.autograd.grad(loss(part), parameters, materialize_grads=True)

        for parameter, *shares in zip(parameters, *self.map(gradients, parts), strict=True):
            parameter.grad = sum(shares[1:], start=shares[0])
