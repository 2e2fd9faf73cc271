"""Strategies that need no scores: singles, exclude-one, all, listed, drawn, designed and online mixtures."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from modomodo.errors import InputError
from modomodo.mixtures import mixture
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.mixture import normalise, round_weights, validate_weights
from modomodo.mixtures.online import OnlineOptions
from modomodo.mixtures.strategies.base import (
    Options,
    Proposal,
    Request,
    _options,
    _sorted,
    as_requested,
    declare,
    each_domain,
)

# --- seeds ----------------------------------------------------------------------------------------------------


@declare("single", suffixes=each_domain, learns=False)
def single(request: Request) -> list[Proposal]:
    """One mixture for each domain, with all weight on it."""
    return [Proposal(weights) for weights in mixture.single(request.domains).values()]


@declare("exclude_one", suffixes=each_domain, learns=False)
def exclude_one(request: Request) -> list[Proposal]:
    """One mixture for each domain, with uniform weights on all others."""
    return [Proposal(weights) for weights in mixture.exclude_one(request.domains).values()]


def each_pair(domains: Sequence[str], requested: int) -> list[str | None]:
    """One mixture for each two domains, named after both."""
    return [f"{one}+{other}" for one, other in itertools.combinations(sorted(domains), 2)]


@declare("pairs", suffixes=each_pair, learns=False)
def pairs(request: Request) -> list[Proposal]:
    """One mixture for each two domains, with half the weight on each."""
    if len(request.domains) < 2:
        raise InputError(f"pairs: at least two domains are needed, found {len(request.domains)}")
    return [
        Proposal({domain: 0.5 * (domain in pair) for domain in request.domains})
        for pair in itertools.combinations(_sorted(request), 2)
    ]


@declare("all", learns=False)
def all_equal(request: Request) -> list[Proposal]:
    """The same weight on every domain."""
    return [Proposal(weights) for weights in mixture.uniform(request.domains).values()]


class ExplicitOptions(Options):
    """Options of `explicit`."""

    weights: dict[str, float] = Field(description="Weight of each domain; an omitted domain has none.")


@declare("explicit", options=ExplicitOptions, learns=False)
def explicit(request: Request) -> list[Proposal]:
    """The weights written in the study."""
    options = _options(request, ExplicitOptions)
    return [Proposal(validate_weights(options.weights, request.domains, "explicit: weights"))]


class DirichletOptions(Options):
    """Options of `dirichlet`."""

    concentration: float = Field(
        1.0,
        gt=0,
        description="1: even over the simplex; below: near its corners and faces; above: near uniform.",
    )


@declare("dirichlet", options=DirichletOptions, suffixes=as_requested, learns=False)
def dirichlet(request: Request) -> list[Proposal]:
    """Mixtures drawn at random, with no domain preferred."""
    options = _options(request, DirichletOptions)
    names = _sorted(request)
    drawn = np.random.default_rng(request.seed).dirichlet(
        np.full(len(names), options.concentration), request.count
    )
    return [Proposal(round_weights(dict(zip(names, row.tolist(), strict=True)))) for row in drawn]


class DesignOptions(Options):
    """Options of `design`."""

    kind: Literal["space_filling", "d_optimal"] = Field(
        "space_filling",
        description="Far from each other, or minimum variance of a quadratic surface on √w.",
    )
    constraints: Constraints = Field(default_factory=Constraints, description="Constraints on the mixtures.")


@declare("design", options=DesignOptions, suffixes=as_requested, learns=False)
def design(request: Request) -> list[Proposal]:
    """First mixtures that are more informative than corners and faces."""
    from modomodo.mixtures import designs

    options = _options(request, DesignOptions)
    names = _sorted(request)
    found = designs.design(names, options.constraints, request.count, request.seed, options.kind)
    return [
        Proposal(normalise({name: float(row[names.index(name)]) for name in request.domains}))
        for row in found
    ]


class BySizeOptions(Options):
    """Options of `by_size`."""

    sizes: dict[str, int] = Field(description="Rows of each domain.")
    temperature: float = Field(
        1.0, gt=0, description="1: in proportion to the sizes; the larger, the closer to uniform weights."
    )


@declare("by_size", options=BySizeOptions, learns=False)
def by_size(request: Request) -> list[Proposal]:
    """Weights by dataset size, tempered: w ∝ size^(1 / temperature) (Arivazhagan et al. 2019)."""
    options = _options(request, BySizeOptions)
    for domain in request.domains:
        if domain not in options.sizes:
            raise InputError(f"by_size: give the number of rows of '{domain}' under 'sizes'")
        if options.sizes[domain] < 1:
            raise InputError(f"by_size: sizes: '{domain}' has {options.sizes[domain]} rows: give at least 1")
    logs = np.array([math.log(options.sizes[domain]) for domain in request.domains]) / options.temperature
    tempered = np.exp(logs - logs.max())
    return [Proposal(normalise(dict(zip(request.domains, tempered.tolist(), strict=True))))]


# --- online ---------------------------------------------------------------------------------------------------


@declare("online", options=OnlineOptions, learns=False, online=True)
def online(request: Request) -> list[Proposal]:
    """One run whose domain probabilities change as it learns, from uniform weights on."""
    if len(request.domains) < 2:
        raise InputError(f"online: at least two domains are needed, found {len(request.domains)}")
    (start,) = all_equal(request)
    return [replace(start, online=_options(request, OnlineOptions))]
