"""How sure the optimum is: choose it on one half of the mixtures, and let the other half judge it.

Runs that a mixture was chosen by agree with it by luck: on tables of pure noise the optimum of all runs beats equal
weights in 92 % of refits on mixtures drawn from the same runs. So each half chooses for itself and the other judges.
The halves' optima also spread about as the optimum would if all mixtures were drawn anew (the delete-half jackknife;
Wu 1990).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from modomodo.mixtures.surrogates.base import Observations, Surrogate, mixture_folds

SURE = 0.95  # a difference is beyond noise when so many halves agree on its sign
FEWEST = 4  # mixtures: two are the least that can differ, and there are two halves


@dataclass(frozen=True)
class Certainty:
    """What the halves say.

    `best` [halves, domains] are their best mixtures; `gains` [halves, rivals] what each one's best gains over the
    rivals by the judgement of the other half, and `claimed` by its own. `others` are further mixtures and `ahead`
    [halves, others] their gain over `rival` by each half. `informed`: the surrogate predicts left-out mixtures better
    than their mean does; if not, every difference is within noise.
    """

    domains: tuple[str, ...]
    proposed: np.ndarray
    best: np.ndarray
    rivals: tuple[str, ...]
    gains: np.ndarray
    claimed: np.ndarray
    informed: bool = True
    others: tuple[str, ...] = ()
    rival: str = ""
    ahead: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def weights(self) -> pd.DataFrame:
        """One row a domain: the proposed weight, and mean and 5, 50 and 95 % quantiles of the halves' best."""
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
        """One row a rival: gain, its 5 and 95 % quantiles, the share of halves with a gain, the verdict.

        `within_noise`: fewer than 95 % of the halves agree on who is better, or the surrogate knows nothing. NaN with
        fewer than four mixtures, which have no two halves.
        """
        return pd.DataFrame({"rival": self.rivals, **self._verdicts(self.gains)})

    @property
    def confirmed(self) -> float:
        """How much of what the halves claim for their best over `rival` the other halves confirm, 0 to 1."""
        place = self.rivals.index(self.rival)
        claimed = self.claimed[:, place].sum()
        return float(np.clip(self.gains[:, place].sum() / claimed, 0.0, 1.0)) if claimed > 0 else 0.0

    def others_against(self) -> pd.DataFrame:
        """One row a further mixture: what it gains over `rival`, as `against`.

        All runs had a say in such a mixture, so no half can judge it alone: the gain is multiplied by `confirmed`, and
        spreads as among the halves.
        """
        gains = self.ahead - (1 - self.confirmed) * self.ahead.mean(axis=0) if len(self.ahead) else self.ahead
        return pd.DataFrame({"mixture": self.others, "rival": self.rival, **self._verdicts(gains)})

    def _verdicts(self, gains: np.ndarray) -> dict[str, np.ndarray]:
        if not len(gains):
            unknown = np.full(gains.shape[1], np.nan)
            columns = dict.fromkeys(("gain", "low", "high", "probability"), unknown)
            return {**columns, "within_noise": np.full(gains.shape[1], True)}
        probability = (gains > 0).mean(axis=0)
        low, high = np.quantile(gains, [0.05, 0.95], axis=0)
        agreed = np.maximum(probability, (gains < 0).mean(axis=0))
        return {
            "gain": gains.mean(axis=0),
            "low": low,
            "high": high,
            "probability": probability,
            "within_noise": (agreed < SURE) | (not self.informed),
        }


def halves(
    observations: Observations,
    fit: Surrogate,
    shares: np.ndarray,
    pool: np.ndarray,
    proposed: np.ndarray,
    rivals: Mapping[str, np.ndarray],
    seed: int,
    count: int = 50,
    informed: bool = True,
    others: Mapping[str, np.ndarray] | None = None,
) -> Certainty:
    """Fit `count` halves, two at a time; see where each one's best of `pool` [n, domains] lies; let the other judge it.

    Mixtures are divided at random, with all runs of each; of an odd number one is left aside. Where a standard error is
    known, a normal error of that size is added to the scores. `others` are compared with the second
    of the `rivals`, the best observed mixture (the first where there is no second).
    """
    random = np.random.default_rng(seed)
    final = observations.final()
    folds = mixture_folds(final.weights)
    mixtures = int(folds.max()) + 1
    errors = np.nan_to_num(final.errors)
    others = others or {}
    rival = min(1, len(rivals) - 1)
    points = np.concatenate([pool, *(point[None] for point in (*rivals.values(), *others.values()))])
    end = len(pool) + len(rivals)
    best, gains, claimed, ahead = [], [], [], []
    for split in range((count + 1) // 2 if mixtures >= FEWEST else 0):
        noisy = replace(final, scores=final.scores + errors * random.standard_normal(errors.shape))
        order = random.permutation(mixtures)
        values = []
        for half in (order[: mixtures // 2], order[mixtures // 2 : mixtures // 2 * 2]):
            values.append(fit(noisy.rows(np.isin(folds, half)), seed + split).mean(points) @ shares)
        for own, other in (values, values[::-1]):
            chosen = int(own[: len(pool)].argmax())
            best.append(pool[chosen])
            gains.append(other[chosen] - other[len(pool) : end])
            claimed.append(own[chosen] - own[len(pool) : end])
            ahead.append(own[end:] - own[len(pool) + rival])
    return Certainty(
        final.domains,
        proposed,
        np.array(best) if best else proposed[None],
        tuple(rivals),
        np.array(gains).reshape(len(gains), len(rivals)),
        np.array(claimed).reshape(len(gains), len(rivals)),
        informed,
        tuple(others),
        [*rivals][rival] if others else "",
        np.array(ahead).reshape(len(gains), len(others)),
    )


def best_observed(observations: Observations, shares: np.ndarray) -> Sequence[tuple[str, np.ndarray, float]]:
    """(mixture, weights, mean score of its runs) of every mixture with a whole score, best first."""
    final = observations.final()
    values = final.scores @ shares
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(np.isfinite(values)):
        rows.setdefault(final.mixtures[row], []).append(int(row))
    found = [(name, final.weights[row[0]], float(values[row].mean())) for name, row in rows.items()]
    return sorted(found, key=lambda item: (-item[2], item[0]))
