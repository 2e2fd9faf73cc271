"""Acquisition, and what a budget of GPU-hours is spent on."""

from dataclasses import replace
from typing import Self, cast

import numpy as np
from pydantic import Field, model_validator

from modomodo.config.schema import Study
from modomodo.errors import InputError
from modomodo.mixtures.budget import Belief, Budget, Decision, Prices, spend
from modomodo.mixtures.constraints import allowed, without
from modomodo.mixtures.mixture import SAME, normalise
from modomodo.mixtures.strategies.base import (
    Proposal,
    Request,
    _options,
    as_requested,
    declaration,
    declare,
    read_options,
)
from modomodo.mixtures.strategies.search import (
    CandidateOptions,
    Fit,
    _acquired,
    _candidates,
    _fit,
    _proposal,
    batch,
)
from modomodo.mixtures.surrogates.threads import one_blas_thread

NEW = 150  # candidates that promise most, which are weighed against stopped runs
SURFACES = 1000  # drawn for the covariance between them


class AcquireOptions(CandidateOptions):
    """Options of `acquire`."""

    budget: float | None = Field(
        None,
        gt=0,
        description="GPU-hours, by the study's costs: spent over at most `count` new mixtures and stopped runs of "
        "races that it learns from, by expected gain an hour.",
    )

    @model_validator(mode="after")
    def _one_criterion(self) -> Self:
        for key in ("acquisition", "exploration"):
            if self.budget is not None and key in self.model_fields_set:
                raise ValueError(f"{key}: a budget is spent by expected gain an hour: remove one of the two")
        return self


@declare("acquire", options=AcquireOptions, suffixes=as_requested)
def acquire(request: Request) -> list[Proposal]:
    """Mixtures that promise most by a surrogate and its uncertainty: a batch by an acquisition function.

    With a budget: what promises most an hour of training, also further steps of stopped runs (docs/strategies.md).
    """
    options = _options(request, AcquireOptions)
    return batch(request, options) if options.budget is None else _within(request, options, options.budget)


def _within(request: Request, options: AcquireOptions, budget: float) -> list[Proposal]:
    """What a budget of GPU-hours is spent on: a proposal for each of its `count` places."""
    prices = request.prices
    if prices is None:
        raise InputError("budget: only a study that trains has one: remove it")
    fit = _fit(request, options)
    if options.surrogate == "auto" and not fit.surrogate.informed:
        number = min(request.count, Budget(budget, prices).runs)
        explored = _acquired(replace(request, count=number), options, fit, "explore")
        whole = Decision(does="train", hours=prices.whole)
        found = [replace(proposal, budget=whole) for proposal in explored]
    else:
        found = _by_gain(request, options, fit, prices, budget)
    return found + [_idle(request, fit, Decision(does="nothing"))] * (request.count - len(found))


def _by_gain(
    request: Request, options: AcquireOptions, fit: Fit, prices: Prices, budget: float
) -> list[Proposal]:
    """The actions of greatest expected gain an hour: new mixtures of those that promise most, and stopped runs."""
    from modomodo.mixtures.acquisition import Candidate, Scored, distance

    domains, shares = fit.surrogate.domains, fit.objective.shares
    candidates = _candidates(
        request, without(options.constraints, fit.avoided(request)), fit, options.candidates
    )
    scored = Scored(candidates, *fit.surrogate.predict(candidates).aggregate(shares))
    new = candidates[scored.promising(NEW)]
    names = _wanted(request, options)
    stopped = [[request.stopped[name].weights.get(domain, 0.0) for domain in domains] for name in names]
    observed = np.unique(fit.observations.final().weights, axis=0)
    points = np.concatenate([np.array(stopped).reshape(-1, len(domains)), new, observed])
    hours = [prices.further(request.stopped[name].step) for name in names] + [prices.whole] * len(new)
    excludes = np.zeros((len(hours), len(hours)), bool)
    near = np.array([distance(new, row) < options.min_distance for row in new])
    excludes[len(names) :, len(names) :] = near
    belief, deviation = _belief(fit, points, np.random.default_rng([request.seed, 2]))
    found = []
    for chosen in spend(belief, hours, budget, request.count, excludes):
        i = chosen.action
        about = {"hours": round(hours[i], 6), "gain_an_hour": chosen.gain_an_hour}
        note = f"gain {chosen.gain_an_hour:.3g} an hour, {hours[i]:.3g} h, {fit.note}"
        if i < len(names):
            since = request.stopped[names[i]].step
            decision = Decision(does="further", run=names[i], since=since, **about)
            found.append(replace(_idle(request, fit, decision), note=f"{names[i]} goes on: {note}"))
        else:
            candidate = Candidate(points[i], float(belief.mean[i]), float(deviation[i]))
            proposal = _proposal(candidate, fit, request, note)
            found.append(replace(proposal, budget=Decision(does="train", **about)))
    return found


def _wanted(request: Request, options: AcquireOptions) -> list[str]:
    """The stopped runs whose mixture keeps to the domains and constraints, by name."""
    usable = sorted(request.domains)
    keeps = allowed(options.constraints, usable)
    rows = {name: run.weights for name, run in sorted(request.stopped.items())}
    return [
        name
        for name, row in rows.items()
        if set(usable) >= {domain for domain, weight in row.items() if weight > SAME}
        and keeps(np.array([[row.get(domain, 0.0) for domain in usable]]))[0]
    ]


@one_blas_thread()
def _belief(fit: Fit, points: np.ndarray, random: np.random.Generator) -> tuple[Belief, np.ndarray]:
    """The belief in the objective at mixtures [n, domains], its covariance that of drawn surfaces; deviations [n]."""
    prediction = fit.surrogate.predict(points)
    shares = fit.objective.shares
    mean, deviation = prediction.aggregate(shares)
    surfaces = fit.surrogate.draw(points, SURFACES, random) @ shares
    covariance = np.atleast_2d(np.cov(surfaces, rowvar=False))
    return Belief(mean, covariance, max(0.0, float(shares @ prediction.noise @ shares))), deviation


def _idle(request: Request, fit: Fit, decision: Decision) -> Proposal:
    """A place in which no new mixture is trained; its weights are equal and count for nothing."""
    weights = normalise(dict.fromkeys(request.domains, 1.0))
    return Proposal(weights, note=decision.does, comparison=fit.surrogate.comparison, budget=decision)


def budget_of(study: Study, name: str) -> Budget | None:
    """What a strategy may spend; None of one without a budget.

    Raises InputError for less than one run, and where what a run costs is not known.
    """
    strategy = study.strategies[name]
    if not issubclass(declaration(strategy.propose).options, AcquireOptions):
        return None
    where = f"strategies.{name}.options"
    options = cast(AcquireOptions, read_options(strategy.propose, strategy.options, where))
    if options.budget is None:
        return None
    budget = Budget(options.budget, Prices.of(study, f"{where}.budget"))
    if not budget.runs:
        raise InputError(
            f"{where}.budget: {options.budget:g}: below one run ({budget.prices.whole:.3g} h by the study's costs): "
            "raise it, or remove it for a batch of `count` mixtures"
        )
    return budget
