from dataclasses import replace

import numpy as np

from modomodo.certainty import Certainty, best_observed, bootstrap
from modomodo.surrogates import Observations, surrogates

POOL = np.column_stack([np.linspace(0, 1, 21), 1 - np.linspace(0, 1, 21)])


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


def refits(seen, proposed=(0.7, 0.3)):
    rivals = {"uniform": np.array([0.5, 0.5]), "itself": np.array(proposed)}
    return bootstrap(
        seen, surrogates["quadratic"], seen.shares, POOL, np.array(proposed), rivals, seed=0, count=30
    )


def test_a_clear_optimum_stays_and_beats_uniform():
    found = refits(observed())
    np.testing.assert_allclose(found.best[:, 0], 0.7, atol=1e-9)
    against = found.against().set_index("rival")
    assert against.loc["uniform", "probability"] == 1 and not against.loc["uniform", "within_noise"]
    np.testing.assert_allclose(against.loc["uniform", "gain"], 4 * 0.2**2, atol=1e-6)
    assert against.loc["itself", "within_noise"]


def test_noise_and_standard_errors_spread_the_optimum():
    clear, noisy = refits(observed()), refits(observed(noise=10.0))
    assert np.ptp(noisy.best[:, 0]) > np.ptp(clear.best[:, 0])
    # Exact scores of few questions are as unsure as their standard errors say.
    unsure = refits(observed(error=5.0))
    assert np.ptp(unsure.best[:, 0]) > 0.5
    assert unsure.against().set_index("rival").loc["uniform", "within_noise"]


def test_quantiles_and_verdicts_by_hand():
    gains = np.array([[1.0, -1.0]] * 19 + [[-1.0, 1.0]])
    best = np.array([[0.2, 0.8]] * 10 + [[0.4, 0.6]] * 10)
    found = Certainty(("a", "b"), np.array([0.3, 0.7]), best, ("x", "y"), gains)
    assert found.against()["probability"].tolist() == [0.95, 0.05]
    assert not found.against()["within_noise"].any()
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
    assert [(name, value) for name, _, value in best_observed(seen, np.ones(1))] == [
        ("steady", 0.8),
        ("lucky", 0.7),
    ]


def test_one_mixture_is_no_crash():
    seen = observed(count=1)
    assert np.isfinite(refits(seen).gains).all()
