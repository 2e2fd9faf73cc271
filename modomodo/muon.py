"""The optimiser of the tiny base model: Muon for its hidden matrices, AdamW for the rest."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor


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

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for group, average in zip(self.groups, self.averages, strict=True):
            gradients = torch.stack([p.grad if p.grad is not None else torch.zeros_like(p) for p in group])
            average.lerp_(gradients, 1 - self.momentum)
            update = orthogonalise(gradients.lerp(average, self.momentum))
            rows, columns = group[0].shape
            torch._foreach_add_(group, list(update.unbind()), alpha=-rate * max(1.0, rows / columns) ** 0.5)


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

    def step(self, loss: Tensor, done: float, warm: float) -> None:
        """`done`: the share of steps taken; `warm`: the share of warm-up."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        factor = min(1.0, done / warm + 0.02) * (0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * done)))
        self.muon.step(self.muon_rate * factor)
        self.adamw.param_groups[0]["lr"] = self.adamw_rate * factor
        self.adamw.step()
        for parameter in self.parameters:
            parameter.grad = None
