"""How well noisy scores can be ranked at all: the correlation that the true expected scores have with them.

A score is what its mixture is expected to reach plus what chance adds, independent of it and of the other mixtures:
s = f + e. Then var(s) = var(f) + var(e), and f correlates with s by √reliability, reliability = 1 - var(e) / var(s):
nothing that predicts f ranks s better in the long run (Spearman 1904, The Proof and Measurement of Association between
Two Things, American Journal of Psychology 15, 72-101; Lord and Novick 1968, Statistical Theories of Mental Test Scores,
chapter 3). This is Pearson's correlation; Spearman's of normal scores is at most 0.02 below.

var(e) is read from runs of equal mixtures, or else from standard errors. Repeats see the chance of training; standard
errors see only that of the questions, and too much of it where all runs answer the same ones. On a mean over metrics,
repeats see how far their noise goes together; standard errors are taken as independent between metrics.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

FREEDOM = 3  # repeats below which they tell no variance; with three its standard error is 82 % of it


@dataclass(frozen=True)
class Ceiling:
    """The correlation of true with noisy scores, NaN where nothing tells the noise."""

    composite: float
    metrics: np.ndarray  # [metrics]
    noise: str  # what it is known from, for a reader

    @property
    def metric(self) -> float:
        """Mean over the metrics, NaN if one of them has none."""
        return float(self.metrics.mean())


def run_variance(values: np.ndarray, mixtures: np.ndarray) -> tuple[float, int]:
    """Variance of one run's score between runs of one mixture, and its degrees of freedom.

    `values` [runs], NaN where unknown; `mixtures` [runs] are equal for repeats. Where every mixture was run equally
    often, what the first, second, … run adds to all mixtures alike is taken off: it is their seed, and changes no
    rank. NaN without repeats.
    """
    known = np.isfinite(values)
    frame = pd.DataFrame({"value": values[known], "mixture": mixtures[known]})
    groups = frame.groupby("mixture")
    sizes = groups["value"].size()
    left = frame["value"] - groups["value"].transform("mean")
    freedom = len(frame) - len(sizes)
    if sizes.nunique() == 1 and sizes.iloc[0] > 1:
        left -= left.groupby(groups.cumcount()).transform("mean")
        freedom -= int(sizes.iloc[0]) - 1
    return (float((left**2).sum() / freedom), freedom) if freedom > 0 else (np.nan, 0)


def from_repeats(values: np.ndarray, mixtures: np.ndarray) -> float:
    """Of the means over repeats, from the scores of single runs [runs]; NaN with too few repeats to tell."""
    variance, freedom = run_variance(values, mixtures)
    if freedom < FREEDOM:
        return np.nan
    groups = pd.Series(values).groupby(mixtures)
    means, counts = groups.mean().dropna(), groups.count()
    return attenuation(means.to_numpy(), variance / counts[counts > 0].to_numpy())


def attenuation(scores: np.ndarray, noise: np.ndarray) -> float:
    """√(1 - mean noise variance / variance of the scores), both [mixtures]; NaN where a known score's is unknown.

    0 where noise would explain more than all of the differences.
    """
    known = np.isfinite(scores)
    if known.sum() < 2 or not np.isfinite(noise[known]).all():
        return np.nan
    spread = float(scores[known].var(ddof=1))
    return float(np.sqrt(max(0.0, 1 - noise[known].mean() / spread))) if spread > 0 else np.nan


def ceiling_of(runs: np.ndarray, mixtures: np.ndarray, scores: np.ndarray, errors: np.ndarray) -> Ceiling:
    """Of a table and of the mean over its metrics.

    `runs` [runs, metrics] are single runs and `mixtures` [runs] says which repeat each other; `scores` and `errors`
    [mixtures, metrics] are their means and standard errors, NaN where unknown. All are standardised alike.
    """
    composite = from_repeats(runs.mean(axis=1), mixtures)
    metrics = np.array([from_repeats(column, mixtures) for column in runs.T])
    if np.isfinite(composite):
        return Ceiling(composite, metrics, f"{len(runs) - len(np.unique(mixtures))} repeats")
    variances = errors**2
    count = scores.shape[1]
    composite = attenuation(scores.mean(axis=1), variances.sum(axis=1) / count**2)
    metrics = np.array([attenuation(s, v) for s, v in zip(scores.T, variances.T, strict=True)])
    return Ceiling(composite, metrics, "standard errors" if np.isfinite(composite) else "unknown")
