"""What each kernel weighs: its marginal likelihood, and what the other benchmarks say of its shape."""

import numpy as np

from modomodo.mixtures.surrogates.kernels import KernelSpec


def kernel_weights(
    tables: list[np.ndarray], specs: list[list[KernelSpec]], sharing: float
) -> list[np.ndarray]:
    """Weights [spec, signal, variance, benchmark] of each group from its log evidence, summing to 1 a benchmark.

    With `sharing`, the evidence for a shape of the kernel is raised by that power of the evidence that the
    other benchmarks give it.
    """
    if sharing and sum(table.shape[-1] for table in tables) > 1:
        tables = _shared(tables, specs, sharing)
    weights = []
    for table in tables:
        raised = np.exp(table - table.max(axis=(0, 1, 2)))
        weights.append(raised / raised.sum(axis=(0, 1, 2)))
    return weights


def _shared(tables: list[np.ndarray], specs: list[list[KernelSpec]], sharing: float) -> list[np.ndarray]:
    """Log evidence with that of the other benchmarks for each shape."""
    shapes = sorted({spec.shape for part in specs for spec in part})
    place = {shape: i for i, shape in enumerate(shapes)}
    index = [np.array([place[spec.shape] for spec in part]) for part in specs]
    own = [_shape_evidence(table, where, len(shapes)) for table, where in zip(tables, index, strict=True)]
    total = np.concatenate(own, axis=1).sum(axis=1, keepdims=True)
    shared = []
    for table, where, mine in zip(tables, index, own, strict=True):
        others = sharing * (total - mine)
        shared.append(table + (others - others.max(axis=0))[where][:, None, None, :])
    return shared


def _shape_evidence(table: np.ndarray, index: np.ndarray, shapes: int) -> np.ndarray:
    """Log of the mean evidence for each shape, [shape, benchmark]; `index` [spec] is the shape of each kernel."""
    flat = table.reshape(len(index), -1, table.shape[-1])
    sums, counts = np.zeros((shapes, table.shape[-1])), np.zeros(shapes)
    np.add.at(sums, index, np.exp(flat - flat.max(axis=(0, 1))).sum(axis=1))
    np.add.at(counts, index, 1)
    # A shape that no run of this group can test (or that screening dropped) is as good as the average.
    mean = sums.sum(axis=0) / max(counts.sum(), 1)
    each = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], mean)
    return np.log(np.maximum(each, 1e-300))


def average_evidence(tables: list[np.ndarray]) -> float:
    """Log marginal likelihood of all benchmarks, each averaged over kernels, signals and variances."""
    total = 0.0
    for table in tables:
        top = table.max(axis=(0, 1, 2))
        total += float((top + np.log(np.exp(table - top).mean(axis=(0, 1, 2)))).sum())
    return total
