"""How the tiny base model is trained: threads that share out a batch; Muon for hidden matrices, AdamW for the rest."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor

Part = TypeVar("Part")
Output = TypeVar("Output")


class Team:
    """Threads that work side by side, each on a part of its own, with torch's own threads off.

    At this size a matrix is too small to be shared: two threads within each operation gain nothing, two halves
    of a batch take little more than half the time. Results come in the order of the parts, so the number of
    threads changes the speed and nothing else.
    """

    def __init__(self, threads: int) -> None:
        self.pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown(cancel_futures=True)

    def map(self, work: Callable[[Part], Output], parts: Iterable[Part]) -> list[Output]:
        """What `work` makes of each part. Gradient modes are a thread's own: `work` sets the one it needs."""
        return list(self.pool.map(work, parts))

    def backward(
        self, loss: Callable[[Part], Tensor], parts: Iterable[Part], parameters: Sequence[torch.nn.Parameter]
    ) -> None:
        """Leave the gradients of the sum of the parts' losses."""

        def gradients(part: Part) -> tuple[Tensor, ...]:
            return torch.autograd.grad(loss(part), parameters, materialize_grads=True)

        for parameter, *shares in zip(parameters, *self.map(gradients, parts), strict=True):
            parameter.grad = sum(shares[1:], start=shares[0])


class Muon:
    """Momentum whose update is orthogonalised; matrices of one shape are done together.

    As torch.optim.Muon, which does them one by one in bfloat16: a quarter of a step's time here.
    """

    def __init__(self, matrices: Sequence[torch.nn.Parameter], momentum: float = 0.95) -> None:
        self.groups = [
            [p for p in matrices if p.shape == shape] for shape in dict.fromkeys(p.shape for p in matrices)
        ]
        self.averages = [torch.zeros(len(group), *group[0].shape) for group in self.groups]
        self.momentum = momentum

    def step(self, rate: float, team: Team) -> None:
        @torch.no_grad()
        def move(number: int) -> None:
            group, average = self.groups[number], self.averages[number]
            gradients = torch.stack([p.grad for p in group if p.grad is not None])
            average.lerp_(gradients, 1 - self.momentum)
            update = orthogonalise(gradients.lerp(average, self.momentum))
            rows, columns = group[0].shape
            torch._foreach_add_(group, list(update.unbind()), alpha=-rate * max(1.0, rows / columns) ** 0.5)

        team.map(move, range(len(self.groups)))


def orthogonalise(matrices: Tensor) -> Tensor:
    """Five Newton-Schulz steps: all singular values of each matrix [n, rows, columns] go to about one."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x


class Optimiser:
    """Muon for the hidden matrices, AdamW for the rest; the rates rise, then fall along a cosine.

    AdamW alone learns half as fast here.
    """

    def __init__(
        self, parameters: Mapping[str, torch.nn.Parameter], matrices: str, muon: float, adamw: float
    ) -> None:
        self.parameters = list(parameters.values())
        hidden = [p for name, p in parameters.items() if p.ndim == 2 and re.search(matrices, name)]
        ids = {id(parameter) for parameter in hidden}
        rest = [parameter for parameter in self.parameters if id(parameter) not in ids]
        self.muon, self.muon_rate = Muon(hidden), muon
        self.adamw, self.adamw_rate = torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=0.0), adamw

    def step(self, done: float, warm: float, team: Team) -> None:
        """Move along the gradients at hand. `done`: the share of steps taken; `warm`: the share of warm-up."""
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        factor = min(1.0, done / warm + 0.02) * (0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * done)))
        self.muon.step(self.muon_rate * factor, team)
        self.adamw.param_groups[0]["lr"] = self.adamw_rate * factor
        self.adamw.step()
