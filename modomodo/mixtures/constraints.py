"""What proposed mixtures must keep to: bounds, fixed weights, epochs of a domain, distance from a prior."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from modomodo.errors import InputError, nearest
from modomodo.mixtures.mixture import SUM_TOLERANCE, validate_weights


class Constraints(BaseModel):
    """Constraints on a proposed mixture, by domain name. Without any, the whole simplex is allowed."""

    model_config = ConfigDict(extra="forbid")

    minimum: dict[str, float] = Field(default_factory=dict, description="Minimum weight of a domain.")
    maximum: dict[str, float] = Field(default_factory=dict, description="Maximum weight of a domain.")
    fixed: dict[str, float] = Field(default_factory=dict, description="Exact weight of a domain.")
    epochs: float | dict[str, float] | None = Field(
        default=None, description="Maximum number of epochs over a domain within the target steps."
    )
    exhaustion_risk: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Accepted probability that a domain at its maximum weight exceeds `epochs`: draws are random.",
    )
    sizes: dict[str, int] = Field(
        default_factory=dict, description="Rows of each domain; needed for `epochs`."
    )
    prompts: int | None = Field(
        default=None, gt=0, description="Prompts drawn within the target steps; needed for `epochs`."
    )
    prior: dict[str, float] = Field(default_factory=dict, description="A mixture to stay close to.")
    prior_distance: float | None = Field(
        default=None, ge=0, description="Maximum Kullback-Leibler divergence from `prior`, in nats."
    )

    @model_validator(mode="after")
    def _values_are_weights(self) -> Self:
        for kind in ("minimum", "maximum", "fixed"):
            for domain, weight in getattr(self, kind).items():
                if not 0 <= weight <= 1:
                    raise ValueError(f"{kind}: '{domain}' has {weight:g}: give a weight from 0 to 1")
        if self.prior_distance is not None and not self.prior:
            raise ValueError("prior_distance: name the mixture to stay near under 'prior'")
        if self.prior and self.prior_distance is None:
            raise ValueError("prior: say how near to it mixtures must stay under 'prior_distance'")
        return self


def without(constraints: Constraints, domains: Iterable[str]) -> Constraints:
    """The same, and no weight on some domains, but on those of which the constraints ask for some."""
    asked = {name for name, weight in {**constraints.minimum, **constraints.fixed}.items() if weight > 0}
    if constraints.prior_distance is not None:
        asked |= {name for name, weight in constraints.prior.items() if weight > 0}
    none = {domain: 0.0 for domain in domains if domain not in asked}
    return constraints.model_copy(update={"maximum": {**constraints.maximum, **none}})


def check_names(constraints: Constraints, domains: Sequence[str]) -> None:
    """Raises InputError for a bound, size or prior of a domain that is none of a table's or study's `domains`."""
    epochs = constraints.epochs if isinstance(constraints.epochs, dict) else {}
    for key, named in (
        ("minimum", constraints.minimum),
        ("maximum", constraints.maximum),
        ("fixed", constraints.fixed),
        ("epochs", epochs),
        ("sizes", constraints.sizes),
        ("prior", constraints.prior),
    ):
        for domain in named:
            if domain not in domains:
                raise InputError(f"constraints: {key}: unknown domain '{domain}': {nearest(domain, domains)}")


@dataclass
class _Bound:
    """The limit of a domain's weight in one direction, and the constraint that set it."""

    weight: float
    reason: str = ""


def bounds(constraints: Constraints, domains: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest weight of each of `domains`, two arrays of shape [domains].

    A domain that is constrained but not in `domains` (dropped by the strategy) must be allowed weight 0.

    Raises InputError for an unknown or contradictory bound and when no mixture keeps to all, naming the
    culprits.
    """
    lower = {domain: _Bound(0.0) for domain in domains}
    upper = {domain: _Bound(1.0) for domain in domains}
    fixed = [(domain, weight, f"fixed weight {weight:g}") for domain, weight in constraints.fixed.items()]
    least = [(domain, weight, f"minimum of {weight:g}") for domain, weight in constraints.minimum.items()]
    greatest = [(domain, weight, f"maximum of {weight:g}") for domain, weight in constraints.maximum.items()]
    caps = [(domain, weight, "epochs") for domain, weight in epoch_caps(constraints, domains).items()]
    for domain, weight, reason in [*least, *fixed]:
        if domain in lower and weight > lower[domain].weight:
            lower[domain] = _Bound(weight, reason)
        elif domain not in lower and weight > 0:
            raise InputError(
                f"constraints: {reason}: '{domain}' may not be used here: {nearest(domain, domains)}"
            )
    for domain, weight, reason in [*greatest, *fixed, *caps]:
        if domain in upper and weight < upper[domain].weight:
            upper[domain] = _Bound(weight, reason)
    _check_feasible(lower, upper)
    return (
        np.array([lower[domain].weight for domain in domains]),
        np.array([upper[domain].weight for domain in domains]),
    )


def _check_feasible(lower: Mapping[str, _Bound], upper: Mapping[str, _Bound]) -> None:
    """Raises InputError when no mixture keeps to the bounds, naming those that exclude each other."""
    for domain, bound in lower.items():
        if bound.weight > upper[domain].weight:
            raise InputError(
                f"constraints: '{domain}' needs at least {bound.weight:.4g} ({bound.reason}) but may have at most "
                f"{upper[domain].weight:.4g} ({upper[domain].reason})"
            )
    least = math.fsum(bound.weight for bound in lower.values())
    if least > 1 + SUM_TOLERANCE:
        culprits = ", ".join(
            f"{domain} {bound.weight:g}" for domain, bound in lower.items() if bound.weight > 0
        )
        raise InputError(
            f"constraints: the least weights sum to {least:g}, above 1: {culprits}: lower one of them"
        )
    greatest = math.fsum(bound.weight for bound in upper.values())
    if greatest < 1 - SUM_TOLERANCE:
        culprits = ", ".join(
            f"{domain} {bound.weight:.4g} ({bound.reason})"
            for domain, bound in upper.items()
            if bound.weight < 1
        )
        raise InputError(
            f"constraints: the greatest weights sum to {greatest:.4g}, below 1: {culprits}: raise one of them"
        )


def epoch_caps(constraints: Constraints, domains: Iterable[str]) -> dict[str, float]:
    """The greatest weight of each domain under which it lasts until the last of the prompts.

    The cap is the weight at which `epochs` × size examples are used up before with the chance `exhaustion_risk`.

    Raises InputError when `sizes` or `prompts` is missing.
    """
    if constraints.epochs is None:
        return {}
    if constraints.prompts is None:
        raise InputError("constraints: epochs: give 'prompts', the number of prompts within the target steps")
    caps = {}
    for domain in domains:
        epochs = (
            constraints.epochs.get(domain)
            if isinstance(constraints.epochs, dict)
            else float(constraints.epochs)
        )
        if epochs is None:
            continue
        if domain not in constraints.sizes:
            raise InputError(f"constraints: epochs: give the number of rows of '{domain}' under 'sizes'")
        rows = math.floor(epochs * constraints.sizes[domain])
        caps[domain] = weight_within(rows, constraints.prompts, constraints.exhaustion_risk)
    return caps


def weight_within(rows: int, prompts: int, risk: float) -> float:
    """The greatest weight under which a draw of `prompts` exhausts `rows` of a domain with a chance of at most `risk`.

    The draw takes the domain of each prompt at random and ends with the last example of any (`stream.draw_stream`):
    it ends early when all prompts but the last hold `rows` of them, Binomial(prompts - 1, weight) ≥ rows.
    """
    if rows >= prompts:
        return 1.0
    if rows < 1:
        return 0.0
    from scipy.stats import beta

    # P(Binomial(prompts - 1, w) ≥ rows) = P(Beta(rows, prompts - rows) < w): the cap is a beta quantile.
    return float(beta.ppf(risk, rows, prompts - rows))


def project(points: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The nearest point (Euclidean) of the simplex between the bounds, for each row of [n, domains].

    The projection is clip(x - shift, lower, upper) with the one shift that makes the row sum to 1, found by
    bisection: the sum falls as the shift grows.
    """
    low = (points - upper).min(axis=1) - 1
    high = (points - lower).max(axis=1) + 1
    for _ in range(60):
        shift = (low + high) / 2
        above = np.clip(points - shift[:, None], lower, upper).sum(axis=1) > 1
        low, high = np.where(above, shift, low), np.where(above, high, shift)
    return np.clip(points - ((low + high) / 2)[:, None], lower, upper)


def divergence(points: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence, in nats, of each row of [n, domains] from `prior` [domains].

    Infinite for weight on a domain that the prior leaves out.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(points > 0, points * np.log(points / prior), 0.0)
    return terms.sum(axis=1)


def allowed(constraints: Constraints, domains: Sequence[str]) -> Callable[[np.ndarray], np.ndarray]:
    """A test for rows of [n, domains]: which keep to the bounds (within 1e-6) and stay near the prior."""
    lower, upper = bounds(constraints, domains)
    prior = (
        np.array(list(validate_weights(constraints.prior, domains, "constraints: prior").values()))
        if constraints.prior
        else None
    )

    def test(points: np.ndarray) -> np.ndarray:
        kept = np.all((points >= lower - 1e-6) & (points <= upper + 1e-6), axis=1)
        if prior is not None and constraints.prior_distance is not None:
            kept &= divergence(points, prior) <= constraints.prior_distance + 1e-6
        return kept

    return test
