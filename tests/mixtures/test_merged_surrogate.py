"""The surrogate that knows merged experts: calibration, the choice of alpha, and when it does without."""

import math
from dataclasses import replace

import numpy as np
import pytest

from modomodo.errors import InputError
from modomodo.mixtures.records import from_rows
from modomodo.mixtures.surrogates.base import MergedScores, Observations, objective, observe, surrogates
from modomodo.mixtures.surrogates.ensemble import Ensemble
from modomodo.mixtures.surrogates.merged import (
    Fallback,
    MergedPredictor,
    Trend,
    choose_alpha,
    fit_at,
    fit_surface,
    is_expert,
    left_out_errors,
)

ALPHAS = (1.0, 1.5, 2.0)


def truth(weights):
    """Two benchmarks that no smooth surface of few runs follows: a ripple in the weights."""
    return np.column_stack(
        [0.5 + 0.2 * np.sin(9 * weights[:, 0] + 5 * weights[:, 1]), 0.4 + 0.3 * np.cos(8 * weights[:, 2])]
    )


def merged_scores(weights, alpha, right=1.5):
    """Merged scores: half of the truth at the right alpha, the worse the farther from it."""
    astray = np.abs(alpha - right) * np.column_stack([np.sin(40 * weights[:, 1]), np.cos(37 * weights[:, 0])])
    return 0.3 + 0.5 * truth(weights) + astray


def mixtures(count, seed=0):
    return np.concatenate([np.eye(4), np.random.default_rng(seed).dirichlet(np.full(4, 0.9), count)])


def observed(count=8, seed=0, say=merged_scores, alphas=ALPHAS):
    """Four experts and `count` mixtures, trained; and those and a hundred more, merged."""
    weights = mixtures(count, seed)
    every = np.concatenate([weights, mixtures(100, 77)[4:]])
    merged = MergedScores(
        np.repeat(alphas, len(every)),
        np.tile(every, (len(alphas), 1)),
        np.concatenate([say(every, alpha) for alpha in alphas]),
    )
    scores = truth(weights)
    return Observations(
        weights,
        scores,
        np.full(scores.shape, math.nan),
        np.ones(len(weights)),
        tuple(f"m{i}" for i in range(len(weights))),
        ("a", "b", "c", "d"),
        ("x", "y"),
        np.array([0.5, 0.5]),
        merged,
    )


def nonsense(weights, alpha):
    """Merged scores that have nothing to do with training."""
    keys = np.round(weights.sum(axis=1) * 0 + weights @ np.array([913.0, 517.0, 119.0, 41.0]) * alpha, 3)
    return np.column_stack([np.abs(np.sin(keys * 77.7)), np.abs(np.cos(keys * 55.5))])


def rmse(predictor, points):
    return math.sqrt(np.mean((predictor.mean(points) - truth(points)) ** 2))


# --- calibration ------------------------------------------------------------------------------------------------


def test_many_exact_runs_give_the_line_they_lie_on():
    merged = np.linspace(0, 1, 50)[:, None]
    trend = Trend.fit(merged, 0.1 + 0.4 * merged, np.full((50, 1), math.nan))
    assert trend(np.array([[0.5]]))[0, 0] == pytest.approx(0.3, abs=1e-6)
    assert trend.slope[0] == pytest.approx(0.4, abs=0.02)


def test_few_runs_leave_the_slope_near_one():
    # One run determines the level and nothing of the slope.
    trend = Trend.fit(np.array([[0.2]]), np.array([[0.5]]), np.array([[math.nan]]))
    assert trend.slope[0] == pytest.approx(1.0)
    assert trend(np.array([[0.3]]))[0, 0] == pytest.approx(0.6)


def test_a_benchmark_that_was_never_scored_keeps_what_merging_says():
    trend = Trend.fit(np.array([[0.2], [0.4]]), np.full((2, 1), math.nan), np.full((2, 1), math.nan))
    assert trend(np.array([[0.7]]))[0, 0] == pytest.approx(0.7)


def test_the_calibration_is_less_sure_away_from_what_it_has_seen():
    random = np.random.default_rng(0)
    merged = random.uniform(0.4, 0.6, (6, 1))
    trend = Trend.fit(merged, merged + 0.05 * random.standard_normal((6, 1)), np.full((6, 1), math.nan))
    assert trend.variance(np.array([[0.9]])) > 2 * trend.variance(np.array([[0.5]]))


# --- alpha ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("right", ALPHAS)
def test_alpha_is_the_one_that_predicts_left_out_mixtures(right):
    choice = choose_alpha(observed(say=lambda weights, alpha: merged_scores(weights, alpha, right)))
    assert choice.alpha == right and choice.errors[right] == min(choice.errors.values())


def test_alpha_does_not_look_at_mixtures_that_were_not_trained():
    runs = observed()
    merged = runs.merged
    known = (np.abs(merged.weights[:, None] - runs.weights[None]).max(axis=2) < 1e-9).any(axis=1)
    scrambled = replace(merged, scores=np.where(known[:, None], merged.scores, 0.123))
    assert choose_alpha(replace(runs, merged=scrambled)) == choose_alpha(runs)


def test_experts_are_never_left_out():
    runs = observed()
    assert is_expert(runs).tolist() == [True] * 4 + [False] * 8
    errors = left_out_errors(runs, fit_surface(runs, 1.5), 1.5)
    assert np.isnan(errors[:4]).all() and np.isfinite(errors[4:]).all()


def test_with_experts_alone_the_default_is_taken_and_said_to_be_untested():
    predictor = surrogates["merged"](observed(count=0), 0)
    assert isinstance(predictor, MergedPredictor) and predictor.alpha == 1.5
    assert "untested" in predictor.reason


# --- prediction -------------------------------------------------------------------------------------------------


def test_it_beats_the_plain_surrogate_where_merged_scores_are_right():
    runs, points = observed(), mixtures(100, 77)[4:]
    predictor, plain = surrogates["merged"](runs, 0), surrogates["gp_average"](runs, 0)
    assert rmse(predictor, points) < 0.5 * rmse(plain, points)
    assert "alpha 1.5" in predictor.reason and "without merging" in predictor.reason


def test_it_falls_back_and_says_so_where_merging_carries_no_signal():
    runs = observed(say=nonsense, count=12)
    predictor = surrogates["merged"](runs, 0)
    assert isinstance(predictor, Fallback)
    assert "no signal" in predictor.reason
    points = mixtures(20, 5)
    assert np.array_equal(predictor.mean(points), surrogates["gp_average"](runs, 0).mean(points))


def test_without_merged_scores_it_is_the_plain_surrogate():
    predictor = surrogates["merged"](replace(observed(), merged=None), 0)
    assert isinstance(predictor, Fallback) and "no scores of merged experts" in predictor.reason


def test_what_it_was_chosen_by_is_a_table():
    both = surrogates["merged"](observed(), 0)
    table = both.comparison.set_index("surrogate")
    assert table.index.tolist() == ["merged experts", "gp_average"]
    assert table.loc["merged experts", "alpha"] == 1.5 and set(table["runs"]) == {8}
    assert table["share"].tolist() == both.shares.tolist()
    # Each weighs by the other's squared error.
    squares = table["rmse"] ** 2
    assert both.shares[0] == pytest.approx(squares["gp_average"] / squares.sum())
    assert f"left-out RMSE {table['rmse'].iloc[0]:.3g}" in both.reason
    alone = surrogates["merged"](observed(say=nonsense), 0).comparison
    assert alone["share"].tolist() == [0, 1] and alone["rmse"].iloc[0] > alone["rmse"].iloc[1]
    untested = surrogates["merged"](observed(count=0), 0).comparison
    assert untested["share"].tolist() == [1, 0] and untested["rmse"].isna().all()
    assert surrogates["gp_average"](observed(), 0).comparison is None


def test_it_is_less_sure_where_merging_and_trained_runs_disagree():
    predictor, points = surrogates["merged"](observed(), 0), mixtures(200, 5)[4:]
    assert isinstance(predictor, Ensemble) and 0.5 < predictor.shares[0] < 1
    both = [member.mean(points) for member in predictor.members]
    difference = np.abs((both[0] - both[1]) @ np.array([0.5, 0.5]))
    _, deviation = predictor.predict(points).aggregate(np.array([0.5, 0.5]))
    far, near = difference > np.quantile(difference, 0.8), difference < np.quantile(difference, 0.2)
    assert deviation[far].mean() > 1.2 * deviation[near].mean()
    mean = predictor.mean(points)
    assert ((np.minimum(*both) <= mean + 1e-12) & (mean <= np.maximum(*both) + 1e-12)).all()
    assert predictor.predict(points).mean == pytest.approx(mean)


def test_its_uncertainty_grows_where_merging_misleads():
    points = mixtures(30, 5)
    good, bad = (
        fit_at(runs, fit_surface(runs, 1.5), 1.5).predict(points).run_spread(runs.shares).mean()
        for runs in (observed(), observed(say=lambda w, alpha: merged_scores(w, alpha + 0.4)))
    )
    assert bad > 2 * good


def test_its_intervals_hold_what_was_not_trained():
    points = mixtures(100, 77)[4:]
    answer = surrogates["merged"](observed(), 0).predict(points)
    spread = np.sqrt(np.einsum("nbb->nb", answer.covariance) + np.diag(answer.noise))
    inside = np.abs(answer.mean - truth(points)) < 1.28 * spread
    assert inside.mean() > 0.7


def test_drawn_surfaces_agree_with_mean_and_spread():
    predictor, points = surrogates["merged"](observed(), 0), mixtures(6, 9)[4:]
    answer = predictor.predict(points)
    drawn = predictor.draw(points, 4000, np.random.default_rng(0))
    deviation = np.sqrt(np.einsum("nbb->nb", answer.covariance))
    assert np.abs(drawn.mean(axis=0) - answer.mean).max() < 0.2 * deviation.max()
    assert drawn.std(axis=0) == pytest.approx(deviation, rel=0.35)


def test_merged_scores_are_kept_when_runs_are_chosen():
    assert observed().rows(np.array([0, 5])).merged is not None


# --- from records -----------------------------------------------------------------------------------------------


def merged_table(questions=("1.0", "1.0", "0.1")):
    rows = [
        {
            "mixture": f"m{i}@1",
            "seed": 1,
            "step": 4,
            "weights": {"a": w, "b": 1 - w},
            "scores": {"x": w, "y": 0.5},
        }
        for i, w in enumerate((0.0, 0.5, 1.0))
    ]
    records = from_rows(rows, ["b", "a"], ["y", "x"], {"out_score": {"x": 1, "y": 1}})
    records.frame["alpha"], records.frame["questions"] = "1.0", questions
    return records


def test_observations_take_merges_that_answered_everything_by_name():
    runs = [
        {"mixture": n, "seed": 1, "step": 4, "weights": {"a": w, "b": 1 - w}, "scores": {"x": x, "y": 0.3}}
        for n, w, x in (("s", 0.0, 0.2), ("t", 1.0, 0.4), ("u", 0.5, 0.1))
    ]
    records = from_rows(runs, ["a", "b"], ["x", "y"], {"out_score": {"x": 1, "y": 1}})
    merged = observe(records, objective(records, "x"), merged_table()).merged
    assert merged.weights.tolist() == [[0.0, 1.0], [0.5, 0.5]]
    assert merged.scores.tolist() == [[0.0], [0.5]]
    assert merged.alphas.tolist() == [1.0, 1.0]


def test_another_table_is_refused():
    table = merged_table()
    table.frame.pop("alpha")
    with pytest.raises(InputError, match="no column 'alpha'"):
        observe(merged_table(), objective(merged_table(), "x"), table)
