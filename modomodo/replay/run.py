"""A study of runs that others made: a table of mixtures and scores in, the next mixtures and how sure they are out.

Nothing is trained. The same strategies as in a study that trains learn from the recorded rows; beside their
mixtures lie the comparison of surrogates, the calibration of the one chosen, and how sure the optimum is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from modomodo.config.schema import Strategy
from modomodo.errors import InputError, nearest
from modomodo.mixtures.acquisition import pareto_front, sample_mixtures
from modomodo.mixtures.cheaper_runs import with_cheaper_runs
from modomodo.mixtures.constraints import check_names, without
from modomodo.mixtures.records import (
    AGGREGATES,
    Records,
    last_step,
    learnable,
)
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.strategies.base import (
    Proposal,
    learns,
    propose_named,
)
from modomodo.mixtures.surrogates.base import Objective, Observations, objective, observe, surrogates
from modomodo.mixtures.surrogates.calibration import (
    DEFAULT,
    CrossValidated,
    compared,
    cross_validated,
    is_large,
    refit,
)
from modomodo.mixtures.uncertainty import Comparison, Uncertainty, best_observed, split_half
from modomodo.replay.config import ReplayConfig, ReplayStrategy, load, table_of
from modomodo.reporting.results import Results, results_of
from modomodo.reporting.settings import shown_surrogate


def replay_results(config: str, target: str | None = None) -> tuple[str, Results]:
    """Name and runs of a study of recorded runs, from its YAML file or as JSON, by its target or another one.

    Raises InputError.
    """
    study = load(config)
    return study.name, results_in(study, read(study), target)


def results_in(study: ReplayConfig, records: Records, target: str | None = None) -> Results:
    """The recorded runs as people look at them, by the study's target or another one."""
    inside = study.records.aggregates.get("in_score")
    sides = {name: "in" if name in inside else "out" for name in records.benchmarks} if inside else None
    return results_of(records, sides=sides, target=target or study.target, losses=losses_of(study, records))


def surrogate_in(study: ReplayConfig) -> str:
    """What the pages predict by: what the study's strategies propose by, else the default of proposals."""
    return shown_surrogate(study.strategies, DEFAULT)


def losses_of(study: ReplayConfig, records: Records) -> set[str]:
    """The scores that the records hold negated: losses, and the aggregates of nothing else."""
    lower = study.records.lower_is_better
    if isinstance(lower, bool):
        return set(records.targets) if lower else set()
    whole = {name for name, sizes in study.records.aggregates.items() if set(sizes) <= set(lower)}
    return {*lower, *whole}


CANDIDATES = 4000  # mixtures among which the best, the worst and the front are looked for
FEWER = 1000  # and of them those among which a half of a large table looks for its best
BASELINES = 5  # observed mixtures that the proposed one is compared with


@dataclass(frozen=True)
class Outcome:
    """What a recorded study says."""

    study: ReplayConfig
    records: Records
    proposals: dict[str, tuple[ReplayStrategy, Proposal]]  # mixture → its strategy and proposal
    chosen: CrossValidated
    observations: Observations
    objective: Objective
    uncertainty: Uncertainty
    worst: np.ndarray
    front: pd.DataFrame | None


def read(study: ReplayConfig, path: Path | None = None) -> Records:
    """The table of the study, or another one in its place.

    Raises InputError naming file, line and column, or the target that the table does not have.
    """
    source = path or table_of(study)
    lower = study.records.lower_is_better
    # A loss named among the aggregates is turned round with its benchmarks.
    turned: bool | Collection[str] = lower if isinstance(lower, bool) else list(lower)
    records = read_records(source, turned, study.records.aggregates)
    _check_targets(study, records)
    for name, strategy in study.strategies.items():
        if strategy.cheaper_runs:  # what is wrong with another study's table is told before anything runs
            learned(study, records, name)
    return records


def _check_targets(study: ReplayConfig, records: Records) -> None:
    """Raises InputError for a target that the table does not have, with how to define it."""
    whole = [name for name in AGGREGATES if records.frame[name].notna().any()]
    known = [*records.benchmarks, *study.records.aggregates, *whole]
    wanted = {"target": study.target}
    wanted |= {f"strategies.{name}.target": strategy.target for name, strategy in study.strategies.items()}
    for key, target in wanted.items():
        if target not in known:
            parts = ", ".join(f"{benchmark}: 1" for benchmark in records.benchmarks)
            raise InputError(
                f"{key}: the records have no '{target}': {nearest(target, known)}; to aim at a weighted mean, say of "
                f"what: records: {{aggregates: {{{target}: {{{parts}}}}}}}"
            )


def run(study: ReplayConfig, records: Records) -> Outcome:
    """Every strategy's mixtures, and how far they can be trusted. Raises InputError."""
    aggregates = study.records.aggregates
    seen = last_step(records)
    target = objective(seen, study.target, aggregates)
    observations = observe(seen, target)
    chosen = replace(cross_validated(observations, study.seed), comparison=compared(observations, study.seed))
    proposals: dict[str, tuple[ReplayStrategy, Proposal]] = {}
    for name, strategy in study.strategies.items():
        rows = learned(study, records, name)
        found = propose_named(name, strategy, rows, records.domains, aggregates=aggregates)
        proposals |= {mixture: (strategy, proposal) for mixture, proposal in found.items()}
    check_names(study.constraints, records.domains)
    random = np.random.default_rng(study.seed)
    limits = without(study.constraints, observations.untried)
    mixtures = sample_mixtures(observations.domains, limits, CANDIDATES, random, observations.weights)
    mean = chosen.mean(mixtures) @ target.shares
    baselines = _baselines(observations)
    comparison = Comparison(
        mixtures[:: CANDIDATES // FEWER] if is_large(observations) else mixtures,
        mixtures[int(mean.argmax())],
        baselines,
        {
            mixture: np.array([proposal.weights.get(domain, 0.0) for domain in observations.domains])
            for mixture, (_, proposal) in proposals.items()
        },
    )
    uncertainty = split_half(
        observations,
        refit(chosen.predictor, chosen.name, observations),
        comparison,
        study.seed,
        study.replicates,
        chosen.informed,
    )
    return Outcome(
        study,
        records,
        proposals,
        chosen,
        observations,
        target,
        uncertainty,
        mixtures[int(mean.argmin())],
        _front(study, seen, aggregates, mixtures),
    )


def _baselines(observations: Observations) -> dict[str, np.ndarray]:
    """What an optimum is compared with: equal weights and the best observed mixtures."""
    count = len(observations.domains)
    baselines = {"uniform": np.full(count, 1 / count)}
    for observed in best_observed(observations)[:BASELINES]:
        baselines[observed.name] = observed.weights
    if untried := observations.untried:
        seen = np.array([domain not in untried for domain in observations.domains])
        baselines[f"uniform without {', '.join(untried)}"] = seen / seen.sum()
    return baselines


def learned(study: ReplayConfig, records: Records, name: str) -> Records:
    """What a strategy learns from: rows, one a run, and the records of other studies beside them.

    Raises InputError for a name that no row has, and as `with_cheaper_runs`.
    """
    strategy = study.strategies[name]
    rows = learnable(chosen_rows(records, name, strategy), strategy.scores)
    if not strategy.cheaper_runs:
        return rows
    aimed_at = objective(rows, strategy.target, study.records.aggregates).benchmarks
    return with_cheaper_runs(rows, name, strategy, aimed_at, study.records.lower_is_better)


def chosen_rows(records: Records, name: str, strategy: Strategy) -> Records:
    """The rows that a strategy learns from. Raises InputError for a name that no row has."""
    for other in strategy.names_learned:
        if other not in set(records.frame["strategy"]):
            known = sorted(set(records.frame["strategy"]) - {""})
            raise InputError(
                f"strategies.{name}.learns_from: no row of the records has the strategy '{other}': "
                + nearest(other, known)
            )
    if not strategy.names_learned or not learns(strategy):
        return records
    kept = records.frame["strategy"].isin(strategy.names_learned)
    return replace(records, frame=records.frame[kept].reset_index(drop=True))


def _front(
    study: ReplayConfig, records: Records, aggregates: Mapping[str, Mapping[str, float]], mixtures: np.ndarray
) -> pd.DataFrame | None:
    """The front of expected In- against Out-Score, where the table has both."""
    values = []
    for name in AGGREGATES:
        if name not in aggregates and records.frame[name].isna().all():
            return None
        target = objective(records, name, aggregates)
        fitted = surrogates[DEFAULT](observe(records, target), study.seed)
        values.append(fitted.mean(mixtures) @ target.shares)
    rows = pareto_front(np.column_stack(values))
    columns = [f"w_{domain}" for domain in sorted(records.domains)]
    frame = pd.DataFrame(mixtures[rows], columns=columns).round(6)
    return frame.assign(in_score=values[0][rows], out_score=values[1][rows])
