"""What the mixtures are made of, ordered by how they scored."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from modomodo.reporting.figures.style import GREY, INK, Page, look
from modomodo.reporting.results import Results, title

MOST = 48  # more bars than this cannot be read on a page: the best and the worst are shown


def mixtures(found: Results, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """Weights of every mixture as a bar, best Out-Score first, and the score beside it.

    Returns the figure and its numbers, all mixtures: mixture, strategy, group, the weights, score and error.
    """
    target = "out_score"
    domains = found.records.domains
    weights = [f"w_{domain}" for domain in domains]
    table = found.mixtures
    known = table[weights].notna().all(axis=1) & table[target].notna()
    table = table[known].sort_values(target, ascending=False, kind="stable").reset_index(drop=True)
    numbers = table[["mixture", "strategy", "group", *weights, target, f"se_{target}"]]
    best, worst = table.head(MOST - 12), table.tail(12)
    shown = pd.concat([best, worst], ignore_index=True) if len(table) > MOST else table
    places = np.arange(len(shown))
    lines = -(-len(domains) // 3)
    figure, (bars, dots) = plt.subplots(
        1,
        2,
        figsize=(page.width, 0.145 * len(shown) + 0.5 + 0.15 * lines),
        width_ratios=[2.1, 1],
        sharey=True,
        layout="constrained",
    )
    start = np.zeros(len(shown))
    for place, (domain, column) in enumerate(zip(domains, weights, strict=True)):
        style = look(place)
        width = shown[column].to_numpy(float)
        bars.barh(
            places,
            width,
            left=start,
            height=0.8,
            color=style.colour,
            hatch=style.hatch,
            edgecolor="white",
            linewidth=0.3,
            label=domain,
        )
        start += width
    bars.set_xlim(0, 1)
    bars.set_xlabel("weight")
    bars.set_yticks(places, shown["strategy"], fontsize=6)
    bars.set_ylim(len(shown) - 0.4, -0.6)
    bars.tick_params(axis="y", length=0)
    for place, group in enumerate(found.groups):
        rows = (shown["group"] == group).to_numpy()
        if not rows.any():
            continue
        dots.errorbar(
            shown.loc[rows, target],
            places[rows],
            xerr=shown.loc[rows, f"se_{target}"].fillna(0.0),
            fmt=look(place).marker,
            color=INK,
            markerfacecolor="white" if place == 0 else GREY if place == 1 else INK,
            markersize=3.2,
            markeredgewidth=0.6,
            elinewidth=0.5,
            label=group,
        )
    if len(table) > MOST:
        for axes in (bars, dots):
            axes.axhline(MOST - 12.5, color=INK, linewidth=0.8, linestyle="--")
        dots.set_title(f"{len(table) - MOST} left out at the dashes", fontsize=6)
    dots.grid(axis="x")
    dots.locator_params(axis="x", nbins=3)
    dots.set_xlabel(title(target))
    dots.tick_params(axis="y", length=0)
    figure.legend(
        handles=[*bars.containers, *dots.containers],
        loc="outside upper left",
        ncols=4,
        handlelength=1.4,
    )
    return figure, numbers
