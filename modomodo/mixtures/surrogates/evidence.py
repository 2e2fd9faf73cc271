"""What each hypothesis weighs: its prior, its marginal likelihood, and what the other benchmarks say of it."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np

from modomodo.mixtures.surrogates.kernels import KernelGrid, KernelSpec


@dataclass(frozen=True)
class EvidenceTable:
    """Of the hypotheses that were fitted to a group of benchmarks."""

    specs: list[KernelSpec]
    likelihood: (
        np.ndarray
    )  # [spec, signal, variance, benchmark], log marginal likelihood; -inf for one that is out
    prior: np.ndarray  # [spec, benchmark], log, up to a constant

    @property
    def joint(self) -> np.ndarray:
        """Log of prior times likelihood, [spec, signal, variance, benchmark]."""
        return self.likelihood + self.prior[:, None, None, :]


def kernel_weights(tables: list[EvidenceTable], grid: KernelGrid) -> list[np.ndarray]:
    """Weights [spec, signal, variance, benchmark] of each group, summing to 1 a benchmark.

    With the grid's sharings, the evidence for a shape of the kernel, and for what breadth is worth, is raised by that
    power of the evidence that the other benchmarks give it.
    """
    logs = [table.joint for table in tables]
    if sum(log.shape[-1] for log in logs) > 1:
        shared = [
            _others(tables, key, sharing)
            for key, sharing in (
                (lambda spec: spec.shape, grid.shape_sharing),
                (lambda spec: spec.breadth, grid.breadth_sharing),
            )
            if sharing
        ]
        for evidence in shared:
            logs = [log + more[:, None, None, :] for log, more in zip(logs, evidence, strict=True)]
    weights = []
    for log in logs:
        raised = np.exp(log - log.max(axis=(0, 1, 2)))
        weights.append(raised / raised.sum(axis=(0, 1, 2)))
    return weights


def _others(
    tables: list[EvidenceTable], key: Callable[[KernelSpec], Hashable], sharing: float
) -> list[np.ndarray]:
    """For each hypothesis, the other benchmarks' log evidence for its key, [spec, benchmark] of each group."""
    keys = list(dict.fromkeys(key(spec) for table in tables for spec in table.specs))
    place = {name: i for i, name in enumerate(keys)}
    index = [np.array([place[key(spec)] for spec in table.specs]) for table in tables]
    own = [_evidence_by(table, where, len(keys)) for table, where in zip(tables, index, strict=True)]
    total = np.concatenate(own, axis=1).sum(axis=1, keepdims=True)
    shared = []
    for where, mine in zip(index, own, strict=True):
        others = sharing * (total - mine)
        shared.append((others - others.max(axis=0))[where])
    return shared


def _evidence_by(table: EvidenceTable, index: np.ndarray, keys: int) -> np.ndarray:
    """Log of the mean likelihood by key, hypotheses weighed by their prior, [key, benchmark]."""
    log = table.joint
    summed = np.exp(log - log.max(axis=(0, 1, 2))).sum(axis=(1, 2))
    prior = np.exp(table.prior)
    likelihoods, priors = np.zeros((2, keys, log.shape[-1]))
    np.add.at(likelihoods, index, summed)
    np.add.at(priors, index, prior)
    # What no run of this group can test (or what screening dropped) is as good as the average.
    average = likelihoods.sum(axis=0) / priors.sum(axis=0)
    each = np.where(priors > 0, likelihoods / np.where(priors > 0, priors, 1.0), average)
    return np.log(np.maximum(each, 1e-300))


def average_evidence(table: EvidenceTable) -> np.ndarray:
    """Log marginal likelihood of each benchmark, averaged over hypotheses, signals and variances: [benchmark]."""
    log = table.joint
    top = log.max(axis=(0, 1, 2))
    likelihood = np.exp(log - top).mean(axis=(1, 2)).sum(axis=0) / np.exp(table.prior).sum(axis=0)
    return top + np.log(likelihood)
