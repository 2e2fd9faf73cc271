"""The figures of a replay: Spearman by runs, a panel a family, and searches run by run."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from family_means import MEAN

from modomodo.mixtures.surrogates.calibration import DEFAULT

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

ACROSS = 4  # panels side by side


def colours(names: list[str]) -> dict[str, str]:
    """A colour each; black beyond ten."""
    return {name: f"C{i}" if i < 10 else "black" for i, name in enumerate(names)}


def draw_families(means: pd.DataFrame, path: Path) -> None:
    """Composite Spearman on unseen mixtures with its standard error; the noise ceiling is dashed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    families = list(dict.fromkeys(means["family"]))
    colour = colours(list(dict.fromkeys(means["surrogate"])))
    across = min(ACROSS, len(families))
    down = -(-len(families) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(1.2 + 3.2 * across, 1.2 + 2.9 * down), layout="constrained", squeeze=False
    )
    for axis, family in zip(axes.flat, families, strict=False):
        _panel(axis, means[means["family"] == family], colour)
        axis.set_title(f"{family} of families" if family == MEAN else family)
    for axis in axes.flat[len(families) :]:
        axis.set_axis_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("Spearman, composite")
    known: dict[str, Artist] = {}
    for axis in axes.flat:
        handles, labels = axis.get_legend_handles_labels()
        known |= {label: handle for handle, label in zip(handles, labels, strict=True) if label not in known}
    columns = min(len(known), 2 * across)
    figure.legend(list(known.values()), list(known), loc="outside lower center", ncols=columns, fontsize=8)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def _panel(axis: "Axes", rows: pd.DataFrame, colour: dict[str, str]) -> None:
    for name, group in rows.groupby("surrogate", sort=False):
        thick = name == DEFAULT
        axis.errorbar(
            group["runs"],
            group["composite_spearman"],
            yerr=np.nan_to_num(group["composite_spearman_se"].to_numpy(float)),
            marker="o",
            markersize=3,
            color=colour[str(name)],
            label=str(name),
            linewidth=2.8 if thick else 1.1,
            capsize=2,
            zorder=3 if thick else 2,
        )
    ceiling = float(rows["composite_ceiling"].iloc[0])
    if np.isfinite(ceiling):
        axis.axhline(ceiling, linestyle="--", color="black", linewidth=1, label="noise ceiling")
    counts = sorted(set(rows["runs"]))
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.minorticks_off()
    axis.set_xlabel("runs learnt from")
    axis.set_ylim(None, 1.02)


def draw_searches(searches: pd.DataFrame, path: Path) -> None:
    """The regret of the best run so far, run by run; means over tables and choices of runs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    figure, axis = plt.subplots(figsize=(6, 4.2), layout="constrained")
    curves = searches.groupby(["method", "runs"], sort=False)["regret"].mean().unstack(0)
    colour = colours(list(dict.fromkeys(str(method).partition(" ")[0] for method in curves)))
    for method in curves:
        name, _, how = str(method).partition(" ")
        axis.plot(
            curves.index,
            curves[method],
            "--" if name == DEFAULT and how == "greedy" else "-",
            color=colour[name],
            label=f"{name}, {how.replace('_', ' ')}" if how else name,
            linewidth=2.8 if name == DEFAULT else 1.2,
        )
    axis.set(xlabel="runs", ylabel="regret of the best run so far", title="Sequential search", ylim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)
