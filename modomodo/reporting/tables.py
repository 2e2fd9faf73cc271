"""Table 2: every mixture in the paper's order, with what is best and what is within noise of it."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from modomodo.console import digits, with_error
from modomodo.errors import InputError
from modomodo.mixtures.records import (
    AGGREGATES,
    BASE,
    UNPARSED,
    Records,
    average_seeds,
    finished,
    is_online,
    last_of_each,
    last_step,
    score_column,
    seed_noise,
    trained,
)
from modomodo.reporting.differences import Differences, near_best
from modomodo.reporting.settings import Heading, group_title
from modomodo.reporting.templates import render_template


def table2(records: Records, headings: Sequence[Heading]) -> pd.DataFrame:
    """One row a mixture: its scores at the last step, the mean over its seeds.

    Columns: group, strategy, mixture, w_<domain>…, y_<benchmark>…, in_score, out_score, the standard errors
    se_…, seeds, the number of runs, and unparsed, the share of all questions without an answer, where the records
    have it; the base model comes first, with empty weights. Mixtures whose every run was stopped before the last step
    are in `stopped_mixtures`. Raises InputError for a mixture without a record, if a budget has not left it untrained.
    """
    last = mixture_means(last_step(records))
    named = [(BASE, "Base", BASE), *_named(records, headings)]
    known = {*records.frame["mixture"], *(name for each in headings if each.some for name in each.mixtures)}
    rows = []
    for group, label, mixture in named:
        found = last[last["mixture"] == mixture]
        if found.empty and mixture in known:
            continue
        if found.empty and mixture != BASE:
            raise InputError(f"records: no row of mixture '{mixture}'")
        rows.append(found.assign(group=group, strategy=label))
    weights = [f"w_{domain}" for domain in records.domains]
    targets = [*records.benchmarks, *AGGREGATES]
    errors = [f"se_{target}" for target in targets]
    names = ["group", "strategy", "mixture", *weights, *map(score_column, targets), *errors, "seeds"]
    names += [UNPARSED] if UNPARSED in last else []
    return pd.concat(rows, ignore_index=True)[names]


def stopped_mixtures(records: Records, headings: Sequence[Heading]) -> pd.DataFrame:
    """The mixtures that a race has stopped, a row each: group, strategy, mixture, step, out_score, se_out_score.

    Nothing of a mixture that another run has taken to the last step.
    """
    reached = last_of_each(records).frame.drop_duplicates("mixture")
    ended = set(finished(records).frame["mixture"])
    rows = [
        reached[reached["mixture"] == mixture].assign(group=group, strategy=label)
        for group, label, mixture in _named(records, headings)
        if mixture not in ended
    ]
    names = ["group", "strategy", "mixture", "step", "out_score", "se_out_score"]
    return pd.concat(rows, ignore_index=True)[names] if rows else pd.DataFrame(columns=names)


def _named(records: Records, headings: Sequence[Heading]) -> list[tuple[str, str, str]]:
    """(group, label, mixture) in table order."""
    return [
        (heading.group, _label(records, heading, mixture), mixture)
        for heading in headings
        for mixture in heading.mixtures
    ]


def mixture_means(runs: Records) -> pd.DataFrame:
    """A row a mixture, its mean over the runs, in the order of its first one; `seeds` is their number."""
    frame = runs.frame
    # Streams that ran dry end at other steps: what is averaged is each run's last.
    together = replace(runs, frame=frame.assign(step=0))
    means = average_seeds(together).frame
    means = means.assign(seeds=means["mixture"].map(frame["mixture"].value_counts()))
    changing = means["mixture"].isin(frame.loc[is_online(frame), "mixture"])  # each run to weights of its own
    for weight in (f"w_{domain}" for domain in runs.domains):
        own = means["mixture"].map(frame.groupby("mixture")[weight].mean())
        means[weight] = means[weight].where(~changing, own)
    if UNPARSED in frame:
        means[UNPARSED] = means["mixture"].map(frame.groupby("mixture")[UNPARSED].mean())
    return means


def noise_report(records: Records, table: pd.DataFrame) -> dict[str, dict[str, float | int | None]]:
    """Per score: its standard deviation between the table's mixtures, between seeds of one mixture, the ratio.

    What is unknown, as where no mixture was repeated, is None. `degrees` are those of freedom of the
    deviation between seeds.
    """
    last = trained(last_step(records))
    degrees = len(last) - last.frame["mixture"].nunique()
    report = {}
    for target in [*records.benchmarks, *AGGREGATES]:
        between = float(table.loc[table["group"] != BASE, score_column(target)].std(ddof=1))
        noise = seed_noise(last, target)
        report[target] = {
            "between_mixtures": _known(between),
            "between_seeds": _known(noise),
            "degrees": degrees,
            "ratio": _known(between / noise) if noise else None,
        }
    return report


def with_differences(table: pd.DataFrame, found: Differences) -> pd.DataFrame:
    """The table with the standard error of each score's difference from the best one: columns se_difference_…."""
    shown = [name.removeprefix("se_") for name in table if name.startswith("se_")]
    errors = {f"se_difference_{target}": found.errors_from_best(target) for target in shown}
    return table.assign(**errors)


def render(
    records: Records, table: pd.DataFrame, found: Differences, stopped: pd.DataFrame | None = None
) -> str:
    """Table 2 as Markdown: scores with standard errors, the best of each column in bold, ≈ on what is within noise.

    `stopped`: as `stopped_mixtures`; they stand below, with the step they came to.
    """
    noise = noise_report(records, table)
    targets = [*records.benchmarks, *AGGREGATES]
    cells = {target: _cells(table, target, found) for target in targets}
    head = ["strategy", *records.domains, *targets]
    rows = []
    group = BASE
    for position, (_, row) in enumerate(table.iterrows()):
        if row["group"] != group:
            group = row["group"]
            rows.append([f"**{group_title(group)}**", *[""] * (len(head) - 1)])
        weights = [row[f"w_{domain}"] for domain in records.domains]
        shares = ["" if math.isnan(weight) else f"{weight:.2f}" for weight in weights]
        name = row["strategy"] + (f" ({row['seeds']} seeds)" if row["seeds"] > 1 else "")
        rows.append([name, *shares, *(cells[target][position] for target in targets)])
    spread = noise["out_score"]
    return render_template(
        "table2.md",
        head=head,
        rows=rows,
        noise=spread,
        digits=digits([spread["between_seeds"] or 0.0]),
        paired=found.questions is not None,
        repeated_online=bool((table["seeds"] > 1).any()),
        stopped=[] if stopped is None else came_to(stopped),
    )


def came_to(stopped: pd.DataFrame) -> list[str]:
    """What `stopped_mixtures` had scored when a race stopped them, in words."""
    return [
        f"{row.strategy} at step {row.step}: {with_error(row.out_score, row.se_out_score)}"
        for row in stopped.itertuples()
    ]


def _cells(table: pd.DataFrame, target: str, found: Differences) -> list[str]:
    scores, errors = table[score_column(target)].to_numpy(float), table[f"se_{target}"].to_numpy(float)
    if np.isnan(scores).all():
        return [""] * len(scores)
    close, best = near_best(found.from_best(target)), np.nanmax(scores)
    texts, shown = [], digits(errors)
    for score, error, near in zip(scores, errors, close, strict=True):
        text = "" if math.isnan(score) else f"{score:.{shown}f}"
        text = f"**{text}**" if score == best else text
        text += "" if math.isnan(error) or not text else f" ± {error:.{shown}f}"
        texts.append(f"{text} ≈" if near and score != best else text)
    return texts


def _label(records: Records, heading: Heading, mixture: str) -> str:
    """`Single: detection` for one of several mixtures, the label alone for the only one; of an online run that too."""
    if len(heading.mixtures) == 1:
        online = is_online(records.frame[records.frame["mixture"] == mixture]).any()
        return f"{heading.label} (online)" if online else heading.label
    strategies = records.frame.loc[records.frame["mixture"] == mixture, "strategy"]
    prefix = f"{strategies.iloc[0]}-" if len(strategies) else ""
    return f"{heading.label}: {mixture.removeprefix(prefix)}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
