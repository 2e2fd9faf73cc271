"""Whether the surrogate's predictions, and the uncertainty it states, can be trusted."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from modomodo.mixtures.surrogates.base import objective, observe, surrogates
from modomodo.mixtures.surrogates.calibration import leave_one_mixture_out
from modomodo.reporting.figures.style import GREY, INK, Page
from modomodo.reporting.results import COLOURS, Results

SEED = 0
INTERVAL = 0.8
LEVELS = np.linspace(0.05, 0.95, 19)


def calibration(found: Results, page: Page, surrogate: str) -> tuple[plt.Figure, pd.DataFrame]:
    """Each mixture predicted from all others, and how often the score lies in the interval stated.

    Returns the figure and its numbers: mixture, name (the target or a benchmark of it), actual, predicted,
    deviation (of one run's score).
    """
    target = found.target
    seen = observe(found.records, objective(found.records, target))
    left = leave_one_mixture_out(seen, surrogates[surrogate], SEED)
    names = [target, *left.names[1:]] if left.names[1:] != (target,) else [target]
    parts = [
        pd.DataFrame(
            {
                "mixture": left.mixtures,
                "name": name,
                "actual": left.actual[:, column],
                "predicted": left.mean[:, column],
                "deviation": left.deviation[:, column],
            }
        )
        for column, name in enumerate(names)
    ]
    numbers = pd.concat(parts, ignore_index=True)
    shown = numbers[numbers["name"] == target].dropna()
    figure, (scatter, cover) = plt.subplots(
        1, 2, figsize=(page.width, 0.68 * page.width), layout="constrained"
    )
    _draw_predictions(scatter, shown)
    scatter.set_xlabel(f"actual {found.title(target)}")
    _draw_coverage(cover, shown, numbers[numbers["name"] != target].dropna(), found.title(target))
    cover.set_title(f"{surrogate}, {len(shown)} runs", fontsize=6.5)
    figure.legend(loc="outside lower right", ncols=2)
    return figure, numbers


def _draw_predictions(axes: plt.Axes, shown: pd.DataFrame) -> None:
    """Predicted against actual scores, with the intervals stated."""
    from scipy.stats import norm, spearmanr

    reach = norm.ppf(0.5 + INTERVAL / 2)
    ends = [shown["actual"].min(), shown["actual"].max()]
    axes.plot(ends, ends, color=GREY, linewidth=0.6)
    axes.errorbar(
        shown["actual"],
        shown["predicted"],
        yerr=reach * shown["deviation"],
        fmt="o",
        color=COLOURS[0],
        markersize=3,
        elinewidth=0.5,
        alpha=0.9,
    )
    if np.ptp(ends) > 0:
        rank = spearmanr(shown["actual"], shown["predicted"]).statistic
        axes.set_title(f"left out: rank correlation {rank:.2f}".replace("-", "−"), fontsize=6.5)
    else:
        axes.set_title("left out: all scores are equal", fontsize=6.5)
    axes.set_ylabel(f"predicted ({INTERVAL:.0%} interval)")
    axes.grid()


def _draw_coverage(axes: plt.Axes, shown: pd.DataFrame, benchmarks: pd.DataFrame, target: str) -> None:
    """How often scores lie in the interval of a stated probability."""
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.6)
    axes.plot(LEVELS, coverage(shown), color=INK, marker="D", markersize=2.6, label=target)
    if len(benchmarks):
        axes.plot(
            LEVELS, coverage(benchmarks), color=COLOURS[1], marker="s", markersize=2.6, label="its benchmarks"
        )
    axes.set_xlabel("stated probability")
    axes.set_ylabel("share of runs inside")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.grid()


def coverage(numbers: pd.DataFrame) -> np.ndarray:
    """Share of the runs inside the interval of each of LEVELS."""
    from scipy.stats import norm

    distance = (numbers["actual"] - numbers["predicted"]).abs() / numbers["deviation"].clip(lower=1e-12)
    return np.array([(distance <= norm.ppf(0.5 + level / 2)).mean() for level in LEVELS])
