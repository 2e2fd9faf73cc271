"""The simplex: weights by domain name, their file, the seed mixtures and the constraints on a mixture."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from modomodo.errors import InputError, nearest
from modomodo.files import read_json, write_json

Weights = dict[str, float]
Model = TypeVar("Model", bound=BaseModel)

SUM_TOLERANCE = 1e-9
DIGITS = 6


def validated(model: type[Model], values: object, where: str) -> Model:
    """`values` as a pydantic model; its first complaint as one line.

    Raises InputError `where: key: what is wrong`, for an unknown key with the nearest right one.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        finding = error.errors()[0]
        key = ".".join(str(part) for part in finding["loc"])
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            known = [name for name in model.model_fields if name not in finding["loc"]]
            message = f"unknown key; {nearest(str(finding['loc'][-1]), known)}"
        raise InputError(f"{where}: {key}: {message}" if key else f"{where}: {message}") from None


def validate_weights(weights: Mapping[str, Any], domains: Sequence[str], where: str = "weights") -> Weights:
    """The weights of every domain, in the order of `domains`; a domain left out has weight 0.

    Raises InputError for an unknown domain (with the nearest name), for what is no finite non-negative
    number, and for a sum further than 1e-9 from 1.
    """
    for domain, weight in weights.items():
        if domain not in domains:
            raise InputError(f"{where}: unknown domain '{domain}': {nearest(str(domain), domains)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise InputError(f"{where}: '{domain}' has weight {weight!r}: give a number from 0 to 1")
        if weight < 0:
            raise InputError(
                f"{where}: '{domain}' has the negative weight {weight:g}: give a number from 0 to 1"
            )
    total = math.fsum(weights.values())
    if abs(total - 1) > SUM_TOLERANCE:
        if total == 0:
            raise InputError(f"{where}: all weights are 0: give at least one domain a weight")
        scaled = round_weights({domain: weight / total for domain, weight in weights.items()})
        mend = ", ".join(f"{domain}: {weight:g}" for domain, weight in scaled.items() if weight > 0)
        raise InputError(f"{where}: weights sum to {total:.10g}, not 1: scaled they are {mend}")
    return {domain: float(weights.get(domain, 0.0)) for domain in domains}


def round_weights(weights: Mapping[str, float], digits: int = DIGITS) -> Weights:
    """Weights rounded so that they still sum to 1: what rounding leaves goes to the largest weight.

    Rounding twice changes nothing. Among equal largest weights the first name in the alphabet takes the
    remainder, so that the order of the domains does not matter.
    """
    scale = 10**digits
    units = {domain: round(weight * scale) for domain, weight in weights.items()}
    largest = min(units, key=lambda domain: (-units[domain], domain))
    units[largest] += scale - sum(units.values())
    return {domain: unit / scale for domain, unit in units.items()}


def normalise(values: Mapping[str, float]) -> Weights:
    """Non-negative values divided by their sum; equal weights where all are 0."""
    total = math.fsum(values.values())
    if total <= 0:
        return {domain: 1 / len(values) for domain in values}
    return {domain: value / total for domain, value in values.items()}


def single(domains: Sequence[str]) -> dict[str, Weights]:
    """One mixture a domain, all weight on it: the paper's Single."""
    return {f"single-{one}": {domain: float(domain == one) for domain in domains} for one in domains}


def exclude_one(domains: Sequence[str]) -> dict[str, Weights]:
    """One mixture a domain, equal weights on all the others: the paper's Exclude-One.

    Raises InputError for fewer than two domains.
    """
    if len(domains) < 2:
        raise InputError(f"exclude-one mixtures need at least two domains, found {len(domains)}")
    share = 1 / (len(domains) - 1)
    return {f"exclude-{one}": {domain: share * (domain != one) for domain in domains} for one in domains}


def uniform(domains: Sequence[str]) -> dict[str, Weights]:
    """The mixture `all`: equal weights on every domain."""
    return {"all": {domain: 1 / len(domains) for domain in domains}}


class Predicted(BaseModel):
    """What the strategy expected of its target before the mixture was trained."""

    model_config = ConfigDict(extra="forbid")

    mean: float
    standard_deviation: float | None = None


class Constraints(BaseModel):
    """What a proposed mixture must keep to, by domain name. An empty one allows the whole simplex."""

    model_config = ConfigDict(extra="forbid")

    minimum: dict[str, float] = Field(default_factory=dict, description="Least weight of a domain.")
    maximum: dict[str, float] = Field(default_factory=dict, description="Greatest weight of a domain.")
    fixed: dict[str, float] = Field(default_factory=dict, description="Exact weight of a domain.")
    epochs: float | dict[str, float] | None = Field(
        default=None, description="A domain may be read at most so many times over within the target steps."
    )
    exhaustion_risk: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Accepted chance that a domain at its greatest weight runs over `epochs`: draws are random.",
    )
    sizes: dict[str, int] = Field(
        default_factory=dict, description="Rows of each domain; needed for `epochs`."
    )
    prompts: int | None = Field(
        default=None, gt=0, description="Prompts drawn within the target steps; needed for `epochs`."
    )
    prior: dict[str, float] = Field(default_factory=dict, description="A mixture to stay near.")
    prior_distance: float | None = Field(
        default=None, ge=0, description="Greatest Kullback-Leibler divergence from `prior`, in nats."
    )

    @model_validator(mode="after")
    def _values_are_weights(self) -> Self:
        for kind in ("minimum", "maximum", "fixed"):
            for domain, weight in getattr(self, kind).items():
                if not 0 <= weight <= 1:
                    raise ValueError(f"{kind}: '{domain}' has {weight:g}: give a weight from 0 to 1")
        if self.prior_distance is not None and not self.prior:
            raise ValueError("prior_distance: name the mixture to stay near under 'prior'")
        return self


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


def bounds(constraints: Constraints, domains: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest weight of each of `domains`, two arrays of shape [domains].

    A domain that is constrained but not in `domains` (dropped by the strategy) must be allowed weight 0.

    Raises InputError for an unknown or contradictory bound and when no mixture keeps to all, naming the
    culprits.
    """
    lower = dict.fromkeys(domains, 0.0)
    upper = dict.fromkeys(domains, 1.0)
    source: dict[str, str] = {}

    def lift(domain: str, weight: float, why: str) -> None:
        if domain not in lower:
            if weight > 0:
                raise InputError(
                    f"constraints: {why}: '{domain}' may not be used here: {nearest(domain, domains)}"
                )
        elif weight > lower[domain]:
            lower[domain], source[domain] = weight, why

    def cap(domain: str, weight: float, why: str) -> None:
        if domain not in upper:
            return
        if weight < upper[domain]:
            upper[domain] = weight
            source[domain + " cap"] = why

    for domain, weight in constraints.minimum.items():
        lift(domain, weight, f"minimum of {weight:g}")
    for domain, weight in constraints.maximum.items():
        cap(domain, weight, f"maximum of {weight:g}")
    for domain, weight in constraints.fixed.items():
        lift(domain, weight, f"fixed weight {weight:g}")
        cap(domain, weight, f"fixed weight {weight:g}")
    for domain, weight in epoch_caps(constraints, domains).items():
        cap(domain, weight, "epochs")

    for domain in domains:
        if lower[domain] > upper[domain]:
            raise InputError(
                f"constraints: '{domain}' needs at least {lower[domain]:.4g} ({source[domain]}) but may have at most "
                f"{upper[domain]:.4g} ({source[domain + ' cap']})"
            )
    if math.fsum(lower.values()) > 1 + SUM_TOLERANCE:
        culprits = ", ".join(f"{domain} {lower[domain]:g}" for domain in domains if lower[domain] > 0)
        raise InputError(
            f"constraints: the least weights sum to {math.fsum(lower.values()):g}, above 1: {culprits}: "
            "lower one of them"
        )
    if math.fsum(upper.values()) < 1 - SUM_TOLERANCE:
        culprits = ", ".join(
            f"{domain} {upper[domain]:.4g} ({source[domain + ' cap']})"
            for domain in domains
            if upper[domain] < 1
        )
        raise InputError(
            f"constraints: the greatest weights sum to {math.fsum(upper.values()):.4g}, below 1: {culprits}: "
            "raise one of them"
        )
    return np.array([lower[domain] for domain in domains]), np.array([upper[domain] for domain in domains])


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


def exhaustion_chance(weight: float, rows: int, prompts: int) -> float:
    """The chance that a two-stage draw of `prompts` prompts has used up `rows` of a domain before its last prompt.

    The draw takes the domain of each prompt at random, and ends with the last example of any
    (`streams.draw_stream`): it is cut short when all but the last prompt hold `rows` of them,
    Binomial(prompts - 1, weight) ≥ rows.
    """
    from scipy.stats import binom

    return float(binom.sf(rows - 1, prompts - 1, weight))


def weight_within(rows: int, prompts: int, risk: float) -> float:
    """The greatest weight whose `exhaustion_chance` is at most `risk`."""
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


class Mixture(BaseModel):
    """`mixtures/<mixture>.json`: a named point on the simplex and where it came from."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    weights: Weights
    strategy: str = Field(min_length=1, description="The strategy that proposed it.")
    round: int = Field(
        ge=0, description="0 for the seeds; a later round has seen the records of those before."
    )
    observed: str | None = Field(
        default=None, description="Digest of the records used (records.observed_digest)."
    )
    predicted: Predicted | None = None
    constraints: Constraints | None = None


def read_mixture(path: str | Path, domains: Sequence[str] | None = None) -> Mixture:
    """A mixture whose weights name every one of `domains` (default: those of the file), in that order.

    Raises InputError with file and field for anything unknown, missing or off the simplex.
    """
    mixture = validated(Mixture, read_json(path), str(path))
    weights = validate_weights(mixture.weights, domains or list(mixture.weights), f"{path}: weights")
    return mixture.model_copy(update={"weights": weights})


def write_mixture(path: str | Path, mixture: Mixture) -> None:
    """Write the file; weights are rounded to six digits and still sum to 1, so rewriting keeps the bytes."""
    rounded = mixture.model_copy(update={"weights": round_weights(mixture.weights)})
    write_json(path, rounded.model_dump(mode="json"))
