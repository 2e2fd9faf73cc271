"""Table 2: every mixture in the paper's order, with what is best and what is within noise of it."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from modomodo.errors import InputError
from modomodo.mixtures.records import AGGREGATES, BASE, Records, last_step, score_column, seed_noise, trained
from modomodo.reporting.settings import Heading
from modomodo.reporting.templates import render_template

BEYOND_NOISE = 1.96  # standard deviations of a difference: a two-sided 5 % level


def table2(records: Records, headings: Sequence[Heading], seed: int) -> pd.DataFrame:
    """One row a mixture: its scores at the last step under the study's seed.

    Columns: group, strategy, mixture, w_<domain>…, y_<benchmark>…, in_score, out_score, and the standard
    errors se_…; the base model comes first, with empty weights. Raises InputError for a mixture without
    a record.
    """
    last = last_step(records).frame
    named = [(BASE, "Base", BASE, 0)]
    for heading in headings:
        for mixture in heading.mixtures:
            named.append((heading.group, _label(records, heading, mixture), mixture, seed))
    rows = []
    for group, label, mixture, run_seed in named:
        found = last[(last["mixture"] == mixture) & (last["seed"] == run_seed)]
        if found.empty and mixture != BASE:
            raise InputError(f"records: no row of mixture '{mixture}' with seed {run_seed}")
        rows.append(found.assign(group=group, strategy=label))
    weights = [f"w_{domain}" for domain in records.domains]
    targets = [*records.benchmarks, *AGGREGATES]
    errors = [f"se_{target}" for target in targets]
    names = ["group", "strategy", "mixture", *weights, *map(score_column, targets), *errors]
    return pd.concat(rows, ignore_index=True)[names]


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


def within_noise(scores: np.ndarray, errors: np.ndarray, seed_deviation: float) -> np.ndarray:
    """Which scores do not differ from the best one beyond noise.

    The variance of a difference is both standard errors squared plus twice the variance between seeds.
    All answer the same questions, so the errors are correlated and this marks too many rather than too few.
    """
    best = int(np.nanargmax(scores))
    spread = np.sqrt(errors**2 + errors[best] ** 2 + 2 * seed_deviation**2)
    return scores[best] - scores <= BEYOND_NOISE * spread


def render(records: Records, table: pd.DataFrame) -> str:
    """Table 2 as Markdown: the best of each column in bold, ≈ on what is within noise of it."""
    noise = noise_report(records, table)
    targets = [*records.benchmarks, *AGGREGATES]
    cells = {target: _cells(table, target, noise[target]["between_seeds"] or 0.0) for target in targets}
    head = ["strategy", *records.domains, *targets]
    rows = []
    group = BASE
    for position, (_, row) in enumerate(table.iterrows()):
        if row["group"] != group:
            group = row["group"]
            rows.append([f"**{group}**", *[""] * (len(head) - 1)])
        weights = [row[f"w_{domain}"] for domain in records.domains]
        shares = ["" if math.isnan(weight) else f"{weight:.2f}" for weight in weights]
        rows.append([row["strategy"], *shares, *(cells[target][position] for target in targets)])
    return render_template("table2.md", head=head, rows=rows, noise=noise["out_score"])


def _cells(table: pd.DataFrame, target: str, seed_deviation: float) -> list[str]:
    scores, errors = table[score_column(target)].to_numpy(float), table[f"se_{target}"].to_numpy(float)
    if np.isnan(scores).all():
        return [""] * len(scores)
    close, best = within_noise(scores, errors, seed_deviation), np.nanmax(scores)
    texts = []
    for score, near in zip(scores, close, strict=True):
        text = "" if math.isnan(score) else f"{score:.4f}"
        texts.append(f"**{text}**" if score == best else f"{text} ≈" if near else text)
    return texts


def _label(records: Records, heading: Heading, mixture: str) -> str:
    """`Single: detection` for one of several mixtures, the label alone for the only one."""
    if len(heading.mixtures) == 1:
        return heading.label
    strategies = records.frame.loc[records.frame["mixture"] == mixture, "strategy"]
    prefix = f"{strategies.iloc[0]}-" if len(strategies) else ""
    return f"{heading.label}: {mixture.removeprefix(prefix)}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
