"""What the figures share: one look, and SVG, PNG and a CSV of the numbers shown for each.

Things differ in colour, marker and hatch at once, so that a figure reads in grey and for colour-blind readers
(colours: Okabe and Ito, Color Universal Design, 2008).
"""

import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd

from modomodo.files import write_csv
from modomodo.reporting.results import COLOURS

matplotlib.use("Agg")

INK, GREY, PALE, BAND = "#000000", "#767676", "#d9d9d9", "#e8e8e8"
LETTERS = 22  # of a legend, an inch
MARKERS = ["o", "s", "^", "v", "P", "X", "<", ">"]
HATCHES = ["", "////", "....", "\\\\\\\\", "xxxx", "----", "oo", "++"]
SCORES = "cividis"  # for a score as a colour: even in lightness, the same for the colour-blind


@dataclass(frozen=True)
class Page:
    """What a figure is drawn for: the width of a column in inches, and the PNG's dots per inch."""

    width: float = 3.4
    dpi: int = 300


@dataclass(frozen=True)
class Look:
    """How one thing of several is drawn."""

    colour: str
    marker: str
    hatch: str


def look(place: int) -> Look:
    """The look of the thing at a place; repeats only after 56."""
    return Look(COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)], HATCHES[place % len(HATCHES)])


def columns(labels: Iterable[str], width: float, most: int = 4) -> int:
    """How many columns of a legend fit on a page of this width in inches: a marker is as wide as five letters."""
    longest = max(map(len, labels), default=0)
    return max(1, min(most, int(LETTERS * width / (longest + 5))))


def wrapped(text: str, width: float) -> str:
    """A text over as many lines as it needs in so many inches."""
    return "\n".join(textwrap.wrap(text, max(int(LETTERS * width), 12)))


def note(text: str, page: Page) -> plt.Figure:
    """A text in the place of a figure."""
    figure = plt.figure(figsize=(page.width, 0.3 * page.width))
    figure.text(0.5, 0.5, wrapped(text, 0.8 * page.width), ha="center", va="center", color=GREY)
    return figure


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's settings while a figure is drawn and written."""
    settings: dict[Any, Any] = {
        "font.size": 7,
        "axes.labelsize": 7.5,
        "axes.titlesize": 7.5,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 6.5,
        "legend.frameon": False,
        "legend.handletextpad": 0.4,
        "legend.columnspacing": 1.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.0,
        "lines.markersize": 4,
        "hatch.linewidth": 0.5,
        "grid.color": "#e3e3e3",
        "grid.linewidth": 0.5,
        "axes.axisbelow": True,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever look the user's own matplotlibrc wants
        matplotlib.rcParams.update(settings)
        yield


def save(figure: plt.Figure, numbers: pd.DataFrame, svg: str | Path, dpi: int = 300) -> None:
    """Write the figure as SVG and PNG, and its numbers as CSV next to them. Same numbers, same bytes."""
    svg = Path(svg)
    svg.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": svg.stem}):
        figure.savefig(svg, metadata={"Date": None})
    figure.savefig(svg.with_suffix(".png"), dpi=dpi, metadata={"Software": None})
    plt.close(figure)
    write_csv(svg.with_suffix(".csv"), numbers)
