"""Figure 6: scores by group of strategies, every mixture a point."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from modomodo.mixtures.records import BASE, score_column
from modomodo.reporting.figures.style import BAND, INK, LETTERS, Page, look
from modomodo.reporting.results import Results
from modomodo.reporting.settings import group_title

ERROR = "difference_error"
FEWEST = 8  # points of which quartiles say more than the points themselves


def scores(found: Results, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """Scores by strategy group: every mixture a point, the median a line, and quartiles a box where there are many.

    Bars are standard errors of the difference from the best. Returns the figure and the numbers shown. The base
    model is the dotted line.
    """
    target, label = found.target, found.label()
    score = score_column(target)
    table = found.table.assign(**{ERROR: found.differences.errors_from_best(target)})
    numbers = table[["group", "strategy", "mixture", score, f"se_{target}", ERROR]]
    groups = list(dict.fromkeys(table.loc[table["group"] != BASE, "group"]))
    figure, axes = plt.subplots(figsize=(page.width, 0.78 * page.width), layout="constrained")
    axes.grid(axis="y")
    _draw_base(axes, table.loc[table["group"] == BASE, score].dropna())
    for place, group in enumerate(groups):
        _draw_group(axes, table[(table["group"] == group) & table[score].notna()], score, place)
    counts = [int(table.loc[table["group"] == group, score].notna().sum()) for group in groups]
    room = 0.7 * LETTERS * page.width / max(len(groups), 1)
    slanted = any(len(group_title(group)) > room for group in groups)
    between = " " if slanted else "\n"
    axes.set_xticks(
        range(len(groups)),
        [f"{group_title(group)}{between}(n = {count})" for group, count in zip(groups, counts, strict=True)],
    )
    if slanted:
        plt.setp(axes.get_xticklabels(), rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.5, len(groups) - 0.5)
    known = table[ERROR].notna().any()
    axes.set_ylabel(f"{label}\n(± standard error of\nthe difference from the best)" if known else label)
    return figure, numbers


def _draw_base(axes: plt.Axes, score: pd.Series) -> None:
    """A dotted line, named beside the axes, where no error bar can strike the name out."""
    if score.empty:
        return
    height = float(score.iloc[0])
    axes.axhline(height, color=INK, linestyle=":", linewidth=1)
    axes.annotate(
        "base\nmodel",
        (1.01, height),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=6.5,
        annotation_clip=False,
    )


def _draw_group(axes: plt.Axes, rows: pd.DataFrame, score: str, place: int) -> None:
    """The points of a group over its median; a box has no whiskers, which would run through the error bars."""
    if rows.empty:
        return
    values = rows[score].to_numpy(float)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    if len(values) >= FEWEST:
        axes.bar(place, high - low, bottom=low, width=0.7, color=BAND, linewidth=0, zorder=1)
    if len(values) > 1:
        axes.hlines(middle, place - 0.35, place + 0.35, color=INK, linewidth=1.2, zorder=2)
    # Spread the points by rank, so that none hides another and no random number is needed.
    ranks = np.argsort(np.argsort(rows["mixture"].to_numpy(str)))
    offsets = 0.5 * ((ranks + 0.5) / len(values) - 0.5)
    axes.errorbar(
        place + offsets,
        values,
        yerr=rows[ERROR].fillna(0.0),
        fmt=look(place).marker,
        color=look(place).colour,
        markeredgecolor="white",
        markeredgewidth=0.4,
        markersize=4.5,
        elinewidth=0.6,
        zorder=3,
    )
