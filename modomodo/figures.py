"""Figures: data to SVG, PNG and a CSV of the numbers shown."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from modomodo.files import write_csv

# Okabe-Ito: told apart by colour-blind readers, and of different lightness in grey.
COLOURS = ["#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"]
MARKERS = ["D", "o", "s", "^", "v", "P", "X"]


def save(figure: plt.Figure, numbers: pd.DataFrame, svg: str | Path) -> None:
    """Write the figure as SVG and PNG, and its numbers as CSV beside. Same numbers, same bytes."""
    svg = Path(svg)
    svg.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": svg.stem}):
        figure.savefig(svg, metadata={"Date": None})
    figure.savefig(svg.with_suffix(".png"), dpi=200, metadata={"Software": None})
    plt.close(figure)
    write_csv(svg.with_suffix(".csv"), numbers)


def score_by_group(
    table: pd.DataFrame, column: str = "out_score", title: str = "Out-Score"
) -> tuple[plt.Figure, pd.DataFrame]:
    """A score by strategy group, every mixture a point with its standard error (Figure 6 of the paper).

    Returns the figure and the numbers shown. The base model is the dotted line.
    """
    numbers = table[["group", "strategy", "mixture", column, f"se_{column}"]]
    groups = list(dict.fromkeys(table.loc[table["group"] != "base", "group"]))
    figure, axes = plt.subplots(figsize=(3.4, 2.8), layout="constrained")
    base = table.loc[table["group"] == "base", column]
    if len(base):
        axes.axhline(float(base.iloc[0]), color=COLOURS[0], linestyle=":", linewidth=1)
        axes.annotate(
            "base", (0.02, float(base.iloc[0])), xycoords=("axes fraction", "data"), va="bottom", fontsize=7
        )
    for place, group in enumerate(groups):
        rows = table[table["group"] == group]
        scores = rows[column].to_numpy(float)
        axes.boxplot(
            scores,
            positions=[place],
            widths=0.62,
            showfliers=False,
            medianprops={"color": "#555555", "linewidth": 1.2},
            boxprops={"color": "#999999"},
            whiskerprops={"color": "#999999"},
            capprops={"color": "#999999"},
        )
        # Spread the points by rank, so that none hides another and no random number is needed.
        ranks = np.argsort(np.argsort(rows["mixture"].to_numpy(str)))
        offsets = 0.4 * ((ranks + 0.5) / len(scores) - 0.5)
        axes.errorbar(
            place + offsets,
            scores,
            yerr=rows[f"se_{column}"],
            fmt=MARKERS[(place + 1) % len(MARKERS)],
            color=COLOURS[(place + 1) % len(COLOURS)],
            markersize=4,
            elinewidth=0.6,
            alpha=0.9,
        )
    axes.set_xticks(
        range(len(groups)), [f"{group}\n(n = {sum(table['group'] == group)})" for group in groups], fontsize=7
    )
    axes.tick_params(axis="y", labelsize=7)
    axes.set_ylabel(f"{title} (± standard error)", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, numbers
