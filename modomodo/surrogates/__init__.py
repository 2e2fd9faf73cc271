"""Surrogates: records → a predictor of scores for any mixture, with its uncertainty."""

from modomodo.surrogates import calibration, ensemble, gaussian_processes, merged, parametric, trees
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
    "ensemble",
    "gaussian_processes",
    "merged",
    "objective",
    "observe",
    "parametric",
    "surrogates",
    "trees",
]
