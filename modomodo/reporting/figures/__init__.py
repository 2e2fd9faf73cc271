"""Figures: a study's results to SVG, PNG and a CSV of the numbers shown.

Which figures a study has is known before its first run (`drawable`), from its seed mixtures and whether it
trains at all: a table of records has those of records alone.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modomodo.mixtures.mixture import seed_kind

if TYPE_CHECKING:
    import matplotlib.pyplot as plt
    import pandas as pd

    from modomodo.mixtures.plan import Plan
    from modomodo.reporting.figures.style import Page
    from modomodo.reporting.figures.training import Run
    from modomodo.reporting.results import Results

FROM_RECORDS = (
    "before_after",
    "all_against_single",
    "all_against_exclude_one",
    "out_score",
    "mixture_model",
    "mixtures",
    "effects",
    "slices",
    "calibration",
)
FROM_RUNS = ("reward_curves", "realised_shares", "cost")
# How the report calls them; it sorts by name, so the paper's come first.
CAPTIONS = {
    "before_after": "Figure 3: before and after training",
    "all_against_single": "Figure 4: All against Singles",
    "all_against_exclude_one": "Figure 5: All against Exclude-one",
    "out_score": "Figure 6: strategies compared",
    "mixture_model": "Figure 7: mixtures and surfaces",
    "mixtures": "Weights, ordered by score",
    "effects": "What more of a domain changes",
    "slices": "Score against each weight",
    "calibration": "Surrogate: can it be trusted?",
    "reward_curves": "Rewards while training",
    "realised_shares": "Realised against requested shares",
    "cost": "Cost against quality",
}
DRAWN_BY = (
    "__init__",
    "style",
    "comparison",
    "strategies",
    "surface",
    "composition",
    "training",
    "calibration",
    "response",
)
FEWEST = 5  # different mixtures that a surface and its test on others need
FITTED = ("mixture_model", "effects", "slices", "calibration")  # which need so many


def drawable(
    weights: Iterable[Sequence[float] | np.ndarray | None],
    base: bool = True,
    runs: bool = True,
    scored: Sequence[bool] | np.ndarray | None = None,
) -> list[str]:
    """Names of the figures that a study with these mixtures has; None: a mixture not known yet.

    A mixture of NaN has a score but no known weights. `scored`: which mixtures have a score of the target, if not all.
    """
    mixtures = [None if row is None else np.asarray(row, float) for row in weights]
    kinds = {seed_kind(row) for row in mixtures if row is not None and np.isfinite(row).all()}
    rows = [row for place, row in enumerate(mixtures) if scored is None or scored[place]]
    known = [row for row in rows if row is not None and np.isfinite(row).all()]
    different = len({tuple(np.round(row, 6)) for row in known}) + sum(row is None for row in rows)
    wants = {
        "before_after": base and "all" in kinds,
        "all_against_single": {"all", "single"} <= kinds,
        "all_against_exclude_one": {"all", "exclude-one"} <= kinds,
        "out_score": bool(rows),
        "mixtures": different > 0,
        **dict.fromkeys(FITTED, different >= FEWEST),
    }
    return [name for name in FROM_RECORDS if wants[name]] + (list(FROM_RUNS) if runs and rows else [])


def figures_of(plan: "Plan") -> list[str]:
    """Names of the figures of a study, known before its first run.

    Of a race or a budget as many mixtures count as are sure to be trained to the end, whichever they are. What is
    proposed may turn out to be a known mixture; then `too_few` stands in for what cannot be drawn.
    """
    from modomodo.mixtures.plan import sure_of

    raced = {mixture for mixture, _ in plan.stretches}
    sure = [sure_of(mixtures, plan.budgets.get(name)) for name, mixtures in plan.by_strategy.items()]
    names = [mixture for mixtures in sure for mixture in mixtures if mixture not in raced]
    weights = [plan.weights.get(mixture) for mixture in names]
    rows = [None if row is None else list(row.values()) for row in weights]
    # Those that an online run came to serve no fit, and a run that goes on may be of a mixture that others have too.
    unknown = [math.nan]
    repeated = {name for place in plan.places if place.of for name in plan.by_strategy[place.strategy]}
    unsure = repeated.union(plan.online)
    rows = [unknown if name in unsure else row for name, row in zip(names, rows, strict=True)]
    last = {place.strategy: place.step for place in plan.places}
    rows += [None for place in plan.places if place.step == last[place.strategy] and not place.spare]
    return drawable(rows)


def file_name(figure: str, target: str) -> str:
    """What a figure's files are called: Figure 6 after the Out-Score only where it shows that."""
    return "scores" if figure == "out_score" and target != "out_score" else figure


def too_few(found: "Results", page: "Page") -> "tuple[plt.Figure, pd.DataFrame]":
    """In the place of a figure that needs more different mixtures than strategies have proposed: says so."""
    import pandas as pd

    from modomodo.reporting.figures.style import note

    known = {tuple(np.round(row, 6)) for row in found.weights()[found.known()] if np.isfinite(row).all()}
    text = f"not drawn: {len(known)} different mixtures have a score, {FEWEST} are needed"
    return note(text, page), pd.DataFrame({"note": [text]})


def drawings(
    found: "Results", runs: "Sequence[Run]", page: "Page", surrogate: str
) -> "dict[str, Callable[[], tuple[plt.Figure, pd.DataFrame]]]":
    """How each figure is drawn, by name."""
    from modomodo.reporting.figures import (
        calibration,
        comparison,
        composition,
        response,
        strategies,
        surface,
        training,
    )
    from modomodo.reporting.surface import fit

    fitted = functools.cache(lambda: fit(found.records, surrogate))
    of_last = [run for run in runs if run.mixture in set(found.mixtures["mixture"])]  # not of stopped ones
    return {
        "before_after": lambda: comparison.before_after(found, page),
        "all_against_single": lambda: comparison.all_against_single(found, page),
        "all_against_exclude_one": lambda: comparison.all_against_exclude_one(found, page),
        "out_score": lambda: strategies.scores(found, page),
        "mixture_model": lambda: surface.mixture_model(found, page),
        "mixtures": lambda: composition.mixtures(found, page),
        "effects": lambda: response.effect_map(found, page, fitted),
        "slices": lambda: response.weight_slices(found, page, fitted),
        "calibration": lambda: calibration.calibration(found, page, surrogate),
        "reward_curves": lambda: training.reward_curves(found, of_last, page),
        "realised_shares": lambda: training.realised_shares(found, of_last, page),
        "cost": lambda: training.cost(found, runs, page),
    }
