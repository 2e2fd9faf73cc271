"""Surrogates: records → a predictor of scores for any mixture, with its uncertainty."""

from modomodo.surrogates import (
    calibration,
    components,
    ensemble,
    gaussian_processes,
    merged,
    parametric,
    steps,
    trees,
)
from modomodo.surrogates.base import (
    Objective,
    Observations,
    Prediction,
    Predictor,
    Surrogate,
    objective,
    observe,
    surrogates,
)

__all__ = [
    "Objective",
    "Observations",
    "Prediction",
    "Predictor",
    "Surrogate",
    "calibration",
    "components",
    "ensemble",
    "gaussian_processes",
    "merged",
    "objective",
    "observe",
    "parametric",
    "steps",
    "surrogates",
    "trees",
]
