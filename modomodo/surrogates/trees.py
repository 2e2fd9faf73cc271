"""Gradient-boosted trees, as RegMix uses them."""

from typing import Any

import numpy as np

from modomodo.surrogates.base import Observations, Predictor, surrogates
from modomodo.surrogates.parametric import precision
from modomodo.surrogates.points import Mean, point_predictor

# regression_fitting/regression.ipynb of sail-sg/regmix: 1,000 trees of learning rate 0.01, everything else at
# LightGBM's defaults. There a validation set stops early; the runs here are too few to give some away.
PUBLISHED = {"n_estimators": 1000, "learning_rate": 1e-2}

# A leaf of LightGBM holds at least 20 runs unless told otherwise: below 40 runs no tree splits at all.
SMALL = {
    "n_estimators": 300,
    "learning_rate": 0.05,
    "num_leaves": 4,
    "min_child_samples": 2,
    "min_child_weight": 0.0,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.7,
    "reg_lambda": 1.0,
}


def _boosted(settings: dict[str, Any], observations: Observations, seed: int) -> Predictor:
    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        import lightgbm

        model = lightgbm.LGBMRegressor(
            **settings, random_state=seed, n_jobs=1, deterministic=True, force_row_wise=True, verbosity=-1
        )
        booster = model.fit(weights, scores, sample_weight=precision(variances)).booster_
        return lambda points: np.asarray(booster.predict(points))

    return point_predictor(observations, fit, seed)


@surrogates.register("lightgbm")
def lightgbm_published(observations: Observations, seed: int) -> Predictor:
    """LightGBM with RegMix's published settings: a constant below 40 runs."""
    return _boosted(PUBLISHED, observations, seed)


@surrogates.register("lightgbm_small")
def lightgbm_small(observations: Observations, seed: int) -> Predictor:
    """LightGBM for few runs: small trees, leaves of two runs, sampled rows and columns."""
    return _boosted(SMALL, observations, seed)
