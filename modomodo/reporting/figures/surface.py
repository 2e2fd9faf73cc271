"""Figure 7: mixtures in the plane, and how well a linear and a quadratic surface predict their scores."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D

from modomodo.mixtures.records import score_column
from modomodo.mixtures.surrogates.base import mixture_folds
from modomodo.mixtures.surrogates.baselines import least_squares, quadratic_features
from modomodo.reporting.figures.style import GREY, INK, MARKERS, SCORES, Page, columns
from modomodo.reporting.results import COLOURS, Results
from modomodo.reporting.settings import group_title

FOLDS = 5
SEED = 0
CHARACTERS = 16  # of a small label, an inch
FEATURES = {"linear": lambda weights: weights, "quadratic": quadratic_features}


def mixture_model(found: Results, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """PCA of the mixtures; linear and quadratic fit, predicted against actual score (Figure 7).

    Returns the figure and its numbers: mixture, strategy, group, pc1, pc2, actual, and of each model the
    prediction by the fit to all mixtures (`fitted`) and by the fit to the other folds (`held_out`).
    """
    table = found.mixtures
    weights, actual = found.weights(), table[score_column(found.target)].to_numpy(float)
    known = np.isfinite(weights).all(axis=1) & np.isfinite(actual)
    weights, actual = weights[known], actual[known]
    plane, explained, loadings = principal_plane(weights)
    numbers = table.loc[known, ["mixture", "strategy", "group"]].assign(
        pc1=plane[:, 0], pc2=plane[:, 1], actual=actual
    )
    for name, features in FEATURES.items():
        fitted, held_out = fits(features(weights), actual, mixture_folds(weights))
        numbers[f"{name}_fitted"], numbers[f"{name}_held_out"] = fitted, held_out

    figure, panels = plt.subplot_mosaic(
        [["mixtures", "mixtures"], ["linear", "quadratic"]],
        figsize=(page.width, 1.42 * page.width),
        height_ratios=[1.05, 1],
        layout="constrained",
    )
    shown = _draw_plane(panels["mixtures"], numbers, found.groups)
    made_of = [
        _loaded(order, row, found.records.domains, int(CHARACTERS * page.width))
        for order, row in zip(("first", "second"), loadings, strict=True)
    ]
    axes_of = [f"first principal component ({explained[0]:.0%})", *made_of]
    panels["mixtures"].set_xlabel("\n".join(axes_of), fontsize=6.5)
    panels["mixtures"].set_ylabel(f"second ({explained[1]:.0%})", fontsize=6.5)
    figure.colorbar(shown, ax=panels["mixtures"], label=found.title(found.target), pad=0.02, aspect=16)
    _legend_above(figure, panels["mixtures"], page)
    for name in FEATURES:
        _draw_fit(panels[name], numbers, name)
        panels[name].set_xlabel(f"actual {found.title(found.target)}")
    panels["linear"].set_ylabel(f"predicted {found.title(found.target)}")
    panels["quadratic"].set_yticklabels([])
    handles, labels = panels["linear"].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure, numbers


def _draw_plane(axes: plt.Axes, numbers: pd.DataFrame, groups: Sequence[str]) -> PathCollection:
    """The mixtures by their first two principal components, coloured by score, a marker for each group."""
    actual = numbers["actual"]
    for place, group in enumerate(group for group in groups if (numbers["group"] == group).any()):
        rows = numbers[numbers["group"] == group]
        shown = axes.scatter(
            rows["pc1"],
            rows["pc2"],
            c=rows["actual"],
            cmap=SCORES,
            vmin=actual.min(),
            vmax=actual.max(),
            marker=MARKERS[place % len(MARKERS)],
            s=26,
            edgecolor=INK,
            linewidth=0.4,
            label=group_title(group),
        )
    axes.margins(0.08)
    axes.grid()
    return shown


def _loaded(component: str, loadings: np.ndarray, domains: Sequence[str], room: int) -> str:
    """The domains that a component is made of most, with their loadings, as many as a line has room for."""
    line = f"{component}:"
    for place in np.argsort(-np.abs(loadings), kind="stable"):
        named = f"{line}{',' if line[-1] != ':' else ''} {domains[place]} {loadings[place]:+.2f}"
        if abs(loadings[place]) < 0.005 or (len(named) > room and line[-1] != ":"):
            break
        line = named
    return line.replace(" -", " −")


def _legend_above(figure: plt.Figure, axes: plt.Axes, page: Page) -> None:
    """Above the axes, where no point can lie under it; white, for a colour is a score."""
    handles = [
        Line2D(
            [], [], marker=marker, color="white", markeredgecolor=INK, markeredgewidth=0.5, linestyle="none"
        )
        for marker in (MARKERS[i % len(MARKERS)] for i in range(len(axes.collections)))
    ]
    labels = [str(shown.get_label()) for shown in axes.collections]
    figure.legend(handles, labels, loc="outside upper left", ncols=columns(labels, page.width))


def _draw_fit(axes: plt.Axes, numbers: pd.DataFrame, name: str) -> None:
    """Predicted against actual score of one model, fitted and held out."""
    actual = numbers["actual"].to_numpy()
    fitted, held_out = numbers[f"{name}_fitted"].to_numpy(), numbers[f"{name}_held_out"].to_numpy()
    # One outlier of a held-out fold must not squeeze all else: what lies beyond is drawn at the border.
    spread = float(np.ptp(actual))
    margin = 0.6 * spread or 0.5
    low, high = actual.min() - margin, actual.max() + margin
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.6, zorder=1)
    axes.scatter(
        actual,
        np.clip(held_out, low, high),
        s=16,
        facecolor="white",
        edgecolor=COLOURS[4],
        linewidth=0.8,
        marker="s",
        zorder=2,
        label="left out",
    )
    axes.scatter(actual, np.clip(fitted, low, high), s=9, color=COLOURS[0], zorder=3, label="fitted")
    edge = 0.12 * spread or 0.5
    axes.set_xlim(actual.min() - edge, actual.max() + edge)
    axes.set_ylim(low, high)
    axes.grid()
    lines = [f"{name.capitalize()} fit", "all scores are equal"]
    if spread > 0:
        lines = [
            f"{name.capitalize()} fit: R² {_written(determination(actual, fitted))}",
            f"left out: R² {_written(determination(actual, held_out))}",
        ]
    if beyond := int(((held_out < low) | (held_out > high)).sum()):
        lines.append(f"{beyond} beyond the frame")
    axes.set_title("\n".join(lines), fontsize=6.5)


def _written(quality: float) -> str:
    """R² with two digits; far below 0 they say nothing."""
    return (f"{quality:.2f}" if quality > -1 else f"{quality:.0f}").replace("-", "−")


def principal_plane(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first two principal components of rows [n, domains].

    Returns places [n, 2], the share of the variance that they explain [2], and their loadings [2, domains].

    The sign is set so that the largest loading of each is positive: the same figure on every machine.
    """
    centred = weights - weights.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    directions = np.vstack([directions, np.zeros((2, weights.shape[1]))])[:2]
    largest = np.argmax(np.abs(np.round(directions, 9)), axis=1)
    signs = np.sign(directions[np.arange(2), largest])
    share = np.append(singular, [0.0, 0.0])[:2] ** 2 / max(float((singular**2).sum()), 1e-12)
    loadings = directions * np.where(signs == 0, 1, signs)[:, None]
    return centred @ loadings.T, share, loadings


def fits(features: np.ndarray, scores: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares predictions [n] by a fit to all rows, and by fits that have not seen a row's fold.

    Rows of equal `folds` (repeats of a mixture) are left out together, in five groups.
    """
    even = np.ones(len(scores))
    fitted = features @ least_squares(features, scores, even)
    held_out = np.full(len(scores), np.nan)
    order = np.random.default_rng(SEED).permutation(folds.max() + 1)
    for part in np.array_split(order, FOLDS):
        out = np.isin(folds, part)
        held_out[out] = features[out] @ least_squares(features[~out], scores[~out], even[~out])
    return fitted, held_out


def determination(actual: np.ndarray, predicted: np.ndarray) -> float:
    """R²: 1 is exact, 0 no better than the mean, negative worse; NaN where all scores are equal."""
    residual, total = ((actual - predicted) ** 2).sum(), ((actual - actual.mean()) ** 2).sum()
    return float(1 - residual / total) if total > 0 else math.nan
