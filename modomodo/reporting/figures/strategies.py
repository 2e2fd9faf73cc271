"""Figure 6: scores by group of strategies, every mixture a point."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from modomodo.mixtures.records import BASE, score_column
from modomodo.reporting.figures.style import GREY, INK, Page, look
from modomodo.reporting.results import Results

ERROR = "difference_error"


def scores(found: Results, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """Scores by strategy group: box (quartiles, whiskers to 1.5 of their range) and every mixture a point.

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
    base = table.loc[table["group"] == BASE, score].dropna()
    if len(base):
        axes.axhline(float(base.iloc[0]), color=INK, linestyle=":", linewidth=1)
        axes.annotate(
            "base model",
            (0.01, float(base.iloc[0])),
            xycoords=("axes fraction", "data"),
            va="bottom",
            fontsize=6.5,
        )
    for place, group in enumerate(groups):
        rows = table[(table["group"] == group) & table[score].notna()]
        values = rows[score].to_numpy(float)
        lines = {"color": GREY, "linewidth": 0.8}
        axes.boxplot(
            values,
            positions=[place],
            widths=0.7,
            showfliers=False,
            medianprops={"color": INK, "linewidth": 1.4},
            boxprops=lines,
            whiskerprops=lines,
            capprops=lines,
        )
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
    counts = [int(table.loc[table["group"] == group, score].notna().sum()) for group in groups]
    axes.set_xticks(
        range(len(groups)), [f"{group}\n(n = {count})" for group, count in zip(groups, counts, strict=True)]
    )
    axes.set_xlim(-0.5, len(groups) - 0.5)
    known = table[ERROR].notna().any()
    axes.set_ylabel(f"{label}\n(± standard error of its gap to the best)" if known else label)
    return figure, numbers
