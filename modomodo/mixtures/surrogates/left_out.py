"""Every run predicted without its mixture, by formula: what some surrogates can say without a refit.

A Gaussian process needs no refit to forget a few of its runs, and a fitted function none but those that its
uncertainty is measured by. Refits stay the rule: calibration.py comes here for large tables, where they take minutes.
"""

from dataclasses import replace
from functools import singledispatch

import numpy as np

from modomodo.mixtures.surrogates.base import LeftOutPrediction, Prediction, Predictor
from modomodo.mixtures.surrogates.evidence import kernel_weights
from modomodo.mixtures.surrogates.gaussian_processes import FittedGroup, ProcessPredictor
from modomodo.mixtures.surrogates.points import GROUPS, PointPredictor
from modomodo.mixtures.surrogates.posterior import LeftOutScores


@singledispatch
def leave_out(predictor: Predictor, folds: np.ndarray) -> LeftOutPrediction | None:
    """What a fitted surrogate would have expected of each of its runs without the runs of its fold; `folds` [runs].

    None: the surrogate cannot tell without refits.
    """
    return None


BY_FORMULA = "from all others, by formula, not by refits: kernels are weighed without it, but chosen and scaled with it"


@leave_out.register
def _of_processes(predictor: ProcessPredictor, folds: np.ndarray) -> LeftOutPrediction:
    return LeftOutPrediction(_processes_without(predictor, folds), BY_FORMULA)


@leave_out.register
def _of_points(predictor: PointPredictor, folds: np.ndarray) -> LeftOutPrediction:
    return LeftOutPrediction(predictor.predict_left_out(), f"from others, left out in {GROUPS} groups")


def _processes_without(predictor: ProcessPredictor, folds: np.ndarray) -> Prediction:
    """Kernels are weighed again for each fold; which of them were kept, and all scales, come from all runs."""
    names = np.unique(folds)
    groups = [fitted.group for fitted in predictor.groups]
    answers = []
    for fitted in predictor.groups:
        members = [np.flatnonzero(folds[fitted.group.rows] == name) for name in names]
        answers.append([kernel.leave_out(members) for kernel in fitted.kernels])
    weights = _weights_without(predictor, answers, len(names))
    mean = np.zeros((len(folds), len(predictor.benchmarks)))
    variance = np.ones_like(mean)
    for fitted, group, answer, weight in zip(predictor.groups, groups, answers, weights, strict=True):
        of_run = weight[np.searchsorted(names, folds[group.rows])]
        place = np.ix_(group.rows, group.columns)
        mean[place], variance[place] = _averaged(fitted, answer, of_run)
        # Nothing is compared with a run that was not scored: it may know all others.
        rest = np.setdiff1d(np.arange(len(folds)), group.rows)
        place = np.ix_(rest, group.columns)
        mean[place], variance[place] = fitted.moments(predictor.observations.weights[rest])
    return predictor.scaler.prediction(mean, variance, predictor.noise_variance(), predictor.correlation)


def _weights_without(
    predictor: ProcessPredictor, answers: list[list[LeftOutScores]], folds: int
) -> list[np.ndarray]:
    """Weights of each group's kept hypotheses without each fold, [fold, hypothesis, signal, variance, benchmark]."""
    weights = [np.empty((folds, *fitted.table.likelihood[fitted.kept].shape)) for fitted in predictor.groups]
    for fold in range(folds):
        tables = []
        for fitted, answer in zip(predictor.groups, answers, strict=True):
            likelihood = np.full(fitted.table.likelihood.shape, -np.inf)
            density = np.concatenate([left.log_density[fold] for left in answer])
            likelihood[fitted.kept] = fitted.table.likelihood[fitted.kept] - density
            tables.append(replace(fitted.table, likelihood=likelihood))
        found = kernel_weights(tables, predictor.grid)
        for weight, table, fitted in zip(weights, found, predictor.groups, strict=True):
            weight[fold] = table[fitted.kept]
    return weights


def _averaged(
    fitted: FittedGroup, answers: list[LeftOutScores], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance [run, benchmark] by `weights` [run, hypothesis, signal, variance, benchmark]."""
    group = fitted.group
    first, second = np.zeros((2, *group.scores.shape))
    start = 0
    for left in answers:
        own = weights[:, start : start + left.error.shape[1]]
        start += left.error.shape[1]
        means = group.scores[:, None, None, None] - left.error
        first += np.einsum("imsvb,imsvb->ib", own, means)
        second += np.einsum("imsvb,imsvb,imsvb->ib", own, means, means)
        second += np.einsum("imsvb,isvb->ib", own, left.expected_variance(group.floor, group.noise))
    return first, np.maximum(second - first**2, 0.0)
