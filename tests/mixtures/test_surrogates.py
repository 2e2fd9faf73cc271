import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modomodo.errors import InputError
from modomodo.mixtures import records
from modomodo.mixtures.surrogates import gaussian_processes as processes
from modomodo.mixtures.surrogates import kernels, posterior
from modomodo.mixtures.surrogates.base import (
    Objective,
    Observations,
    Prediction,
    StandardScaler,
    mixture_folds,
    objective,
    observe,
    shrunk_correlation,
    surrogates,
)
from modomodo.mixtures.surrogates.baselines import best_split, quadratic_features
from modomodo.mixtures.surrogates.calibration import (
    BESIDE,
    DEFAULT,
    CrossValidated,
    compared,
    cross_validated,
    leave_one_mixture_out,
    summary,
)
from modomodo.mixtures.surrogates.ensemble import Ensemble
from modomodo.mixtures.surrogates.evidence import EvidenceTable, kernel_weights

ROOT = Path(__file__).parents[2]
EVERY = sorted(surrogates)
DOMAINS = ("a", "b", "c", "d")


def truth(weights):
    """Two benchmarks: one saturates in `a`, one wants `b` and `c` together."""
    return np.column_stack([np.sqrt(weights[:, 0]), 2 * weights[:, 1] * weights[:, 2] + 0.3 * weights[:, 1]])


def observed(count=24, seed=0, noise=0.0, errors=math.nan):
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.full(4, 0.8), count)
    scores = truth(weights) + noise * random.standard_normal((count, 2))
    return Observations(
        weights,
        scores,
        np.full(scores.shape, errors),
        np.ones(count),
        tuple(f"m{i:03d}" for i in range(count)),
        DOMAINS,
        ("x", "y"),
        np.array([0.5, 0.5]),
    )


def unseen(count=200):
    return np.random.default_rng(99).dirichlet(np.full(4, 0.8), count)


def correlation(left, right):
    return np.corrcoef(left, right)[0, 1]


# --- what is observed and what is wanted ------------------------------------------------------------------------


def table(order=("a", "b"), benchmarks=("x", "y"), reverse=False):
    runs = [
        ("m1", 1, 0.2, 0.1, 0.5),
        ("m1", 2, 0.2, 0.2, 0.4),
        ("m2", 1, 0.7, 0.6, 0.3),
        ("m3", 1, 0.5, 0.4, math.nan),
        ("m4", 1, 0.9, 0.5, 0.1),
        ("m5", 1, 0.1, 0.0, 0.6),
    ]
    rows = [
        {
            "mixture": name,
            "seed": seed,
            "step": step,
            "weights": {"a": w, "b": 1 - w},
            "scores": {"x": x * step / 10, "y": y},
            "standard_errors": {"x": 0.02},
        }
        for name, seed, w, x, y in runs
        for step in (5, 10)
    ]
    rows.append({"mixture": "base", "seed": 1, "step": 0, "weights": {}, "scores": {"x": 9.0, "y": 9.0}})
    return records.from_rows(
        rows[::-1] if reverse else rows, order, benchmarks, {"out_score": {"x": 1, "y": 3}}
    )


def test_an_aggregate_is_made_of_its_benchmarks():
    aim = objective(table(), "out_score")
    assert aim.benchmarks == ("x", "y")
    np.testing.assert_allclose(aim.shares, [0.25, 0.75], atol=1e-6)
    given = objective(table(), "mine", {"mine": {"y": 2, "x": 6}})
    np.testing.assert_allclose(given.shares, [0.75, 0.25])
    assert objective(table(), "y").benchmarks == ("y",)
    with pytest.raises(InputError, match="no target 'out_scor': did you mean 'out_score'"):
        objective(table(), "out_scor")
    with pytest.raises(InputError, match="target 'mine': unknown benchmark 'z'"):
        objective(table(), "mine", {"mine": {"z": 1}})


def test_an_aggregate_that_the_table_does_not_explain_is_modelled_itself():
    runs = table()
    frame = runs.frame.copy()
    frame["out_score"] = np.arange(len(frame)) / 7
    runs = replace(runs, frame=frame, aggregates={})  # somebody else's table
    aim = objective(runs, "out_score")
    assert aim.benchmarks == ("out_score",)
    assert observe(runs, aim).scores.shape[1] == 1


def test_observations_leave_out_the_base_and_know_the_progress():
    seen = observe(table(), objective(table(), "out_score"))
    assert len(seen) == 12 and len(seen.final()) == 6
    assert seen.mixtures[:4] == ("m1", "m1", "m1", "m1")
    assert seen.progress[:2].tolist() == [0.5, 1.0]
    np.testing.assert_allclose(seen.final().weights[0], [0.2, 0.8])
    assert np.isnan(seen.final().scores[3, 1]) and np.isnan(seen.errors[0, 1]) and seen.errors[0, 0] == 0.02


def test_the_order_of_rows_and_columns_changes_nothing():
    one = observe(table(), objective(table(), "out_score"))
    other_table = table(("b", "a"), ("y", "x"), reverse=True)
    other = observe(other_table, objective(other_table, "out_score"))
    for name in ("weights", "scores", "errors", "progress", "mixtures", "domains", "benchmarks"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_nothing_to_learn_from():
    runs = records.from_rows(
        [{"mixture": "m", "seed": 0, "step": 1, "weights": {"a": 1.0}, "scores": {}}], ["a"], ["x"]
    )
    with pytest.raises(InputError, match="no trained run has a score of x"):
        observe(runs, Objective("x", ("x",), np.ones(1)))


def test_standardising_by_hand():
    seen = replace(
        observed(3),
        scores=np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]]),
        errors=np.array([[0.5, 1.0], [np.nan, 1.0], [0.5, 1.0]]),
    )
    standard = StandardScaler.of(seen)
    assert standard.center.tolist() == [2.0, 5.0]
    np.testing.assert_allclose(standard.scale, [math.sqrt(2), 1.0])  # a constant column keeps its scale
    np.testing.assert_allclose(standard.scores[:2, 0], [-1 / math.sqrt(2), 1 / math.sqrt(2)])
    np.testing.assert_allclose(standard.variances[:, 0], [0.125, 0.0, 0.125])


def test_a_constant_column_has_the_scale_of_its_errors_or_of_the_others():
    scores = np.array([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]])
    seen = replace(observed(3), scores=scores, errors=np.full((3, 2), np.nan))
    assert StandardScaler.of(seen).scale.tolist() == [1.0, 1.0]
    seen = replace(seen, scores=scores * 0.01)
    np.testing.assert_allclose(StandardScaler.of(seen).scale, [0.01, 0.01])
    seen = replace(seen, errors=np.array([[np.nan, 0.003]] * 3))
    np.testing.assert_allclose(StandardScaler.of(seen).scale, [0.01, 0.003])


def test_repeats_are_left_out_together():
    weights = np.array([[0.5, 0.5], [0.2, 0.8], [0.50001, 0.49999], [0.2, 0.8]])
    assert mixture_folds(weights).tolist() == [0, 1, 0, 1]


def test_prediction_aggregates_with_covariance():
    prediction = Prediction(
        np.array([[1.0, 3.0]]), np.array([[[4.0, 1.0], [1.0, 9.0]]]), np.array([[0.0, 0.0], [0.0, 4.0]])
    )
    mean, deviation = prediction.aggregate(np.array([0.5, 0.5]))
    assert mean[0] == 2.0
    assert deviation[0] == pytest.approx(math.sqrt((4 + 2 + 9) / 4))
    assert prediction.run_spread(np.array([0.5, 0.5]))[0] == pytest.approx(math.sqrt(15 / 4 + 1))


def test_correlation_is_shrunk():
    residuals = np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, 2.0], [0.5, 0.5]])
    np.testing.assert_allclose(shrunk_correlation(residuals), [[1, 4 / 7], [4 / 7, 1]])
    np.testing.assert_array_equal(shrunk_correlation(np.zeros((5, 2))), np.eye(2))


# --- what every surrogate must do -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_the_interface(name):
    seen = observed(16)
    fitted = surrogates[name](seen, 0)
    points = unseen(7)
    prediction = fitted.predict(points)
    assert fitted.domains == DOMAINS and fitted.benchmarks == ("x", "y")
    assert prediction.mean.shape == (7, 2)
    assert prediction.covariance.shape == (7, 2, 2) and prediction.noise.shape == (2, 2)
    np.testing.assert_allclose(fitted.mean(points), prediction.mean, atol=1e-9)
    assert (np.linalg.eigvalsh(prediction.covariance) > -1e-9).all()
    draws = fitted.draw(points, 5, np.random.default_rng(0))
    assert draws.shape == (5, 7, 2) and np.isfinite(draws).all()


@pytest.mark.parametrize("name", EVERY)
def test_the_same_twice(name):
    seen = observed(12)
    one, two = (surrogates[name](seen, 3) for _ in range(2))
    np.testing.assert_array_equal(one.predict(unseen(5)).covariance, two.predict(unseen(5)).covariance)
    np.testing.assert_array_equal(one.mean(unseen(5)), two.mean(unseen(5)))
    np.testing.assert_array_equal(
        one.draw(unseen(5), 3, np.random.default_rng(1)), two.draw(unseen(5), 3, np.random.default_rng(1))
    )


def poor(case):
    """Records that leave little to learn, or have what a table of somebody's own may have."""
    seen = observed(12)
    weights, scores = seen.weights.copy(), seen.scores.copy()
    match case:
        case "single":
            return seen.rows(np.array([0]))
        case "two":
            return seen.rows(np.array([0, 1]))
        case "repeats":
            return seen.rows(np.array([0, 0, 0]))
        case "duplicated":  # the same weights under other names, with other scores
            weights[6:] = weights[:6]
        case "unused":  # a domain that no mixture has
            weights[:, 3] = 0
            weights /= weights.sum(axis=1, keepdims=True)
        case "constant":
            scores[:] = 0.4
        case "a constant column":
            scores[:, 1] = 0.4
        case "tied":
            scores[1:] = scores[1]
        case "missing":
            scores[::3, 0] = np.nan
        case "a row unscored":
            scores[3] = np.nan
        case "unscored":
            scores[:, 1] = np.nan
        case _:
            raise ValueError(case)
    return replace(seen, weights=weights, scores=scores)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "case",
    [
        *("single", "two", "repeats", "duplicated", "unused"),
        *("constant", "a constant column", "tied", "missing", "a row unscored", "unscored"),
    ],
)
def test_poor_records_give_a_finite_answer(name, case):
    prediction = surrogates[name](poor(case), 0).predict(unseen(6))
    assert np.isfinite(prediction.mean).all() and np.isfinite(prediction.covariance).all()
    if case == "constant":
        np.testing.assert_allclose(prediction.mean, 0.4, atol=1e-6)
    if case == "a constant column":
        np.testing.assert_allclose(prediction.mean[:, 1], 0.4, atol=1e-6)


def named(order, benchmarks, reverse=False):
    """Records of six mixtures of three domains, as a table with its columns, and perhaps rows, in that order."""
    weights = np.random.default_rng(5).dirichlet(np.ones(3), 6)
    scores = truth(np.column_stack([weights, 1 - weights.sum(axis=1)]))
    rows = [
        {
            "mixture": f"m{i}",
            "seed": 1,
            "step": 10,
            "weights": dict(zip("abc", w.tolist(), strict=True)),
            "scores": dict(zip("xy", y.tolist(), strict=True)),
        }
        for i, (w, y) in enumerate(zip(weights, scores, strict=True))
    ]
    return records.from_rows(
        rows[::-1] if reverse else rows, order, benchmarks, {"out_score": {name: 1 for name in benchmarks}}
    )


def predicted_by_name(name, runs, points):
    """`points` are shares of a, b and c; the means are those of x and y."""
    fitted = surrogates[name](observe(runs, objective(runs, "out_score")), 0)
    shares = np.column_stack([points[:, ("a", "b", "c").index(domain)] for domain in fitted.domains])
    return fitted.mean(shares)[:, [fitted.benchmarks.index(benchmark) for benchmark in ("x", "y")]]


@pytest.mark.parametrize("name", EVERY)
def test_permuted_columns_and_rows_give_the_same_answer_by_name(name):
    points = np.random.default_rng(6).dirichlet(np.ones(3), 5)
    one = predicted_by_name(name, named(("a", "b", "c"), ("x", "y")), points)
    other = predicted_by_name(name, named(("c", "a", "b"), ("y", "x"), reverse=True), points)
    np.testing.assert_array_equal(other, one)


@pytest.mark.parametrize("name", ["gp_average", "gp_sqrt", "ridge_sqrt", "quadratic", "auto"])
def test_surrogates_learn(name):
    points = unseen()
    predicted = surrogates[name](observed(30, noise=0.01), 0).mean(points)
    for b in range(2):
        assert correlation(predicted[:, b], truth(points)[:, b]) > 0.9


@pytest.mark.parametrize("name", EVERY)
def test_scale_and_shift_of_a_score_do_not_matter(name):
    seen = observed(14)
    moved = replace(seen, scores=seen.scores * 7 - 3)
    one, two = surrogates[name](seen, 0).mean(unseen(5)), surrogates[name](moved, 0).mean(unseen(5))
    np.testing.assert_allclose(two, one * 7 - 3, rtol=1e-4, atol=1e-4)


# --- one by one -------------------------------------------------------------------------------------------------


def test_linear_recovers_a_plane():
    seen = observed(9)
    slopes = np.array([[0.2, -1.0], [0.4, 0.0], [0.1, 3.0], [0.9, 1.0]])
    fitted = surrogates["linear"](replace(seen, scores=seen.weights @ slopes), 0)
    np.testing.assert_allclose(fitted.mean(unseen(5)), unseen(5) @ slopes, atol=1e-9)


def test_quadratic_features_by_hand():
    np.testing.assert_allclose(
        quadratic_features(np.array([[0.2, 0.8]])), [[1, 0.2, 0.8, 0.04, 0.16, 0.16, 0.64]], atol=1e-12
    )


@pytest.mark.parametrize("name", ["quadratic", "quadratic_split"])
def test_quadratic_recovers_a_quadric_from_enough_runs(name):
    # Four domains: 4 · 5 / 2 = 10 coefficients; the splits keep 80 % of the runs.
    def surface(w):
        return np.column_stack([w[:, 0] * w[:, 1] - w[:, 2] ** 2 + 0.1, w[:, 3] + 0 * w[:, 0]])

    seen = observed(16)
    fitted = surrogates[name](replace(seen, scores=surface(seen.weights)), 0)
    np.testing.assert_allclose(fitted.mean(unseen(9)), surface(unseen(9)), atol=1e-6)


def test_quadratic_interpolates_too_few_runs():
    seen = observed(6)
    np.testing.assert_allclose(surrogates["quadratic"](seen, 0).mean(seen.weights), seen.scores, atol=1e-8)


def test_best_split_takes_the_greatest_test_r2():
    seen = observed(20, noise=0.1)
    quality = {splits: best_split(seen.weights, seen.scores[:, 0], 0, splits)[1] for splits in (1, 2, 5, 10)}
    assert quality[1] <= quality[2] <= quality[5] <= quality[10]
    assert math.isnan(best_split(seen.weights[:3], seen.scores[:3, 0], 0)[1])


def test_log_linear_recovers_its_law():
    def law(w):
        return np.column_stack(
            [1 - np.exp(w @ [-2.0, 0.5, 1.0, -1.0]), 0.2 + np.exp(w @ [0.3, -2.0, 1.0, 0.0])]
        )

    seen = observed(40)
    fitted = surrogates["log_linear"](replace(seen, scores=law(seen.weights)), 0).mean(unseen())
    for b in range(2):
        assert correlation(fitted[:, b], law(unseen())[:, b]) > 0.998


def test_published_lightgbm_predicts_a_constant_below_forty_runs():
    points = unseen(9)
    assert np.ptp(surrogates["lightgbm"](observed(39), 0).mean(points)[:, 0]) < 1e-9
    assert np.ptp(surrogates["lightgbm"](observed(60), 0).mean(points)[:, 0]) > 1e-3
    assert np.ptp(surrogates["lightgbm_small"](observed(8), 0).mean(points)[:, 0]) > 1e-3


def test_an_ensemble_is_the_weighted_mean_of_its_members():
    seen, points, shares = observed(10), unseen(4), np.array([0.5, 0.3, 0.2])
    members = tuple(surrogates[name](seen, 0) for name in ("gp_sqrt", "ridge_sqrt", "lightgbm_small"))
    means = np.stack([member.mean(points) for member in members])
    fitted = Ensemble(seen, members, shares)
    mean = np.einsum("k,knb->nb", shares, means)
    np.testing.assert_allclose(fitted.mean(points), mean)
    inside = np.einsum("k,knbc->nbc", shares, [member.predict(points).covariance for member in members])
    apart = np.einsum("nbb->nb", fitted.predict(points).covariance - inside)
    np.testing.assert_allclose(apart, np.einsum("k,knb->nb", shares, (means - mean) ** 2), atol=1e-9)


# --- Gaussian processes -----------------------------------------------------------------------------------------


def scikit(seen, structure, signal, variance, column):
    """The same covariance through scikit-learn's process, for one structure without a leading domain."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    features = seen.weights**structure.power
    gram = RBF(structure.length)(features)
    scale = 1 - gram.mean()
    kernel = ConstantKernel(variance * signal * kernels.LEVEL, "fixed") + ConstantKernel(
        variance * signal / scale, "fixed"
    ) * RBF(structure.length, "fixed")
    standard = StandardScaler.of(seen)
    process = GaussianProcessRegressor(
        kernel, alpha=variance * (1 - signal) + 1e-9 * variance, optimizer=None
    )
    return process.fit(features, standard.scores[:, column]), standard


def test_one_structure_agrees_with_scikit_learn(monkeypatch):
    monkeypatch.setattr(posterior, "SIGNALS", np.array([0.9]))
    monkeypatch.setattr(posterior, "VARIANCES", np.array([2.0]))
    seen = observed(10, noise=0.05)
    family = kernels.KernelGrid(powers=(0.5,), lengths=(0.7,))
    fitted = processes.fit_processes(seen, family)
    points = unseen(6)
    prediction = fitted.predict(points)
    for b in range(2):
        process, standard = scikit(seen, kernels.KernelSpec(0.5, 0.7), 0.9, 2.0, b)
        mean, deviation = process.predict(points**0.5, return_std=True)
        np.testing.assert_allclose(
            prediction.mean[:, b], mean * standard.scale[b] + standard.center[b], atol=1e-8
        )
        np.testing.assert_allclose(
            np.sqrt(prediction.covariance[:, b, b]), deviation * standard.scale[b], rtol=1e-5
        )
    assert prediction.noise[0, 0] == pytest.approx(0.2 * StandardScaler.of(seen).scale[0] ** 2)


def test_what_is_expected_before_any_run_by_hand():
    seen = observed(12)
    points = unseen(5)
    at = kernels.KernelsAt(kernels.Kernels(seen.weights), points)
    roots = np.sqrt(seen.weights)

    def standing(values, runs):
        return np.clip((values - runs.mean()) / runs.std(), -3, 3)

    total = standing(np.sqrt(points).sum(axis=1), roots.sum(axis=1))
    dominant = standing(np.sqrt(points)[:, 2], roots[:, 2])
    assert at.prior_mean(kernels.KernelSpec(0.5, 0.7)) == pytest.approx(0.0)
    assert at.prior_mean(kernels.KernelSpec(0.5, 0.7, breadth=0.3)) == pytest.approx(0.3 * total)
    dominated = kernels.KernelSpec(0.5, 0.7, False, 2, 0.2, 0.8, breadth=0.3, dominant_mean=0.5)
    assert at.prior_mean(dominated) == pytest.approx(0.2 * 0.3 * total + 0.8 * 0.5 * dominant)
    # Shares always sum to 1: in proportion to them, their sum says nothing.
    assert at.prior_mean(kernels.KernelSpec(1.0, 0.7, breadth=0.3)) == pytest.approx(0.0)


def test_a_process_with_a_mean_is_one_on_what_the_mean_leaves(monkeypatch):
    monkeypatch.setattr(posterior, "SIGNALS", np.array([0.9]))
    monkeypatch.setattr(posterior, "VARIANCES", np.array([2.0]))
    seen = observed(10, noise=0.05)
    structure = kernels.KernelSpec(0.5, 0.7, breadth=0.4)
    fitted = processes.fit_processes(seen, kernels.KernelGrid((0.5,), (0.7,), breadths=((0.4, 1.0),)))
    points = unseen(6)
    prediction = fitted.predict(points)
    scaled = kernels.Kernels(seen.weights)
    standard = StandardScaler.of(seen)
    process, _ = scikit(seen, structure, 0.9, 2.0, 0)
    level = np.linalg.solve(
        process.kernel_(seen.weights**0.5) + process.alpha * np.eye(10),
        standard.scores[:, 0] - kernels.KernelsAt(scaled, seen.weights).prior_mean(structure),
    )
    mean = kernels.KernelsAt(scaled, points).prior_mean(structure)
    mean += process.kernel_(points**0.5, seen.weights**0.5) @ level
    assert prediction.mean[:, 0] == pytest.approx(mean * standard.scale[0] + standard.center[0], abs=1e-8)
    assert fitted.mean(points) == pytest.approx(prediction.mean)


GRIDS = {"gp_sqrt": kernels.SQRT, "gp_average": kernels.AVERAGE}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("width", [1, 2, 5])
def test_the_probabilities_of_all_hypotheses_sum_to_one(name, width):
    """For each base (length, interacting or additive), all of which are as probable as each other."""
    grid = GRIDS[name]
    specs = grid.specs(width)
    assert len(set(specs)) == len(specs)
    log_odds = 2.0 * np.random.default_rng(0).random((width, 3))
    prior = np.exp(grid.log_prior(specs, log_odds))
    bases = len(grid.powers) * (len(grid.lengths) + len(grid.additive_lengths))
    np.testing.assert_allclose(prior.sum(axis=0), bases)


def test_what_is_believed_before_any_run_by_hand():
    """Two domains; the name of the only benchmark makes the second three times as probable."""
    grid = kernels.KernelGrid(
        (0.5,),
        (0.7,),
        dominant_lengths=(0.2,),
        dominant_shares=(0.5, 0.8),
        dominant_means=(0.0, 0.6),
        dominance=0.4,
        breadths=((0.0, 0.9), (0.5, 0.1)),
    )
    specs = grid.specs(2)
    prior = np.exp(grid.log_prior(specs, np.log([[1.0], [3.0]])))[:, 0]

    def of(**wanted):
        chosen = [all(getattr(spec, key) == value for key, value in wanted.items()) for spec in specs]
        return prior[chosen].sum()

    # Odds against none: 0.4 / 0.6 / 2 a domain, times 1 and 3.
    assert of(dominant=None) == pytest.approx(3 / 7)
    assert of(dominant=0) == pytest.approx(1 / 7) and of(dominant=1) == pytest.approx(3 / 7)
    assert of(breadth=0.5) == pytest.approx(0.1)
    assert of(dominant=1, breadth=0.5, dominant_mean=0.6) == pytest.approx(3 / 7 * 0.1 / 2)
    # Shares and means of the same domain are as probable as each other.
    assert of(dominant=1, dominant_share=0.8, breadth=0.0) == pytest.approx(3 / 7 * 0.9 / 2)


def test_without_namesakes_a_domain_dominates_as_probably_as_stated_and_with_one_more_probably():
    grid = kernels.AVERAGE
    specs = grid.specs(4)
    prior = np.exp(
        grid.log_prior(specs, np.array([[0.0, grid.namesake], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    )
    bases = len(grid.lengths) + len(grid.additive_lengths)
    none = prior[[spec.dominant is None for spec in specs]].sum(axis=0) / bases
    first = prior[[spec.dominant == 0 for spec in specs]].sum(axis=0) / bases
    assert none[0] == pytest.approx(1 - grid.dominance) and none[1] < none[0] / 10
    assert first[0] == pytest.approx(grid.dominance / 4) and first[1] > 0.9


def test_the_default_expects_breadth_to_be_worth_little():
    expected = sum(value * chance for value, chance in kernels.AVERAGE.breadths)
    assert dict(kernels.AVERAGE.breadths)[0.0] > 0.9 and expected < 0.05


def expected_gain_on_noise(grid: kernels.KernelGrid) -> tuple[float, float]:
    """Of equal weights over corners, in standard deviations of the scores: mean over 40 tables, standard error."""
    random = np.random.default_rng(5)
    seen = observed(6)
    middle, corner = np.full((1, 4), 0.25), np.eye(4)
    gains = []
    for _ in range(40):
        noise = replace(seen, scores=random.standard_normal(seen.scores.shape))
        fitted = processes.fit_processes(noise, grid)
        gains.append(float(fitted.mean(middle).mean() - fitted.mean(corner).mean()))
    return float(np.mean(gains)), float(np.std(gains) / np.sqrt(len(gains)))


def test_where_runs_say_nothing_hardly_anything_is_expected_of_breadth():
    """Of noise: a fiftieth of what scores differ by, whether a mixture is broad or a corner."""
    gain, error = expected_gain_on_noise(replace(kernels.AVERAGE, dominant_means=(0.0,)))
    assert abs(gain) < 0.02 + 3 * error


def test_where_runs_say_nothing_a_dominant_domain_is_expected_to_help_with_diminishing_returns():
    """√w is concave: a quarter of each of four domains helps more than all of one, on average over benchmarks."""
    gain, error = expected_gain_on_noise(kernels.AVERAGE)
    assert 0 < gain < 0.25 and gain > error


def test_hypotheses_that_share_a_covariance_give_what_separate_fits_give(monkeypatch):
    """Each hypothesis alone, as a grid of one; then their average by evidence, by hand."""
    monkeypatch.setattr(processes, "KEPT", 0.0)
    seen, points = observed(9, noise=0.1), unseen(5)
    breadths = (0.0, 0.25, 0.5)
    together = processes.fit_processes(
        seen, kernels.KernelGrid((0.5,), (0.7,), breadths=tuple((breadth, 1 / 3) for breadth in breadths))
    )
    (kernel,) = together.groups[0].kernels
    assert [spec.breadth for spec in kernel.specs] == list(breadths)
    alone = [
        processes.fit_processes(seen, kernels.KernelGrid((0.5,), (0.7,), breadths=((breadth, 1.0),)))
        for breadth in breadths
    ]
    shares = kernel.weights.sum(axis=(1, 2))  # [hypothesis, benchmark]
    evidence = np.stack([np.exp(each.groups[0].table.likelihood[0]).sum(axis=(0, 1)) for each in alone])
    np.testing.assert_allclose(shares, evidence / evidence.sum(axis=0))
    means = np.stack([each.predict(points).mean for each in alone])
    mean = np.einsum("mb,mnb->nb", shares, means)
    np.testing.assert_allclose(together.predict(points).mean, mean, atol=1e-9)
    inside = [np.einsum("nbb->nb", each.predict(points).covariance) for each in alone]
    variance = np.einsum("mb,mnb->nb", shares, inside + (means - mean) ** 2)
    np.testing.assert_allclose(np.einsum("nbb->nb", together.predict(points).covariance), variance, rtol=1e-6)


def test_each_covariance_is_decomposed_once(monkeypatch):
    made = []
    of = posterior.EigenDecomposition.of
    monkeypatch.setattr(
        posterior.EigenDecomposition, "of", lambda *arguments: made.append(1) or of(*arguments)
    )
    fitted = surrogates["gp_average"](observed(9), 0)
    specs = fitted.groups[0].table.specs
    assert len(made) == len({spec.covariance for spec in specs}) < len(specs) / 2


def evidence_table(breadths, likelihood):
    """Hypotheses of two benchmarks that differ in what breadth is worth; `likelihood` [hypothesis, benchmark]."""
    specs = [kernels.KernelSpec(0.5, 0.7, breadth=breadth) for breadth in breadths]
    prior = np.full((len(specs), 2), 1 / len(specs))
    return EvidenceTable(specs, np.log(likelihood)[:, None, None, :], np.log(prior))


def test_benchmarks_share_evidence_by_hand():
    """Two hypotheses; the other benchmark's likelihood counts to the power of the sharing."""
    likelihood = np.array([[1.0, 1.0], [2.0, 16.0]])
    table = evidence_table((0.0, 0.5), likelihood)
    grid = kernels.KernelGrid((0.5,), (0.7,), breadths=((0.0, 0.5), (0.5, 0.5)))
    alone = kernel_weights([table], grid)[0][:, 0, 0]
    np.testing.assert_allclose(alone, likelihood / likelihood.sum(axis=0))
    weights = kernel_weights([table], replace(grid, breadth_sharing=0.5))[0][:, 0, 0]
    np.testing.assert_allclose(weights[:, 0], [1 / 9, 8 / 9])  # 1 · 1 against 2 · √16
    np.testing.assert_allclose(weights[:, 1], [1, 16 * math.sqrt(2)] / (1 + 16 * np.sqrt(2)))
    # Benchmarks that were scored on other runs are in another group, and share as much.
    halves = [
        replace(table, likelihood=table.likelihood[..., [b]], prior=table.prior[:, [b]]) for b in range(2)
    ]
    apart = kernel_weights(halves, replace(grid, breadth_sharing=0.5))
    np.testing.assert_allclose(np.hstack([each[:, 0, 0] for each in apart]), weights)


def test_a_shape_says_nothing_of_which_domain_dominates():
    """The other benchmark's evidence for a dominant domain is not shared: only that for its length and share."""
    one, two = (kernels.KernelSpec(0.5, 0.7, False, domain, 0.2, 0.8) for domain in range(2))
    assert one.shape == two.shape and one.covariance != two.covariance
    likelihood = np.array([[1.0, 9.0], [1.0, 1.0]])
    table = EvidenceTable([one, two], np.log(likelihood)[:, None, None, :], np.log(np.full((2, 2), 0.5)))
    grid = kernels.KernelGrid((0.5,), (0.7,), shape_sharing=1.0)
    np.testing.assert_allclose(kernel_weights([table], grid)[0][:, 0, 0, 0], [0.5, 0.5])


def test_nothing_is_expected_of_a_benchmark_that_never_varied():
    seen = observed(8)
    same = replace(seen, scores=np.column_stack([seen.scores[:, 0], np.full(8, 0.25)]))
    fitted = surrogates["gp_average"](same, 0)
    assert fitted.mean(unseen(9))[:, 1] == pytest.approx(0.25, abs=1e-9)
    assert fitted.predict(np.eye(4)).mean[:, 1] == pytest.approx(0.25, abs=1e-9)
    flat = next(each for each in fitted.groups if 1 in each.group.columns)
    assert {(spec.breadth, spec.dominant_mean) for spec in flat.table.specs} == {(0.0, 0.0)}


def test_the_weights_are_the_marginal_likelihoods(monkeypatch):
    monkeypatch.setattr(processes, "KEPT", 0.0)
    seen = observed(8, noise=0.05)
    family = kernels.KernelGrid(powers=(0.5,), lengths=(0.4, 1.0))
    found = {}
    for component in processes.fit_processes(seen, family).groups[0].kernels:
        for s, signal in enumerate(posterior.SIGNALS):
            for v, variance in enumerate(posterior.VARIANCES):
                process, _ = scikit(seen, component.covariance, signal, variance, 0)
                found[component.covariance.length, s, v] = (
                    component.weights[0, s, v, 0],
                    process.log_marginal_likelihood(),
                )
    ours = np.array([weight for weight, _ in found.values()])
    theirs = np.exp(np.array([value for _, value in found.values()]))
    np.testing.assert_allclose(ours, theirs / theirs.sum(), rtol=1e-4, atol=1e-9)


def test_left_out_residuals_agree_with_refits(monkeypatch):
    monkeypatch.setattr(posterior, "SIGNALS", np.array([0.9]))
    monkeypatch.setattr(posterior, "VARIANCES", np.array([1.0]))
    seen = observed(7)
    structure = kernels.KernelSpec(0.5, 0.7)
    group = processes.fit_processes(seen, kernels.KernelGrid((0.5,), (0.7,))).groups[0]
    process, standard = scikit(seen, structure, 0.9, 1.0, 0)
    features = seen.weights**0.5
    covariance = process.kernel_(features) + process.alpha * np.eye(7)
    for i in range(7):
        rest = np.arange(7) != i
        mean = covariance[i, rest] @ np.linalg.solve(covariance[np.ix_(rest, rest)], standard.scores[rest, 0])
        assert group.left_out_errors()[i, 0] == pytest.approx(standard.scores[i, 0] - mean, abs=1e-8)


def test_draws_have_the_predicted_moments():
    fitted = surrogates["gp_average"](observed(9, noise=0.05), 0)
    points = unseen(5)
    prediction = fitted.predict(points)
    draws = fitted.draw(points, 4000, np.random.default_rng(0))
    deviation = np.sqrt(np.einsum("nbb->nb", prediction.covariance))
    np.testing.assert_allclose(draws.mean(axis=0), prediction.mean, atol=0.08 * deviation.max())
    np.testing.assert_allclose(draws.std(axis=0), deviation, rtol=0.12)


def test_the_dominant_domain_is_found():
    seen = observed(20)
    fitted = surrogates["gp_average"](seen, 0)
    weight = np.zeros(4)
    for kernel in fitted.groups[0].kernels:
        if kernel.covariance.dominant is not None:
            weight[kernel.covariance.dominant] += kernel.weights[..., 0].sum()
    assert weight[0] > 0.9  # the benchmark x is √a


@pytest.mark.parametrize(
    ("domains", "benchmarks", "expected"),
    [
        # Word by word from the start.
        (["SAT", "LISA"], ["SAT", "sat_test", "SATURN"], [[1, 1, 0], [0, 0, 0]]),
        (["pubmed_central", "web"], ["pubmed-central", "other"], [[1, 0], [0, 0]]),
        (["ScienceQA"], ["ScienceQA test", "science"], [[1, 0]]),
        # A share of the benchmark's telling words.
        (["tulu_math_grade", "web"], ["math_hard", "gsm"], [[0.5, 0], [0, 0]]),
        # A word that most names have tells nothing; nor do digits and words of one or two letters.
        (["oasst_data", "flan_data", "code_data"], ["data_flan"], [[0], [1], [0]]),
        (["set_2024_a_qa", "other"], ["bench_2024", "a_qa"], [[0, 0], [0, 0]]),
        # A single pair of names: what both share is not common.
        (["code"], ["code"], [[1]]),
        (["???"], ["x"], [[0]]),
    ],
)
def test_how_far_a_benchmark_is_named_after_a_domain(domains, benchmarks, expected):
    np.testing.assert_allclose(processes.namesakes(domains, benchmarks), expected)


def test_a_benchmark_named_like_a_domain_expects_it_to_dominate():
    seen = observed(4, noise=1.0)

    def dominance(benchmarks):
        fitted = surrogates["gp_average"](replace(seen, benchmarks=benchmarks), 0)
        return sum(
            kernel.weights[..., 1].sum()
            for kernel in fitted.groups[0].kernels
            if kernel.covariance.dominant == 3
        )

    assert dominance(("x", "d_test")) > dominance(("x", "y"))


def test_standard_errors_widen_and_flatten():
    precise, vague = observed(10, errors=0.001), observed(10, errors=0.5)
    one, two = surrogates["gp_average"](precise, 0), surrogates["gp_average"](vague, 0)
    points = unseen(40)
    assert np.ptp(two.mean(points)[:, 0]) < 0.7 * np.ptp(one.mean(points)[:, 0])
    assert two.predict(points).noise[0, 0] > one.predict(points).noise[0, 0]


def test_a_quarter_of_the_squared_standard_errors_is_the_least_noise():
    """Runs answer the same questions: most of what a standard error tells is common to all of them, and cancels."""
    seen = observed(10, errors=0.2)
    (group,) = (fitted.group for fitted in surrogates["gp_average"](seen, 0).groups)
    scale = seen.scores.std(axis=0, ddof=1)
    np.testing.assert_allclose(group.floor, 0.25 * 0.2**2 / scale**2)
    share = posterior.noise_share(group.floor)
    least = (share * posterior.VARIANCES[:, None]).min(axis=(0, 1))
    assert (least >= group.floor).all()


def test_the_deviation_of_a_left_out_score_holds_its_noise_once():
    seen = observed(12, noise=0.05, errors=0.1)
    left = leave_one_mixture_out(seen, surrogates["gp_sqrt"], 0)
    rest = seen.rows(np.arange(12) != 3)
    prediction = surrogates["gp_sqrt"](rest, 0).predict(seen.weights[[3]])
    variance = np.diag(prediction.covariance[0] + prediction.noise)
    np.testing.assert_allclose(left.deviation[3, 1:], np.sqrt(variance))
    assert left.deviation[3, 0] == pytest.approx(prediction.run_spread(seen.shares)[0])


def test_a_run_with_a_large_standard_error_pulls_less():
    seen = observed(10)
    scores, errors = seen.scores.copy(), np.full(seen.scores.shape, 0.02)
    scores[4, 0] += 1.0
    loud = errors.copy()
    loud[4] = 0.3
    at = seen.weights[[4]]
    for name in ("gp_average", "gp_sqrt", "ridge_sqrt", "linear"):
        trusted = surrogates[name](replace(seen, scores=scores, errors=errors), 0).mean(at)[0, 0]
        doubted = surrogates[name](replace(seen, scores=scores, errors=loud), 0).mean(at)[0, 0]
        assert abs(doubted - seen.scores[4, 0]) < abs(trusted - seen.scores[4, 0]), name


def test_repeats_narrow_the_prediction():
    seen = observed(8, noise=0.1)
    more = seen.rows(np.array([*range(8), 0, 0, 0, 0]))
    at = seen.weights[[0]]
    one = surrogates["gp_sqrt"](seen, 0).predict(at).covariance[0, 0, 0]
    two = surrogates["gp_sqrt"](more, 0).predict(at).covariance[0, 0, 0]
    assert two < one


def test_screening_many_runs_changes_little(monkeypatch):
    seen = observed(70, noise=0.1)
    whole = surrogates["gp_average"](seen, 0).mean(unseen(20))
    monkeypatch.setattr(processes, "SCREENED", 40)
    np.testing.assert_allclose(surrogates["gp_average"](seen, 0).mean(unseen(20)), whole, atol=0.02)


# --- calibration ------------------------------------------------------------------------------------------------


def test_left_out_predictions_do_not_know_their_mixture():
    # Runs 0 and 1 are one mixture under two names: neither may inform the other.
    seen = observed(8)
    weights, scores = seen.weights.copy(), seen.scores.copy()
    weights[1] = weights[0]
    scores[:2, 0] = 50.0
    left = leave_one_mixture_out(replace(seen, weights=weights, scores=scores), surrogates["gp_sqrt"], 0)
    assert (left.mean[:2, 1] < 10).all()
    np.testing.assert_allclose(left.constant[0], left.constant[1])
    assert left.constant[0, 1] == pytest.approx(scores[2:, 0].mean())
    assert left.constant[0, 0] == pytest.approx(scores[2:].mean())
    np.testing.assert_allclose(left.actual[:, 0], scores.mean(axis=1))


def test_a_fold_without_refits_is_the_conditional_distribution():
    """By the textbook, from the covariance of all runs: folds of one, two and three."""
    seen = observed(9, noise=0.1, errors=0.05)
    seen = replace(seen, errors=seen.errors * np.linspace(0.5, 2, 9)[:, None])
    fitted = surrogates["gp_average"](seen, 0)
    fitted_group = fitted.groups[0]
    group = fitted_group.group
    folds = np.array([0, 1, 1, 2, 3, 4, 4, 4, 5])
    members = [np.flatnonzero(folds == fold) for fold in range(6)]
    component = max(fitted_group.kernels, key=lambda kernel: len(kernel.specs))
    left = component.leave_out(members)
    m, s, v, b = len(component.specs) - 1, 3, 1, 1
    assert m > 0
    signal, scale = posterior.SIGNALS[s], posterior.VARIANCES[v]
    kernel = scale * signal * group.kernels.between_runs(component.covariance, np.arange(9))
    noise = scale * posterior.noise_share(group.floor)[s, v, b] * group.noise
    whole = kernel + np.diag(noise)
    before = kernels.KernelsAt(group.kernels, group.kernels.runs).prior_mean(component.specs[m])
    scores = fitted.scaler.scores[:, b] - before
    for fold, runs in enumerate(members):
        rest = np.setdiff1d(np.arange(9), runs)
        gain = whole[np.ix_(runs, rest)] @ np.linalg.inv(whole[np.ix_(rest, rest)])
        expected = gain @ scores[rest]
        latent = kernel[np.ix_(runs, runs)] - gain @ kernel[np.ix_(rest, runs)]
        mean = fitted.scaler.scores[runs, b] - left.error[runs, m, s, v, b]
        np.testing.assert_allclose(mean, before[runs] + expected, atol=1e-8)
        variance = left.expected_variance(group.floor, group.noise)[runs, s, v, b]
        np.testing.assert_allclose(variance, np.diag(latent), atol=1e-8)
        both = latent + np.diag(noise[runs])
        missed = scores[runs] - expected
        log = -(missed @ np.linalg.solve(both, missed) + np.linalg.slogdet(both)[1]) / 2
        assert left.log_density[fold, m, s, v, b] == pytest.approx(log, abs=1e-8)


@pytest.mark.parametrize("name", ["gp_average", "gp_sqrt", "ridge_sqrt", "quadratic"])
def test_large_tables_are_left_out_without_refits_and_hardly_differ(monkeypatch, name):
    from modomodo.mixtures.surrogates import calibration

    seen = observed(40, noise=0.15)
    scores, weights = seen.scores.copy(), seen.weights.copy()
    scores[7, 0] = np.nan
    weights[[11, 12]] = weights[10]
    seen = replace(seen, scores=scores, weights=weights)
    refits = leave_one_mixture_out(seen, surrogates[name], 0, most_groups=None)
    monkeypatch.setattr(calibration, "LARGE", 30)
    formula = leave_one_mixture_out(seen, surrogates[name], 0)
    assert formula.how != refits.how == "from all others"
    known = np.isfinite(refits.actual)
    spread = np.nanstd(refits.actual, axis=0)
    # Functions are left out in ten groups, processes one by one.
    near = 0.05 if name.startswith("gp") else 0.25
    gap = np.abs(formula.mean - refits.mean) / spread
    assert gap[known].mean() < near
    for column in range(3):
        errors = [np.sqrt(left.error(column).mean()) for left in (formula, refits)]
        assert errors[0] == pytest.approx(errors[1], rel=0.1)
        deviations = [left.deviation[known[:, column], column].mean() for left in (formula, refits)]
        assert deviations[0] == pytest.approx(deviations[1], rel=0.15)
    np.testing.assert_array_equal(formula.constant, refits.constant)


def test_an_answer_is_made_once_for_the_same_runs(monkeypatch):
    calls = []

    def counted(observations, seed):
        calls.append(len(observations))
        return surrogates["constant"](observations, seed)

    monkeypatch.setitem(surrogates._functions, "counted", counted)
    first = cross_validated(observed(6), 0, "counted")
    made = len(calls)
    assert cross_validated(observed(6), 0, "counted") is first and len(calls) == made
    assert cross_validated(observed(6, noise=0.1), 0, "counted") is not first
    assert cross_validated(observed(6), 1, "counted") is not first and len(calls) == 3 * made
    assert cross_validated(observed(6), 1, "constant").name == "constant" and len(calls) == 3 * made


def test_the_summary_by_hand():
    left = leave_one_mixture_out(observed(6), surrogates["constant"], 0)
    left = replace(
        left,
        actual=np.array([[0.0] * 3, [1.0] * 3, [2.0] * 3, [3.0] * 3, [4.0] * 3, [np.nan] * 3]),
        mean=np.array([[0.5] * 3, [1.0] * 3, [2.0] * 3, [3.0] * 3, [1.0] * 3, [9.0] * 3])
        + np.arange(6)[:, None] * 1e-9,
        deviation=np.ones((6, 3)),
        constant=np.full((6, 3), 2.0),
    )
    row = summary(left).iloc[0]
    assert row["name"] == "objective" and row["runs"] == 5
    assert row["rmse"] == pytest.approx(math.sqrt((0.25 + 9) / 5))
    assert row["rmse_constant"] == pytest.approx(math.sqrt(2))
    # Distances 0.5, 0, 0, 0, 3 against 0.67, 1.28 and 1.96 standard deviations.
    assert (row["coverage_50"], row["coverage_80"], row["coverage_95"]) == (0.8, 0.8, 0.8)
    assert row["spearman"] == pytest.approx(0.7)  # ranks 1 2 4 5 3


def test_intervals_cover_what_they_promise():
    inside = {level: [] for level in (50, 80, 95)}
    for seed in range(6):
        left = leave_one_mixture_out(observed(20, seed, noise=0.15), surrogates["gp_average"], 0)
        row = summary(left).iloc[0]
        for level, found in inside.items():
            found.append(row[f"coverage_{level}"])
    assert 0.38 < np.mean(inside[50]) < 0.68
    assert 0.68 < np.mean(inside[80]) < 0.92
    assert np.mean(inside[95]) > 0.86


def test_a_surrogate_that_predicts_is_informed():
    seen = observed(24)
    plane = replace(seen, scores=seen.weights @ np.array([[0.2, -1.0], [0.4, 0.0], [0.1, 3.0], [0.9, 1.0]]))
    found = cross_validated(plane, 0, "linear")
    assert isinstance(found, CrossValidated) and found.name == "linear" and found.informed
    assert found.comparison["beats_mean"].tolist() == [True]
    assert found.reason.startswith("linear: left-out RMSE ") and ", constant " in found.reason
    np.testing.assert_array_equal(found.mean(unseen(3)), surrogates["linear"](plane, 0).mean(unseen(3)))


def test_one_is_not_informed_where_it_does_not_beat_the_mean():
    random = np.random.default_rng(0)
    seen = observed(12)
    noise = replace(seen, scores=random.standard_normal(seen.scores.shape))
    assert not cross_validated(noise, 0, "quadratic").informed


def test_auto_is_the_default():
    seen, points = observed(9, noise=0.1), unseen(5)
    assert DEFAULT == "gp_average"
    np.testing.assert_array_equal(
        surrogates["auto"](seen, 0).mean(points), surrogates[DEFAULT](seen, 0).mean(points)
    )


def test_others_are_compared_with_the_default_and_not_chosen():
    seen = observed(24)
    plane = replace(seen, scores=seen.weights @ np.array([[0.2, -1.0], [0.4, 0.0], [0.1, 3.0], [0.9, 1.0]]))
    table = compared(plane, 0, ("linear",))
    assert table["surrogate"].tolist() == [DEFAULT, "linear"]
    assert table["rmse"][1] < table["rmse"][0] and table["chosen"].tolist() == [True, False]
    assert compared(observed(6), 0)["surrogate"].tolist() == [DEFAULT, *BESIDE]


def test_fewer_than_four_mixtures_are_not_compared():
    assert compared(observed(3), 0)["surrogate"].tolist() == [DEFAULT]


@pytest.mark.parametrize("name", ["gp_lead", "gp_components", "ensemble"])
def test_a_surrogate_of_earlier_versions_names_its_successor(name):
    with pytest.raises(InputError, match=f"^surrogate '{name}' is gone: use 'gp_average' instead$"):
        surrogates[name]


# --- several steps ---------------------------------------------------------------------------------------------


def test_earlier_steps_help_where_the_last_ones_are_few():
    """Every run was scored half-way, one in four at its end: the order of mixtures is the same, the level is not."""
    seen = observed(24)
    ends = np.arange(0, 24, 4)
    early = replace(seen, scores=0.5 * seen.scores - 1, progress=np.full(24, 0.5))
    both = replace(
        seen,
        weights=np.concatenate([early.weights, seen.weights[ends]]),
        scores=np.concatenate([early.scores, seen.scores[ends]]),
        errors=np.concatenate([early.errors, seen.errors[ends]]),
        progress=np.concatenate([early.progress, np.ones(len(ends))]),
        mixtures=early.mixtures + tuple(seen.mixtures[i] for i in ends),
    )
    points = unseen()
    with_steps = surrogates["gp_steps"](both, 0).mean(points)
    without = surrogates["gp_average"](both, 0).mean(points)
    for b in range(2):
        assert correlation(with_steps[:, b], truth(points)[:, b]) > correlation(
            without[:, b], truth(points)[:, b]
        )
    alone = surrogates["gp_steps"](seen, 0).mean(points)
    np.testing.assert_allclose(alone, surrogates["gp_average"](seen, 0).mean(points), atol=1e-9)


# --- threads ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.cpu_count() == 1, reason="BLAS has one thread on one core")
def test_every_blas_has_one_thread_while_surrogates_work_and_as_many_as_before_elsewhere():
    """Also one that was loaded before them, whatever the environment asks for, and whoever wrote the surrogate."""
    program = """
import numpy
from threadpoolctl import threadpool_info
def threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
import scipy.linalg, scipy.optimize, sklearn.linear_model, lightgbm
before = threads()
assert len(before) > 1 and set(before) == {2}, before
import modomodo.mixtures.surrogates
from modomodo.mixtures.surrogates.base import Observations, Prediction, Predictor, surrogates
assert threads() == before, threads()
seen = []
class Watching(Predictor):
    def mean(self, weights):
        seen.append(("mean", threads()))
        return numpy.zeros((len(weights), 1))
    def predict(self, weights):
        seen.append(("predict", threads()))
        return Prediction(numpy.zeros((len(weights), 1)), numpy.zeros((len(weights), 1, 1)), numpy.zeros((1, 1)))
    def draw(self, weights, count, random):
        seen.append(("draw", threads()))
        return numpy.zeros((count, len(weights), 1))
@surrogates.register("watching")
def watching(observations, seed):
    seen.append(("fit", threads()))
    return Watching(observations)
weights = numpy.random.default_rng(0).dirichlet(numpy.ones(2), 6)
runs = Observations(weights, weights[:, :1], weights[:, :1] * numpy.nan, numpy.ones(6), tuple("klmnop"), ("a", "b"),
                    ("y",), numpy.ones(1))
fitted = surrogates["watching"](runs, 0)
fitted.mean(weights), fitted.predict(weights), fitted.draw(weights, 2, numpy.random.default_rng(0))
assert threads() == before, threads()
assert {name for name, _ in seen} == {"fit", "mean", "predict", "draw"}
assert all(set(found) == {1} for _, found in seen), seen
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
