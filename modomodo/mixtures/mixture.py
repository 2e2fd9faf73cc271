"""The simplex: weights by domain name, their file, the seed mixtures and the constraints on a mixture."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from modomodo.config.loading import parse
from modomodo.errors import InputError, nearest
from modomodo.files import read_json, write_json
from modomodo.mixtures.budget import Decision
from modomodo.mixtures.online import OnlineOptions

Weights = dict[str, float]

SUM_TOLERANCE = 1e-9
DIGITS = 6
SAME = 2e-6  # weights that differ by less are equal: they are written with six digits


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
        scaled_weights = ", ".join(f"{domain}: {weight:g}" for domain, weight in scaled.items() if weight > 0)
        raise InputError(f"{where}: weights sum to {total:.10g}, not 1: scaled they are {scaled_weights}")
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


def tried(weights: np.ndarray) -> np.ndarray:
    """Which domains any of some mixtures [n, domains] gives weight, [domains]: nothing is known of the others."""
    return np.any(weights > SAME, axis=0)


def seed_kind(weights: Sequence[float] | np.ndarray) -> str | None:
    """What a mixture is by its weights: 'single', 'exclude-one', 'all', or None for any other.

    Of two domains each is both alone and what is left without the other: it is 'single'.
    """
    row = np.asarray(weights, float)
    if np.isnan(row).any():
        return None
    used = row > SAME
    if np.ptp(row[used]) > SAME:
        return None
    return {len(row): "all", len(row) - 1: "exclude-one", 1: "single"}.get(int(used.sum()))


class Predicted(BaseModel):
    """What the strategy expected of its target before the mixture was trained."""

    model_config = ConfigDict(extra="forbid")

    mean: float
    standard_deviation: float | None = None


class Mixture(BaseModel):
    """`mixtures/<mixture>.json`: a named point on the simplex and where it came from."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    weights: Weights
    strategy: str = Field(min_length=1, description="The strategy that proposed it.")
    round: int = Field(
        ge=0, description="0 where no score decides; a later round has seen the records of those before."
    )
    observed: str | None = Field(
        default=None, description="Digest of the records used (records.observed_digest)."
    )
    predicted: Predicted | None = None
    online: OnlineOptions | None = Field(
        default=None,
        description="How a run changes the weights while it trains; they are only where it starts.",
    )
    budget: Decision | None = Field(default=None, description="What of a budget is done here.")

    @property
    def idle(self) -> bool:
        """Whether nothing is trained under its own name: its share of a budget went elsewhere."""
        return self.budget is not None and self.budget.does != "train"

    @property
    def repeats_with(self) -> int | None:
        """The seed that a place of a budget trains this known mixture with; None elsewhere."""
        return self.budget.seed if self.budget else None


def read_mixture(path: str | Path, domains: Sequence[str] | None = None) -> Mixture:
    """A mixture whose weights name every one of `domains` (default: those of the file), in that order.

    Raises InputError with file and field for anything unknown, missing or off the simplex.
    """
    mixture = parse(read_json(path), Mixture, str(path))
    weights = validate_weights(mixture.weights, domains or list(mixture.weights), f"{path}: weights")
    return mixture.model_copy(update={"weights": weights})


def read_mixtures(paths: Iterable[str | Path], domains: Sequence[str] | None = None) -> dict[str, Mixture]:
    """Mixtures by name, as `read_mixture`: one that took places too is in several files."""
    return {mixture.name: mixture for mixture in (read_mixture(path, domains) for path in paths)}


def write_mixture(path: str | Path, mixture: Mixture) -> None:
    """Write the file; weights are rounded to six digits and still sum to 1, so rewriting keeps the bytes."""
    rounded = mixture.model_copy(update={"weights": round_weights(mixture.weights)})
    plain = rounded.model_dump(mode="json", exclude={"online", "budget"})
    online = {"online": mixture.online.changed()} if mixture.online else {}
    budget = {"budget": _decided(mixture.budget)} if mixture.budget else {}
    write_json(path, plain | online | budget)


def _decided(decision: Decision) -> dict[str, Any]:
    return decision.model_dump(mode="json", exclude={"seed"} if decision.seed is None else None)
