"""The whole of a study known before its first run: which mixtures, runs and rounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from modomodo.config.schema import Study
from modomodo.errors import InputError, nearest
from modomodo.mixtures.constraints import allowed
from modomodo.mixtures.mixture import Weights
from modomodo.mixtures.records import BASE, empty
from modomodo.mixtures.strategies.base import Request, declaration, propose, read_options, suffixes
from modomodo.mixtures.strategies.search import SearchOptions

RECIPE = 3  # raise when the same records would give other proposals: all are then made anew


@dataclass(frozen=True)
class Plan:
    """What will be run. A run is (mixture, seed)."""

    by_strategy: Mapping[str, Sequence[str]]  # strategy → its mixtures
    rounds: Mapping[str, int]  # strategy → round: 0 learns from nothing, later ones from those before
    learns_from: Mapping[str, Sequence[tuple[str, int]]]  # strategy → the runs whose scores it sees
    support: Mapping[str, Sequence[str]]  # mixture → domains that it can have weight on
    runs: Sequence[tuple[str, int]]
    singles: Mapping[str, str]  # domain with held-out questions → the mixture that is that domain alone
    experts: Mapping[str, str]  # domain → the first mixture that has all weight on it

    @property
    def mixtures(self) -> list[str]:
        """All mixtures, in table order."""
        return [mixture for mixtures in self.by_strategy.values() for mixture in mixtures]

    @property
    def scored(self) -> list[tuple[str, int]]:
        """All runs and, first, the base model, which is scored without one."""
        return [(BASE, 0), *self.runs]


def plan(study: Study, where: str = "") -> Plan:
    """The plan of the study that was read from `where`.

    Raises InputError for a strategy's bad option, a name taken twice and a repeat of no mixture.
    """
    try:
        return _plan(study)
    except InputError as error:
        raise InputError(f"{where}: {error}" if where else str(error)) from None


def _plan(study: Study) -> Plan:
    by_strategy: dict[str, list[str]] = {}
    rounds: dict[str, int] = {}
    support: dict[str, list[str]] = {}
    owner: dict[str, str] = {BASE: "the base model"}
    for name, strategy in study.strategies.items():
        domains = usable_domains(study, name)
        weights = seed_weights(study, name)
        by_strategy[name] = []
        for suffix in suffixes(strategy.propose, domains, strategy.count):
            mixture = name if suffix is None else f"{name}-{suffix}"
            if mixture in owner:
                raise InputError(
                    f"strategies.{name}: mixture '{mixture}' is already {owner[mixture]}: rename one"
                )
            owner[mixture] = f"a mixture of strategy '{name}'"
            by_strategy[name].append(mixture)
        for position, mixture in enumerate(by_strategy[name]):
            support[mixture] = (
                domains if weights is None else [d for d, w in weights[position].items() if w > 0]
            )
        rounds[name] = 1 + max((rounds[other] for other in study.teachers(name)), default=-1)
    experts: dict[str, str] = {}
    for mixture, domains in support.items():
        if len(domains) == 1:
            experts.setdefault(domains[0], mixture)
    for name, strategy in study.strategies.items():
        if declaration(strategy.propose).screens:
            check_experts(
                study, name, [m for other in study.teachers(name) for m in by_strategy[other]], experts
            )
    seed = study.training.seed
    runs = [(mixture, seed) for mixture in support]
    for mixture, seeds in study.repeats.items():
        if mixture not in support:
            raise InputError(f"repeats: unknown mixture '{mixture}': {nearest(mixture, support)}")
        if seed in seeds or len(set(seeds)) < len(seeds):
            raise InputError(
                f"repeats.{mixture}: {seeds}: seeds must differ, and from training.seed ({seed})"
            )
        runs += [(mixture, other) for other in seeds]
    singles = {}
    for domain in study.held_out:
        if domain not in experts:
            raise InputError(
                f"held_out.{domain}: no mixture is {domain} alone: add a strategy with `propose: single`"
            )
        singles[domain] = experts[domain]
    return Plan(
        by_strategy=by_strategy,
        rounds=rounds,
        learns_from={
            name: [(mixture, seed) for other in study.teachers(name) for mixture in by_strategy[other]]
            for name in study.strategies
        },
        support=support,
        runs=runs,
        singles=singles,
        experts=experts,
    )


def check_experts(study: Study, name: str, teachers: Sequence[str], experts: Mapping[str, str]) -> None:
    """Raises InputError when a strategy that screens by merging lacks the expert of a domain it may use."""
    for domain in usable_domains(study, name):
        if experts.get(domain) not in teachers:
            raise InputError(
                f"strategies.{name}.learns_from: no mixture that has all weight on '{domain}': merging needs the "
                "expert of every domain, name a strategy of `single` mixtures, or the domain in `without`"
            )


def searches(study: Study, name: str) -> bool:
    """Whether a strategy searches a surrogate, and so has a comparison of surrogates to show."""
    return issubclass(declaration(study.strategies[name].propose).options, SearchOptions)


def usable_domains(study: Study, name: str) -> list[str]:
    """The domains that a strategy may give weight."""
    return [domain for domain in study.domains if domain not in study.strategies[name].without]


def seed_weights(study: Study, name: str) -> list[Weights] | None:
    """The weights of a strategy that needs no records, None for one that learns.

    Raises InputError for bad options and for a strategy that learns from nothing.
    """
    strategy = study.strategies[name]
    options = read_options(strategy.propose, strategy.options, f"strategies.{name}.options")
    domains = usable_domains(study, name)
    if declaration(strategy.propose).learns:
        if not strategy.learns_from:
            raise InputError(
                f"strategies.{name}.learns_from: missing: '{strategy.propose}' proposes from scored runs, "
                "name the strategies it sees"
            )
        check_search(options, domains, list(study.domains), f"strategies.{name}.options")
        return None
    request = Request(empty(domains), domains, strategy.count, strategy.seed, strategy.target, options)
    try:
        return [proposal.weights for proposal in propose(strategy.propose, request)]
    except InputError as error:
        raise InputError(f"strategies.{name}: {error}") from None


def planned_weights(study: Study) -> list[Weights | None]:
    """The weights of every mixture in table order; None for one that is only proposed once others are scored."""
    found: list[Weights | None] = []
    for name, strategy in study.strategies.items():
        weights = seed_weights(study, name)
        count = len(suffixes(strategy.propose, usable_domains(study, name), strategy.count))
        found += [None] * count if weights is None else list(weights)
    return found


def check_search(options: BaseModel, usable: Sequence[str], known: Sequence[str], where: str) -> None:
    """What a search on a surrogate would find wrong with its options only once every seed was trained.

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
        surrogates[options.surrogate]
        allowed(constraints, usable)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
