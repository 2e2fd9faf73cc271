"""How sure the optimum is: refit on runs drawn anew, and see whether the best mixture stays where it was."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from modomodo.surrogates.base import Observations, Surrogate, mixture_folds

SURE = 0.95  # a difference is beyond noise when so many refits agree on its sign


@dataclass(frozen=True)
class Certainty:
    """What the refits say.

    `best` [replicates, domains] are their best mixtures, `value` [replicates] what the proposed mixture is
    expected to gain over the rivals, a column each: [replicates, rivals].
    """

    domains: tuple[str, ...]
    proposed: np.ndarray
    best: np.ndarray
    rivals: tuple[str, ...]
    gains: np.ndarray

    def weights(self) -> pd.DataFrame:
        """One row a domain: the proposed weight, and mean and 5, 50 and 95 % quantiles of the refits' best."""
        low, middle, high = np.quantile(self.best, [0.05, 0.5, 0.95], axis=0)
        return pd.DataFrame(
            {
                "domain": self.domains,
                "proposed": self.proposed,
                "mean": self.best.mean(axis=0),
                "low": low,
                "median": middle,
                "high": high,
            }
        )

    def against(self) -> pd.DataFrame:
        """One row a rival: expected gain, its 5 and 95 % quantiles, the share of refits with a gain, the verdict.

        `within_noise`: fewer than 95 % of the refits agree on who is better.
        """
        probability = (self.gains > 0).mean(axis=0)
        low, high = np.quantile(self.gains, [0.05, 0.95], axis=0)
        return pd.DataFrame(
            {
                "rival": self.rivals,
                "gain": self.gains.mean(axis=0),
                "low": low,
                "high": high,
                "probability": probability,
                "within_noise": np.maximum(probability, (self.gains < 0).mean(axis=0)) < SURE,
            }
        )


def bootstrap(
    observations: Observations,
    fit: Surrogate,
    shares: np.ndarray,
    pool: np.ndarray,
    proposed: np.ndarray,
    rivals: dict[str, np.ndarray],
    seed: int,
    count: int = 50,
) -> Certainty:
    """Refit `count` times; see where the best of `pool` [n, domains] lies and what `proposed` [domains] gains.

    Two things are drawn anew. The mixtures: with replacement, with all runs of each; one drawn twice is kept
    once, since a surrogate would read its copies as repeats that agree to the last digit, so a refit sees 63 %
    of them on average and the spread is rather too wide. The test questions: where a standard error is known, a
    normal error of that size is added to the score.
    """
    random = np.random.default_rng(seed)
    final = observations.final()
    folds = mixture_folds(final.weights)
    mixtures = folds.max() + 1
    errors = np.nan_to_num(final.errors)
    points = np.concatenate([pool, proposed[None], *(rival[None] for rival in rivals.values())])
    best, gains = [], []
    for replicate in range(count):
        # Two mixtures are the least that can differ.
        kept = np.unique(random.integers(mixtures, size=mixtures))
        while len(kept) < min(2, mixtures):
            kept = np.unique(random.integers(mixtures, size=mixtures))
        noisy = replace(final, scores=final.scores + errors * random.standard_normal(errors.shape))
        value = fit(noisy.rows(np.isin(folds, kept)), seed + replicate).mean(points) @ shares
        best.append(pool[int(value[: len(pool)].argmax())])
        gains.append(value[len(pool)] - value[len(pool) + 1 :])
    return Certainty(final.domains, proposed, np.array(best), tuple(rivals), np.array(gains))


def best_observed(observations: Observations, shares: np.ndarray) -> Sequence[tuple[str, np.ndarray, float]]:
    """(mixture, weights, mean score of its runs) of every mixture with a whole score, best first."""
    final = observations.final()
    values = final.scores @ shares
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(np.isfinite(values)):
        rows.setdefault(final.mixtures[row], []).append(int(row))
    found = [(name, final.weights[row[0]], float(values[row].mean())) for name, row in rows.items()]
    return sorted(found, key=lambda item: (-item[2], item[0]))
