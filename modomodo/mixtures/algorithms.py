"""The paper's heuristics, Algorithms 1 to 3: records of the seed mixtures → one mixture.

`domains` are those that may get weight; the records may hold more (the paper's "No 1" rows keep every record
and give one domain no weight). A domain that no record gives weight gets none: its sums would be 0, which is no
score. Records of several steps are read at the last one; several runs of one mixture count as one record, their mean,
so that repeats do not tilt the sums.
"""

import math
from collections.abc import Sequence

import numpy as np

from modomodo.errors import InputError
from modomodo.mixtures.mixture import Weights, normalise, tried
from modomodo.mixtures.records import (
    Records,
    average_seeds,
    in_order,
    last_step,
    target_values,
    trained,
    weights_matrix,
)

EQUAL = 1e-4  # weights nearer than this count as equal: files keep six digits
HIGH, LOW = 0.2, 0.1  # of Algorithm 3, before the weights are normalised: after the worst and the best score


def alpha(
    records: Records, domains: Sequence[str], trade_off: float = 0.5, single_factor: float = 0.5
) -> Weights:
    """Algorithm 1. Each domain collects the scores of the mixtures it took part in.

    C = α · minmax(ΣIn) + (1 - α) · minmax(ΣOut), w = C / ΣC; `trade_off` is α (1 for A_in, 0 for A_out, 0.5
    for A_bal) and `single_factor` is α_single, by which scores of single-domain mixtures are multiplied. The
    paper does not print α_single; 0.5 is our choice.

    Where all sums are equal, their min-max (0/0) is taken as 0 for every domain; where all of C is 0, the weights are
    equal. A score with coefficient 0 is not needed.

    Raises InputError for no records, and naming the mixture whose score is missing.
    """
    runs = _one_per_mixture(records)
    usable, domains = domains, _tried(runs, domains)
    support = weights_matrix(runs, runs.domains) > 0
    member = weights_matrix(runs, domains) > 0
    factor = np.where(support.sum(axis=1) == 1, single_factor, 1.0)
    combined = np.zeros(len(domains))
    for target, coefficient in (("in_score", trade_off), ("out_score", 1 - trade_off)):
        if coefficient:
            scores = _complete(runs, target, "alpha")
            combined += coefficient * _min_max(member.T @ (factor * scores))
    return _complete_weights(dict(zip(domains, combined.tolist(), strict=True)), usable)


def collinearity(records: Records, domains: Sequence[str], ridge: float = 1e-3) -> Weights:
    """Algorithm 2. Ridge regression of Out-Score on which domains took part, corrected for collinearity.

    β = (XᵀX + λI)⁻¹ Xᵀy without intercept, X the 0/1 membership; s = max(0, β / VIF) with VIF the diagonal
    of (XᵀX + λI)⁻¹; w = s / Σs, equal weights when no coefficient is positive.

    Raises InputError for no records, and naming the mixture whose Out-Score is missing.
    """
    runs = _one_per_mixture(records)
    usable, domains = domains, _tried(runs, domains)
    design = (weights_matrix(runs, domains) > 0).astype(float)
    scores = _complete(runs, "out_score", "collinearity")
    inverse = np.linalg.inv(design.T @ design + ridge * np.eye(len(domains)))
    coefficients = inverse @ design.T @ scores
    adjusted = np.maximum(0.0, coefficients / np.diag(inverse))
    return _complete_weights(dict(zip(domains, adjusted.tolist(), strict=True)), usable)


def leave_one_out(records: Records, domains: Sequence[str], range_over: str = "all") -> Weights:
    """Algorithm 3 ("Norm"). The better the mixture without a domain, the less weight the domain gets.

    Out-Scores of the exclude-one mixtures are min-max normalised to ŝ; the domain that a mixture leaves out
    gets 0.2 - 0.1 ŝ, then all are divided by their sum. Only exclude-one records are read; they are known by
    their weights: 0 on one domain, equal on all others. Equal scores give equal weights.

    `range_over`: "all" normalises over every exclude-one mixture, as the paper's set C says, also those of
    domains that get no weight; "remaining" over those of `domains` only, when the others were not run.

    Raises InputError naming the exclude-one mixtures that are missing or have no Out-Score.
    """
    runs = _one_per_mixture(records)
    matrix = weights_matrix(runs, runs.domains)
    scores = target_values(runs, "out_score")
    share = 1 / (len(runs.domains) - 1) if len(runs.domains) > 1 else 1.0
    found: dict[str, float] = {}
    for j, domain in enumerate(runs.domains):
        expected = np.full(len(runs.domains), share)
        expected[j] = 0.0
        rows = np.flatnonzero(np.abs(matrix - expected).max(axis=1) < EQUAL)
        if len(rows):
            found[domain] = float(np.mean(scores[rows]))
    needed = runs.domains if range_over == "all" else list(domains)
    missing = [domain for domain in needed if domain not in found]
    unscored = [domain for domain in needed if domain in found and math.isnan(found[domain])]
    if missing or unscored:
        parts = []
        if missing:
            parts.append("no record of the mixture without " + " and without ".join(missing))
        if unscored:
            parts.append("no Out-Score of the mixture without " + " and without ".join(unscored))
        raise InputError(
            f"leave_one_out: {'; '.join(parts)}: train and score the exclude-one mixtures (strategy exclude_one)"
        )
    scaled = dict(zip(needed, _min_max(np.array([found[domain] for domain in needed])), strict=True))
    return normalise({domain: HIGH - (HIGH - LOW) * float(scaled[domain]) for domain in domains})


def _tried(runs: Records, domains: Sequence[str]) -> list[str]:
    """Those of the domains that some run gave weight; all where none of them has any."""
    known = tried(weights_matrix(runs, domains))
    return [domain for domain, seen in zip(domains, known, strict=True) if seen or not known.any()]


def _complete_weights(values: Weights, domains: Sequence[str]) -> Weights:
    """Weights in proportion to values; none for a domain without a value, which no run has tried."""
    weights = normalise(values)
    return {domain: weights.get(domain, 0.0) for domain in domains}


def _one_per_mixture(records: Records) -> Records:
    runs = average_seeds(last_step(in_order(trained(records))))
    if not len(runs):
        raise InputError("heuristic: no records of trained mixtures: list the seed strategies it learns from")
    return runs


def _complete(runs: Records, target: str, heuristic: str) -> np.ndarray:
    scores = target_values(runs, target)
    if np.isnan(scores).any():
        names = ", ".join(runs.frame["mixture"][np.isnan(scores)])
        raise InputError(f"{heuristic}: no {target} of {names}: every record it learns from needs one")
    return scores


def _min_max(values: np.ndarray) -> np.ndarray:
    spread = values.max() - values.min()
    # Sums of equal scores differ in the last bits only: that is no spread.
    if spread <= 1e-12 * max(1.0, np.abs(values).max()):
        return np.zeros_like(values)
    return (values - values.min()) / spread
