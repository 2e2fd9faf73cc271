"""What a weight does: scores along each domain's weight, and what each score gains from more of each domain."""

from collections.abc import Callable
from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap

from modomodo.console import decimal, digits
from modomodo.mixtures.records import AGGREGATES, last_step, score_column, trained
from modomodo.reporting.differences import BEYOND_NOISE
from modomodo.reporting.effects import NEAR, STEP, apart, domains_of, effects, slices
from modomodo.reporting.figures.style import BAND, INK, LETTERS, PALE, Page, wrapped
from modomodo.reporting.results import COLOURS, Results
from modomodo.reporting.surface import Surface

REACH = NormalDist().inv_cdf(0.9)  # standard deviations of an 80% interval
DIM = "#444444"  # readable on any colour of the map
# Less and more in the explorer's colours, which the colour-blind tell apart.
SIGNS = LinearSegmentedColormap.from_list("signs", ["#e38b2c", "#f7f7f7", "#4d9bd6"])
FINE = 161  # points of a line in print
CELL = 0.27  # inches, below which a number does not fit into a cell
PALER = 1.5  # times the largest effect is the end of the scale: numbers stay readable on it


def start(found: Results) -> "pd.Series":
    """The row of the best mixture whose weights are known: what the figures change one weight of."""
    rows = found.mixtures[found.known() & np.isfinite(found.weights()).all(axis=1)]
    return rows.loc[rows[score_column(found.target)].idxmax()]


def _weights(row: "pd.Series", surface: Surface) -> np.ndarray:
    return row[[f"w_{domain}" for domain in surface.predictor.domains]].to_numpy(float)


def _shown(found: Results, surface: Surface) -> list[str]:
    """The domains that some run has tried, in the study's order."""
    known = domains_of(surface)
    return [domain for domain in found.records.domains if domain in known]


def effect_map(found: Results, page: Page, fitted: Callable[[], Surface]) -> tuple[plt.Figure, pd.DataFrame]:
    """What each score gains where a domain has 0.1 more weight than in the best mixture, a row a score.

    Those beyond noise are bold. Returns the figure and its numbers: domain, target, change, effect, error.
    """
    surface, row = fitted(), start(found)
    targets = [target for target in found.targets() if target in surface.shares]
    numbers = effects(surface, _weights(row, surface))
    numbers = numbers[numbers["target"].isin(targets)]
    domains = _shown(found, surface)
    grid = numbers.pivot(index="target", columns="domain").reindex(targets)
    values, errors, change = (np.array(grid[name][domains], float) for name in ("effect", "error", "change"))
    values = np.where(change > 0, values, np.nan)
    errors[[place for place, target in enumerate(targets) if surface.undetermined(target)]] = np.nan
    figure, axes = plt.subplots(figsize=(page.width, 0.2 * len(targets) + 1.1), layout="constrained")
    most = PALER * float(np.nanmax(np.abs(values), initial=1e-9))
    shown = axes.imshow(values, cmap=SIGNS, vmin=-most, vmax=most, aspect="auto")
    _write_cells(axes, values, errors, page)
    slanted = max(map(len, domains)) > 0.7 * LETTERS * page.width * 0.7 / len(domains)
    axes.set_xticks(range(len(domains)), domains)
    if slanted:  # upright where many slanted ones would lie on each other
        turned = 40 if len(domains) <= 8 else 90
        plt.setp(axes.get_xticklabels(), rotation=turned, ha="right", va="center", rotation_mode="anchor")
    axes.set_yticks(range(len(targets)), [found.title(target) for target in targets])
    for label, target in zip(axes.get_yticklabels(), targets, strict=True):
        label.set_fontweight("bold" if target in AGGREGATES else "normal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    said = f"domain with {STEP} more weight than in {row['strategy']}"
    axes.set_xlabel(wrapped(said, 0.42 * page.width))
    figure.colorbar(shown, ax=axes, label="change of the score", pad=0.02, aspect=18)
    return figure, numbers


def _write_cells(axes: plt.Axes, values: np.ndarray, errors: np.ndarray, page: Page) -> None:
    """Each effect in its cell, to one digit of the errors: bold where it is beyond noise."""
    places = max(digits(errors[np.isfinite(values)]) - 1, 0)
    fits = 0.62 * page.width / values.shape[1] >= CELL * (places + 2) / 5
    for (line, column), value in np.ndenumerate(values):
        beyond = abs(value) > BEYOND_NOISE * errors[line, column] > 0
        text = "–" if np.isnan(value) else decimal(value, places, "+") if fits else "•" if beyond else ""
        weight, colour = ("bold", INK) if beyond else ("normal", DIM)
        axes.text(column, line, text, ha="center", va="center", fontsize=5.5, fontweight=weight, color=colour)


def weight_slices(
    found: Results, page: Page, fitted: Callable[[], Surface]
) -> tuple[plt.Figure, pd.DataFrame]:
    """The target along each domain's weight, the others in the proportions of the best mixture; a panel a domain.

    Bands are 80% intervals: of the expected score, and of the score of one run. Points are runs that differ from the
    slice in few prompts. Returns the figure and its numbers: domain, weight, mean, deviation (of the expected
    score), run (of one run's), and of the runs mixture, seed, score, standard_error and apart (share of prompts).
    """
    surface, row = fitted(), start(found)
    at = _weights(row, surface)
    lines = slices(surface, at, FINE)
    lines = lines[lines["target"] == found.target].drop(columns="target")
    if surface.undetermined(found.target):
        lines[["deviation", "run"]] = np.nan
    domains = _shown(found, surface)
    points = pd.concat([_runs_near(found, surface, at, domain) for domain in domains], ignore_index=True)
    high = -(-len(domains) // 2)
    figure, panels = plt.subplots(
        high,
        2,
        figsize=(page.width, 1.15 * high + 0.45),
        sharex=True,
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    best = wrapped(f"best: {row['strategy']}", 0.35 * page.width)
    for axes, domain in zip(panels.flat, domains, strict=False):
        _draw_slice(axes, lines[lines["domain"] == domain], points[points["domain"] == domain])
        weight = at[surface.predictor.domains.index(domain)]
        axes.axvline(weight, color=INK, linestyle=":", linewidth=0.9, label=best)
        axes.set_title(domain)
        axes.tick_params(labelbottom=True)
    for axes in panels.flat[len(domains) :]:
        axes.axis("off")
    figure.supxlabel("weight of the domain", fontsize=7.5)
    figure.supylabel(found.label(), fontsize=7.5)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    if len(domains) % 2:
        panels.flat[-1].legend(handles, labels, loc="center left")
    else:
        figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure, pd.concat([lines, points], ignore_index=True)


def _runs_near(found: Results, surface: Surface, at: np.ndarray, domain: str) -> pd.DataFrame:
    """The runs near a slice, each at its own weight of the domain."""
    frame = trained(last_step(found.records)).frame
    rows = frame[[f"w_{name}" for name in surface.predictor.domains]].to_numpy(float)
    off = apart(surface, at, domain, rows)
    near = (off <= NEAR) & frame[score_column(found.target)].notna().to_numpy()
    shown = frame[near]
    return pd.DataFrame(
        {
            "domain": domain,
            "weight": shown[f"w_{domain}"],
            "mixture": shown["mixture"],
            "seed": shown["seed"],
            "score": shown[score_column(found.target)],
            "standard_error": shown[f"se_{found.target}"],
            "apart": off[near],
        }
    )


def _draw_slice(axes: plt.Axes, line: pd.DataFrame, points: pd.DataFrame) -> None:
    """The expected score with its bands, and the runs beside it: hollow where they lie off the slice."""
    bands = (("run", BAND, "80% of runs"), ("deviation", PALE, "80% of expectations"))
    for name, colour, label in bands if line["run"].notna().all() else ():
        reach = REACH * line[name]
        axes.fill_between(
            line["weight"], line["mean"] - reach, line["mean"] + reach, color=colour, linewidth=0, label=label
        )
    axes.plot(line["weight"], line["mean"], color=COLOURS[0], linewidth=1.2, label="expected score")
    axes.errorbar(
        points["weight"],
        points["score"],
        yerr=points["standard_error"].fillna(0.0),
        fmt="o",
        color=COLOURS[4],
        markersize=2.8,
        elinewidth=0.5,
        label="runs (± standard error)",
    )
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1])
    axes.grid()
