"""How the experts' changes of one tensor are put together: linear, TIES, DARE.

A function of METHODS gets the base's tensor θ₀ in float32, the experts' changes τᵢ = expertᵢ - θ₀ of it, each
computed when it is asked for, and the coefficients cᵢ (experts.py). It returns θ₀ itself where no expert
changed anything, so that frozen tensors come out to the last bit. A few tensors are in memory, however many experts.

Magnitudes are ranked within a tensor; the TIES paper ranks those of the whole model together, which would have to
be in memory at once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

from modomodo.config.schema import MergeMethod
from modomodo.files import digest


@dataclass(frozen=True)
class Changes:
    """One tensor: the base's, and how the experts changed it."""

    name: str
    start: torch.Tensor  # the base's, float32
    expert: Callable[[str], torch.Tensor]  # domain → the expert's, float32

    def of(self, coefficients: Mapping[str, float]) -> Iterator[tuple[str, torch.Tensor]]:
        """(domain, τᵢ) of the experts that changed something."""
        for domain in coefficients:
            tensor = self.expert(domain)
            if not torch.equal(tensor, self.start):
                yield domain, tensor - self.start


def linear(changes: Changes, coefficients: Mapping[str, float], method: MergeMethod) -> torch.Tensor:
    """θ₀ + Σ cᵢ τᵢ: task arithmetic (arXiv 2212.04089) with the mixture's weights.

    One expert with coefficient 1 is itself, to the last bit.
    """
    if list(coefficients.values()) == [1.0]:
        tensor = changes.expert(*coefficients)
        return changes.start if torch.equal(tensor, changes.start) else tensor
    total = changes.start
    for domain, change in changes.of(coefficients):
        total = total.clone() if total is changes.start else total
        total.add_(change, alpha=coefficients[domain])
    return total


def ties(changes: Changes, coefficients: Mapping[str, float], method: MergeMethod) -> torch.Tensor:
    """Trim, elect a sign, mean of those that agree (Yadav et al. 2023, arXiv 2306.01708), weighted.

    1. Trim: τ̂ᵢ is τᵢ where it is among the share `density` of largest |τᵢ|, ties kept, 0 elsewhere.
    2. Elect: γ = sign(Σ cᵢ τ̂ᵢ), number by number.
    3. Disjoint mean: τ = Σ_A cᵢ τ̂ᵢ / Σ_A cᵢ over A = {i: sign(τ̂ᵢ) = γ ≠ 0}, 0 where A is empty.

    Merged: θ₀ + (Σ cᵢ) τ. With n equal weights that is the paper's θ₀ + λ τ, λ = α. Experts are read twice, once
    for the signs, once for the mean; their thresholds are kept, not their changes.
    """
    mass = None
    least: dict[str, float] = {}
    for domain, change in changes.of(coefficients):
        least[domain] = _threshold(change, method.kept)
        mass = torch.zeros_like(change) if mass is None else mass
        mass.add_(_trimmed(change, least[domain]), alpha=coefficients[domain])
    if mass is None:
        return changes.start
    sign = mass.sign_()
    total, shared = torch.zeros_like(sign), torch.zeros_like(sign)
    for domain, change in changes.of(coefficients):
        change = _trimmed(change, least[domain])
        agrees = (change.sign() == sign).logical_and_(sign != 0)
        total.add_(change.mul_(agrees), alpha=coefficients[domain])
        shared.add_(agrees, alpha=coefficients[domain])
    total.div_(shared.masked_fill_(shared == 0, 1.0))
    return total.mul_(sum(coefficients.values())).add_(changes.start)


def dare(changes: Changes, coefficients: Mapping[str, float], method: MergeMethod) -> torch.Tensor:
    """Drop and rescale (Yu et al. 2023, arXiv 2311.03099), then the linear sum.

    θ₀ + Σ cᵢ mᵢ τᵢ / (1 - p), every number of mᵢ 1 with the chance 1 - p = `density` and 0 otherwise. What is dropped
    of an expert depends on seed, domain and the tensor's name: in every mixture the same.
    """
    total = changes.start
    for domain, change in changes.of(coefficients):
        total = total.clone() if total is changes.start else total
        number = int(digest([method.seed, domain, changes.name]), 16)
        kept = torch.empty(change.shape, dtype=torch.bool)
        kept.bernoulli_(method.kept, generator=torch.Generator().manual_seed(number))
        total.add_(change.mul_(kept), alpha=coefficients[domain] / method.kept)
    return total


METHODS = {"linear": linear, "ties": ties, "dare": dare}


def _threshold(change: torch.Tensor, density: float) -> float:
    """The least magnitude among the share `density` of the largest, one of them at least."""
    magnitudes = change.abs().numpy().ravel()
    place = len(magnitudes) - max(1, round(density * len(magnitudes)))
    magnitudes.partition(place)  # in place: no second copy, and the same whatever the order of equals
    return float(magnitudes[place])


def _trimmed(change: torch.Tensor, least: float) -> torch.Tensor:
    """The change, in place, with all below the threshold set to 0."""
    return change.masked_fill_(change.abs() < least, 0.0)
