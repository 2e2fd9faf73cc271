"""Whether the surrogate's predictions, and the uncertainty it states, can be trusted."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from modomodo.mixtures.surrogates.base import objective, observe, surrogates
from modomodo.mixtures.surrogates.calibration import leave_one_mixture_out
from modomodo.reporting.figures.style import GREY, INK, Page
from modomodo.reporting.results import COLOURS, Results, title

SEED = 0
INTERVAL = 0.8
LEVELS = np.linspace(0.05, 0.95, 19)


def calibration(found: Results, page: Page, surrogate: str) -> tuple[plt.Figure, pd.DataFrame]:
    """Each mixture predicted from all others, and how often the score lies in the interval stated.

    Returns the figure and its numbers: mixture, name (Out-Score or a benchmark of it), actual, predicted,
    deviation (of one run's score).
    """
    from scipy.stats import norm, spearmanr

    target = "out_score"
    seen = observe(found.records, objective(found.records, target))
    left = leave_one_mixture_out(seen, surrogates[surrogate], SEED)
    names = [target, *left.names[1:]] if left.names[1:] != (target,) else [target]
    numbers = pd.concat(
        [
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
        ],
        ignore_index=True,
    )
    shown = numbers[(numbers["name"] == target)].dropna()
    figure, (scatter, cover) = plt.subplots(
        1, 2, figsize=(page.width, 0.62 * page.width), layout="constrained"
    )
    reach = norm.ppf(0.5 + INTERVAL / 2)
    ends = [shown["actual"].min(), shown["actual"].max()]
    scatter.plot(ends, ends, color=GREY, linewidth=0.6)
    scatter.errorbar(
        shown["actual"],
        shown["predicted"],
        yerr=reach * shown["deviation"],
        fmt="o",
        color=COLOURS[0],
        markersize=3,
        elinewidth=0.5,
        alpha=0.9,
    )
    rank = spearmanr(shown["actual"], shown["predicted"]).statistic
    scatter.set_title(f"left out: rank correlation {rank:.2f}".replace("-", "−"), fontsize=6.5)
    scatter.set_xlabel(f"actual {title(target)}")
    scatter.set_ylabel(f"predicted ({INTERVAL:.0%} interval)")
    scatter.grid()

    cover.plot([0, 1], [0, 1], color=GREY, linewidth=0.6)
    cover.plot(LEVELS, coverage(shown), color=INK, marker="D", markersize=2.6, label=title(target))
    others = numbers[numbers["name"] != target].dropna()
    if len(others):
        cover.plot(
            LEVELS, coverage(others), color=COLOURS[1], marker="s", markersize=2.6, label="its benchmarks"
        )
    cover.set_xlabel("stated probability")
    cover.set_ylabel("share of runs inside")
    cover.set_title(f"{surrogate}, {len(shown)} runs", fontsize=6.5)
    cover.set_xlim(0, 1)
    cover.set_ylim(0, 1)
    cover.grid()
    cover.legend(loc="lower right", borderpad=0.1)
    return figure, numbers


def coverage(numbers: pd.DataFrame) -> np.ndarray:
    """Share of the runs inside the interval of each of LEVELS."""
    from scipy.stats import norm

    distance = (numbers["actual"] - numbers["predicted"]).abs() / numbers["deviation"].clip(lower=1e-12)
    return np.array([(distance <= norm.ppf(0.5 + level / 2)).mean() for level in LEVELS])
