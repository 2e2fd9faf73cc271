"""Figure 7: mixtures in the plane, and how well a linear and a quadratic surface tell their scores."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection

from modomodo.mixtures.surrogates.base import mixture_folds
from modomodo.mixtures.surrogates.baselines import least_squares, quadratic_features
from modomodo.reporting.figures.style import GREY, INK, MARKERS, SCORES, Page
from modomodo.reporting.results import COLOURS, Results, title

FOLDS = 5
SEED = 0
FEATURES = {"linear": lambda weights: weights, "quadratic": quadratic_features}


def mixture_model(found: Results, page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """PCA of the mixtures; linear and quadratic fit, predicted against actual Out-Score (Figure 7).

    Returns the figure and its numbers: mixture, strategy, group, pc1, pc2, actual, and of each model the
    prediction by the fit to all mixtures (`fitted`) and by the fit to the other folds (`held_out`).
    """
    target = "out_score"
    table = found.mixtures
    weights, actual = found.weights(), table[target].to_numpy(float)
    known = np.isfinite(weights).all(axis=1) & np.isfinite(actual)
    table, weights, actual = table[known], weights[known], actual[known]
    plane, explained = principal_plane(weights)
    numbers = table[["mixture", "strategy", "group"]].assign(pc1=plane[:, 0], pc2=plane[:, 1], actual=actual)
    for name, features in FEATURES.items():
        fitted, held_out = fits(features(weights), actual, mixture_folds(weights))
        numbers[f"{name}_fitted"], numbers[f"{name}_held_out"] = fitted, held_out

    figure, panels = plt.subplot_mosaic(
        [["mixtures", "mixtures"], ["linear", "quadratic"]],
        figsize=(page.width, 1.3 * page.width),
        height_ratios=[1.05, 1],
        layout="constrained",
    )
    top, left, right = (panels[name] for name in ("mixtures", "linear", "quadratic"))
    groups = [group for group in found.groups if (table["group"] == group).any()]
    for place, group in enumerate(groups):
        rows = (table["group"] == group).to_numpy()
        shown = top.scatter(
            plane[rows, 0],
            plane[rows, 1],
            c=actual[rows],
            cmap=SCORES,
            vmin=actual.min(),
            vmax=actual.max(),
            marker=MARKERS[place % len(MARKERS)],
            s=26,
            edgecolor=INK,
            linewidth=0.4,
            label=group,
        )
    figure.colorbar(shown, ax=top, label=title(target), pad=0.02, aspect=16)
    top.set_xlabel(f"first principal component ({explained[0]:.0%})")
    top.set_ylabel(f"second ({explained[1]:.0%})")
    top.margins(0.08)
    top.grid()
    # Above the axes, where no point can lie under it.
    legend = top.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, borderpad=0.1)
    for handle in legend.legend_handles:
        assert isinstance(handle, PathCollection)
        handle.set_facecolor("white")

    # One outlier of a held-out fold must not squeeze all else: what lies beyond is drawn at the border.
    room = 0.6 * np.ptp(actual)
    low, high = actual.min() - room, actual.max() + room
    for axes, name in ((left, "linear"), (right, "quadratic")):
        axes.plot([low, high], [low, high], color=GREY, linewidth=0.6, zorder=1)
        axes.scatter(
            actual,
            np.clip(numbers[f"{name}_held_out"], low, high),
            s=16,
            facecolor="white",
            edgecolor=COLOURS[4],
            linewidth=0.8,
            marker="s",
            zorder=2,
            label="held out",
        )
        axes.scatter(
            actual,
            np.clip(numbers[f"{name}_fitted"], low, high),
            s=9,
            color=COLOURS[0],
            zorder=3,
            label="fitted",
        )
        edge = 0.12 * float(np.ptp(actual))
        axes.set_xlim(actual.min() - edge, actual.max() + edge)
        axes.set_ylim(low, high)
        axes.grid()
        axes.set_xlabel(f"actual {title(target)}")
        seen, unseen = (determination(actual, numbers[f"{name}_{part}"]) for part in ("fitted", "held_out"))
        beyond = int(((numbers[f"{name}_held_out"] < low) | (numbers[f"{name}_held_out"] > high)).sum())
        quality = f"R² {seen:.2f}, held out {unseen:.2f}".replace("-", "−")
        axes.set_title(f"{name.capitalize()} fit\n{quality}", fontsize=6.5)
        if beyond:
            axes.text(0.97, 0.02, f"{beyond} beyond", transform=axes.transAxes, ha="right", fontsize=6)
    left.set_ylabel(f"predicted {title(target)}")
    right.set_yticklabels([])
    left.legend(loc="lower right", bbox_to_anchor=(1.02, 0.06), borderpad=0.1, handletextpad=0.1)
    return figure, numbers


def principal_plane(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components of rows [n, domains]: places [n, 2] and the variance they explain [2].

    The sign is set so that the largest loading of each is positive: the same picture on every machine.
    """
    centred = weights - weights.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    directions = np.vstack([directions, np.zeros((2, weights.shape[1]))])[:2]
    largest = np.argmax(np.abs(np.round(directions, 9)), axis=1)
    signs = np.sign(directions[np.arange(2), largest])
    share = np.append(singular, [0.0, 0.0])[:2] ** 2 / max(float((singular**2).sum()), 1e-12)
    return centred @ (directions * np.where(signs == 0, 1, signs)[:, None]).T, share


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


def determination(actual: np.ndarray, predicted: pd.Series) -> float:
    """R²: 1 is exact, 0 no better than the mean, negative worse."""
    residual = ((actual - predicted.to_numpy()) ** 2).sum()
    return float(1 - residual / ((actual - actual.mean()) ** 2).sum())
