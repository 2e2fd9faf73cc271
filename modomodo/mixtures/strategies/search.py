"""Strategies that search a surrogate: quadratic surface, CMA-ES, acquisition, Pareto front, merged experts."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from modomodo.errors import InputError
from modomodo.mixtures.acquisition import AcquisitionName
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.mixture import Predicted, normalise
from modomodo.mixtures.records import (
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
    from modomodo.mixtures.surrogates.calibration import SelectedSurrogate


CANDIDATE = "candidate"  # called so among the merged records; the others are mixtures that were trained

CANDIDATES = 6000  # mixtures that a search chooses from


# --- model-based ----------------------------------------------------------------------------------------------


class QuadraticSurfaceOptions(Options):
    """Options of `quadratic_surface`."""

    samples: int = Field(10_000, ge=1, description="Candidate mixtures drawn; the paper prints no value.")
    splits: int = Field(5, ge=1, description="Random train/test splits.")


@declare("quadratic_surface", options=QuadraticSurfaceOptions, suffixes=as_requested)
def quadratic_surface(request: Request) -> list[Proposal]:
    """Algorithm 4, QuadSurface: the best candidates. Uses the mean of the target for each mixture."""
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
    found = search_quadratic(
        weights_matrix(runs, names)[known],
        scores[known],
        [names.index(domain) for domain in _sorted(request)],
        QuadraticSearch(request.count, request.seed, options.samples, options.splits),
    )
    note = f"best test R² of {options.splits} splits {found.test_r2:.3g}, {int(known.sum())} mixtures"
    return [_named(pick, names, request, note) for pick in found.candidates]


class SearchOptions(Options):
    """Options that every search on a surrogate shares."""

    RENAMED: ClassVar[dict[str, str]] = {"apart": "min_distance"}

    surrogate: str = Field(
        "auto", description="A registered surrogate; 'auto': the one that predicts left-out mixtures best."
    )
    constraints: Constraints = Field(default_factory=Constraints, description="Constraints on the proposals.")
    min_distance: float = Field(
        0.05, ge=0, le=1, description="Minimum total variation distance between the mixtures of a batch."
    )


@declare("cma_es", options=SearchOptions, suffixes=as_requested)
def cma_es(request: Request) -> list[Proposal]:
    """CMA-ES on the surrogate's expected target; further mixtures keep a minimum distance."""
    from modomodo.mixtures.acquisition import CmaSearch, cma_candidates

    options = _options(request, SearchOptions)
    chosen, observations, aim, note = _fit(request, options)
    if options.surrogate == "auto" and not chosen.informed:
        return _acquired(request, options, chosen, observations, aim, note, "explore")
    search = CmaSearch(_sorted(request), options.constraints, request.seed, options.min_distance)
    picks = cma_candidates(chosen, aim, search, request.count)
    return [_proposal(pick, chosen, request, note) for pick in picks]


class AcquireOptions(SearchOptions):
    """Options of `acquire`."""

    acquisition: AcquisitionName = Field("expected_improvement", description="The value of a candidate.")
    candidates: int = Field(CANDIDATES, ge=30, description="Number of candidate mixtures.")
    exploration: float = Field(1.0, ge=0, description="Standard deviations that ucb adds to the mean.")


@declare("acquire", options=AcquireOptions, suffixes=as_requested)
def acquire(request: Request) -> list[Proposal]:
    """A batch by an acquisition function on a surrogate with uncertainty."""
    options = _options(request, AcquireOptions)
    chosen, observations, aim, note = _fit(request, options)
    acquisition = options.acquisition
    if options.surrogate == "auto" and not chosen.informed:
        acquisition = "explore"
    return _acquired(request, options, chosen, observations, aim, note, acquisition)


@declare("pareto", options=SearchOptions, suffixes=as_requested)
def pareto(request: Request) -> list[Proposal]:
    """Mixtures along the Pareto front of expected In-Score and Out-Score."""
    from modomodo.mixtures.acquisition import Candidate, pareto_candidates

    options = _options(request, SearchOptions)
    chosen, observations, aim, note = _fit(request, options)
    pool = _pool(request, options, chosen, observations, CANDIDATES)
    values = []
    for target in ("in_score", "out_score"):
        one, _, share, _ = _fit(replace(request, target=target), options)
        values.append(one.mean(pool) @ share.shares)
    rows = pareto_candidates(np.column_stack(values), request.count)
    if len(rows) < request.count:
        raise InputError(
            f"pareto: the front has {len(rows)} of the {request.count} mixtures asked for: lower `count` to {len(rows)}"
        )
    mean, deviation = chosen.predict(pool[rows]).aggregate(aim.shares)
    picks = [Candidate(pool[row], float(mean[i]), float(deviation[i])) for i, row in enumerate(rows)]
    notes = [
        f"In-Score {values[0][row]:.4g}, Out-Score {values[1][row]:.4g} expected, {note}" for row in rows
    ]
    return [_proposal(pick, chosen, request, text) for pick, text in zip(picks, notes, strict=True)]


class MergeScreenOptions(SearchOptions):
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
    from modomodo.mixtures.surrogates.calibration import choose
    from modomodo.mixtures.surrogates.merged import Fallback

    options = _options(request, MergeScreenOptions)
    if request.merged is None:
        raise InputError("merge_screen: no records of merged experts: make them with scripts/screen.py")
    aim = objective(request.records, request.target, request.aggregates)
    observations = observe(request.records, aim, request.merged)
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
        compared = choose(observations, request.seed, (options.surrogate,)).comparison
    # Where merged scores carry no signal, its finalists are no better than the other candidates.
    chosen = screened if isinstance(predictor, Fallback) else finalists
    pool = weights_matrix(request.merged, observations.domains)[chosen]
    picks = acquire(
        predictor,
        aim,
        pool,
        Acquisition(options.acquisition, request.count, options.min_distance),
        np.random.default_rng(request.seed),
    )
    note = f"{screened.sum()} candidates, {finalists.sum()} finalists, {predictor.reason}"
    if "forgot" in frame and frame["forgot"].fillna("").any():
        note += f"; experts that forgot: {frame['forgot'].iloc[0]}"
    return [replace(_named(pick, predictor.domains, request, note), comparison=compared) for pick in picks]


def _target_values(runs: Records, request: Request) -> np.ndarray:
    """Scores [runs] of the target: a column of the records, or an aggregate that the request defines."""
    if request.target in runs.targets or request.target not in request.aggregates:
        return target_values(runs, request.target)
    sizes = request.aggregates[request.target]
    columns = np.column_stack([target_values(runs, benchmark) for benchmark in sizes])
    return columns @ np.array(list(sizes.values())) / sum(sizes.values())


def _fit(
    request: Request, options: SearchOptions
) -> "tuple[SelectedSurrogate, Observations, Objective, str]":
    """The surrogate, fitted and tested on left-out mixtures; the runs it saw, the target, one line on why."""
    from modomodo.mixtures.surrogates.base import objective, observe
    from modomodo.mixtures.surrogates.calibration import CANDIDATES as COMPARED
    from modomodo.mixtures.surrogates.calibration import choose

    aim = objective(request.records, request.target, request.aggregates)
    observations = observe(request.records, aim)
    compared = COMPARED if options.surrogate == "auto" else (options.surrogate,)
    chosen = choose(observations, request.seed, compared)
    note = f"{len(observations.final())} runs, {chosen.reason}"
    if not chosen.informed:
        note += "; nothing predicts left-out mixtures better than their mean does: "
        note += "explore" if options.surrogate == "auto" else "do not trust an optimum"
    return chosen, observations.final(), aim, note


def _pool(
    request: Request,
    options: SearchOptions,
    chosen: "SelectedSurrogate",
    observations: "Observations",
    count: int,
) -> np.ndarray:
    """Candidate mixtures [n, predictor's domains]."""
    from modomodo.mixtures.acquisition import sample_mixtures

    usable = _sorted(request)
    place = [chosen.domains.index(domain) for domain in usable]
    inside = observations.weights[:, place]
    inside = inside[np.abs(inside.sum(axis=1) - 1) < 1e-6]
    random = np.random.default_rng(request.seed)
    drawn = sample_mixtures(usable, options.constraints, count, random, inside)
    pool = np.zeros((len(drawn), len(chosen.domains)))
    pool[:, place] = drawn
    return pool


def _acquired(
    request: Request,
    options: SearchOptions,
    chosen: "SelectedSurrogate",
    observations: "Observations",
    aim: "Objective",
    note: str,
    acquisition: AcquisitionName,
) -> list[Proposal]:
    from modomodo.mixtures.acquisition import Acquisition, acquire

    candidates, exploration = (
        (options.candidates, options.exploration)
        if isinstance(options, AcquireOptions)
        else (CANDIDATES, 1.0)
    )
    pool = _pool(request, options, chosen, observations, candidates)
    picks = acquire(
        chosen,
        aim,
        pool,
        Acquisition(acquisition, request.count, options.min_distance, exploration),
        np.random.default_rng([request.seed, 1]),
    )
    return [_proposal(pick, chosen, request, f"{acquisition}, {note}") for pick in picks]


def _proposal(pick: "Candidate", chosen: "SelectedSurrogate", request: Request, note: str) -> Proposal:
    return replace(_named(pick, chosen.domains, request, note), comparison=chosen.comparison)


def _named(pick: "Candidate", names: Sequence[str], request: Request, note: str) -> Proposal:
    weights = {name: max(0.0, float(weight)) for name, weight in zip(names, pick.weights, strict=True)}
    usable = normalise({domain: weights[domain] for domain in request.domains})
    deviation = pick.deviation if pick.deviation is None or math.isfinite(pick.deviation) else None
    return Proposal(usable, Predicted(mean=pick.mean, standard_deviation=deviation), note)
