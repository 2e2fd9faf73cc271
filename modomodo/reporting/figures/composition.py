"""What the mixtures are made of, ordered by how they scored."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from modomodo.console import digits
from modomodo.mixtures.records import score_column
from modomodo.reporting.differences import near_best
from modomodo.reporting.figures.style import GREY, INK, Page, columns, look
from modomodo.reporting.results import Results
from modomodo.reporting.settings import group_title

ERROR, NEAR = "difference_error", "near_best"
MOST = 48  # more bars than this cannot be read on a page: the best and the worst are shown
WORST = 12  # of them


def mixtures(found: Results, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """Weights of every mixture as a bar, best score first, next to its score.

    The bar of a score is the standard error of its difference from the best; those that cannot be told apart from it
    are marked ≈, and the page behind them is grey. Returns the figure and its numbers, all mixtures: mixture, strategy,
    group, the weights, score, standard error, difference_error and near_best.
    """
    domains = found.records.domains
    weights = [f"w_{domain}" for domain in domains]
    table = _compared(found)
    score = score_column(found.target)
    known = table[weights].notna().all(axis=1) & table[score].notna()
    table = table[known].sort_values(score, ascending=False, kind="stable").reset_index(drop=True)
    best, worst = table.head(MOST - WORST), table.tail(WORST)
    shown = pd.concat([best, worst], ignore_index=True) if len(table) > MOST else table
    lines = -(-len(domains) // 3)
    figure, (bars, dots) = plt.subplots(
        1,
        2,
        figsize=(page.width, 0.145 * len(shown) + 0.5 + 0.15 * lines),
        width_ratios=[1.5, 1],
        sharey=True,
        layout="constrained",
    )
    _draw_weights(bars, shown, domains)
    _draw_scores(dots, shown, found)
    if len(table) > MOST:
        for axes in (bars, dots):
            axes.axhline(MOST - WORST - 0.5, color=INK, linewidth=0.8, linestyle="--")
        dots.set_title(f"{len(table) - MOST} left out at the dashes", fontsize=6)
    figure.legend(
        handles=[*bars.containers, *dots.containers],
        loc="outside upper left",
        ncols=columns([*domains, *map(group_title, found.groups)], page.width),
        handlelength=1.4,
    )
    return figure, table[["mixture", "strategy", "group", *weights, score, f"se_{found.target}", ERROR, NEAR]]


def _compared(found: Results) -> pd.DataFrame:
    """The mixtures with the errors of their differences from the best one, and whether they can be told apart."""
    table, score = found.mixtures, score_column(found.target)
    if table[score].isna().all():
        return table.assign(**{ERROR: np.nan, NEAR: False})
    best = str(table.loc[table[score].idxmax(), "mixture"])
    compared = [found.differences.between(name, best, found.target) for name in table["mixture"]]
    errors = [each.standard_error if each.standard_error > 0 else np.nan for each in compared]
    return table.assign(**{ERROR: errors, NEAR: near_best(compared)})


def _draw_weights(axes: plt.Axes, shown: pd.DataFrame, domains: Sequence[str]) -> None:
    """A bar a mixture, from its weights one after another."""
    places = np.arange(len(shown))
    start = np.zeros(len(shown))
    for place, domain in enumerate(domains):
        style = look(place)
        width = shown[f"w_{domain}"].to_numpy(float)
        axes.barh(
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
    axes.set_xlim(0, 1)
    axes.set_xlabel("weight")
    axes.set_yticks(places, shown["strategy"], fontsize=6)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _draw_scores(axes: plt.Axes, shown: pd.DataFrame, found: Results) -> None:
    """A point a mixture, a marker for each group, with the error of its difference from the best."""
    places = np.arange(len(shown))
    for place, group in enumerate(found.groups):
        rows = (shown["group"] == group).to_numpy()
        if not rows.any():
            continue
        axes.errorbar(
            shown.loc[rows, score_column(found.target)],
            places[rows],
            xerr=shown.loc[rows, ERROR].fillna(0.0),
            fmt=look(place).marker,
            color=INK,
            markerfacecolor="white" if place == 0 else GREY if place == 1 else INK,
            markersize=3.2,
            markeredgewidth=0.6,
            elinewidth=0.5,
            label=group_title(group),
        )
    near = shown[NEAR].to_numpy(bool) & shown[ERROR].notna().any()
    for place in places[near]:
        axes.axhspan(place - 0.5, place + 0.5, color="#f1f1f1", linewidth=0, zorder=0)
    score, error = score_column(found.target), f"se_{found.target}"
    shown_digits = digits(shown[error])
    for place, value in enumerate(shown[score]):
        mark = " ≈" if near[place] and place else ""
        axes.annotate(
            f"{value:.{shown_digits}f}{mark}".replace("-", "−"),
            (1.05, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=6,
            fontweight="normal" if place else "bold",
            annotation_clip=False,
        )
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=3)
    axes.set_xlabel(found.title(found.target))
    axes.tick_params(axis="y", length=0)
