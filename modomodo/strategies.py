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
from dataclasses import dataclass, field
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
    last_step,
    target_values,
    trained,
    weights_matrix,
)
from modomodo.registry import Registry

if TYPE_CHECKING:
    from modomodo.proposals import Pick
    from modomodo.surrogates import Objective, Observations, Predictor


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
    suffix: str | None = (
        None  # of the mixture's name: <strategy>-<suffix>; None for the strategy's name alone
    )


CANDIDATE = "candidate"  # called so among the merged records; the others are mixtures that were trained

Strategy = Callable[[Request], list[Proposal]]
Suffixes = Callable[[Sequence[str], int], list[str | None]]
S = TypeVar("S", bound=Strategy)

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
    answers = strategy(request)
    expected = declared.suffixes(request.domains, request.count)
    if len(answers) != len(expected):
        raise InputError(
            f"strategy '{name}' proposed {len(answers)} mixtures, not the {len(expected)} it announced"
        )
    checked = []
    for answer, suffix in zip(answers, expected, strict=True):
        weights = validate_weights(answer.weights, request.domains, f"strategy '{name}'")
        checked.append(Proposal(weights, answer.predicted, answer.note, suffix))
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
    runs = average_seeds(last_step(trained(request.records)))
    runs = Records(
        runs.frame.sort_values(["mixture", "step"]).reset_index(drop=True), runs.domains, runs.benchmarks
    )
    scores = target_values(runs, request.target)
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
    return [_proposal(pick, names, request, note) for pick in picks]


class SearchOptions(Options):
    """Options that every search on a surrogate shares."""

    surrogate: str = Field("gp_sqrt", description="A registered surrogate.")
    constraints: Constraints = Field(default_factory=Constraints, description="What proposals must keep to.")
    apart: float = Field(
        0.05, ge=0, le=1, description="Least total variation distance between the mixtures of a batch."
    )


@declare("cma_es", options=SearchOptions, suffixes=as_requested)
def cma_es(request: Request) -> list[Proposal]:
    """CMA-ES on the surrogate's expected target; each further mixture keeps its distance."""
    from modomodo import proposals

    options = _options(request, SearchOptions)
    predictor, _, aim, note = _fit(request, options)
    picks = proposals.cma_picks(
        predictor, aim, _sorted(request), options.constraints, request.count, request.seed, options.apart
    )
    return [_proposal(pick, predictor.domains, request, note) for pick in picks]


class AcquireOptions(SearchOptions):
    """Options of `acquire`."""

    acquisition: Literal["greedy", "expected_improvement", "ucb", "thompson"] = Field(
        "expected_improvement", description="What makes a mixture worth a run."
    )
    candidates: int = Field(6000, ge=30, description="Mixtures the choice is made from.")
    exploration: float = Field(1.0, ge=0, description="Standard deviations that ucb adds to the mean.")


@declare("acquire", options=AcquireOptions, suffixes=as_requested)
def acquire(request: Request) -> list[Proposal]:
    """A batch by an acquisition function on a surrogate with uncertainty."""
    from modomodo import proposals

    options = _options(request, AcquireOptions)
    predictor, observations, aim, note = _fit(request, options)
    usable = _sorted(request)
    place = [predictor.domains.index(domain) for domain in usable]
    inside = observations.weights[:, place]
    inside = inside[np.abs(inside.sum(axis=1) - 1) < 1e-6]
    random = np.random.default_rng(request.seed)
    drawn = proposals.candidates(usable, options.constraints, options.candidates, random, inside)
    pool = np.zeros((len(drawn), len(predictor.domains)))
    pool[:, place] = drawn
    picks = proposals.acquire(
        predictor,
        observations,
        aim,
        pool,
        request.count,
        options.acquisition,
        random,
        options.apart,
        options.exploration,
    )
    return [_proposal(pick, predictor.domains, request, f"{options.acquisition}, {note}") for pick in picks]


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
    return [_proposal(pick, predictor.domains, request, note) for pick in picks]


OptionsModel = TypeVar("OptionsModel", bound=BaseModel)


def _options(request: Request, model: type[OptionsModel]) -> OptionsModel:
    if not isinstance(request.options, model):
        raise InputError(f"options: expected {model.__name__}: pass read_options(name, {{…}})")
    return request.options


def _sorted(request: Request) -> list[str]:
    """Domains by name: the same proposals whatever the order of the columns."""
    return sorted(request.domains)


def _fit(request: Request, options: SearchOptions) -> "tuple[Predictor, Observations, Objective, str]":
    from modomodo import surrogates

    fit = surrogates.surrogates[options.surrogate]
    aim = surrogates.objective(request.records, request.target, request.aggregates)
    observations = surrogates.observe(request.records, aim)
    note = f"{options.surrogate} on {len(observations.final())} runs"
    return fit(observations, request.seed), observations.final(), aim, note


def _proposal(pick: "Pick", names: Sequence[str], request: Request, note: str) -> Proposal:
    weights = {name: max(0.0, float(weight)) for name, weight in zip(names, pick.weights, strict=True)}
    usable = mixtures.normalise({domain: weights[domain] for domain in request.domains})
    deviation = pick.deviation if pick.deviation is None or math.isfinite(pick.deviation) else None
    return Proposal(usable, Predicted(mean=pick.mean, standard_deviation=deviation), note)
