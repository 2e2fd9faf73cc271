"""Gradient-boosted trees, as RegMix uses them."""

from typing import Any

import numpy as np

from modomodo.mixtures.surrogates.base import Observations, Predictor, surrogates
from modomodo.mixtures.surrogates.parametric import precision
from modomodo.mixtures.surrogates.points import Mean, point_predictor

# regression_fitting/regression.ipynb of sail-sg/regmix: 1,000 trees of learning rate 0.01, everything else at
# LightGBM's defaults. There a validation set stops early; the runs here are too few to give some away.
PUBLISHED = {"num_iterations": 1000, "learning_rate": 1e-2}

# A leaf of LightGBM holds at least 20 runs unless told otherwise: below 40 runs no tree splits at all.
SMALL = {
    "num_iterations": 300,
    "learning_rate": 0.05,
    "num_leaves": 4,
    "min_data_in_leaf": 2,
    "min_sum_hessian_in_leaf": 0.0,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.7,
    "lambda_l2": 1.0,
}


def _boosted(settings: dict[str, Any], observations: Observations, seed: int) -> Predictor:
    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        import lightgbm

        if len(scores) < 2:
            return lambda points: np.full(len(points), scores.mean())
        data = lightgbm.Dataset(weights, scores, weight=precision(variances), params={"verbosity": -1})
        fixed = {"objective": "regression", "seed": seed, "num_threads": 1, "verbosity": -1}
        booster = lightgbm.train({**settings, **fixed, "deterministic": True, "force_row_wise": True}, data)
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
