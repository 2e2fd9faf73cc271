"""Records of other studies that a strategy learns from as cheaper runs: checked before anything runs, then read.

surrogates/fidelities.py says what is made of them.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from modomodo.config.reading import beside
from modomodo.config.schema import CheaperRuns, Strategy
from modomodo.errors import InputError
from modomodo.mixtures.csv_cells import read_cells
from modomodo.mixtures.records import AGGREGATES, Records, one_step, trained
from modomodo.mixtures.strategies.base import learns, read_options, strategies
from modomodo.mixtures.strategies.search import SearchOptions

StrategyModel = TypeVar("StrategyModel", bound=Strategy)


def locate(strategy: StrategyModel, where: str) -> StrategyModel:
    """The strategy with the paths of other records as they are from the working directory."""
    if not strategy.cheaper_runs:
        return strategy
    found = [
        other
        if isinstance(other, str)
        else other.model_copy(update={"records": _located(other.records, where)})
        for other in strategy.learns_from
    ]
    return strategy.model_copy(update={"learns_from": found})


def _located(path: str, where: str) -> str:
    """Beside the study's file, else in the working directory, where results are."""
    own = beside(path, where)
    return path if Path(path).parts[:1] == ("results",) and not Path(own).exists() else own


def keyed(name: str, strategy: Strategy) -> Iterator[tuple[str, CheaperRuns]]:
    """Other records with their place in the study."""
    for number, other in enumerate(strategy.learns_from):
        if isinstance(other, CheaperRuns):
            yield f"strategies.{name}.learns_from.{number}", other


def check_strategy(name: str, strategy: Strategy) -> None:
    """Raises InputError for a strategy or a surrogate that would not use cheaper runs, and for two of one name."""
    from modomodo.mixtures.surrogates.base import CALIBRATING, MEMBERS

    others = list(keyed(name, strategy))
    if not others:
        return
    key, _ = others[0]
    if not learns(strategy):
        raise InputError(f"{key}: '{strategy.propose}' learns from no runs: remove the records")
    options = read_options(strategy.propose, strategy.options, f"strategies.{name}.options")
    if isinstance(options, SearchOptions):
        known = [each for names in MEMBERS.values() for each in names]
        if options.surrogate in known and options.surrogate not in CALIBRATING:
            raise InputError(
                f"strategies.{name}.options.surrogate: '{options.surrogate}' does not use cheaper runs: choose one of "
                f"{', '.join(CALIBRATING)}, or remove {key}"
            )
    elif strategies[strategy.propose].__module__.startswith("modomodo."):
        raise InputError(
            f"{key}: '{strategy.propose}' does not use cheaper runs: remove the records, or search on a surrogate, "
            "e.g. propose: acquire"
        )
    seen: set[str] = set()
    for key, other in others:
        if other.title in seen:
            raise InputError(f"{key}: a second '{other.title}': give it another `name`")
        seen.add(other.title)


def check_full(name: str, mixtures: int) -> None:
    """Raises InputError for too few mixtures run in full to learn from them what cheaper runs are worth."""
    from modomodo.mixtures.surrogates.base import FEWEST

    if mixtures < FEWEST:
        raise InputError(
            f"strategies.{name}.learns_from: {mixtures} mixtures run in full: what cheaper runs are worth is learned "
            f"from {FEWEST} or more, name strategies that give them"
        )


def check_records(
    other: CheaperRuns, domains: Collection[str], benchmarks: Collection[str], key: str, where: str = ""
) -> None:
    """Without pandas: that the table is there and fits the domains and some of the benchmarks of a study.

    `where`: the study's file, beside which the other study's may be. Raises InputError.
    """
    from modomodo.mixtures.surrogates.base import FEWEST

    path = Path(other.records)
    if path.is_dir():
        raise InputError(
            f"{key}.records: {path}: a folder: name the table in it, e.g. {path / 'records.csv'}"
        )
    if not path.exists():
        raise InputError(f"{key}.records: {path}: no such file: {_how_to_make(path, where)}")
    header, rows = read_cells(path)
    theirs = {name.removeprefix("w_") for name in header if name.startswith("w_")}
    if theirs != set(domains):
        only = [f"{' '.join(sorted(names))} only {side}" for names, side in _differing(theirs, set(domains))]
        raise InputError(f"{key}: {path}: other domains, {', '.join(only)}: cheaper runs need the same")
    shared = [name for name in benchmarks if f"y_{name}" in header]
    if not shared:
        scored = [name.removeprefix("y_") for name in header if name.startswith("y_")]
        raise InputError(
            f"{key}: {path}: no score of {', '.join(sorted(benchmarks))}, which the strategy aims at: it has "
            f"{', '.join(scored) or 'none'}"
        )
    runs = _scored_runs(header, rows, shared)
    if runs < FEWEST:
        raise InputError(
            f"{key}: {path}: {runs} trained runs with a score of {', '.join(sorted(shared))}, fewer than {FEWEST}: "
            "too few to learn from"
        )


def _differing(theirs: set[str], own: set[str]) -> Iterator[tuple[set[str], str]]:
    if theirs - own:
        yield theirs - own, "there"
    if own - theirs:
        yield own - theirs, "here"


def _scored_runs(header: Sequence[str], rows: Sequence[Sequence[str]], benchmarks: Sequence[str]) -> int:
    """Runs with weights and a score; a run may have a row for each of several steps."""
    place = {name: column for column, name in enumerate(header)}
    weights = [column for name, column in place.items() if name.startswith("w_")]
    scores = [place[f"y_{name}"] for name in benchmarks]
    names = [place[name] for name in ("mixture", "seed") if name in place]
    return len(
        {
            tuple(row[column] for column in names) if len(names) == 2 else number
            for number, row in enumerate(rows)
            if any(row[column].strip() for column in weights)
            and any(row[column].strip() for column in scores)
        }
    )


def _how_to_make(path: Path, where: str) -> str:
    """The command that makes another study's records, with its file where one of that name is beside the study's."""
    if path.name != "records.csv" or path.parent.parent.name != "results":
        return "nor in the working directory: paths are relative to the study's file"
    named = re.compile(rf"""^name:\s*["']?{re.escape(path.parent.name)}["']?\s*(#.*)?$""", re.MULTILINE)
    files = sorted(Path(where).parent.glob("*.yaml")) if Path(where).is_file() else []
    found = [file for file in files if named.search(file.read_text(encoding="utf-8", errors="replace"))]
    return f"make it: snakemake scores --configfile={found[0] if found else 'STUDY.yaml'}"


def with_cheaper_runs(
    records: Records,
    name: str,
    strategy: Strategy,
    benchmarks: Collection[str],
    lower_is_better: bool | Collection[str] = False,
) -> Records:
    """The records that strategy `name` learns from, and beside them those of other studies that it names.

    `benchmarks`: what it aims at. `lower_is_better`: as of the records, for tables that do not say it themselves.

    Raises InputError, naming the key, for what `check_full` and `check_records` find and a name that is taken.
    """
    others = list(keyed(name, strategy))
    if not others:
        return records
    check_full(name, trained(records).frame["mixture"].nunique())
    fidelities = dict(records.fidelities)
    for key, other in others:
        check_records(other, records.domains, benchmarks, key)
        for title, runs in _read(other, lower_is_better, key).items():
            if title in fidelities:
                raise InputError(
                    f"{key}: the records have a fidelity '{title}' already: give it another `name`"
                )
            fidelities[title] = one_step(runs, strategy.scores)
    return replace(records, fidelities=fidelities)


def _read(other: CheaperRuns, lower_is_better: bool | Collection[str], key: str) -> dict[str, Records]:
    """The runs of another study by name: its own, and those of each fidelity in its table."""
    from modomodo.mixtures.records_csv import read_records

    turned = other.lower_is_better
    if turned is None:
        turned = lower_is_better if isinstance(lower_is_better, bool) else list(lower_is_better)
        if not isinstance(turned, bool):
            header, _ = read_cells(other.records)
            turned = [each for each in turned if each in AGGREGATES or f"y_{each}" in header]
    try:
        read = read_records(other.records, turned, of_cheaper=True)
    except InputError as error:
        # Of a cell it tells file and line; of a name under `lower_is_better` that key alone.
        raise InputError(
            f"{key}.{error}" if str(error).startswith("lower_is_better") else str(error)
        ) from None
    runs = {other.title: read, **{f"{other.title} {name}": part for name, part in read.fidelities.items()}}
    return {title: replace(part, fidelities={}, cost=other.cost) for title, part in runs.items()}
