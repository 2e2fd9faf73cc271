"""The figure of rivals.py: a panel an arm, and all of them side by side."""

from pathlib import Path

import pandas as pd

COLOURS = {True: "#0072b2", False: "#d55e00"}  # with dynamic sampling, and without
WORDS = {True: "with dynamic sampling", False: "without"}
BASELINE = "equal weights"


def draw(ends: pd.DataFrame, curves: pd.DataFrame, path: Path) -> None:
    """Held-out Out-Score of what is picked, against time: means, their standard errors as bands; what was picked at
    equal time in the last panel.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    arms = list(dict.fromkeys(curves["arm"]))
    columns = -(-(len(arms) + 1) // 2)
    figure, axes = plt.subplots(2, columns, figsize=(2.75 * columns, 5.6), layout="constrained", sharey=True)
    panels = list(axes.flat)
    for axis, arm in zip(panels, arms, strict=False):
        _over_time(axis, arm, curves)
    for axis in panels[len(arms) : -1]:
        axis.axis("off")
    _side_by_side(panels[-1], arms, ends[ends["reading"] == "equal time"])
    for axis in axes[:, 0]:
        axis.set_ylabel("held-out Out-Score")
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def _over_time(axis, arm: str, curves: pd.DataFrame) -> None:
    """One arm with dynamic sampling and without; equal weights, behind it, for comparison."""
    for resampled, colour in COLOURS.items():
        same = curves["resampled"] == resampled
        baseline, line = (curves[same & (curves["arm"] == name)] for name in (BASELINE, arm))
        if arm != BASELINE:
            axis.plot(baseline["time"], baseline["held_out"], color=colour, linewidth=0.8, linestyle=":")
        axis.step(line["time"], line["held_out"], color=colour, where="post", linewidth=1.6)
        axis.plot(*line[["time", "held_out"]].iloc[-1], color=colour, marker="o", markersize=4)
        low, high = (line["held_out"] + sign * line["standard_error"] for sign in (-1, 1))
        axis.fill_between(line["time"], low, high, color=colour, alpha=0.15, linewidth=0, step="post")
    if arm != BASELINE:
        axis.text(
            0.97, 0.05, "dotted: equal weights", transform=axis.transAxes, ha="right", fontsize=8, color="0.4"
        )
    axis.set_title(arm, fontsize=10)
    axis.set_xlabel("time, in full runs")
    axis.set_xlim(0, 1.06 * curves["time"].max())
    axis.grid(alpha=0.25)
    if arm == BASELINE:
        axis.text(
            0.97, 0.16, WORDS[True], color=COLOURS[True], transform=axis.transAxes, ha="right", fontsize=8
        )
        axis.text(
            0.97, 0.06, WORDS[False], color=COLOURS[False], transform=axis.transAxes, ha="right", fontsize=8
        )


def _side_by_side(axis, arms: list[str], ends: pd.DataFrame) -> None:
    """What each arm had picked at equal time."""
    for shift, (resampled, colour) in zip((-0.12, 0.12), COLOURS.items(), strict=True):
        of = ends[ends["resampled"] == resampled].set_index("arm").loc[arms]
        places = [place + shift for place in range(len(arms))]
        axis.errorbar(
            places, of["held_out"], of["standard_error"], color=colour, fmt="o", markersize=4, capsize=2
        )
    axis.set_xticks(range(len(arms)), arms, rotation=90, fontsize=8)
    axis.set_title("at equal time", fontsize=10)
    axis.grid(alpha=0.25, axis="y")
