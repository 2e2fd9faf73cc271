"""What one weight does: scores along it, and what each benchmark gains from more of a domain.

In both the other domains keep their proportions. The explorer's page computes the same (`explorer/effects.js`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from modomodo.reporting.surface import Surface

POINTS = 41  # of a slice
STEP = 0.1  # of a weight: what effects are the effects of
NEAR = 0.15  # runs that differ from a slice in at most this share of the prompts are shown beside it


def moved(surface: Surface, at: np.ndarray, domain: str, values: Sequence[float] | np.ndarray) -> np.ndarray:
    """The mixture `at` [domains of the predictor] with the weight of one domain set to each value: [n, domains].

    The others keep their proportions; where they have no weight, all that some run has tried get the same.
    """
    predictor = surface.predictor
    place = predictor.domains.index(domain)
    others = np.delete(np.arange(len(predictor.domains)), place)
    shares = at[others]
    if shares.sum() <= 1e-12:
        untried = predictor.observations.untried
        shares = np.array([float(predictor.domains[other] not in untried) for other in others])
    total = shares.sum()
    weights = np.zeros((len(values), len(predictor.domains)))
    weights[:, place] = values if total > 0 else 1.0
    weights[:, others] = (1 - weights[:, [place]]) * shares / max(total, 1e-12)
    return weights


def domains_of(surface: Surface) -> list[str]:
    """Those that some run has tried: nothing is known of the others."""
    predictor = surface.predictor
    return [domain for domain in predictor.domains if domain not in predictor.observations.untried]


def slices(surface: Surface, at: np.ndarray, points: int = POINTS) -> pd.DataFrame:
    """Each target along each domain's weight, through the mixture `at`.

    Columns: domain, weight, target, mean, deviation (of the expected score), run (of one run's score).
    Weights are closer near 0, where the first prompts of a domain teach most.
    """
    values = np.linspace(0, 1, points) ** 2
    parts = []
    for domain in domains_of(surface):
        prediction = surface.predictor.predict(moved(surface, at, domain, values))
        for target, shares in surface.shares.items():
            mean, deviation = prediction.aggregate(shares)
            columns = {"mean": mean, "deviation": deviation, "run": prediction.run_spread(shares)}
            parts.append(pd.DataFrame({"domain": domain, "weight": values, "target": target, **columns}))
    return pd.concat(parts, ignore_index=True)


def apart(surface: Surface, at: np.ndarray, domain: str, runs: np.ndarray) -> np.ndarray:
    """How far runs [n, domains] lie off a slice, each at its own weight of the domain: the share of prompts, [n]."""
    place = surface.predictor.domains.index(domain)
    return np.abs(runs - moved(surface, at, domain, runs[:, place])).sum(axis=1) / 2


def effects(surface: Surface, at: np.ndarray, step: float = STEP) -> pd.DataFrame:
    """What each target gains where a domain has `step` more weight than in the mixture `at`.

    Columns: domain, target, change (of the weight: less where it would exceed 1), effect, error (the standard
    deviation of the effect, which the errors of the two expectations share).
    """
    domains, predictor = domains_of(surface), surface.predictor
    before = np.array([at[predictor.domains.index(domain)] for domain in domains])
    after = np.minimum(before + step, 1.0)
    more = np.vstack(
        [moved(surface, at, domain, [value]) for domain, value in zip(domains, after, strict=True)]
    )
    gain = predictor.difference(more, np.tile(at, (len(domains), 1)))
    parts = []
    for target, shares in surface.shares.items():
        effect, error = gain.aggregate(shares)
        columns = {"change": after - before, "effect": effect, "error": error}
        parts.append(pd.DataFrame({"domain": domains, "target": target, **columns}))
    return pd.concat(parts, ignore_index=True)
