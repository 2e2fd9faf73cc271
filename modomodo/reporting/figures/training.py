"""What happened while the mixtures were trained: rewards, realised shares, and cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from modomodo.console import unit_of_time
from modomodo.mixtures.mixture import seed_kind
from modomodo.reporting.figures.style import BAND, GREY, INK, PALE, Page, columns, look, wrapped
from modomodo.reporting.results import Results, title
from modomodo.reporting.settings import group_title
from modomodo.reporting.training_logs import Run, smooth

LEVEL = 1.96  # standard deviations: a two-sided 95% band
CURVES: dict[str, dict[str, Any]] = {  # how the lines of the reward curves are drawn
    "best": {"color": look(4).colour, "linestyle": "-.", "linewidth": 1.4, "zorder": 5},
    "All": {"color": INK, "linestyle": "--", "linewidth": 1.2, "zorder": 3},
    "domain alone": {"color": look(0).colour, "linewidth": 1.6, "zorder": 4},
    "other mixtures": {"color": PALE, "linewidth": 0.6, "zorder": 1},
}


def reward_curves(found: Results, runs: Sequence[Run], page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """Reward by domain while training, smoothed over a tenth of the steps; a panel a domain.

    Shown is one run a mixture, that of its smallest seed: the best mixture by its score, All and the domain alone by
    their own lines, the others thin.
    Returns the figure and its numbers: domain, mixture, seed, step, reward, smoothed.
    """
    domains = found.records.domains
    first = {run.mixture: min(r.seed for r in runs if r.mixture == run.mixture) for run in runs}
    runs = [run for run in runs if run.seed == first[run.mixture]]
    window = max(1, max(len(v) for run in runs for v in run.rewards.values()) // 10)
    parts = [
        pd.DataFrame(
            {
                "domain": domain,
                "mixture": run.mixture,
                "seed": run.seed,
                "step": np.arange(1, len(run.rewards[domain]) + 1),
                "reward": run.rewards[domain],
                "smoothed": smooth(run.rewards[domain], window),
            }
        )
        for domain in domains
        for run in runs
        if domain in run.rewards
    ]
    numbers = pd.concat(parts, ignore_index=True)
    height = -(-len(domains) // 2)
    figure, panels = plt.subplots(
        height, 2, figsize=(page.width, 1.12 * height + 0.3), sharex=True, sharey=True, layout="constrained"
    )
    kinds = dict(zip(found.mixtures["mixture"], map(seed_kind, found.weights()), strict=True))
    best = found.best()
    if best is not None:
        kinds[best["mixture"]] = "best"
    for axes, domain in zip(panels.flat, domains, strict=False):
        axes.set_title(domain)
        axes.grid()
        _draw_curves(axes, numbers[numbers["domain"] == domain], kinds)
        axes.set_ylim(0, 1.02)
        axes.tick_params(labelbottom=True)
    for axes in panels.flat[len(domains) :]:
        axes.axis("off")
    handles: dict[str, plt.Line2D] = {}
    for axes in panels.flat:
        for line in axes.lines:
            handles.setdefault(str(line.get_label()), line)
    handles = {name: handles[name] for name in CURVES if name in handles}
    if best is not None and "best" in handles:
        handles = {wrapped(f"best: {best['strategy']}", 0.35 * page.width): handles.pop("best"), **handles}
    figure.supxlabel("optimiser step", fontsize=7.5)
    called = wrapped("reward over the largest possible", 1.12 * height - 0.3)  # less than the figure's height
    figure.supylabel(called, fontsize=7.5)
    if len(domains) % 2:
        panels.flat[-1].legend(handles.values(), handles.keys(), loc="center left")
    else:
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper left", ncols=columns(handles, page.width)
        )
    return figure, numbers


def _draw_curves(axes: plt.Axes, numbers: pd.DataFrame, kinds: Mapping[str, str | None]) -> None:
    """A line a mixture; `kinds`: which of them are the best, All and the domain alone."""
    for mixture, curve in numbers.groupby("mixture", sort=False):
        kind = kinds.get(str(mixture)) or ""
        name = {"best": "best", "all": "All", "single": "domain alone"}.get(kind, "other mixtures")
        axes.plot(curve["step"], curve["smoothed"], label=name, **CURVES[name])


def realised_shares(found: Results, runs: Sequence[Run], page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """The share of prompts that each domain really had, and hollow that of those that taught, against its weight.

    The band is where 95% of random draws of as many prompts fall. Returns the figure and its numbers: mixture,
    seed, domain, requested, realised, prompts, effective (NaN where it was not counted). An online run has no weights
    to be compared with, and is left out.
    """
    rows_of_runs = [
        {
            "mixture": run.mixture,
            "seed": run.seed,
            "domain": domain,
            "requested": weight,
            "realised": run.realised.get(domain, 0.0),
            "prompts": run.prompts,
            "effective": np.nan if run.effective is None else run.effective.get(domain, 0.0),
        }
        for run in runs
        if not run.online
        for domain, weight in run.requested.items()
    ]
    numbers = pd.DataFrame(rows_of_runs)
    figure, axes = plt.subplots(figsize=(page.width, 0.86 * page.width), layout="constrained")
    axes.grid()
    grid = np.linspace(0, 1, 201)
    prompts = int(numbers["prompts"].median())
    spread = LEVEL * np.sqrt(grid * (1 - grid) / prompts)
    axes.fill_between(
        grid, np.maximum(grid - spread, 0), np.minimum(grid + spread, 1), color=BAND, linewidth=0
    )
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.6)
    for place, domain in enumerate(found.records.domains):
        rows = numbers[numbers["domain"] == domain]
        axes.scatter(
            rows["requested"],
            rows["realised"],
            s=15,
            marker=look(place).marker,
            color=look(place).colour,
            edgecolor="white",
            linewidth=0.3,
            label=domain,
            zorder=3,
        )
        axes.scatter(
            rows["requested"],
            rows["effective"],
            s=15,
            marker=look(place).marker,
            facecolor="none",
            edgecolor=look(place).colour,
            linewidth=0.5,
            zorder=2,
        )
    if numbers["effective"].notna().any():
        axes.scatter(
            [], [], s=15, facecolor="none", edgecolor=GREY, linewidth=0.5, label="of those that teach"
        )
    axes.set_xlabel("weight of the mixture")
    axes.set_ylabel("share of the prompts trained on")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_title(f"band: 95% of draws of {prompts} prompts", fontsize=6.5, loc="right")
    axes.legend(loc="upper left")
    return figure, numbers


def cost(found: Results, runs: Sequence[Run], page: Page) -> tuple[plt.Figure, pd.DataFrame]:
    """Out-Score against the training time spent so far, runs in the study's order.

    Runs of other seeds count their time and are shown hollow, those that a race stopped count theirs alone. Returns the
    figure and its numbers: mixture, seed, group, seconds, spent, out_score, standard_error, best.
    """
    target = "out_score"
    groups = dict(zip(found.mixtures["mixture"], found.mixtures["group"], strict=True))
    order: dict[str, float] = {name: place for place, name in enumerate(groups)}
    for name, group in zip(found.stopped.get("mixture", ()), found.stopped.get("group", ()), strict=True):
        # Before those of their group that were trained further.
        order[name] = (
            min((order[other] for other in order if groups[other] == group), default=len(order)) - 0.5
        )
        groups[name] = group
    first = {run.mixture: min(r.seed for r in runs if r.mixture == run.mixture) for run in runs}
    frame = found.records.frame
    last = frame.sort_values("step").drop_duplicates(["mixture", "seed"], keep="last")
    scores = last.set_index(["mixture", "seed"])
    rows = []
    for run in sorted(runs, key=lambda run: (run.seed != first[run.mixture], order[run.mixture], run.seed)):
        known = (run.mixture, run.seed) in scores.index
        score, error = (
            scores.loc[(run.mixture, run.seed), [target, f"se_{target}"]] if known else (np.nan, np.nan)
        )
        rows.append((run.mixture, run.seed, groups[run.mixture], run.seconds, score, error))
    names = ["mixture", "seed", "group", "seconds", target, "standard_error"]
    numbers = pd.DataFrame(rows, columns=names)
    # Repeats come after the strategies: they measure noise and find no mixture.
    repeat = numbers["seed"] != numbers["mixture"].map(first)
    numbers["spent"] = numbers["seconds"].cumsum()
    numbers["best"] = numbers[target].where(~repeat).cummax().ffill()
    scale, unit = unit_of_time(float(numbers["spent"].iloc[-1]))
    figure, axes = plt.subplots(figsize=(page.width, 0.74 * page.width), layout="constrained")
    axes.grid()
    axes.step(
        numbers["spent"] / scale, numbers["best"], where="post", color=INK, linewidth=0.9, label="best so far"
    )
    for place, group in enumerate(found.groups):
        for again in (False, True):
            part = numbers[(numbers["group"] == group) & (repeat == again)]
            if part.empty:
                continue
            style = look(place)
            axes.errorbar(
                part["spent"] / scale,
                part[target],
                yerr=part["standard_error"].fillna(0.0),
                fmt=style.marker,
                color=style.colour,
                markerfacecolor="white" if again else style.colour,
                markersize=3.8,
                elinewidth=0.6,
                label=None if again else group_title(group),
            )
    if repeat.any():
        axes.errorbar(
            [],
            [],
            yerr=[],
            fmt="o",
            color=GREY,
            markerfacecolor="white",
            markersize=3.8,
            elinewidth=0.6,
            label="repeat with another seed",
        )
    if found.base is not None and np.isfinite(found.base[target]):
        axes.axhline(found.base[target], color=INK, linestyle=":", linewidth=0.9, label="base model")
    axes.set_xlim(left=0)
    axes.set_xlabel(f"training time so far ({unit})")
    axes.set_ylabel(f"{title(target)} (± standard error)")
    labels = axes.get_legend_handles_labels()[1]
    figure.legend(loc="outside upper left", ncols=columns(labels, page.width, 3))
    return figure, numbers[[*names[:4], "spent", target, "standard_error", "best"]]
