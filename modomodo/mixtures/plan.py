"""What a study will run, known before its first run: its mixtures, rounds and runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pydantic import BaseModel

from modomodo.config.schema import Study
from modomodo.errors import InputError, nearest
from modomodo.mixtures.budget import Budget
from modomodo.mixtures.cheaper_runs import check_full, check_records, check_strategy, keyed
from modomodo.mixtures.constraints import allowed
from modomodo.mixtures.mixture import Weights
from modomodo.mixtures.races import Place, Stretch, places_further, places_of, stretches_of
from modomodo.mixtures.records import BASE, empty
from modomodo.mixtures.strategies.acquire import budget_of
from modomodo.mixtures.strategies.base import (
    declaration,
    learns,
    mixture_name,
    propose_named,
    read_options,
    requested,
    suffixes,
)
from modomodo.mixtures.strategies.race import RaceOptions
from modomodo.mixtures.strategies.search import SearchOptions

# Raise when the same records would give other proposals: all are then proposed again. Searches on a surrogate have a
# version of their own, since seed mixtures and heuristics that are proposed again are trained again.
CACHE_VERSION = 1
SEARCH_VERSION = 2


@dataclass(frozen=True)
class Plan:
    """What will be run. A run is (mixture, seed)."""

    by_strategy: Mapping[str, Sequence[str]]  # strategy → its mixtures
    weights: Mapping[str, Weights]  # mixture → weights, where no score decides them
    rounds: Mapping[str, int]  # strategy → round: 0 learns from nothing, later ones from those before
    learns_from: Mapping[str, Sequence[tuple[str, int]]]  # strategy → the runs whose scores it sees
    support: Mapping[str, Sequence[str]]  # mixture → domains that it can have weight on
    runs: Sequence[tuple[str, int]]
    singles: Mapping[str, str]  # domain with held-out questions → the mixture that is that domain alone
    experts: Mapping[str, str]  # domain → the first mixture that has all weight on it
    online: Sequence[str] = ()  # mixtures that change while their runs train
    places: Sequence[Place] = ()  # at the later rungs of races, in their order, and of budgets
    stretches: Mapping[tuple[str, int], Stretch] = field(
        default_factory=dict
    )  # what a run's job trains of it
    budgets: Mapping[str, Budget] = field(default_factory=dict)  # by strategy

    @property
    def races(self) -> list[str]:
        """The strategies whose runs go on to later rungs, in their order."""
        return list(dict.fromkeys(place.strategy for place in self.places if not place.of))

    @property
    def later(self) -> list[tuple[str, int]]:
        """The jobs that train runs further, called as the places are that these runs take."""
        names = {place.name for place in self.places}
        return [job for job in self.stretches if job[0] in names]

    @property
    def mixtures(self) -> list[str]:
        """All mixtures, in table order."""
        return [mixture for mixtures in self.by_strategy.values() for mixture in mixtures]

    @property
    def scored(self) -> list[tuple[str, int]]:
        """All runs and, first, the base model, which is scored without one."""
        return [(BASE, 0), *self.runs]

    @property
    def mixture_files(self) -> list[str]:
        """All mixtures, and the places that some of them take."""
        return [*self.mixtures, *(place.name for place in self.places)]

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """Every job that trains: all runs, and those that take places in races."""
        return [*self.runs, *self.later]

    @property
    def scored_jobs(self) -> list[tuple[str, int]]:
        """The same with the base model."""
        return [*self.scored, *self.later]

    def places_at(self, strategy: str, step: int) -> list[str]:
        """The names of the places at a rung."""
        return [place.name for place in self.places if (place.strategy, place.step) == (strategy, step)]

    def proposed(self, strategy: str) -> list[str]:
        """The mixtures that a strategy writes, with the places where it trains stopped runs further."""
        further = [place.name for place in self.places if place.of and place.strategy == strategy]
        return [*self.by_strategy[strategy], *further]

    def before(self, strategy: str, step: int) -> list[tuple[str, int]]:
        """The jobs that have trained the runs of a race when it is decided who trains on to a step."""
        early = [p.name for p in self.places if p.strategy == strategy and p.step < step]
        names = {*self.by_strategy[strategy], *early}
        return [job for job in self.stretches if job[0] in names]


def plan(study: Study, where: str = "") -> Plan:
    """The plan of the study that was read from `where`. Runs the strategies that need no scores, once each.

    Raises InputError for a strategy's bad option, a name taken twice and a repeat of no mixture.
    """
    try:
        return _plan(study, where)
    except InputError as error:
        raise InputError(f"{where}: {error}" if where else str(error)) from None


def _plan(study: Study, where: str) -> Plan:
    """The plan, as `plan`; its errors do not name the study's file."""
    by_strategy = name_mixtures(study)
    weights: dict[str, Weights] = {}
    support: dict[str, Sequence[str]] = {}
    online = [name for name in by_strategy if is_online(study, name)]
    for name, mixtures in by_strategy.items():
        seeds = seed_weights(study, name)
        if seeds is None or name in online:
            support |= dict.fromkeys(mixtures, usable_domains(study, name))
            continue
        for mixture, row in seeds.items():
            weights[mixture] = row
            support[mixture] = [domain for domain, weight in row.items() if weight > 0]
    races = {name: options for name in by_strategy if (options := race_options(study, name))}
    raced = {mixture for name in races for mixture in by_strategy[name]}
    experts = find_experts(
        study, by_strategy, {mixture: domains for mixture, domains in support.items() if mixture not in raced}
    )
    for name in races:  # as of the places, which any of them may take
        support |= dict.fromkeys(by_strategy[name], usable_domains(study, name))
    budgets = {name: budget for name in by_strategy if (budget := budget_of(study, name))}
    for name in study.strategies:
        full = [
            races[other].finish if other in races else len(sure_of(by_strategy[other], budgets.get(other)))
            for other in learned_from(study, name)
        ]
        check_learned(study, name, sum(full), where)
    check_continued(study, budgets, races)
    check_repeats(study, by_strategy, budgets)
    seed = study.training.seed
    places, stretches = lay_out(races, by_strategy, seed)
    own, further = lay_out_further(study, races, by_strategy, budgets)
    places, stretches = places + own, stretches | further
    runs = list_runs(study, list(support))
    for place in places:
        # As of the race, since settings of a training depend on it: the run's work is found to be its own.
        support[place.name] = usable_domains(study, place.of or place.strategy)
    return Plan(
        by_strategy=by_strategy,
        weights=weights,
        rounds=count_rounds(study),
        learns_from={
            name: [
                (mixture, seed)
                for other in learned_from(study, name)
                for mixture in [*by_strategy[other], *(p.name for p in places if p.strategy == other)]
            ]
            for name in study.strategies
        },
        support=support,
        runs=runs,
        singles={domain: experts[domain] for domain in study.held_out},
        experts=experts,
        online=[mixture for name in online for mixture in by_strategy[name]],
        places=places,
        stretches=stretches,
        budgets=budgets,
    )


def check_learned(study: Study, name: str, full: int, where: str) -> None:
    """Raises InputError where a strategy learns from online runs alone, or from cheaper ones and too few full ones."""
    if study.strategies[name].names_learned and not learned_from(study, name):
        raise InputError(
            f"strategies.{name}.learns_from: only online runs, which are of no one mixture: name others"
        )
    check_cheaper_runs(study, name, full, where)


def lay_out_further(
    study: Study,
    races: Mapping[str, RaceOptions],
    by_strategy: Mapping[str, Sequence[str]],
    budgets: Collection[str],
) -> tuple[list[Place], dict[tuple[str, int], Stretch]]:
    """The places in which budgets train stopped runs of races further, and what of a run each may train."""
    places: list[Place] = []
    stretches: dict[tuple[str, int], Stretch] = {}
    for name in budgets:
        for race in learned_from(study, name):
            if race in races:
                own = places_further(name, race, races[race], len(by_strategy[name]))
                # The longest that is left of one: how much, its mixture's file says.
                longest = Stretch(next(iter(races[race].rungs)), None)
                stretches |= {(place.name, study.training.seed): longest for place in own}
                places += own
    return places, stretches


def is_online(study: Study, name: str) -> bool:
    """Whether a strategy's runs change their mixture while they train."""
    return declaration(study.strategies[name].propose).online


def learned_from(study: Study, name: str) -> list[str]:
    """The strategies that a strategy learns from: a group's but for online ones, whose runs are of no one mixture.

    Raises InputError for an online one that is named itself.
    """
    for other in study.strategies[name].names_learned:
        if other in study.strategies and is_online(study, other):
            raise InputError(
                f"strategies.{name}.learns_from: '{other}' changes its mixture while it trains, so its score is of no "
                "one mixture: remove it"
            )
    return [other for other in study.depends_on(name) if not is_online(study, other)]


def race_options(study: Study, name: str) -> RaceOptions | None:
    """The options of a strategy that is a race, None of any other.

    Raises InputError for rungs at steps that are not scored, or of which the last is not the last scored one.
    """
    strategy = study.strategies[name]
    if not issubclass(declaration(strategy.propose).options, RaceOptions):
        return None
    where = f"strategies.{name}.options"
    options = cast(RaceOptions, read_options(strategy.propose, strategy.options, where))
    scored = study.training.scored_steps
    for step in options.rungs:
        if step > study.training.steps:
            raise InputError(f"{where}.rungs: {step} lies beyond training.steps ({study.training.steps})")
        if step not in scored:
            raise InputError(f"{where}.rungs: {step} is none of training.scored_steps {scored}")
    if (last := list(options.rungs)[-1]) != scored[-1]:
        raise InputError(
            f"{where}.rungs: the last is at step {last}, but the last scored step is {scored[-1]}: add it"
        )
    return options


def lay_out(
    races: Mapping[str, RaceOptions], by_strategy: Mapping[str, Sequence[str]], seed: int
) -> tuple[list[Place], dict[tuple[str, int], Stretch]]:
    """The places at the later rungs of all races, and what each job of a race trains."""
    places: list[Place] = []
    stretches: dict[tuple[str, int], Stretch] = {}
    for name, options in races.items():
        of_step = stretches_of(options.rungs)
        stretches |= {(mixture, seed): of_step[next(iter(of_step))] for mixture in by_strategy[name]}
        own = places_of(name, options.rungs, options.if_uninformative == "finish")
        stretches |= {(place.name, seed): of_step[place.step] for place in own}
        places += own
    return places, stretches


def sure_of(mixtures: Sequence[str], budget: Budget | None) -> Sequence[str]:
    """As many of a strategy's mixtures as are sure to be new ones whose runs are finished."""
    if budget is None:
        return mixtures
    return mixtures[: 0 if budget.repeats else budget.runs]


def check_continued(study: Study, budgets: Mapping[str, Budget], races: Collection[str]) -> None:
    """Raises InputError where two budgets might train the same run, neither having seen what the other did."""
    for place, (name, budget) in enumerate(budgets.items()):
        for other in list(budgets)[:place]:
            seen, before = learned_from(study, name), learned_from(study, other)
            shared = [one for one in seen if one in before]
            stopped = [one for one in shared if one in races]
            repeated = shared if budget.repeats and budgets[other].repeats else []
            if (stopped or repeated) and other not in seen:
                does = (
                    f"train runs of '{stopped[0]}' further" if stopped else f"repeat those of '{repeated[0]}'"
                )
                raise InputError(
                    f"strategies.{name}.learns_from: both its budget and that of '{other}' may {does}: "
                    f"add '{other}', so that it sees which"
                )


def check_repeats(
    study: Study, by_strategy: Mapping[str, Sequence[str]], budgets: Mapping[str, Budget]
) -> None:
    """Raises InputError for a place of a budget under `repeats`, where it may itself repeat another mixture."""
    for name, budget in budgets.items():
        for mixture in study.repeats if budget.repeats else ():
            if mixture in by_strategy[name]:
                raise InputError(
                    f"repeats.{mixture}: strategies.{name} chooses what it repeats, and '{mixture}' may be another "
                    "mixture again: remove it here"
                )


def name_mixtures(study: Study) -> dict[str, list[str]]:
    """Strategy → the names of its mixtures, `<strategy>` or `<strategy>-<suffix>`, in table order.

    Raises InputError for a name that two strategies give, or that is the base model's.
    """
    by_strategy: dict[str, list[str]] = {}
    owner = {BASE: "the base model"}
    for name, strategy in study.strategies.items():
        by_strategy[name] = []
        usable = usable_domains(study, name)
        for suffix in suffixes(strategy.propose, usable, requested(name, strategy, usable)):
            mixture = mixture_name(name, suffix)
            if mixture in owner:
                raise InputError(
                    f"strategies.{name}: mixture '{mixture}' is already {owner[mixture]}: rename one"
                )
            owner[mixture] = f"a mixture of strategy '{name}'"
            by_strategy[name].append(mixture)
    return by_strategy


def labels(study: Study, plan: Plan) -> dict[str, str]:
    """Mixture → what tables call it: its strategy's label, and which of several it is (`Single: geometry`)."""
    found = {}
    for name, mixtures in plan.by_strategy.items():
        strategy = study.strategies[name]
        label = strategy.label or name
        only = f"{label} (online)" if is_online(study, name) else label
        for mixture in mixtures:
            found[mixture] = f"{label}: {mixture.removeprefix(f'{name}-')}" if len(mixtures) > 1 else only
    return found


def count_rounds(study: Study) -> dict[str, int]:
    """Strategy → its round: 0 for one that learns from nothing, else one more than the last it learns from."""
    rounds: dict[str, int] = {}
    for name in study.strategies:
        rounds[name] = 1 + max((rounds[other] for other in learned_from(study, name)), default=-1)
    return rounds


def find_experts(
    study: Study, by_strategy: Mapping[str, Sequence[str]], support: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Domain → its expert: the first mixture that has all weight on it.

    Raises InputError for a domain without one that has held-out questions, or that a strategy which screens by
    merging may use without learning from one.
    """
    experts: dict[str, str] = {}
    for mixture, domains in support.items():
        if len(domains) == 1:
            experts.setdefault(domains[0], mixture)
    for name, strategy in study.strategies.items():
        if not declaration(strategy.propose).screens:
            continue
        seen = {mixture for other in learned_from(study, name) for mixture in by_strategy[other]}
        for domain in usable_domains(study, name):
            if experts.get(domain) not in seen:
                raise InputError(
                    f"strategies.{name}.learns_from: no mixture that has all weight on '{domain}': merging needs "
                    "the expert of every domain, name a strategy of `single` mixtures, or the domain in `without`"
                )
    for domain in study.held_out:
        if domain not in experts:
            raise InputError(
                f"held_out.{domain}: no mixture is {domain} alone: add a strategy with `propose: single`"
            )
    return experts


def list_runs(study: Study, mixtures: Sequence[str]) -> list[tuple[str, int]]:
    """Every (mixture, seed) that is trained: each mixture under the study's seed, then the repeats.

    Raises InputError for a repeat of an unknown mixture, and for a seed given twice.
    """
    seed = study.training.seed
    runs = [(mixture, seed) for mixture in mixtures]
    for mixture, seeds in study.repeats.items():
        if mixture not in mixtures:
            raise InputError(f"repeats: unknown mixture '{mixture}': {nearest(mixture, mixtures)}")
        if seed in seeds or len(set(seeds)) < len(seeds):
            raise InputError(
                f"repeats.{mixture}: {seeds}: seeds must differ, and from training.seed ({seed})"
            )
        runs += [(mixture, other) for other in seeds]
    return runs


def searches(study: Study, name: str) -> bool:
    """Whether a strategy searches a surrogate, and so has a comparison of surrogates to show."""
    strategy = study.strategies[name]
    return issubclass(declaration(strategy.propose).options, SearchOptions) and bool(strategy.names_learned)


def proposal_version(study: Study, name: str) -> int:
    """Raised when this strategy would propose something else from the same records."""
    return SEARCH_VERSION if searches(study, name) else CACHE_VERSION


def usable_domains(study: Study, name: str) -> list[str]:
    """The domains that a strategy may give weight."""
    return [domain for domain in study.domains if domain not in study.strategies[name].without]


def seed_weights(study: Study, name: str) -> dict[str, Weights] | None:
    """Mixture → weights, of a strategy that needs no records; None for one that learns.

    Raises InputError for bad options and for a strategy that learns from nothing.
    """
    strategy = study.strategies[name]
    domains = usable_domains(study, name)
    if not learns(strategy):
        proposals = propose_named(name, strategy, empty(domains), list(study.domains))
        return {mixture: proposal.weights for mixture, proposal in proposals.items()}
    options = read_options(strategy.propose, strategy.options, f"strategies.{name}.options")
    if not strategy.names_learned:
        raise InputError(
            f"strategies.{name}.learns_from: missing: '{strategy.propose}' proposes from scored runs, "
            "name the strategies it sees"
        )
    check_search(options, domains, list(study.domains), f"strategies.{name}.options")
    return None


def check_cheaper_runs(study: Study, name: str, full: int, where: str) -> None:
    """What is wrong with other studies' records, beside `full` mixtures of this one. Raises InputError."""
    strategy = study.strategies[name]
    check_strategy(name, strategy)
    for key, other in keyed(name, strategy):
        if Path(other.records).parts[:2] == ("results", study.name):
            raise InputError(
                f"{key}: {other.records}: of this study itself: name the strategies to learn from"
            )
        check_full(name, full)
        check_records(other, study.domains, aimed_at(study, strategy.target), key, where)


def aimed_at(study: Study, target: str) -> list[str]:
    """The benchmarks that a target is made of."""
    if target in study.benchmarks:
        return [target]
    side = target.removesuffix("_score")
    return [name for name, benchmark in study.benchmarks.items() if benchmark.group == side]


def check_search(options: BaseModel, usable: Sequence[str], known: Sequence[str], where: str) -> None:
    """What a search on a surrogate would otherwise refuse only once every seed mixture was trained.

    Raises InputError for an unknown surrogate or domain and for constraints that no mixture meets.
    """
    if not isinstance(options, SearchOptions):
        return
    from modomodo.mixtures.surrogates.base import surrogates

    constraints = options.constraints
    for domain in [*constraints.minimum, *constraints.maximum, *constraints.fixed, *constraints.prior]:
        if domain not in known:
            raise InputError(f"{where}.constraints: unknown domain '{domain}': {nearest(domain, known)}")
    try:
        surrogates.check(options.surrogate)
        allowed(constraints, usable)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
