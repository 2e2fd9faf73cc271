"""The best mixture by a score, those near it, and how far it is ahead of others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from modomodo.console import digits, with_error
from modomodo.mixtures.records import BASE, score_column
from modomodo.reporting.differences import CrossFitted, Difference, cross_fitted, near_best
from modomodo.reporting.results import Results, title
from modomodo.reporting.settings import group_title

SHOWN = 8  # best mixtures listed
NARROW = "\u00a0"  # a space that no line ends at


@dataclass(frozen=True)
class Ranked:
    """A mixture in the table of the best ones. `close`: it cannot be told apart from the best."""

    mixture: str
    label: str
    group: str
    seed: int
    weights: Mapping[str, float]
    score: str
    close: bool
    behind: str


@dataclass(frozen=True)
class Winner:
    """The best mixture by one score, and the table of the best ones.

    `digits`: decimals that its score is worth. `ties`: others that cannot be told apart from it.
    """

    mixture: str
    title: str
    strategy: str
    score: str
    digits: int
    leads: Mapping[str, Difference]
    ties: int
    rows: Sequence[Ranked]


def winner_of(found: Results, target: str) -> Winner | None:
    """The best mixture by a score; None where nothing has one."""
    column = score_column(target)
    table = found.mixtures[found.mixtures[column].notna()].sort_values(column, ascending=False, kind="stable")
    if table.empty:
        return None
    best = table.iloc[0]
    compared = [found.differences.between(best["mixture"], name, target) for name in table["mixture"]]
    close = near_best(compared)
    seeds = found.records.frame.groupby("mixture")["seed"].min()
    rows = [
        Ranked(
            mixture=row["mixture"],
            label=row["strategy"],
            group=group_title(row["group"]),
            seed=int(seeds[row["mixture"]]),
            weights={
                domain: row[f"w_{domain}"]
                for domain in found.records.domains
                if not math.isnan(row[f"w_{domain}"])
            },
            score=_score(row, target),
            close=bool(near) and place > 0,
            behind=with_error(-ahead.gap, ahead.standard_error, NARROW) if place else "",
        )
        for place, ((_, row), near, ahead) in enumerate(
            zip(table.head(SHOWN).iterrows(), close, compared, strict=False)
        )
    ]
    leads = {
        label: found.differences.between(best["mixture"], name, target)
        for name, label in _others(found, best["mixture"]).items()
    }
    return Winner(
        mixture=best["mixture"],
        title=title(target),
        strategy=best["strategy"],
        score=_score(best, target),
        digits=digits([best[f"se_{target}"]]),
        leads={label: lead for label, lead in leads.items() if math.isfinite(lead.gap)},
        ties=int(close.sum()) - 1,
        rows=rows,
    )


def elsewhere(found: Results, target: str) -> CrossFitted | None:
    """What the best mixture of half of the questions scores on the other half, and its lead there, by others' names."""
    others = _others(found, str(winner.mixture)) if (winner := winner_of(found, target)) else {}
    halves = cross_fitted(found.differences, target, tuple(others))
    return halves and replace(halves, leads={others[name]: lead for name, lead in halves.leads.items()})


def _others(found: Results, best: str) -> dict[str, str]:
    """What a winner is compared with: mixture → what it is called."""
    others = {} if found.base is None else {BASE: "the base model"}
    if places := found.places("all"):
        row = found.mixtures.iloc[places[0]]
        seeds = f", mean of {row['seeds']} seeds" if row["seeds"] > 1 else ""
        others[row["mixture"]] = f"equal weights (All{seeds})"
    return {name: label for name, label in others.items() if name != best}


def _score(row: pd.Series, target: str) -> str:
    return with_error(row[score_column(target)], row[f"se_{target}"], NARROW)
