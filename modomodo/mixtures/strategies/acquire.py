"""Acquisition, and what a budget of GPU-hours is spent on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from pydantic import Field, model_validator

from modomodo.config.schema import Study
from modomodo.errors import InputError
from modomodo.mixtures.budget import Action, Belief, Budget, Chosen, Decision, Prices, spend
from modomodo.mixtures.constraints import allowed, without
from modomodo.mixtures.mixture import SAME, Weights, normalise
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

if TYPE_CHECKING:
    from modomodo.mixtures.surrogates.base import Predictor

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
    repeats: int = Field(
        0,
        ge=0,
        description="Further seeds of one mixture, known or new, that the budget may also be spent on, at most.",
    )

    @model_validator(mode="after")
    def _one_criterion(self) -> Self:
        for key in ("acquisition", "exploration"):
            if self.budget is not None and key in self.model_fields_set:
                raise ValueError(f"{key}: a budget is spent by expected gain an hour: remove one of the two")
        if self.repeats and self.budget is None:
            raise ValueError(
                "repeats: only a budget is spent on them: add one, or name mixtures and seeds under the study's repeats"
            )
        return self


@declare("acquire", options=AcquireOptions, suffixes=as_requested)
def acquire(request: Request) -> list[Proposal]:
    """Mixtures that promise most by a surrogate and its uncertainty: a batch by an acquisition function.

    With a budget: what promises most an hour of training, also further steps of stopped runs and further seeds of known
    mixtures (docs/strategies.md).
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
    """The actions of greatest expected gain an hour: new mixtures of those that promise most, stopped runs, repeats."""
    from modomodo.mixtures.acquisition import Scored, distance

    domains, shares = fit.surrogate.domains, fit.objective.shares
    candidates = _candidates(
        request, without(options.constraints, fit.avoided(request)), fit, options.candidates
    )
    scored = Scored(candidates, *fit.surrogate.predict(candidates).aggregate(shares))
    new = candidates[scored.promising(NEW)]
    names = _wanted(request, options)
    stopped = [[request.stopped[name].weights.get(domain, 0.0) for domain in domains] for name in names]
    observed = np.unique(fit.observations.final().weights, axis=0)
    if (
        options.repeats
    ):  # under its seed a known mixture would be the same run, so it is only trained under others
        new = new[np.abs(new[:, None] - observed).max(axis=2).min(axis=1) > SAME]
    points = np.concatenate([np.array(stopped).reshape(-1, len(domains)), new, observed])
    known = _repeatable(request, options, fit, observed)
    actions = [
        *(Action(prices.further(request.stopped[name].step)) for name in names),
        *[Action(prices.whole, 1 + options.repeats)] * len(new),
        *(Action(prices.whole, options.repeats if name else 0) for name in known),
    ]
    excludes = np.zeros((len(actions), len(actions)), bool)
    own = slice(len(names), len(names) + len(new))
    excludes[own, own] = np.array([distance(new, row) < options.min_distance for row in new])
    belief, deviation = believed(fit.surrogate, shares, points, np.random.default_rng([request.seed, 2]))
    places = _Places(points, belief.mean, deviation, names, [None] * len(new) + known)
    return _spent(request, fit, places, spend(belief, actions, budget, request.count, excludes), actions)


@dataclass(frozen=True)
class _Places:
    """What may be trained. `points` [n, domains], what is expected there, `mean` and `deviation` [n]; the first are of
    the runs `stopped`, the others of new mixtures, called None, and of known ones.
    """

    points: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    stopped: Sequence[str]
    called: Sequence[str | None]


def _spent(
    request: Request, fit: Fit, places: _Places, chosen: Sequence[Chosen], actions: Sequence[Action]
) -> list[Proposal]:
    """A proposal for each action that was chosen."""
    from modomodo.mixtures.acquisition import Candidate

    frame = request.records.frame
    called, found = list(places.called), []
    seeds: dict[str, set[int]] = {name: set(rows) for name, rows in frame.groupby("mixture")["seed"]}
    for number, one in enumerate(chosen):
        hours = actions[one.action].hours
        about = {"hours": round(hours, 6), "gain_an_hour": one.gain_an_hour}
        note = f"gain {one.gain_an_hour:.3g} an hour, {hours:.3g} h, {fit.note}"
        if one.action < len(places.stopped):
            stopped = places.stopped[one.action]
            since = request.stopped[stopped].step
            decision = Decision(does="further", run=stopped, since=since, **about)
            found.append(replace(_idle(request, fit, decision), note=f"{stopped} goes on: {note}"))
            continue
        i, place = one.action, one.action - len(places.stopped)
        candidate = Candidate(places.points[i], float(places.mean[i]), float(places.deviation[i]))
        proposal = _proposal(candidate, fit, request, note)
        name = called[place]
        if name is None:
            decision = Decision(does="train", **about)
            called[place] = request.names[number]
        else:
            assert request.seeds is not None
            seed = request.seeds.further(name, seeds.setdefault(name, set()))
            seeds[name].add(seed)
            decision = Decision(does="repeat", run=name, seed=seed, **about)
            proposal = replace(proposal, note=f"{name} again with seed {seed}: {note}")
        found.append(replace(proposal, budget=decision))
    return found


def _wanted(request: Request, options: AcquireOptions) -> list[str]:
    """The stopped runs whose mixture keeps to the domains and constraints, by name."""
    keeps = _keeps(request, options)
    return [name for name, run in sorted(request.stopped.items()) if keeps(run.weights)]


def _repeatable(
    request: Request, options: AcquireOptions, fit: Fit, observed: np.ndarray
) -> list[str | None]:
    """What each observed mixture [n, domains] is called; None where it does not keep to domains and constraints.

    Nothing where nothing is repeated. Of mixtures with equal weights it is the first by name.
    """
    if not options.repeats:
        return []
    runs, keeps = fit.observations.final(), _keeps(request, options)
    names = {tuple(row): name for row, name in reversed(list(zip(runs.weights, runs.mixtures, strict=True)))}
    rows = [dict(zip(runs.domains, row, strict=True)) for row in observed]
    return [names[tuple(row)] if keeps(about) else None for row, about in zip(observed, rows, strict=True)]


def _keeps(request: Request, options: AcquireOptions) -> Callable[[Weights], bool]:
    """Whether a mixture keeps to the domains and constraints."""
    usable = sorted(request.domains)
    inside = allowed(options.constraints, usable)

    def keeps(weights: Weights) -> bool:
        elsewhere = any(weight > SAME for domain, weight in weights.items() if domain not in usable)
        row = np.array([[weights.get(domain, 0.0) for domain in usable]])
        return not elsewhere and bool(inside(row)[0])

    return keeps


@one_blas_thread()
def believed(
    surrogate: "Predictor", shares: np.ndarray, points: np.ndarray, random: np.random.Generator
) -> tuple[Belief, np.ndarray]:
    """The belief in an objective at mixtures [n, domains], its covariance that of drawn surfaces; deviations [n]."""
    prediction = surrogate.predict(points)
    mean, deviation = prediction.aggregate(shares)
    surfaces = surrogate.draw(points, SURFACES, random) @ shares
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
    budget = Budget(options.budget, Prices.of(study, f"{where}.budget"), options.repeats)
    if not budget.runs:
        raise InputError(
            f"{where}.budget: {options.budget:g}: below one run ({budget.prices.whole:.3g} h by the study's costs): "
            "raise it, or remove it for a batch of `count` mixtures"
        )
    return budget
