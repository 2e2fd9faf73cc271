"""What a strategy is: its request, its proposals, its options, and the registry of strategies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel

from modomodo.config.loading import parse
from modomodo.config.schema import Settings
from modomodo.config.schema import Strategy as StrategySettings
from modomodo.errors import InputError, nearest
from modomodo.mixtures.budget import Decision, Prices, Seeds, StoppedRun
from modomodo.mixtures.constraints import Constraints, check_names
from modomodo.mixtures.mixture import Predicted, Weights, validate_weights
from modomodo.mixtures.online import OnlineOptions
from modomodo.mixtures.records import AggregateSizes, Records
from modomodo.registry import Registry

if TYPE_CHECKING:
    import pandas as pd


class Options(Settings):
    """Options of a strategy; none of its own. Unknown keys are refused."""


@dataclass(frozen=True)
class Request:
    """What a strategy is asked.

    `domains` are those that may get weight; `records` may hold more, several steps (the last is read, so pass
    `average_steps(records)` for step-averaged scores) and several seeds. `aggregates` ({"out_score":
    {benchmark: size}}) is only needed where the records do not show how an aggregate is made. `merged`: records
    of merged experts, for a strategy that screens. For a strategy with a budget: `stopped`, mixture → its run that a
    race stopped, `prices` of training, `seeds` of runs where it may repeat some, and the `names` of its own mixtures.
    """

    records: Records
    domains: list[str]
    count: int = 1
    seed: int = 0
    target: str = "out_score"
    options: BaseModel = field(default_factory=Options)
    aggregates: AggregateSizes = field(default_factory=dict)
    merged: Records | None = None
    stopped: Mapping[str, StoppedRun] = field(default_factory=dict)
    prices: Prices | None = None
    seeds: Seeds | None = None
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Proposal:
    """A mixture, what the strategy expects of its target there, and one line on why."""

    weights: Weights
    predicted: Predicted | None = None
    note: str = ""
    comparison: "pd.DataFrame | None" = (
        None  # of surrogates by leave-one-mixture-out (calibration.CrossValidated)
    )
    online: OnlineOptions | None = None  # of weights that change while the run trains
    suffix: str | None = (
        None  # of the mixture's name: <strategy>-<suffix>; None for the strategy's name alone
    )
    budget: Decision | None = None  # what of a budget is done in its place


Strategy = Callable[[Request], list[Proposal]]
Suffixes = Callable[[Sequence[str], int], list[str | None]]
# Its options → how a study without an In-Score is mended; empty where it needs none.
WeighsInScore = Callable[[Any], str]
S = TypeVar("S", bound=Strategy)

strategies: Registry[Strategy] = Registry("strategy")


def one(domains: Sequence[str], requested: int) -> list[str | None]:
    """One mixture, named like the strategy."""
    return [None]


def each_domain(domains: Sequence[str], requested: int) -> list[str | None]:
    """One mixture for each domain, named after it."""
    return list(domains)


def never(options: Any) -> str:
    """Of a strategy that can do without an In-Score."""
    return ""


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
    online: bool = False  # its runs change their mixture while they train
    weighs_in_score: WeighsInScore = never  # and so cannot do without one
    may_learn: bool = False  # uses records where it is given some
    start: Callable[[Any], int] | None = None  # how many mixtures its options ask for, where `count` does not


_declarations: dict[str, Declaration] = {}


def declare(
    name: str,
    options: type[BaseModel] = Options,
    suffixes: Suffixes = one,
    learns: bool = True,
    screens: bool = False,
    online: bool = False,
    weighs_in_score: WeighsInScore = never,
    may_learn: bool = False,
    start: Callable[[Any], int] | None = None,
) -> Callable[[S], S]:
    """Decorator: register a strategy with its options, the names of its mixtures, and what it needs of a study."""

    def decorate(function: S) -> S:
        strategies.register(name)(function)
        _declarations[name] = Declaration(
            options, suffixes, learns, screens, online, weighs_in_score, may_learn, start
        )
        return function

    return decorate


def declaration(name: str) -> Declaration:
    """Raises InputError for an unknown strategy. One registered without a declaration yields one mixture."""
    strategies[name]
    return _declarations.get(name, Declaration())


def suffixes(name: str, domains: Sequence[str], requested: int = 1) -> list[str | None]:
    """The name suffix of each mixture a strategy will yield, known before it runs."""
    return declaration(name).suffixes(domains, requested)


def requested(name: str, strategy: StrategySettings, domains: Sequence[str]) -> int:
    """How many mixtures a study asks of the strategy that it calls `name`, of usable domains.

    Raises InputError for bad options, and for a `count` of which the strategy takes no notice.
    """
    start = declaration(strategy.propose).start
    if start is not None:
        fixed = start(read_options(strategy.propose, strategy.options, f"strategies.{name}.options"))
        why = f"its options ask for {fixed}"
    else:
        fixed, more = (len(suffixes(strategy.propose, domains, number)) for number in (1, 2))
        if fixed != more:
            return strategy.count
        why = f"'{strategy.propose}' always proposes {fixed}"
    if strategy.count not in (1, fixed):
        raise InputError(f"strategies.{name}.count: {strategy.count}, but {why}: remove it")
    return fixed


def learns(strategy: StrategySettings) -> bool:
    """Whether a study's strategy proposes from scored runs."""
    declared = declaration(strategy.propose)
    return declared.learns or (declared.may_learn and bool(strategy.names_learned))


def read_options(name: str, values: Mapping[str, Any], where: str = "options") -> BaseModel:
    """The options of a strategy, checked. Raises InputError naming the key, with a hint."""
    return parse(dict(values), declaration(name).options, where)


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
        check_names(constraints, sorted({*request.domains, *request.records.domains}))
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


def propose_named(
    name: str,
    strategy: StrategySettings,
    records: Records,
    domains: Sequence[str],
    *,
    aggregates: AggregateSizes | None = None,
    merged: Records | None = None,
    stopped: Mapping[str, StoppedRun] | None = None,
    prices: Prices | None = None,
    seeds: Seeds | None = None,
) -> dict[str, Proposal]:
    """Mixture → proposal, of the strategy that a study calls `name`. `domains` are all of the study's.

    Raises InputError, naming the strategy, for bad options and as `propose` does.
    """
    usable = [domain for domain in domains if domain not in strategy.without]
    count = requested(name, strategy, usable)
    request = Request(
        records=records,
        domains=usable,
        count=count,
        seed=strategy.seed,
        target=strategy.target,
        options=read_options(strategy.propose, strategy.options, f"strategies.{name}.options"),
        aggregates=aggregates or {},
        merged=merged,
        stopped=stopped or {},
        prices=prices,
        seeds=seeds,
        names=[mixture_name(name, suffix) for suffix in suffixes(strategy.propose, usable, count)],
    )
    try:
        proposals = propose(strategy.propose, request)
    except InputError as error:
        raise InputError(f"strategies.{name}: {error}") from None
    return {mixture_name(name, proposal.suffix): proposal for proposal in proposals}


def mixture_name(strategy: str, suffix: str | None) -> str:
    """`<strategy>-<suffix>`, or the strategy's name alone."""
    return strategy if suffix is None else f"{strategy}-{suffix}"


OptionsModel = TypeVar("OptionsModel", bound=BaseModel)


def _options(request: Request, model: type[OptionsModel]) -> OptionsModel:
    """The options as a strategy declared them: `propose` has checked it."""
    return cast(OptionsModel, request.options)


def _sorted(request: Request) -> list[str]:
    """Domains by name: the same proposals whatever the order of the columns."""
    return sorted(request.domains)
