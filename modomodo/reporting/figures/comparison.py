"""Figures 3, 4 and 5: some mixtures against one, benchmark by benchmark."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from modomodo.mixtures.records import AGGREGATES, score_column
from modomodo.reporting.figures.style import GREY, INK, PALE, Page, columns, look, wrapped
from modomodo.reporting.results import Results


def before_after(found: Results, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """The base model and the mixture All (Figure 3)."""
    rows = pd.concat([found.table.iloc[[0]], found.mixtures.iloc[found.places("all")[:1]]])
    return comparison(found, rows.assign(strategy=["before training", "trained on All"]), page)


def all_against_single(found: Results, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """All, and each domain alone (Figure 4)."""
    return _against(found, "single", page)


def all_against_exclude_one(found: Results, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """All, and each mixture that leaves one domain out (Figure 5)."""
    return _against(found, "exclude-one", page)


def _against(found: Results, kind: str, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """Each mixture of a kind is called by the domain that it has alone, or lacks."""
    places = found.places(kind)
    weights = found.weights()[places]
    chosen = np.argmax(weights, axis=1) if kind == "single" else np.argmin(weights, axis=1)
    names = [found.records.domains[i] for i in chosen]
    labels = [f"only {name}" if kind == "single" else f"without {name}" for name in names]
    rows = found.mixtures.iloc[places].assign(strategy=labels).iloc[np.argsort(chosen, kind="stable")]
    reference = found.mixtures.iloc[found.places("all")[:1]].assign(strategy="All")
    return comparison(found, pd.concat([reference, rows]), page)


def comparison(found: Results, rows: pd.DataFrame, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """Scores of some mixtures, a row a benchmark; bars are standard errors of the difference from the first.

    Returns the figure and the numbers shown: target, mixture, strategy, score, standard_error, and
    difference_error, which the first has none of.
    """
    targets = found.targets()
    first = rows.iloc[0]["mixture"]
    numbers = pd.DataFrame(
        [
            (
                target,
                row["mixture"],
                row["strategy"],
                row[score_column(target)],
                row[f"se_{target}"],
                found.differences.between(row["mixture"], first, target).standard_error
                if row["mixture"] != first
                else np.nan,
            )
            for target in targets
            for _, row in rows.iterrows()
        ],
        columns=["target", "mixture", "strategy", "score", "standard_error", "difference_error"],
    )
    count = len(rows)
    high = max(0.22, 0.072 * count + 0.06)  # inches a benchmark
    beside = columns(rows["strategy"], page.width, 3)
    lines = -(-count // beside)
    figure, axes = plt.subplots(
        figsize=(page.width, high * len(targets) + 0.45 + 0.14 * lines), layout="constrained"
    )
    _draw_reference(axes, rows, targets)
    _draw_rows(axes, rows, numbers)
    axes.set_yticks(range(len(targets)), [found.title(target) for target in targets])
    for label, target in zip(axes.get_yticklabels(), targets, strict=True):
        label.set_fontweight("bold" if target in AGGREGATES else "normal")
    axes.set_ylim(len(targets) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    known = numbers["difference_error"].notna().any()
    reference = rows.iloc[0]["strategy"]
    said = f"score (± standard error of the difference from {reference})" if known else "score"
    axes.set_xlabel(wrapped(said, 0.5 * page.width))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside upper left", ncols=min(count, beside))
    return figure, numbers


def _draw_reference(axes: plt.Axes, rows: pd.DataFrame, targets: list[str]) -> None:
    """Behind each target: the score of the first row, or what lies between it and the only other one."""
    for place, target in enumerate(targets):
        if target in AGGREGATES:
            axes.axhspan(place - 0.5, place + 0.5, color="#f1f1f1", linewidth=0, zorder=0)
        else:
            axes.axhline(place + 0.5, color="#e3e3e3", linewidth=0.5, zorder=0)
        first, last = rows.iloc[0][score_column(target)], rows.iloc[-1][score_column(target)]
        if len(rows) < 3:
            axes.plot([first, last], [place] * 2, color=PALE, linewidth=2.5, zorder=1)
        else:
            axes.plot(
                [first] * 2, [place - 0.46, place + 0.46], color=GREY, linewidth=0.8, linestyle=":", zorder=1
            )


def _draw_rows(axes: plt.Axes, rows: pd.DataFrame, numbers: pd.DataFrame) -> None:
    """The scores of each row with the errors of their differences from the first, which is hollow."""
    spread = 0.0 if len(rows) < 3 else 0.78
    offsets = np.linspace(-spread / 2, spread / 2, len(rows))
    for position, (_, row) in enumerate(rows.iterrows()):
        shown = numbers[numbers["mixture"] == row["mixture"]]
        reference = position == 0
        style = look(position - 1 if not reference else 0)
        colour = INK if reference else style.colour
        axes.errorbar(
            shown["score"],
            np.arange(len(shown)) + offsets[position],
            xerr=shown["difference_error"].fillna(0.0),
            fmt="D" if reference else style.marker,
            color=colour,
            markerfacecolor="white" if reference else colour,
            markersize=3.6,
            elinewidth=0.7,
            label=row["strategy"],
            zorder=3,
        )
