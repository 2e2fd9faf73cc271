import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from modomodo.config.loading import parse
from modomodo.errors import InputError
from modomodo.mixtures import mixture as mixtures
from modomodo.mixtures.constraints import (
    Constraints,
    bounds,
    divergence,
    project,
    weight_within,
)
from modomodo.mixtures.mixture import Mixture, Predicted
from modomodo.mixtures.stream import draw_stream

DOMAINS = ["COCO", "LISA", "SAT"]


def test_weights_left_out_are_zero_and_the_order_is_the_studys():
    weights = mixtures.validate_weights({"SAT": 0.25, "COCO": 0.75}, DOMAINS)
    assert list(weights.items()) == [("COCO", 0.75), ("LISA", 0.0), ("SAT", 0.25)]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"COCO": 0.5, "LIZA": 0.5}, "mix.yaml: unknown domain 'LIZA': did you mean 'LISA'?"),
        ({"COCO": 1.5, "LISA": -0.5}, "'LISA' has the negative weight -0.5"),
        ({"COCO": math.nan}, "'COCO' has weight nan: give a number from 0 to 1"),
        ({"COCO": math.inf}, "'COCO' has weight inf"),
        ({"COCO": "1"}, "'COCO' has weight '1'"),
        ({"COCO": True}, "'COCO' has weight True"),
        ({"COCO": 0.0}, "all weights are 0"),
        ({}, "all weights are 0"),
        ({"COCO": 0.3, "LISA": 0.3}, "weights sum to 0.6, not 1: scaled they are COCO: 0.5, LISA: 0.5"),
        ({"COCO": 1 + 2e-9}, "weights sum to 1.000000002, not 1"),
    ],
)
def test_bad_weights_are_reported_in_one_line(weights, message):
    with pytest.raises(InputError) as error:
        mixtures.validate_weights(weights, DOMAINS, "mix.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_sum_within_a_billionth_is_accepted():
    assert mixtures.validate_weights({"COCO": 1 - 5e-10}, DOMAINS)["COCO"] == 1 - 5e-10


def test_rounding_gives_the_remainder_to_the_largest():
    third = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    assert mixtures.round_weights(third) == {"a": 0.333334, "b": 0.333333, "c": 0.333333}
    # The alphabet decides between equals, not the position.
    assert mixtures.round_weights(dict(reversed(third.items())))["a"] == 0.333334
    assert mixtures.round_weights({"a": 0.1234567, "b": 0.8765433}) == {"a": 0.123457, "b": 0.876543}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20).filter(lambda values: sum(values) > 1e-3))
def test_rounding_keeps_the_sum_and_is_stable(values):
    weights = mixtures.normalise({f"d{i}": value for i, value in enumerate(values)})
    once = mixtures.round_weights(weights)
    assert abs(math.fsum(once.values()) - 1) < 1e-9
    assert min(once.values()) >= 0
    assert mixtures.round_weights(once) == once
    assert max(abs(once[d] - weights[d]) for d in weights) < 2e-5


def test_seed_mixtures():
    assert mixtures.single(DOMAINS)["single-LISA"] == {"COCO": 0.0, "LISA": 1.0, "SAT": 0.0}
    assert mixtures.exclude_one(DOMAINS)["exclude-LISA"] == {"COCO": 0.5, "LISA": 0.0, "SAT": 0.5}
    assert mixtures.uniform(DOMAINS) == {"all": {"COCO": 1 / 3, "LISA": 1 / 3, "SAT": 1 / 3}}
    assert list(mixtures.single(DOMAINS)) == ["single-COCO", "single-LISA", "single-SAT"]
    with pytest.raises(InputError, match="at least two domains"):
        mixtures.exclude_one(["COCO"])


def test_a_mixture_file_survives_rewriting(tmp_path):
    path = tmp_path / "mixture.json"
    mixture = Mixture(
        name="best",
        weights={"COCO": 1 / 3, "LISA": 1 / 3, "SAT": 1 / 3},
        strategy="cma_es",
        round=2,
        observed="0123456789ab",
        predicted=Predicted(mean=0.5, standard_deviation=0.01),
    )
    mixtures.write_mixture(path, mixture)
    before = path.read_bytes()
    again = mixtures.read_mixture(path, DOMAINS)
    mixtures.write_mixture(path, again)
    assert path.read_bytes() == before
    assert again.weights == {"COCO": 0.333334, "LISA": 0.333333, "SAT": 0.333333}
    assert again.predicted == Predicted(mean=0.5, standard_deviation=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wieghts": {}}, "wieghts: unknown key: did you mean 'weights'?"),
        ({"round": -1}, "round: "),
        ({"weights": {"COCO": 0.5, "LISA": 0.6}}, "weights: weights sum to 1.1"),
        ({"weights": {"COKO": 1.0}}, "weights: unknown domain 'COKO': did you mean 'COCO'?"),
        ({"predicted": {"mean": 1, "sd": 2}}, "predicted.sd: unknown key"),
    ],
)
def test_a_damaged_mixture_file_is_reported_with_file_and_field(tmp_path, change, message):
    path = tmp_path / "mixture.json"
    good = {"name": "x", "weights": {"COCO": 1.0}, "strategy": "all", "round": 0}
    path.write_text(json.dumps(good | change))
    with pytest.raises(InputError) as error:
        mixtures.read_mixture(path, DOMAINS)
    assert str(error.value).startswith(f"{path}: {message}")


def test_bounds():
    constraints = Constraints(minimum={"COCO": 0.1}, maximum={"LISA": 0.4}, fixed={"SAT": 0.3})
    lower, upper = bounds(constraints, DOMAINS)
    assert lower.tolist() == [0.1, 0.0, 0.3]
    assert upper.tolist() == [1.0, 0.4, 0.3]


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (
            {"minimum": {"COCO": 0.6, "LISA": 0.5}},
            "the least weights sum to 1.1, above 1: COCO 0.6, LISA 0.5",
        ),
        (
            {"maximum": {"COCO": 0.2, "LISA": 0.3, "SAT": 0.4}},
            "the greatest weights sum to 0.9, below 1: COCO 0.2 (maximum of 0.2), LISA 0.3",
        ),
        ({"minimum": {"COCO": 0.5}, "maximum": {"COCO": 0.4}}, "'COCO' needs at least 0.5 (minimum of 0.5)"),
        ({"fixed": {"COKO": 0.5}}, "'COKO' may not be used here: did you mean 'COCO'?"),
        ({"epochs": 1.0}, "give 'prompts'"),
        ({"epochs": 1.0, "prompts": 10}, "give the number of rows of 'COCO' under 'sizes'"),
    ],
)
def test_infeasible_constraints_name_the_culprits(constraints, message):
    with pytest.raises(InputError) as error:
        bounds(Constraints(**constraints), DOMAINS)
    assert message in str(error.value)


def test_constraints_refuse_what_is_no_weight():
    with pytest.raises(InputError, match="minimum: 'COCO' has 1.5"):
        parse({"minimum": {"COCO": 1.5}}, Constraints, "constraints")
    with pytest.raises(InputError, match="prior"):
        parse({"prior_distance": 0.1}, Constraints, "constraints")


def test_a_domain_that_is_not_used_may_be_capped_but_not_required():
    lower, upper = bounds(Constraints(maximum={"COCO": 0.1}), ["LISA", "SAT"])
    assert lower.tolist() == [0, 0] and upper.tolist() == [1, 1]


def exhaustion_chance(weight, rows, prompts):
    """That all prompts but the last hold `rows` of a domain: the draw then ends before its last prompt."""
    return binom.sf(rows - 1, prompts - 1, weight)


def test_exhaustion_chance_by_hand():
    # Three prompts, weight 1/2: two of the first two with chance 1/4, at least one of them with 3/4.
    assert exhaustion_chance(0.5, 2, 3) == pytest.approx(1 / 4)
    assert exhaustion_chance(0.5, 1, 3) == pytest.approx(3 / 4)
    assert weight_within(0, 3, 0.01) == 0


@given(st.integers(1, 300), st.integers(1, 400), st.floats(0.001, 0.5))
def test_the_cap_is_where_the_chance_of_exhaustion_equals_the_risk(rows, prompts, risk):
    cap = weight_within(rows, prompts, risk)
    if rows >= prompts:
        assert cap == 1
    else:
        assert exhaustion_chance(cap, rows, prompts) == pytest.approx(risk, rel=1e-6)


@pytest.mark.parametrize(("rows", "weight"), [(30, 0.25), (30, 0.2), (30, 0.35), (12, 0.1)])
def test_the_chance_of_exhaustion_is_that_of_the_real_draw(rows, weight):
    """1,000 streams of 120 prompts: the share that ends early lies within four standard errors."""
    ids = {"small": [str(i) for i in range(rows)], "large": [str(i) for i in range(500)]}
    streams = [draw_stream({"small": weight, "large": 1 - weight}, ids, 60, 2, seed) for seed in range(1000)]
    dry = np.mean([stream.exhausted == "small" for stream in streams])
    chance = exhaustion_chance(weight, rows, 120)
    assert abs(dry - chance) < 4 * np.sqrt(chance * (1 - chance) / 1000) + 1e-9
    # The computed cap keeps what it promises.
    cap = weight_within(rows, 120, 0.05)
    capped = [draw_stream({"small": cap, "large": 1 - cap}, ids, 60, 2, seed) for seed in range(1000)]
    assert np.mean([stream.exhausted == "small" for stream in capped]) < 0.05 + 4 * np.sqrt(
        0.05 * 0.95 / 1000
    )


def test_epochs_cap_a_small_domain():
    constraints = Constraints(epochs={"LISA": 1}, sizes={"LISA": 1326}, prompts=4000, exhaustion_risk=0.01)
    _, upper = bounds(constraints, DOMAINS)
    # 1326 / 4000 = 0.3315 would be exhausted half the time; about 2.33 standard deviations below it is safe.
    deviation = math.sqrt(0.33 * 0.67 / 4000)
    assert upper[1] == pytest.approx(0.3315 - 2.33 * deviation, abs=5e-4)
    assert upper[0] == upper[2] == 1


def test_projection_by_hand():
    lower, upper = np.zeros(3), np.array([1.0, 1.0, 0.2])
    points = np.array([[0.2, 0.2, 0.6], [2.0, 0.0, 0.0], [0.3, 0.5, 0.2]])
    # Capping the third frees 0.4, shared equally; beyond the corner lies the corner; inside nothing moves.
    expected = [[0.4, 0.4, 0.2], [1.0, 0.0, 0.0], [0.3, 0.5, 0.2]]
    np.testing.assert_allclose(project(points, lower, upper), expected, atol=1e-9)


def test_divergence_by_hand():
    points = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(
        divergence(points, np.array([0.5, 0.5])), [0, math.log(2), math.log(2)], atol=1e-12
    )
    assert divergence(np.array([[0.5, 0.5]]), np.array([1.0, 0.0]))[0] == math.inf
