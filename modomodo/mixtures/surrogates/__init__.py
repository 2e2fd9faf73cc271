"""Surrogates: records → a predictor of scores for any mixture, with its uncertainty."""

from modomodo.mixtures.surrogates import (
    baselines,
    calibration,
    checkpoints,
    components,
    ensemble,
    gaussian_processes,
    merged,
)
from modomodo.mixtures.surrogates.base import (
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
    "baselines",
    "calibration",
    "checkpoints",
    "components",
    "ensemble",
    "gaussian_processes",
    "merged",
    "objective",
    "observe",
    "surrogates",
]
