"""What cheaper runs tell: a smaller model, an earlier study, earlier steps."""

import math
from dataclasses import replace

import numpy as np
import pytest
from study_records import rows_of

from modomodo.errors import InputError
from modomodo.mixtures.records import from_rows, last_step
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.surrogates.base import Observations, objective, observe, surrogates
from modomodo.mixtures.surrogates.fidelities import (
    FidelityPredictor,
    Surface,
    hypothesis_weights,
    spread_ratio,
)

DOMAINS = ("a", "b", "c")


def truth(weights):
    """Two benchmarks: one wants `a`, one `b` and `c` together."""
    return np.column_stack([np.sqrt(weights[:, 0]), 3 * weights[:, 1] * weights[:, 2] - weights[:, 0] ** 2])


def runs_of(weights, scores, **changes):
    count, width = scores.shape
    return replace(
        Observations(
            weights,
            scores,
            np.full(scores.shape, np.nan),
            np.ones(count),
            tuple(f"m{i:03d}" for i in range(count)),
            DOMAINS[: weights.shape[1]],
            ("x", "y")[:width],
            np.full(width, 1 / width),
        ),
        **changes,
    )


def mixtures(count, seed):
    return np.random.default_rng(seed).dirichlet(np.ones(3), count)


def error(predictor, points):
    """Root mean square over the spread of the truth, [benchmarks]."""
    actual = truth(points)
    return np.sqrt(((predictor.mean(points) - actual) ** 2).mean(axis=0)) / actual.std(axis=0)


# --- what cheaper runs are worth ------------------------------------------------------------------------------

CHEAP = mixtures(24, seed=1)
FULL = mixtures(6, seed=2)
POINTS = mixtures(200, seed=3)


def test_cheap_runs_of_other_mixtures_at_another_level_and_scale_help():
    cheap = runs_of(CHEAP, 0.4 * truth(CHEAP) - 1)
    alone = runs_of(FULL, truth(FULL))
    helped = surrogates["gp_average"](replace(alone, fidelities=(("small", cheap),)), 0)
    assert (error(helped, POINTS) < 0.5 * error(surrogates["gp_average"](alone, 0), POINTS)).all()
    assert helped.reason == "cheaper runs: 24 of small weigh 100%"


def test_useless_cheap_runs_change_nothing():
    full = mixtures(12, seed=2)
    alone = runs_of(full, truth(full))
    noise = runs_of(CHEAP, truth(CHEAP)[np.random.default_rng(0).permutation(len(CHEAP))])
    misled = surrogates["gp_average"](replace(alone, fidelities=(("small", noise),)), 0)
    plain = surrogates["gp_average"](alone, 0)
    assert (error(misled, POINTS) < error(plain, POINTS) + 0.02).all()
    assert misled.shares().get("small", 0) < 0.05


def test_of_two_fidelities_the_telling_one_is_used():
    alone = runs_of(FULL, truth(FULL))
    good = runs_of(CHEAP, truth(CHEAP))
    bad = runs_of(CHEAP, truth(CHEAP)[::-1])
    both = surrogates["gp_average"](replace(alone, fidelities=(("bad", bad), ("good", good))), 0)
    assert both.shares()["good"] > 0.9


def test_a_score_of_the_mixture_itself_counts_more_than_the_surface():
    """What no function of the weights tells: the cheap run has the luck of the full one."""
    random = np.random.default_rng(5)
    luck = random.standard_normal((24, 1))
    full = runs_of(CHEAP[:10], luck[:10], fidelities=(("early", runs_of(CHEAP, luck)),))
    predicted = surrogates["gp_average"](full, 0).mean(CHEAP[10:])[:, 0]
    assert np.corrcoef(predicted, luck[10:, 0])[0, 1] > 0.95


def test_fewer_than_three_runs_on_either_side_calibrate_nothing():
    cheap = (("small", runs_of(CHEAP, truth(CHEAP))),)
    two = runs_of(FULL[:2], truth(FULL[:2]))
    plain = surrogates["gp_average"](two, 0).mean(POINTS)
    np.testing.assert_array_equal(
        surrogates["gp_average"](replace(two, fidelities=cheap), 0).mean(POINTS), plain
    )
    assert surrogates["gp_average"](replace(two, fidelities=cheap), 0).reason.startswith(
        "cheaper runs: not used"
    )
    assert surrogates["gp_average"](two, 0).reason == ""
    full = runs_of(FULL, truth(FULL))
    few = (("small", runs_of(CHEAP[:2], truth(CHEAP[:2]))),)
    assert not isinstance(surrogates["gp_average"](replace(full, fidelities=few), 0), FidelityPredictor)


def test_a_benchmark_that_only_the_full_runs_scored_is_predicted_as_without():
    unscored = truth(CHEAP)
    unscored[:, 1] = np.nan
    full = runs_of(FULL, truth(FULL), fidelities=(("small", runs_of(CHEAP, unscored)),))
    helped = surrogates["gp_average"](full, 0)
    plain = surrogates["gp_average"](replace(full, fidelities=()), 0)
    np.testing.assert_allclose(helped.mean(POINTS)[:, 1], plain.mean(POINTS)[:, 1], atol=0.05)
    assert error(helped, POINTS)[0] < 0.5 * error(plain, POINTS)[0]


def test_gaps_among_full_scores_are_no_numbers():
    scores = truth(FULL)
    scores[0, 1] = np.nan
    full = runs_of(FULL, scores, fidelities=(("small", runs_of(CHEAP, truth(CHEAP))),))
    assert (error(surrogates["gp_average"](full, 0), POINTS) < 0.4).all()


# --- uncertainty ----------------------------------------------------------------------------------------------


def test_draws_have_the_predicted_mean_and_spread_and_covariances_are_possible():
    noisy = 0.1 * np.random.default_rng(0).standard_normal((24, 2))
    full = runs_of(FULL, truth(FULL), fidelities=(("small", runs_of(CHEAP, truth(CHEAP) + noisy)),))
    fitted = surrogates["gp_average"](full, 0)
    points = np.concatenate([POINTS[:8], CHEAP[:2]])
    answer = fitted.predict(points)
    drawn = fitted.draw(points, 1500, np.random.default_rng(1))
    deviation = np.sqrt(np.einsum("nbb->nb", answer.covariance))
    np.testing.assert_allclose(answer.mean, fitted.mean(points), atol=1e-9)
    assert (np.abs(drawn.mean(axis=0) - answer.mean) < 0.15 * deviation + 1e-3).all()
    np.testing.assert_allclose(drawn.std(axis=0), deviation, rtol=0.2, atol=1e-3)
    assert np.linalg.eigvalsh(answer.covariance).min() > -1e-12


# --- the parts, by hand ---------------------------------------------------------------------------------------


def test_weights_of_hypotheses_by_hand():
    """One benchmark: prior ½, ¼, ¼ times the likelihood. Two: the other's evidence counts to the power .6."""
    alone = hypothesis_weights(np.log([[1.0], [2.0], [6.0]]))
    np.testing.assert_allclose(alone[:, 0], [0.2, 0.2, 0.6])
    shared = hypothesis_weights(np.log([[1.0, 1.0], [2.0, 32.0], [2.0, 1.0]]))
    first = np.array([0.5 * 1, 0.25 * 2 * 32**0.6, 0.25 * 2])
    np.testing.assert_allclose(shared[:, 0], first / first.sum())


def test_the_ratio_of_spreads_is_drawn_to_that_of_all_benchmarks():
    """Eight runs: ratios 4 and 1, geometric mean 2, each half-way there on the logarithm."""
    cheap = np.tile([[-1.0, -1.0], [1.0, 1.0]], (4, 1))
    full = runs_of(mixtures(8, seed=0), cheap * [4.0, 1.0])
    np.testing.assert_allclose(spread_ratio(full, cheap), [math.sqrt(8), math.sqrt(2)])
    flat = runs_of(mixtures(8, seed=0), np.ones((8, 2)))
    np.testing.assert_array_equal(spread_ratio(flat, cheap), [0, 0])


def test_a_surface_goes_through_the_mean_of_repeats_and_is_sure_there():
    weights = np.concatenate([CHEAP[:6], CHEAP[:1]])
    scores = truth(weights)
    scores[6] += 1
    surface = Surface.fit("small", runs_of(weights, scores))
    np.testing.assert_allclose(surface.mean(CHEAP[:2])[0], truth(CHEAP[:1])[0] + 0.5)
    covariance = surface.covariance(CHEAP[[0, 20]])
    assert (covariance[0] == 0).all() and (np.diag(covariance[1]) > 0).all()


# --- from records ---------------------------------------------------------------------------------------------


def rows(weights, scores, benchmarks=("x", "y"), step=10):
    return rows_of(weights, scores, DOMAINS, benchmarks, step)


def records_of(weights, scores, benchmarks=("x", "y"), domains=DOMAINS):
    return from_rows(rows(weights, scores, benchmarks), domains, benchmarks)


def test_observations_have_the_fidelities_of_the_records_with_their_own_columns():
    full = records_of(FULL, truth(FULL))
    cheap = records_of(CHEAP, truth(CHEAP)[:, [1, 0]], ("y", "other"))
    seen = observe(
        replace(full, fidelities={"small": cheap}), objective(full, "x", {"both": {"x": 1, "y": 1}})
    )
    assert seen.fidelities == ()  # which did not score x
    both = objective(full, "both", {"both": {"x": 1, "y": 1}})
    ((name, runs),) = observe(replace(full, fidelities={"small": cheap}), both).fidelities
    assert (name, runs.benchmarks, len(runs)) == ("small", ("x", "y"), 24)
    assert np.isnan(runs.scores[:, 0]).all()
    np.testing.assert_allclose(np.sort(runs.scores[:, 1]), np.sort(truth(CHEAP)[:, 1]))


def test_a_fidelity_of_other_domains_is_an_error():
    full = records_of(FULL, truth(FULL))
    cheap = from_rows(
        [{"mixture": "m", "seed": 0, "step": 1, "weights": {"a": 0.5, "b": 0.5}, "scores": {"x": 1.0}}],
        ["a", "b"],
        ["x"],
    )
    with pytest.raises(InputError, match="small: other domains than the runs it is to help: c differ"):
        observe(replace(full, fidelities={"small": cheap}), objective(full, "x"))


def test_fidelities_belong_to_the_digest():
    full = runs_of(FULL, truth(FULL))
    cheap = runs_of(CHEAP, truth(CHEAP))
    assert full.digest() != replace(full, fidelities=(("small", cheap),)).digest()
    assert replace(full, fidelities=(("small", cheap),)).rows(np.arange(3)).fidelities[0][1] is cheap


def test_rows_with_a_fidelity_are_cheaper_runs_of_the_same_mixtures(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text(
        "fidelity,w_a,w_b,y_x\n0.5B,1,0,0.2\n,1,0,0.5\n0.5B,0,1,0.3\n0.5B,0,1,0.4\n1B,1,0,0.25\n"
    )
    records = read_records(table)
    assert (len(records), records.frame["y_x"].tolist()) == (1, [0.5])
    assert {name: cheap.frame["y_x"].tolist() for name, cheap in records.fidelities.items()} == {
        "0.5B": [0.2, 0.3, 0.4],
        "1B": [0.25],
    }
    assert records.fidelities["0.5B"].frame["seed"].tolist() == [0, 0, 1]
    observed = observe(last_step(records), objective(records, "x"))
    assert [(name, len(runs)) for name, runs in observed.fidelities] == [("0.5B", 3), ("1B", 1)]


def test_a_table_of_cheaper_runs_alone_is_an_error(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("fidelity,w_a,w_b,y_x\n0.5B,1,0,0.2\n")
    with pytest.raises(
        InputError, match=r"fidelity: every row is of a cheaper run: leave the cells of full runs"
    ):
        read_records(table)


def test_a_run_that_stands_twice_is_named_by_its_line_in_the_file(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text(
        "mixture,seed,fidelity,w_a,w_b,y_x\nm,1,,1,0,1\nm,1,small,1,0,1\nn,1,,0,1,2\nm,1,small,1,0,1\n"
    )
    with pytest.raises(InputError, match=r"runs\.csv:5: mixture: 'm' with seed 1"):
        read_records(table)
