from dataclasses import replace

import numpy as np
import pytest

from modomodo.mixtures.surrogates.base import Observations, surrogates
from modomodo.mixtures.uncertainty import Comparison, Uncertainty, best_observed, split_half

CANDIDATES = np.column_stack([np.linspace(0, 1, 21), 1 - np.linspace(0, 1, 21)])


def observed(noise=0.0, count=20, error=np.nan):
    """One benchmark with its top at a = 0.7."""
    random = np.random.default_rng(1)
    share = random.random(count)
    scores = 1 - 4 * (share - 0.7) ** 2 + noise * random.standard_normal(count)
    return Observations(
        np.column_stack([share, 1 - share]),
        scores[:, None],
        np.full((count, 1), error),
        np.ones(count),
        tuple(f"m{i:02d}" for i in range(count)),
        ("a", "b"),
        ("y",),
        np.ones(1),
    )


def judged(seen, optimum=(0.7, 0.3), proposals=None, informed=True):
    baselines = {"uniform": np.array([0.5, 0.5]), "itself": np.array(optimum)}
    comparison = Comparison(CANDIDATES, np.array(optimum), baselines, proposals or {})
    return split_half(seen, surrogates["quadratic"], comparison, seed=0, count=30, informed=informed)


def test_a_clear_optimum_stays_and_beats_uniform():
    found = judged(observed())
    np.testing.assert_allclose(found.best[:, 0], 0.7, atol=1e-9)
    against = found.over_baselines().set_index("baseline")
    assert against.loc["uniform", "probability"] == 1 and not against.loc["uniform", "within_noise"]
    np.testing.assert_allclose(against.loc["uniform", "gain"], 4 * 0.2**2, atol=1e-6)
    assert against.loc["itself", "within_noise"]


def test_noise_and_standard_errors_spread_the_optimum():
    clear, noisy = judged(observed()), judged(observed(noise=10.0))
    assert np.ptp(noisy.best[:, 0]) > np.ptp(clear.best[:, 0])
    # Exact scores of few questions are as unsure as their standard errors say.
    unsure = judged(observed(error=5.0))
    assert np.ptp(unsure.best[:, 0]) > 0.5
    assert unsure.over_baselines().set_index("baseline").loc["uniform", "within_noise"]


def test_quantiles_and_verdicts_by_hand():
    gains = np.array([[1.0, -1.0]] * 19 + [[-1.0, 1.0]])
    best = np.array([[0.2, 0.8]] * 10 + [[0.4, 0.6]] * 10)
    found = Uncertainty(("a", "b"), np.array([0.3, 0.7]), best, ("x", "y"), gains, 2 * gains)
    assert found.over_baselines()["probability"].tolist() == [0.95, 0.05]
    assert not found.over_baselines()["within_noise"].any()
    assert found.weights()["mean"].round(6).tolist() == [0.3, 0.7]
    assert found.weights()["low"].round(6).tolist() == [0.2, 0.6]


def test_the_best_observed_mixture_is_a_mean_over_its_runs():
    seen = observed(count=3)
    seen = replace(
        seen,
        scores=np.array([[0.9], [0.5], [0.8]]),
        mixtures=("lucky", "lucky", "steady"),
        weights=np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8]]),
    )
    assert [(mixture.name, mixture.score) for mixture in best_observed(seen)] == [
        ("steady", 0.8),
        ("lucky", 0.7),
    ]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_than_four_mixtures_have_no_two_halves(count):
    found = judged(observed(count=count), proposals={"next": np.array([0.6, 0.4])})
    for table in (found.over_baselines(), found.proposals_over_reference()):
        assert table["within_noise"].all() and table["probability"].isna().all()
    assert found.weights()["mean"].tolist() == [0.7, 0.3]
    assert len(judged(observed(count=4)).cross_fitted) == 30


def test_nothing_is_beyond_noise_where_the_surrogate_knows_nothing():
    found = judged(observed(), informed=False, proposals={"next": np.array([0.7, 0.3])})
    assert (
        found.over_baselines()["within_noise"].all()
        and found.proposals_over_reference()["within_noise"].all()
    )
    assert found.over_baselines()["probability"].max() == 1


def test_further_mixtures_are_compared_with_the_best_observed_one():
    others = {"top": np.array([0.7, 0.3]), "corner": np.array([0.0, 1.0])}
    table = (
        judged(observed(), optimum=(0.4, 0.6), proposals=others)
        .proposals_over_reference()
        .set_index("mixture")
    )
    assert set(table["baseline"]) == {"itself"} and not table["within_noise"].any()
    assert table["probability"].tolist() == [1, 0]
    np.testing.assert_allclose(table["gain"], [4 * 0.3**2, 4 * 0.3**2 - 4 * 0.7**2], atol=1e-6)


def test_nothing_is_said_of_a_domain_that_no_run_has_tried():
    seen = observed()
    seen = replace(
        seen, weights=np.column_stack([seen.weights, np.zeros(len(seen))]), domains=("a", "b", "c")
    )
    among = np.vstack([np.column_stack([CANDIDATES, np.zeros(len(CANDIDATES))]), [[0.0, 0.0, 1.0]]])
    baselines = {"uniform": np.full(3, 1 / 3), "a and b": np.array([0.5, 0.5, 0.0])}
    comparison = Comparison(among, among[14], baselines, {"c": np.array([0.7, 0.2, 0.1]), "top": among[14]})
    found = split_half(seen, surrogates["quadratic"], comparison, seed=0, count=10)
    assert (found.best[:, 2] == 0).all()
    against = found.over_baselines().set_index("baseline")
    assert against.loc["uniform", ["gain", "low", "high", "probability"]].isna().all()
    assert against.loc["uniform", "within_noise"] and against.loc["a and b", "probability"] == 1
    proposed = found.proposals_over_reference().set_index("mixture")
    assert proposed.loc["c", ["gain", "probability"]].isna().all() and proposed.loc["c", "within_noise"]
    assert proposed.loc["top", "probability"] == 1


def test_gains_shrink_by_what_cross_fitting_leaves_of_them():
    in_sample = np.array([[2.0]] * 4)
    gains = np.array([[1.0], [0.0], [1.0], [0.0]])
    ahead = np.array([[0.2], [0.6], [1.0], [1.4]])
    rest = (np.ones(1), np.ones((4, 1)), ("x",))
    found = Uncertainty(("a",), *rest, gains, in_sample, True, ("next",), "x", ahead)
    assert found.cross_fitted_share == 0.25
    row = found.proposals_over_reference().iloc[0]
    # The mean of 0.8 shrinks to 0.2, the spread stays.
    assert row["gain"] == pytest.approx(0.2) and row["probability"] == 0.5
    assert replace(found, cross_fitted=-gains).cross_fitted_share == 0
    assert replace(found, cross_fitted=3 * in_sample).cross_fitted_share == 1


def test_noise_is_seldom_taken_for_an_optimum():
    """Twelve tables of noise: with all runs as their own judges the optimum beats equal weights nearly always."""
    found = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        seen = replace(observed(), scores=random.standard_normal((20, 1)))
        found.append(judged(seen).over_baselines().set_index("baseline").loc["uniform", "probability"])
    assert 0.25 < np.mean(found) < 0.65 and sum(share >= 0.95 for share in found) <= 1
