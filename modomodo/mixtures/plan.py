"""What a study will run, known before its first run: its mixtures, rounds and runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from modomodo.config.schema import Study
from modomodo.errors import InputError, nearest
from modomodo.mixtures.cheaper_runs import check_full, check_records, check_strategy, keyed
from modomodo.mixtures.constraints import allowed
from modomodo.mixtures.mixture import Weights
from modomodo.mixtures.records import BASE, empty
from modomodo.mixtures.strategies.base import declaration, mixture_name, propose_named, read_options, suffixes
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

    @property
    def mixtures(self) -> list[str]:
        """All mixtures, in table order."""
        return [mixture for mixtures in self.by_strategy.values() for mixture in mixtures]

    @property
    def scored(self) -> list[tuple[str, int]]:
        """All runs and, first, the base model, which is scored without one."""
        return [(BASE, 0), *self.runs]


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
    experts = find_experts(study, by_strategy, support)
    for name, strategy in study.strategies.items():
        if strategy.names_learned and not learned_from(study, name):
            raise InputError(
                f"strategies.{name}.learns_from: only online runs, which are of no one mixture: name others"
            )
        seen = [mixture for other in learned_from(study, name) for mixture in by_strategy[other]]
        check_cheaper_runs(study, name, len(seen), where)
    seed = study.training.seed
    return Plan(
        by_strategy=by_strategy,
        weights=weights,
        rounds=count_rounds(study),
        learns_from={
            name: [(mixture, seed) for other in learned_from(study, name) for mixture in by_strategy[other]]
            for name in study.strategies
        },
        support=support,
        runs=list_runs(study, list(support)),
        singles={domain: experts[domain] for domain in study.held_out},
        experts=experts,
        online=[mixture for name in online for mixture in by_strategy[name]],
    )


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


def name_mixtures(study: Study) -> dict[str, list[str]]:
    """Strategy → the names of its mixtures, `<strategy>` or `<strategy>-<suffix>`, in table order.

    Raises InputError for a name that two strategies give, or that is the base model's.
    """
    by_strategy: dict[str, list[str]] = {}
    owner = {BASE: "the base model"}
    for name, strategy in study.strategies.items():
        by_strategy[name] = []
        for suffix in suffixes(strategy.propose, usable_domains(study, name), strategy.count):
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
        only = f"{label} (online)" if declaration(strategy.propose).online else label
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
    return issubclass(declaration(study.strategies[name].propose).options, SearchOptions)


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
    if not declaration(strategy.propose).learns:
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
