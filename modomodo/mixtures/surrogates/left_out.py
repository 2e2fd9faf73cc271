"""Every run predicted without its mixture, by formula: what some surrogates can say without a refit.

A Gaussian process needs no refit to forget a few of its runs, and a fitted function none beside those that its
uncertainty is measured by. Refits stay the rule: calibration.py comes here for large tables, where they take minutes.
"""

from functools import singledispatch

import numpy as np

from modomodo.mixtures.surrogates.base import Prediction, Predictor, Surrogate
from modomodo.mixtures.surrogates.components import ComponentsPredictor, fit_components
from modomodo.mixtures.surrogates.gaussian_processes import (
    VARIANCES,
    Component,
    Group,
    ProcessPredictor,
    fit_processes,
    noise_share,
    posterior,
)
from modomodo.mixtures.surrogates.kernels import KernelSpec
from modomodo.mixtures.surrogates.points import GROUPS, PointPredictor


@singledispatch
def leave_out(predictor: Predictor, folds: np.ndarray) -> tuple[Prediction, str] | None:
    """What a fitted surrogate would have expected of each of its runs without the runs of its fold; `folds` [runs].

    With it, in words, how each was predicted. None: the surrogate cannot tell without refits.
    """
    return None


BY_FORMULA = "from all others, by formula, not by refits: kernels are weighed without it, but chosen and scaled with it"


def refitting(predictor: Predictor) -> Surrogate | None:
    """The surrogate with only those structures of its kernel that this fit has kept; None where it has none."""
    if isinstance(predictor, ComponentsPredictor):
        inner = predictor.inner
        return lambda observations, seed: fit_components(observations, _kept(inner))
    if isinstance(predictor, ProcessPredictor):
        return lambda observations, seed: fit_processes(
            observations.final(), predictor.family, _kept(predictor)
        )
    return None


def _kept(predictor: ProcessPredictor) -> list[KernelSpec]:
    return list(dict.fromkeys(c.structure for group in predictor.groups for c in group.components))


@leave_out.register
def _of_processes(predictor: ProcessPredictor, folds: np.ndarray) -> tuple[Prediction, str]:
    return _processes_without(predictor, folds), BY_FORMULA


@leave_out.register
def _of_components(predictor: ComponentsPredictor, folds: np.ndarray) -> tuple[Prediction, str]:
    return predictor.turned(_processes_without(predictor.inner, folds)), BY_FORMULA


@leave_out.register
def _of_points(predictor: PointPredictor, folds: np.ndarray) -> tuple[Prediction, str]:
    return predictor.predict_left_out(), f"from others, left out in {GROUPS} groups"


def _processes_without(predictor: ProcessPredictor, folds: np.ndarray) -> Prediction:
    """The structures are weighed anew for each fold; which of them were kept, and all scales, come from all runs."""
    width = len(predictor.benchmarks)
    mean, variance = np.zeros((len(folds), width)), np.ones((len(folds), width))
    noise = np.ones(width)
    names = np.unique(folds)
    members = [[np.flatnonzero(folds[group.rows] == name) for name in names] for group in predictor.groups]
    answers = [
        [_without(group, component, runs) for component in group.components]
        for group, runs in zip(predictor.groups, members, strict=True)
    ]
    weights = [np.empty((len(names), *group.table[group.kept].shape)) for group in predictor.groups]
    for fold in range(len(names)):
        tables = []
        for group, answer in zip(predictor.groups, answers, strict=True):
            table = np.full(group.table.shape, -np.inf)
            density = np.stack([density[fold] for _, _, density in answer])
            table[group.kept] = group.table[group.kept] - density
            tables.append(table)
        found = posterior(tables, [group.structures for group in predictor.groups], predictor.family.sharing)
        for weight, table, group in zip(weights, found, predictor.groups, strict=True):
            weight[fold] = table[group.kept]
    for group, answer, weight in zip(predictor.groups, answers, weights, strict=True):
        place = np.searchsorted(names, folds[group.rows])
        first, second = np.zeros((2, len(group.rows), len(group.columns)))
        for number, (means, variances, _) in enumerate(answer):
            of_run = weight[place, number]
            first += np.einsum("isvb,isvb->ib", of_run, means)
            second += np.einsum("isvb,isvb->ib", of_run, variances + means**2)
        mean[np.ix_(group.rows, group.columns)] = first
        variance[np.ix_(group.rows, group.columns)] = np.maximum(second - first**2, 0.0)
        # Nothing is compared with a run that was not scored: it may know all others.
        rest = np.setdiff1d(np.arange(len(folds)), group.rows)
        moments = group.moments(predictor.observations.weights[rest])
        mean[np.ix_(rest, group.columns)], variance[np.ix_(rest, group.columns)], noise[group.columns] = (
            moments
        )
    scale = predictor.standard.scale
    deviation, run = np.sqrt(variance) * scale, np.sqrt(noise) * scale
    return Prediction(
        mean * scale + predictor.standard.center,
        predictor.correlation * deviation[:, :, None] * deviation[:, None, :],
        predictor.correlation * np.outer(run, run),
    )


def _without(
    group: Group, component: Component, members: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each run given all runs but its fold's (`members`: the rows of each fold), by one component.

    Mean and variance of the expected score [runs, signals, variances, benchmarks], and the log density of each fold's
    scores given all others, up to a constant, [folds, signals, variances, benchmarks]. With A the rows and columns of a
    fold in C⁻¹, its scores y are expected at y - A⁻¹ (C⁻¹ y) with covariance A⁻¹ (Rasmussen and Williams 2006, 5.4.2):
    one eigendecomposition serves all folds.
    """
    vectors, spread = component.spectrum.vectors, component.spread
    scale = VARIANCES[:, None]
    solved = np.tensordot(vectors, component.spectrum.scores.T / spread, (1, 3))
    missed, spare = np.empty_like(solved), np.empty_like(solved)
    density = np.zeros((len(members), *solved.shape[1:]))
    sizes = np.array([len(runs) for runs in members])
    alone = np.array([runs[0] for runs in members if len(runs) == 1], int)
    inverse = np.tensordot(vectors[alone] ** 2, 1 / spread, (1, 3))
    missed[alone], spare[alone] = solved[alone] / inverse, 1 / inverse
    density[sizes == 1] = (np.log(inverse / scale) - solved[alone] * missed[alone] / scale) / 2
    for fold in np.flatnonzero(sizes > 1):
        runs = members[fold]
        block = (vectors[runs] / spread[..., None, :]) @ vectors[runs].T
        covariance = np.linalg.inv(block)
        right = np.moveaxis(solved[runs], 0, -1)
        error = (covariance @ right[..., None])[..., 0]
        missed[runs] = np.moveaxis(error, -1, 0)
        spare[runs] = np.moveaxis(np.einsum("svbgg->svbg", covariance), -1, 0)
        misfit = (right * error).sum(axis=-1) / scale
        density[fold] = (np.linalg.slogdet(block)[1] - len(runs) * np.log(scale) - misfit) / 2
    scores = group.relative[:, None] * (vectors @ component.spectrum.scores)
    scores += group.kernels.expected(component.structure, group.kernels.runs)[:, None]
    own = noise_share(group.floor) * group.relative[:, None, None, None]
    return scores[:, None, None] - missed, np.maximum(spare - own, 0.0) * scale, density
