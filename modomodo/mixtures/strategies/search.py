"""Strategies that search a surrogate: quadratic surface, CMA-ES, acquisition, Pareto front, merged experts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from modomodo.errors import InputError
from modomodo.mixtures.acquisition import AcquisitionName
from modomodo.mixtures.constraints import Constraints, without
from modomodo.mixtures.mixture import Predicted, normalise, tried
from modomodo.mixtures.records import (
    AGGREGATES,
    Records,
    average_seeds,
    in_order,
    last_step,
    target_values,
    trained,
    weights_matrix,
)
from modomodo.mixtures.strategies.base import (
    Options,
    Proposal,
    Request,
    _options,
    _sorted,
    as_requested,
    declare,
)

if TYPE_CHECKING:
    from modomodo.mixtures.acquisition import Candidate
    from modomodo.mixtures.surrogates.base import Objective, Observations
    from modomodo.mixtures.surrogates.calibration import CrossValidated


CANDIDATE = "candidate"  # called so among the merged records; the others are mixtures that were trained

CANDIDATES = 6000  # mixtures that a search chooses from


# --- model-based ----------------------------------------------------------------------------------------------


class QuadraticSurfaceOptions(Options):
    """Options of `quadratic_surface`."""

    samples: int = Field(10_000, ge=1, description="Candidate mixtures drawn; the paper prints no value.")
    splits: int = Field(5, ge=1, description="Random train/test splits.")


@declare("quadratic_surface", options=QuadraticSurfaceOptions, suffixes=as_requested)
def quadratic_surface(request: Request) -> list[Proposal]:
    """The best mixtures of a quadratic surface fitted to the scores (the paper's Algorithm 4, QuadSurface).

    Uses the mean of the target for each mixture.
    """
    from modomodo.mixtures.acquisition import QuadraticSearch
    from modomodo.mixtures.acquisition import quadratic_surface as search_quadratic

    options = _options(request, QuadraticSurfaceOptions)
    names = sorted(request.records.domains)
    runs = average_seeds(last_step(in_order(trained(request.records))))
    scores = _target_values(runs, request)
    known = np.isfinite(scores)
    if not known.any():
        raise InputError(
            f"quadratic_surface: no trained mixture has a {request.target}: nothing to learn from"
        )
    weights = weights_matrix(runs, names)[known]
    seen = tried(weights)
    usable = [names.index(domain) for domain in _sorted(request)]
    found = search_quadratic(
        weights,
        scores[known],
        [place for place in usable if seen[place]] or usable,
        QuadraticSearch(request.count, request.seed, options.samples, options.splits),
    )
    note = f"best test R² of {options.splits} splits {found.test_r2:.3g}, {int(known.sum())} mixtures"
    return [_named(candidate, names, request, note) for candidate in found.candidates]


class SearchOptions(Options):
    """Options that every search on a surrogate shares."""

    surrogate: str = Field(
        "auto",
        description="A registered surrogate; 'auto': the default, gp_average, and exploring where it predicts left-out "
        "mixtures no better than their mean.",
    )
    constraints: Constraints = Field(default_factory=Constraints, description="Constraints on the proposals.")


class BatchOptions(SearchOptions):
    """Those of a search whose mixtures keep a distance from each other."""

    RENAMED: ClassVar[dict[str, str]] = {"apart": "min_distance"}

    min_distance: float = Field(
        0.05, ge=0, le=1, description="Minimum total variation distance between the mixtures of a batch."
    )


@declare("cma_es", options=BatchOptions, suffixes=as_requested)
def cma_es(request: Request) -> list[Proposal]:
    """The mixture that a surrogate expects most of, by CMA-ES; further ones keep a minimum distance."""
    from modomodo.mixtures.acquisition import CmaSearch, cma_candidates

    options = _options(request, BatchOptions)
    fit = _fit(request, options)
    if options.surrogate == "auto" and not fit.surrogate.informed:
        return _acquired(request, options, fit, "explore")
    limits = without(options.constraints, fit.avoided(request))
    search = CmaSearch(_sorted(request), limits, request.seed, options.min_distance)
    found = cma_candidates(fit.surrogate, fit.objective, search, request.count)
    return [_proposal(candidate, fit, request, fit.note) for candidate in found]


class CandidateOptions(BatchOptions):
    """Those of a batch by an acquisition function."""

    acquisition: AcquisitionName = Field("expected_improvement", description="The value of a candidate.")
    candidates: int = Field(CANDIDATES, ge=30, description="Number of candidate mixtures.")
    exploration: float = Field(1.0, ge=0, description="Standard deviations that ucb adds to the mean.")


def batch(request: Request, options: CandidateOptions) -> list[Proposal]:
    """A batch by an acquisition function."""
    fit = _fit(request, options)
    explores = options.surrogate == "auto" and not fit.surrogate.informed
    return _acquired(request, options, fit, "explore" if explores else options.acquisition)


@declare(
    "pareto", options=SearchOptions, suffixes=as_requested, weighs_in_score=lambda options: "give it one"
)
def pareto(request: Request) -> list[Proposal]:
    """Mixtures along the Pareto front of expected In-Score and Out-Score."""
    from modomodo.mixtures.acquisition import Candidate, pareto_candidates

    options = _options(request, SearchOptions)
    fit = _fit(request, options)
    weights = _candidates(request, without(options.constraints, fit.avoided(request)), fit, CANDIDATES)
    values = []
    for target in AGGREGATES:
        one = _fit(replace(request, target=target), options)
        values.append(one.surrogate.mean(weights) @ one.objective.shares)
    rows = pareto_candidates(np.column_stack(values), request.count)
    if len(rows) < request.count:
        raise InputError(
            f"pareto: the front has {len(rows)} of the {request.count} mixtures asked for: lower `count` to {len(rows)}"
        )
    mean, deviation = fit.surrogate.predict(weights[rows]).aggregate(fit.objective.shares)
    found = [Candidate(weights[row], float(mean[i]), float(deviation[i])) for i, row in enumerate(rows)]
    notes = [
        f"In-Score {values[0][row]:.4g}, Out-Score {values[1][row]:.4g} expected, {fit.note}" for row in rows
    ]
    return [_proposal(candidate, fit, request, note) for candidate, note in zip(found, notes, strict=True)]


class MergeScreenOptions(BatchOptions):
    """Options of `merge_screen`."""

    surrogate: str = Field("merged", description="A registered surrogate.")
    acquisition: Literal["greedy", "expected_improvement", "ucb", "thompson"] = Field(
        "greedy", description="The value of a finalist."
    )
    candidates: int = Field(300, ge=1, description="Mixtures that merged experts are scored on.")
    questions: list[float] = Field(
        [0.11, 0.33, 1.0],
        min_length=1,
        description="Share of the questions asked after each round; all candidates start, few finish.",
    )

    @field_validator("questions")
    @classmethod
    def _growing(cls, value: list[float]) -> list[float]:
        if sorted(set(value)) != value or value[0] <= 0 or value[-1] != 1:
            raise ValueError(f"{value} must grow from above 0 to 1, e.g. [0.11, 0.33, 1.0]")
        return value


@declare("merge_screen", options=MergeScreenOptions, suffixes=as_requested, screens=True)
def merge_screen(request: Request) -> list[Proposal]:
    """The best of many candidates that were scored by merging experts, not by training (docs/merging.md).

    The finalists of the screening are what it chooses from, by the surrogate calibrated on the trained runs.
    """
    from modomodo.mixtures.acquisition import Acquisition, acquire
    from modomodo.mixtures.surrogates.base import objective, observe, surrogates
    from modomodo.mixtures.surrogates.calibration import cross_validated
    from modomodo.mixtures.surrogates.merged import Fallback

    options = _options(request, MergeScreenOptions)
    if request.merged is None:
        raise InputError("merge_screen: no records of merged experts: make them with scripts/screen.py")
    target = objective(request.records, request.target, request.aggregates)
    observations = observe(request.records, target, request.merged)
    frame = request.merged.frame
    screened = frame["strategy"].eq(CANDIDATE).to_numpy()
    finalists = screened & frame["questions"].astype(float).ge(1).to_numpy()
    if finalists.sum() < request.count:
        raise InputError(
            f"merge_screen: {finalists.sum()} candidates answered every question, fewer than the count of "
            f"{request.count}: screen again"
        )
    predictor = surrogates[options.surrogate](observations, request.seed)
    compared = predictor.comparison
    if compared is None:
        compared = cross_validated(observations, request.seed, options.surrogate).comparison
    # Where merged scores carry no signal, its finalists are no better than the other candidates.
    chosen = screened if isinstance(predictor, Fallback) else finalists
    found = acquire(
        predictor,
        target,
        weights_matrix(request.merged, observations.domains)[chosen],
        Acquisition(options.acquisition, request.count, options.min_distance),
        np.random.default_rng(request.seed),
    )
    note = f"{screened.sum()} candidates, {finalists.sum()} finalists, {predictor.reason}"
    if "forgot" in frame and frame["forgot"].fillna("").any():
        note += f"; experts that forgot: {frame['forgot'].iloc[0]}"
    proposals = [_named(candidate, predictor.domains, request, note) for candidate in found]
    return [replace(proposal, comparison=compared) for proposal in proposals]


def _target_values(runs: Records, request: Request) -> np.ndarray:
    """Scores [runs] of the target: a column of the records, or an aggregate that the request defines."""
    if request.target in runs.targets or request.target not in request.aggregates:
        return target_values(runs, request.target)
    sizes = request.aggregates[request.target]
    columns = np.column_stack([target_values(runs, benchmark) for benchmark in sizes])
    return columns @ np.array(list(sizes.values())) / sum(sizes.values())


@dataclass(frozen=True)
class Fit:
    """A surrogate fitted to what a request shows, and tested on left-out mixtures."""

    surrogate: "CrossValidated"
    observations: "Observations"  # of the last step of each run
    objective: "Objective"
    note: str  # on what it stands, and whether it is of use

    def avoided(self, request: Request) -> list[str]:
        """Domains that no run has tried, and that a search gives no weight unless there are no others."""
        untried = [domain for domain in request.domains if domain in self.observations.untried]
        return untried if len(untried) < len(request.domains) else []


def _fit(request: Request, options: SearchOptions) -> Fit:
    from modomodo.mixtures.surrogates.base import objective, observe
    from modomodo.mixtures.surrogates.calibration import DEFAULT, cross_validated

    target = objective(request.records, request.target, request.aggregates)
    observations = observe(request.records, target)
    surrogate = cross_validated(
        observations, request.seed, DEFAULT if options.surrogate == "auto" else options.surrogate
    )
    note = f"{len(observations.final())} runs, {surrogate.reason}"
    if observations.fidelities and surrogate.predictor.reason:
        note += f"; {surrogate.predictor.reason}"
        for name, cheap in request.records.fidelities.items():
            if cheap.cost is not None:
                runs = len(trained(cheap).frame.drop_duplicates(["mixture", "seed"]))
                note += f"; {runs} runs of {name} cost as much as {runs * cheap.cost:.3g} full ones"
    if not surrogate.informed:
        note += "; left-out mixtures are predicted no better than by their mean: "
        note += "explore" if options.surrogate == "auto" else "do not trust an optimum"
    if why := observations.final().undetermined:
        note += f"; {why}: how far mixtures differ is not known"
    if untried := observations.final().untried:
        note += f"; no run has tried {', '.join(untried)}: nothing is known of a mixture with it"
    return Fit(surrogate, observations.final(), target, note)


def _candidates(request: Request, constraints: Constraints, fit: Fit, count: int) -> np.ndarray:
    """Candidate mixtures [n, surrogate's domains] that keep to the constraints, near observed ones among them."""
    from modomodo.mixtures.acquisition import sample_mixtures

    usable = _sorted(request)
    place = [fit.surrogate.domains.index(domain) for domain in usable]
    inside = fit.observations.weights[:, place]
    inside = inside[np.abs(inside.sum(axis=1) - 1) < 1e-6]
    random = np.random.default_rng(request.seed)
    drawn = sample_mixtures(usable, constraints, count, random, inside)
    weights = np.zeros((len(drawn), len(fit.surrogate.domains)))
    weights[:, place] = drawn
    return weights


def _acquired(
    request: Request, options: BatchOptions, fit: Fit, acquisition: AcquisitionName
) -> list[Proposal]:
    """The batch that an acquisition function chooses from candidates."""
    from modomodo.mixtures.acquisition import Acquisition, acquire

    count, exploration = (
        (options.candidates, options.exploration)
        if isinstance(options, CandidateOptions)
        else (CANDIDATES, 1.0)
    )
    # To explore is to try what no run has.
    avoided = [] if acquisition == "explore" else fit.avoided(request)
    found = acquire(
        fit.surrogate,
        fit.objective,
        _candidates(request, without(options.constraints, avoided), fit, count),
        Acquisition(acquisition, request.count, options.min_distance, exploration),
        np.random.default_rng([request.seed, 1]),
    )
    return [_proposal(candidate, fit, request, f"{acquisition}, {fit.note}") for candidate in found]


def _proposal(candidate: "Candidate", fit: Fit, request: Request, note: str) -> Proposal:
    proposal = _named(candidate, fit.surrogate.domains, request, note)
    predicted = proposal.predicted
    if not fit.observations.supports(candidate.weights[None])[0]:
        predicted = None
    elif predicted is not None and fit.observations.undetermined:
        predicted = Predicted(mean=predicted.mean)
    return replace(proposal, predicted=predicted, comparison=fit.surrogate.comparison)


def _named(candidate: "Candidate", names: Sequence[str], request: Request, note: str) -> Proposal:
    weights = {name: max(0.0, float(weight)) for name, weight in zip(names, candidate.weights, strict=True)}
    usable = normalise({domain: weights[domain] for domain in request.domains})
    deviation = (
        candidate.deviation if candidate.deviation is None or math.isfinite(candidate.deviation) else None
    )
    return Proposal(usable, Predicted(mean=candidate.mean, standard_deviation=deviation), note)
