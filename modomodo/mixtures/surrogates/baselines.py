"""Baselines: what others publish (quadratic surface, log-linear law, boosted trees), and simpler functions of w.

Each is a function of w fitted to one benchmark's standardised scores; points.py measures its uncertainty.
"""

from typing import Any

import numpy as np

from modomodo.mixtures.surrogates.base import Observations, Predictor, surrogates
from modomodo.mixtures.surrogates.points import Mean, point_predictor

PENALTIES = np.geomspace(1e-3, 1e2, 11)
LAW_PENALTIES = (0.03, 0.3, 3.0)
LAW_FOLDS = 3

# regression_fitting/regression.ipynb of sail-sg/regmix: 1,000 trees of learning rate 0.01, everything else at
# LightGBM's defaults. There a validation set stops early; the runs here are too few to give some away.
REGMIX = {"num_iterations": 1000, "learning_rate": 1e-2}

# A leaf of LightGBM holds at least 20 runs by default: below 40 runs no tree splits at all.
SMALL_TREES = {
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


def precision(variances: np.ndarray) -> np.ndarray:
    """Weight of each run in a least-squares fit, mean 1.

    The variance of a run is its squared standard error plus a part that all share (training noise, lack of
    fit), taken as 0.1 of the variance between runs: one run with a tiny standard error must not rule alone.
    """
    weight = 1 / (variances + 0.1)
    return weight / weight.mean()


def quadratic_features(weights: np.ndarray) -> np.ndarray:
    """[1, w, w ⊗ w] for rows [n, m]: [n, 1 + m + m²], Algorithm 4's design matrix."""
    products = np.einsum("ni,nj->nij", weights, weights).reshape(len(weights), -1)
    return np.column_stack([np.ones(len(weights)), weights, products])


def least_squares(features: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted least squares; the solution of least norm where the runs do not determine one."""
    root = np.sqrt(weight)
    return np.linalg.lstsq(features * root[:, None], scores * root, rcond=1e-10)[0]


@surrogates.register("constant")
def constant(observations: Observations, seed: int) -> Predictor:
    """The mean score for every mixture: the baseline of every other surrogate."""

    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        level = float(np.average(scores, weights=precision(variances)))
        return lambda points: np.full(len(points), level)

    return point_predictor(observations, fit, seed)


@surrogates.register("linear")
def linear(observations: Observations, seed: int) -> Predictor:
    """Least squares on the weights; on the simplex these span the intercept."""

    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        coefficients = least_squares(weights, scores, precision(variances))
        return lambda points: points @ coefficients

    return point_predictor(observations, fit, seed)


@surrogates.register("quadratic")
def quadratic(observations: Observations, seed: int) -> Predictor:
    """Least squares on [1, w, w ⊗ w], the paper's surface (Algorithm 4, without its splits).

    m domains need m(m+1)/2 runs to determine it; with fewer the solution of least norm interpolates them.
    """

    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        coefficients = least_squares(quadratic_features(weights), scores, precision(variances))
        return lambda points: quadratic_features(points) @ coefficients

    return point_predictor(observations, fit, seed)


def best_split(
    weights: np.ndarray, scores: np.ndarray, seed: int, splits: int = 5, test_share: float = 0.2
) -> tuple[np.ndarray, float]:
    """Algorithm 4, lines 9 to 24: coefficients of the quadratic surface that tested best, and its test R².

    Each random split fits least squares on 80 % of the runs; the greatest R² on the other 20 % (at least two)
    wins. Fewer than four runs cannot be split: all are fitted, and the R² is NaN.
    """
    from sklearn.metrics import r2_score
    from sklearn.model_selection import ShuffleSplit

    features = quadratic_features(weights)
    even = np.ones(len(scores))
    if len(scores) < 4:
        return least_squares(features, scores, even), float("nan")
    best = (-np.inf, np.empty(0))
    test = max(2, int(np.ceil(test_share * len(scores))))
    for train_rows, test_rows in ShuffleSplit(splits, test_size=test, random_state=seed).split(features):
        surface = least_squares(features[train_rows], scores[train_rows], even[train_rows])
        quality = float(r2_score(scores[test_rows], features[test_rows] @ surface))
        if quality > best[0]:
            best = (quality, surface)
    return best[1], best[0]


@surrogates.register("quadratic_split")
def quadratic_split(observations: Observations, seed: int) -> Predictor:
    """The paper's surface with its choice among five random splits (Algorithm 4), for each benchmark."""

    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        coefficients, _ = best_split(weights, scores, seed)
        return lambda points: quadratic_features(points) @ coefficients

    return point_predictor(observations, fit, seed)


@surrogates.register("ridge_sqrt")
def ridge_sqrt(observations: Observations, seed: int) -> Predictor:
    """Ridge regression on √w, the penalty chosen by leave-one-out error.

    √w tells 0 from 0.01 as well as 0.5 from 0.6: the first examples of a domain teach most.
    """

    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        features = np.sqrt(weights)
        weight = precision(variances)
        shift = np.average(features, axis=0, weights=weight)
        level = float(np.average(scores, weights=weight))
        root = np.sqrt(weight)
        left, singular, right = np.linalg.svd((features - shift) * root[:, None], full_matrices=False)
        target = (scores - level) * root
        best = (np.inf, 0.0)
        for penalty in PENALTIES:
            hat = singular**2 / (singular**2 + penalty)
            leverage = np.minimum((left**2 * hat).sum(axis=1) + weight / weight.sum(), 0.999)
            error = float(np.mean(((target - left @ (hat * (left.T @ target))) / (1 - leverage)) ** 2))
            best = min(best, (error, penalty))
        coefficients = right.T @ (singular / (singular**2 + best[1]) * (left.T @ target))
        return lambda points: (np.sqrt(points) - shift) @ coefficients + level

    return point_predictor(observations, fit, seed)


@surrogates.register("log_linear")
def log_linear(observations: Observations, seed: int) -> Predictor:
    """The exponential mixing law, score = c ± exp(b + t · w) (Ye et al. 2024, arXiv 2403.16952; Olmix).

    Fitted on standardised scores by least squares with a ridge on t, its penalty chosen by cross-validation; of
    the two signs the one that fits better is taken.
    """
    return point_predictor(observations, _fit_law, seed)


def _fit_law(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
    """The law whose penalty predicts left-out thirds of the runs best."""
    folds = np.random.default_rng(seed).permutation(len(scores)) % LAW_FOLDS
    best = (np.inf, LAW_PENALTIES[-1])
    if len(scores) >= LAW_FOLDS:
        for penalty in reversed(LAW_PENALTIES):
            error = 0.0
            for fold in range(LAW_FOLDS):
                out = folds == fold
                law = _exponential(weights[~out], scores[~out], variances[~out], penalty)
                error += float(((law(weights[out]) - scores[out]) ** 2).sum())
            if error < best[0]:
                best = (error, penalty)
    return _exponential(weights, scores, variances, best[1])


def _exponential(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, penalty: float) -> Mean:
    from scipy.optimize import least_squares

    root = np.sqrt(precision(variances))
    width = weights.shape[1]
    ridge = np.sqrt(penalty)

    def curve(parameters: np.ndarray, sign: float, points: np.ndarray) -> np.ndarray:
        return parameters[0] + sign * np.exp(np.clip(points @ parameters[1:], -20, 20))

    best: tuple[float, float, np.ndarray] | None = None
    for sign in (-1.0, 1.0):

        def residuals(parameters: np.ndarray, sign: float = sign) -> np.ndarray:
            misfit = (curve(parameters, sign, weights) - scores) * root
            return np.concatenate([misfit, ridge * (parameters[1:] - parameters[1:].mean())])

        def slopes(parameters: np.ndarray, sign: float = sign) -> np.ndarray:
            grown = sign * np.exp(np.clip(weights @ parameters[1:], -20, 20))
            top = np.column_stack([root, (grown * root)[:, None] * weights])
            below = np.column_stack([np.zeros(width), ridge * (np.eye(width) - 1 / width)])
            return np.concatenate([top, below])

        # Rows of w sum to 1, so the offset b is the mean of t: the start is c ± 1 with no slope.
        start = np.concatenate([[-sign], np.zeros(width)])
        found = least_squares(
            residuals, start, jac=slopes, method="lm" if len(scores) > 1 else "trf", max_nfev=60
        )
        if best is None or found.cost < best[0]:
            best = (float(found.cost), sign, found.x)
    assert best is not None
    _, sign, parameters = best
    return lambda points: curve(parameters, sign, points)


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
    return _boosted(REGMIX, observations, seed)


@surrogates.register("lightgbm_small")
def lightgbm_small(observations: Observations, seed: int) -> Predictor:
    """LightGBM for few runs: small trees, leaves of two runs, sampled rows and columns."""
    return _boosted(SMALL_TREES, observations, seed)
