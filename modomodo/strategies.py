"""The strategies that a study calls by name: records in, the next mixtures out.

    request (records, usable domains, count, seed, target, options) → a list of proposals

How many mixtures a strategy yields and how they are called is known without running it, so that the whole
workflow can be laid out before the first run. A strategy of your own is one function:

    @strategies.register("favourite")
    def favourite(request):
        return [Proposal({domain: float(domain == "SAT") for domain in request.domains})]
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from modomodo import heuristics, mixtures
from modomodo.errors import InputError, nearest
from modomodo.mixtures import Constraints, Predicted, Weights, validate_weights, validated
from modomodo.records import (
    AggregateSizes,
    Records,
    average_seeds,
    in_order,
    last_step,
    target_values,
    trained,
    weights_matrix,
)
from modomodo.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

    from modomodo.proposals import Pick
    from modomodo.surrogates import Objective, Observations
    from modomodo.surrogates.calibration import Chosen


class Options(BaseModel):
    """Options of a strategy; none of its own. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Request:
    """What a strategy is asked.

    `domains` are those that may get weight; `records` may hold more, several steps (the last is read, so pass
    `average_steps(records)` for step-averaged scores) and several seeds. `aggregates` ({"out_score":
    {benchmark: size}}) is only needed where the records do not show how an aggregate is made. `merged`: records
    of merged experts, for a strategy that screens.
    """

    records: Records
    domains: list[str]
    count: int = 1
    seed: int = 0
    target: str = "out_score"
    options: BaseModel = field(default_factory=Options)
    aggregates: AggregateSizes = field(default_factory=dict)
    merged: Records | None = None


@dataclass(frozen=True)
class Proposal:
    """A mixture, what the strategy expects of its target there, and one line on why."""

    weights: Weights
    predicted: Predicted | None = None
    note: str = ""
    comparison: "pd.DataFrame | None" = (
        None  # the surrogates tried, by leave-one-mixture-out (calibration.Chosen)
    )
    suffix: str | None = (
        None  # of the mixture's name: <strategy>-<suffix>; None for the strategy's name alone
    )


CANDIDATE = "candidate"  # called so among the merged records; the others are mixtures that were trained

Strategy = Callable[[Request], list[Proposal]]
Suffixes = Callable[[Sequence[str], int], list[str | None]]
S = TypeVar("S", bound=Strategy)

CANDIDATES = 6000  # mixtures that a search chooses from

strategies: Registry[Strategy] = Registry("strategy")


def one(domains: Sequence[str], requested: int) -> list[str | None]:
    """One mixture, called like the strategy."""
    return [None]


def each_domain(domains: Sequence[str], requested: int) -> list[str | None]:
    """One mixture a domain, called by it."""
    return list(domains)


def as_requested(domains: Sequence[str], requested: int) -> list[str | None]:
    """As many as the study says: 001, 002, …"""
    return [f"{number:03d}" for number in range(1, requested + 1)]


@dataclass(frozen=True)
class Declaration:
    """What is known of a strategy without running it."""

    options: type[BaseModel] = Options
    suffixes: Suffixes = one
    learns: bool = True  # needs records
    screens: bool = False  # sees merged experts, scored on candidates for its mixtures


_declarations: dict[str, Declaration] = {}


def declare(
    name: str,
    options: type[BaseModel] = Options,
    suffixes: Suffixes = one,
    learns: bool = True,
    screens: bool = False,
) -> Callable[[S], S]:
    """Decorator: register a strategy with its options and the names of its mixtures."""

    def decorate(function: S) -> S:
        strategies.register(name)(function)
        _declarations[name] = Declaration(options, suffixes, learns, screens)
        return function

    return decorate


def declaration(name: str) -> Declaration:
    """Raises InputError for an unknown strategy. One registered without a declaration yields one mixture."""
    strategies[name]
    return _declarations.get(name, Declaration())


def suffixes(name: str, domains: Sequence[str], requested: int = 1) -> list[str | None]:
    """The name suffix of each mixture a strategy will yield, known before it runs."""
    return declaration(name).suffixes(domains, requested)


def count(name: str, domains: Sequence[str], requested: int = 1) -> int:
    """How many mixtures a strategy yields, known before it runs."""
    return len(suffixes(name, domains, requested))


def read_options(name: str, values: Mapping[str, Any], where: str = "options") -> BaseModel:
    """The options of a strategy, checked. Raises InputError naming the key and the mend."""
    return validated(declaration(name).options, dict(values), where)


def propose(name: str, request: Request) -> list[Proposal]:
    """Run a strategy and check its answer: the announced number of mixtures, each on the simplex.

    Weights come back in the order of `request.domains`.

    Raises InputError when there is nothing to learn from, and for an answer that breaks the announcement.
    """
    strategy = strategies[name]
    declared = declaration(name)
    if not isinstance(request.options, declared.options):
        raise InputError(f"strategy '{name}': options: pass read_options('{name}', {{…}})")
    if not request.domains:
        raise InputError(f"strategy '{name}': no domain may get weight")
    for domain in request.domains:
        if declared.learns and domain not in request.records.domains:
            raise InputError(
                f"strategy '{name}': no domain '{domain}' in the records: {nearest(domain, request.records.domains)}"
            )
    constraints = getattr(request.options, "constraints", None)
    if isinstance(constraints, Constraints):
        mixtures.check_names(constraints, sorted({*request.domains, *request.records.domains}))
    answers = strategy(request)
    expected = declared.suffixes(request.domains, request.count)
    if len(answers) != len(expected):
        raise InputError(
            f"strategy '{name}' proposed {len(answers)} mixtures, not the {len(expected)} it announced"
        )
    checked = []
    for answer, suffix in zip(answers, expected, strict=True):
        weights = validate_weights(answer.weights, request.domains, f"strategy '{name}'")
        checked.append(replace(answer, weights=weights, suffix=suffix))
    return checked


# --- seeds ----------------------------------------------------------------------------------------------------


@declare("single", suffixes=each_domain, learns=False)
def single(request: Request) -> list[Proposal]:
    """One mixture a domain, all weight on it."""
    return [Proposal(weights) for weights in mixtures.single(request.domains).values()]


@declare("exclude_one", suffixes=each_domain, learns=False)
def exclude_one(request: Request) -> list[Proposal]:
    """One mixture a domain, equal weights on all the others."""
    return [Proposal(weights) for weights in mixtures.exclude_one(request.domains).values()]


@declare("all", learns=False)
def all_equal(request: Request) -> list[Proposal]:
    """Equal weights."""
    return [Proposal(weights) for weights in mixtures.uniform(request.domains).values()]


class ExplicitOptions(Options):
    """Options of `explicit`."""

    weights: dict[str, float] = Field(description="Weight of each domain; one left out has none.")


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
        description="1: even over the simplex; below: near its corners and faces; above: near equal.",
    )


@declare("dirichlet", options=DirichletOptions, suffixes=as_requested, learns=False)
def dirichlet(request: Request) -> list[Proposal]:
    """Mixtures drawn at random, each domain alike."""
    options = _options(request, DirichletOptions)
    names = _sorted(request)
    drawn = np.random.default_rng(request.seed).dirichlet(
        np.full(len(names), options.concentration), request.count
    )
    return [Proposal(mixtures.round_weights(dict(zip(names, row.tolist(), strict=True)))) for row in drawn]


class DesignOptions(Options):
    """Options of `design`."""

    kind: Literal["space_filling", "d_optimal"] = Field(
        "space_filling",
        description="Far from each other, or least variance of a quadratic surface on √w.",
    )
    constraints: Constraints = Field(default_factory=Constraints, description="What mixtures must keep to.")


@declare("design", options=DesignOptions, suffixes=as_requested, learns=False)
def design(request: Request) -> list[Proposal]:
    """Mixtures to begin with that teach more than corners and faces."""
    from modomodo import designs

    options = _options(request, DesignOptions)
    names = _sorted(request)
    found = designs.design(names, options.constraints, request.count, request.seed, options.kind)
    return [
        Proposal(mixtures.normalise({name: float(row[names.index(name)]) for name in request.domains}))
        for row in found
    ]


class BySizeOptions(Options):
    """Options of `by_size`."""

    sizes: dict[str, int] = Field(description="Rows of each domain.")
    temperature: float = Field(
        1.0, gt=0, description="1: in proportion to the sizes; the larger, the nearer to equal weights."
    )


@declare("by_size", options=BySizeOptions, learns=False)
def by_size(request: Request) -> list[Proposal]:
    """Weights by how much data there is, tempered: w ∝ size^(1 / temperature) (Arivazhagan et al. 2019)."""
    options = _options(request, BySizeOptions)
    for domain in request.domains:
        if domain not in options.sizes:
            raise InputError(f"by_size: give the number of rows of '{domain}' under 'sizes'")
        if options.sizes[domain] < 1:
            raise InputError(f"by_size: sizes: '{domain}' has {options.sizes[domain]} rows: give at least 1")
    logs = np.array([math.log(options.sizes[domain]) for domain in request.domains]) / options.temperature
    tempered = np.exp(logs - logs.max())
    return [Proposal(mixtures.normalise(dict(zip(request.domains, tempered.tolist(), strict=True))))]


# --- heuristics -----------------------------------------------------------------------------------------------


class AlphaOptions(Options):
    """Options of `alpha`."""

    alpha: float = Field(
        0.5, ge=0, le=1, description="Weight of In- against Out-Score: 1 A_in, 0 A_out, 0.5 A_bal."
    )
    alpha_single: float = Field(
        0.5, ge=0, le=1, description="Factor on scores of single-domain mixtures. The paper prints no value."
    )


@declare("alpha", options=AlphaOptions)
def alpha(request: Request) -> list[Proposal]:
    """Algorithm 1, Heuristic-Alpha."""
    options = _options(request, AlphaOptions)
    weights = heuristics.alpha(request.records, _sorted(request), options.alpha, options.alpha_single)
    return [Proposal(weights, note=f"alpha {options.alpha:g}, alpha_single {options.alpha_single:g}")]


class CollinearityOptions(Options):
    """Options of `collinearity`."""

    ridge: float = Field(1e-3, gt=0, description="Ridge penalty λ.")


@declare("collinearity", options=CollinearityOptions)
def collinearity(request: Request) -> list[Proposal]:
    """Algorithm 2, Heuristic-Collinearity."""
    options = _options(request, CollinearityOptions)
    weights = heuristics.collinearity(request.records, _sorted(request), options.ridge)
    return [Proposal(weights, note=f"ridge {options.ridge:g}")]


class LeaveOneOutOptions(Options):
    """Options of `leave_one_out`."""

    range_over: Literal["all", "remaining"] = Field(
        "all",
        description="Exclude-one mixtures that set the range: all of the study's, or those of domains that get weight.",
    )


@declare("leave_one_out", options=LeaveOneOutOptions)
def leave_one_out(request: Request) -> list[Proposal]:
    """Algorithm 3, Heuristic-Normalize."""
    options = _options(request, LeaveOneOutOptions)
    return [
        Proposal(heuristics.leave_one_out(request.records, _sorted(request), range_over=options.range_over))
    ]


# --- model-based ----------------------------------------------------------------------------------------------


class QuadraticSurfaceOptions(Options):
    """Options of `quadratic_surface`."""

    samples: int = Field(10_000, ge=1, description="Candidate mixtures drawn; the paper prints no value.")
    splits: int = Field(5, ge=1, description="Random train/test splits.")


@declare("quadratic_surface", options=QuadraticSurfaceOptions, suffixes=as_requested)
def quadratic_surface(request: Request) -> list[Proposal]:
    """Algorithm 4, QuadSurface: best first. Reads the target's own column, one mean a mixture."""
    from modomodo import proposals

    options = _options(request, QuadraticSurfaceOptions)
    names = sorted(request.records.domains)
    runs = average_seeds(last_step(in_order(trained(request.records))))
    scores = _target_values(runs, request)
    known = np.isfinite(scores)
    if not known.any():
        raise InputError(
            f"quadratic_surface: no trained mixture has a {request.target}: nothing to learn from"
        )
    picks, quality = proposals.quadratic_surface(
        weights_matrix(runs, names)[known],
        scores[known],
        [names.index(domain) for domain in _sorted(request)],
        request.count,
        request.seed,
        options.samples,
        options.splits,
    )
    note = f"best test R² of {options.splits} splits {quality:.3g}, {int(known.sum())} mixtures"
    return [_named(pick, names, request, note) for pick in picks]


class SearchOptions(Options):
    """Options that every search on a surrogate shares."""

    surrogate: str = Field(
        "auto", description="A registered surrogate; 'auto': the one that predicts left-out mixtures best."
    )
    constraints: Constraints = Field(default_factory=Constraints, description="What proposals must keep to.")
    apart: float = Field(
        0.05, ge=0, le=1, description="Least total variation distance between the mixtures of a batch."
    )


@declare("cma_es", options=SearchOptions, suffixes=as_requested)
def cma_es(request: Request) -> list[Proposal]:
    """CMA-ES on the surrogate's expected target; each further mixture keeps its distance."""
    from modomodo import proposals

    options = _options(request, SearchOptions)
    chosen, observations, aim, note = _fit(request, options)
    if options.surrogate == "auto" and not chosen.informed:
        return _acquired(request, options, chosen, observations, aim, note, "explore")
    picks = proposals.cma_picks(
        chosen, aim, _sorted(request), options.constraints, request.count, request.seed, options.apart
    )
    return [_proposal(pick, chosen, request, note) for pick in picks]


class AcquireOptions(SearchOptions):
    """Options of `acquire`."""

    acquisition: Literal[
        "greedy",
        "expected_improvement",
        "noisy_expected_improvement",
        "ucb",
        "thompson",
        "explore",
        "worst",
    ] = Field("expected_improvement", description="What makes a mixture worth a run.")
    candidates: int = Field(CANDIDATES, ge=30, description="Mixtures the choice is made from.")
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
    """Mixtures along the front of expected In- against Out-Score; predicted is the target's score."""
    from modomodo import proposals

    options = _options(request, SearchOptions)
    chosen, observations, aim, note = _fit(request, options)
    pool = _pool(request, options, chosen, observations, CANDIDATES)
    values = []
    for target in ("in_score", "out_score"):
        one, _, share, _ = _fit(replace(request, target=target), options)
        values.append(one.mean(pool) @ share.shares)
    rows = proposals.pareto_picks(np.column_stack(values), request.count)
    if len(rows) < request.count:
        raise InputError(
            f"pareto: the front has {len(rows)} of the {request.count} mixtures asked for: lower `count` to {len(rows)}"
        )
    mean, deviation = chosen.predict(pool[rows]).aggregate(aim.shares)
    picks = [proposals.Pick(pool[row], float(mean[i]), float(deviation[i])) for i, row in enumerate(rows)]
    notes = [
        f"In-Score {values[0][row]:.4g}, Out-Score {values[1][row]:.4g} expected, {note}" for row in rows
    ]
    return [_proposal(pick, chosen, request, text) for pick, text in zip(picks, notes, strict=True)]


class MergeScreenOptions(SearchOptions):
    """Options of `merge_screen`."""

    surrogate: str = Field("merged", description="A registered surrogate.")
    acquisition: Literal["greedy", "expected_improvement", "ucb", "thompson"] = Field(
        "greedy", description="What makes a finalist worth a run."
    )
    candidates: int = Field(300, ge=1, description="Mixtures that merged experts are asked about.")
    questions: list[float] = Field(
        [0.11, 0.33, 1.0],
        min_length=1,
        description="Share of the questions that is asked after each round; all candidates begin, few end.",
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
    from modomodo import proposals, surrogates
    from modomodo.surrogates.calibration import choose

    options = _options(request, MergeScreenOptions)
    if request.merged is None:
        raise InputError("merge_screen: no records of merged experts: make them with scripts/screen.py")
    aim = surrogates.objective(request.records, request.target, request.aggregates)
    observations = surrogates.observe(request.records, aim, request.merged)
    frame = request.merged.frame
    screened = frame["strategy"].eq(CANDIDATE).to_numpy()
    finalists = screened & frame["questions"].astype(float).ge(1).to_numpy()
    if finalists.sum() < request.count:
        raise InputError(
            f"merge_screen: {finalists.sum()} candidates answered every question, fewer than the count of "
            f"{request.count}: screen anew"
        )
    predictor = surrogates.surrogates[options.surrogate](observations, request.seed)
    compared = surrogates.merged.comparison(predictor)
    if compared is None:
        compared = choose(observations, request.seed, (options.surrogate,)).comparison
    # Where merging says nothing, its finalists are as good as any.
    chosen = screened if isinstance(predictor, surrogates.merged.Alone) else finalists
    pool = weights_matrix(request.merged, observations.domains)[chosen]
    picks = proposals.acquire(
        predictor,
        observations,
        aim,
        pool,
        request.count,
        options.acquisition,
        np.random.default_rng(request.seed),
        options.apart,
    )
    note = f"{screened.sum()} candidates, {finalists.sum()} finalists, {surrogates.merged.reason(predictor)}"
    if "forgot" in frame and frame["forgot"].fillna("").any():
        note += f"; experts that forgot: {frame['forgot'].iloc[0]}"
    return [replace(_named(pick, predictor.domains, request, note), comparison=compared) for pick in picks]


OptionsModel = TypeVar("OptionsModel", bound=BaseModel)


def _options(request: Request, model: type[OptionsModel]) -> OptionsModel:
    if not isinstance(request.options, model):
        raise InputError(f"options: expected {model.__name__}: pass read_options(name, {{…}})")
    return request.options


def _target_values(runs: Records, request: Request) -> np.ndarray:
    """Scores [runs] of the target: a column of the records, or an aggregate that the request defines."""
    if request.target in runs.targets or request.target not in request.aggregates:
        return target_values(runs, request.target)
    sizes = request.aggregates[request.target]
    columns = np.column_stack([target_values(runs, benchmark) for benchmark in sizes])
    return columns @ np.array(list(sizes.values())) / sum(sizes.values())


def _sorted(request: Request) -> list[str]:
    """Domains by name: the same proposals whatever the order of the columns."""
    return sorted(request.domains)


def _fit(request: Request, options: SearchOptions) -> "tuple[Chosen, Observations, Objective, str]":
    """The surrogate, fitted and tested on left-out mixtures; the runs it saw, the target, one line on why."""
    from modomodo import surrogates
    from modomodo.surrogates.calibration import CANDIDATES as COMPARED
    from modomodo.surrogates.calibration import choose

    aim = surrogates.objective(request.records, request.target, request.aggregates)
    observations = surrogates.observe(request.records, aim)
    compared = COMPARED if options.surrogate == "auto" else (options.surrogate,)
    chosen = choose(observations, request.seed, compared)
    note = f"{len(observations.final())} runs, {chosen.reason()}"
    if not chosen.informed:
        note += "; nothing predicts left-out mixtures better than their mean does: "
        note += "explore" if options.surrogate == "auto" else "do not trust an optimum"
    return chosen, observations.final(), aim, note


def _pool(
    request: Request, options: SearchOptions, chosen: "Chosen", observations: "Observations", count: int
) -> np.ndarray:
    """Candidate mixtures [n, predictor's domains]."""
    from modomodo import proposals

    usable = _sorted(request)
    place = [chosen.domains.index(domain) for domain in usable]
    inside = observations.weights[:, place]
    inside = inside[np.abs(inside.sum(axis=1) - 1) < 1e-6]
    random = np.random.default_rng(request.seed)
    drawn = proposals.candidates(usable, options.constraints, count, random, inside)
    pool = np.zeros((len(drawn), len(chosen.domains)))
    pool[:, place] = drawn
    return pool


def _acquired(
    request: Request,
    options: SearchOptions,
    chosen: "Chosen",
    observations: "Observations",
    aim: "Objective",
    note: str,
    acquisition: str,
) -> list[Proposal]:
    from modomodo import proposals

    candidates, exploration = (
        (options.candidates, options.exploration)
        if isinstance(options, AcquireOptions)
        else (CANDIDATES, 1.0)
    )
    pool = _pool(request, options, chosen, observations, candidates)
    picks = proposals.acquire(
        chosen,
        observations,
        aim,
        pool,
        request.count,
        acquisition,
        np.random.default_rng([request.seed, 1]),
        options.apart,
        exploration,
    )
    return [_proposal(pick, chosen, request, f"{acquisition}, {note}") for pick in picks]


def _proposal(pick: "Pick", chosen: "Chosen", request: Request, note: str) -> Proposal:
    return replace(_named(pick, chosen.domains, request, note), comparison=chosen.comparison)


def _named(pick: "Pick", names: Sequence[str], request: Request, note: str) -> Proposal:
    weights = {name: max(0.0, float(weight)) for name, weight in zip(names, pick.weights, strict=True)}
    usable = mixtures.normalise({domain: weights[domain] for domain in request.domains})
    deviation = pick.deviation if pick.deviation is None or math.isfinite(pick.deviation) else None
    return Proposal(usable, Predicted(mean=pick.mean, standard_deviation=deviation), note)
