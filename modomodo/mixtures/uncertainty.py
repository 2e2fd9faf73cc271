"""How sure the optimum is: choose it on one half of the mixtures, and judge it by the other half (cross-fitting).

Runs that a mixture was chosen by agree with it by luck: on tables of pure noise the optimum of all runs beats equal
weights in 92 % of refits on mixtures drawn from the same runs. So each half chooses for itself and the other judges.
The halves' optima also spread about as the optimum would if all mixtures were drawn again (the delete-half jackknife;
Wu 1990).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from modomodo.mixtures.surrogates.base import Observations, Surrogate, mixture_folds
from modomodo.mixtures.surrogates.threads import one_blas_thread

SURE = 0.95  # a difference is beyond noise when so many halves agree on its sign
FEWEST = 4  # mixtures: two are the least that can differ, and there are two halves


@dataclass(frozen=True)
class Comparison:
    """What halves are asked about; a mixture is [domains].

    Each half takes its best of `candidates` [n, domains]; `optimum` is that of all runs. Both are compared with the
    `baselines`; `proposals` are compared with the second of these, the best observed mixture (the first where there
    is no second).
    """

    candidates: np.ndarray
    optimum: np.ndarray
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)
    proposals: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def reference(self) -> int:
        """The place of the baseline that proposals are compared with."""
        return min(1, len(self.baselines) - 1)

    def points(self) -> np.ndarray:
        """Candidates, baselines and proposals, [n, domains]."""
        others = (*self.baselines.values(), *self.proposals.values())
        return np.concatenate([self.candidates, *(point[None] for point in others)])


@dataclass(frozen=True)
class Uncertainty:
    """What the halves say.

    `best` [halves, domains] are their best mixtures; `cross_fitted` [halves, baselines] what each one's best gains over
    the baselines as the other half judges, and `in_sample` as it judges itself. `proposal_gains` [halves, proposals]
    are the gains of further mixtures over the baseline `reference`. `informed`: the surrogate predicts left-out
    mixtures better than their mean does; if not, every difference is within noise.
    """

    domains: tuple[str, ...]
    optimum: np.ndarray
    best: np.ndarray
    baselines: tuple[str, ...]
    cross_fitted: np.ndarray
    in_sample: np.ndarray
    informed: bool = True
    proposals: tuple[str, ...] = ()
    reference: str = ""
    proposal_gains: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def weights(self) -> pd.DataFrame:
        """One row a domain: the optimum's weight, and mean and 5, 50 and 95 % quantiles of the halves' best."""
        low, middle, high = np.quantile(self.best, [0.05, 0.5, 0.95], axis=0)
        return pd.DataFrame(
            {
                "domain": self.domains,
                "optimum": self.optimum,
                "mean": self.best.mean(axis=0),
                "low": low,
                "median": middle,
                "high": high,
            }
        )

    def over_baselines(self) -> pd.DataFrame:
        """One row a baseline: the optimum's gain, its 5 and 95 % quantiles, the share of halves with one, the verdict.

        NaN for a baseline with a domain that no run has tried.

        `within_noise`: fewer than 95 % of the halves agree on who is better, or the surrogate knows nothing. NaN with
        fewer than four mixtures, which have no two halves.
        """
        return pd.DataFrame({"baseline": self.baselines, **self._verdicts(self.cross_fitted)})

    @property
    def cross_fitted_share(self) -> float:
        """How much of the in-sample gain over `reference` is left when the other halves judge, 0 to 1."""
        place = self.baselines.index(self.reference)
        in_sample, cross_fitted = self.in_sample[:, place].sum(), self.cross_fitted[:, place].sum()
        # Not so where nothing is known of one of them.
        return float(np.clip(cross_fitted / in_sample, 0.0, 1.0)) if in_sample > 0 else 0.0

    def proposals_over_reference(self) -> pd.DataFrame:
        """One row a proposal: what it gains over `reference`, as `over_baselines`.

        All runs had a say in a proposal, so no half can judge it alone: the gain is multiplied by
        `cross_fitted_share`, and spreads as among the halves.
        """
        gains = self.proposal_gains
        if len(gains):
            gains = gains - (1 - self.cross_fitted_share) * gains.mean(axis=0)
        return pd.DataFrame({"mixture": self.proposals, "baseline": self.reference, **self._verdicts(gains)})

    def _verdicts(self, gains: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of a table with a row a column of gains [halves, mixtures]."""
        if not len(gains):
            unknown = np.full(gains.shape[1], np.nan)
            columns = dict.fromkeys(("gain", "low", "high", "probability"), unknown)
            return {**columns, "within_noise": np.full(gains.shape[1], True)}
        known = np.isfinite(gains).all(axis=0)
        probability = np.where(known, (gains > 0).mean(axis=0), np.nan)
        low, high = np.quantile(gains, [0.05, 0.95], axis=0)
        agreed = np.maximum(probability, (gains < 0).mean(axis=0))
        return {
            "gain": gains.mean(axis=0),
            "low": low,
            "high": high,
            "probability": probability,
            "within_noise": ~(agreed >= SURE) | (not self.informed),
        }


Errors = Callable[[np.random.Generator], np.ndarray]
"""A random draw of the errors of the scores, [runs, benchmarks]."""


def _independent(errors: np.ndarray) -> Errors:
    return lambda random: errors * random.standard_normal(errors.shape)


@one_blas_thread()
def half_means(
    observations: Observations,
    fit: Surrogate,
    points: np.ndarray,
    seed: int,
    count: int,
    errors: Errors | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What each half of the mixtures expects of `points` [n, domains], two halves at a time: [n, benchmarks] each.

    None with fewer than FEWEST mixtures. The other arguments are those of `split_half`.
    """
    random = np.random.default_rng(seed)
    final = observations.final()
    folds = mixture_folds(final.weights)
    mixtures = int(folds.max()) + 1
    draw = errors or _independent(np.nan_to_num(final.errors))
    found = []
    for split in range((count + 1) // 2 if mixtures >= FEWEST else 0):
        noisy = replace(final, scores=final.scores + draw(random))
        order = random.permutation(mixtures)
        one, other = (
            fit(noisy.rows(np.isin(folds, half)), seed + split).mean(points)
            for half in (order[: mixtures // 2], order[mixtures // 2 : mixtures // 2 * 2])
        )
        found.append((one, other))
    return found


def split_half(
    observations: Observations,
    fit: Surrogate,
    comparison: Comparison,
    seed: int,
    count: int = 50,
    informed: bool = True,
    errors: Errors | None = None,
) -> Uncertainty:
    """Fit `count` halves, two at a time; see where the best candidate of each lies; let the other half judge it.

    Mixtures are divided at random, with all runs of each; of an odd number one is left out. Where a standard error is
    known, a normal error of that size is added to the scores, as if each run had answered other questions; `errors`
    draws them where the answers of all runs to the same questions are known. Nothing is said of mixtures with a domain
    that no run has tried, nor of any where the runs tell no mixture from another.
    """
    final = observations.final()
    points = comparison.points()
    supported = final.supports(points) & (not final.undetermined)
    candidates, baselines = len(comparison.candidates), len(comparison.baselines)
    known = slice(candidates, candidates + baselines)
    best, cross_fitted, in_sample, proposals = [], [], [], []
    for means in half_means(observations, fit, points, seed, count, errors):
        values = [np.where(supported, mean @ final.shares, np.nan) for mean in means]
        for own, other in (values, values[::-1]):
            chosen = int(np.nanargmax(own[:candidates])) if supported[:candidates].any() else 0
            best.append(comparison.candidates[chosen])
            cross_fitted.append(other[chosen] - other[known])
            in_sample.append(own[chosen] - own[known])
            proposals.append(own[known.stop :] - own[candidates + comparison.reference])
    names = tuple(comparison.baselines)
    return Uncertainty(
        final.domains,
        comparison.optimum,
        np.array(best) if best else comparison.optimum[None],
        names,
        np.array(cross_fitted).reshape(len(best), baselines),
        np.array(in_sample).reshape(len(best), baselines),
        informed,
        tuple(comparison.proposals),
        names[comparison.reference] if comparison.proposals else "",
        np.array(proposals).reshape(len(best), len(comparison.proposals)),
    )


@dataclass(frozen=True)
class ObservedMixture:
    """A mixture that was trained: weights [domains] and the mean objective of its runs."""

    name: str
    weights: np.ndarray
    score: float


def best_observed(observations: Observations) -> list[ObservedMixture]:
    """Every mixture of which a run has all scores, best first."""
    final = observations.final()
    values = final.scores @ final.shares
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(np.isfinite(values)):
        rows.setdefault(final.mixtures[row], []).append(int(row))
    found = [
        ObservedMixture(name, final.weights[row[0]], float(values[row].mean())) for name, row in rows.items()
    ]
    return sorted(found, key=lambda mixture: (-mixture.score, mixture.name))
