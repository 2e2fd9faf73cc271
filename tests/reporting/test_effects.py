"""What one weight does: slices and effects are the surrogate's own predictions and differences."""

import numpy as np
import pytest
from study_records import DOMAINS, example_results, records

from modomodo.mixtures.records import Records
from modomodo.reporting.effects import apart, effects, moved, slices
from modomodo.reporting.settings import EXPORTABLE
from modomodo.reporting.surface import Surface, fit


@pytest.fixture(scope="module", params=EXPORTABLE)
def surface(request: pytest.FixtureRequest) -> Surface:
    return fit(example_results().records, request.param)


AT = np.array([0.5, 0.3, 0.2])


def test_the_others_keep_their_proportions(surface: Surface) -> None:
    found = moved(surface, AT, "boxes", [0.0, 0.5, 1.0])
    assert np.allclose(found, [[0, 0.6, 0.4], AT, [1, 0, 0]])
    assert np.allclose(moved(surface, np.array([1.0, 0, 0]), "boxes", [0.4]), [[0.4, 0.3, 0.3]])


def test_a_slice_is_what_the_surrogate_predicts_along_it(surface: Surface) -> None:
    found = slices(surface, AT, points=5)
    assert set(found["domain"]) == set(DOMAINS) and list(found.columns[:3]) == ["domain", "weight", "target"]
    rows = found[(found["domain"] == "maths") & (found["target"] == "out_score")]
    prediction = surface.predictor.predict(moved(surface, AT, "maths", rows["weight"].to_numpy()))
    shares = surface.shares["out_score"]
    mean, deviation = prediction.aggregate(shares)
    assert np.allclose(rows["mean"], mean) and np.allclose(rows["deviation"], deviation)
    assert np.allclose(rows["run"], prediction.run_spread(shares))


def test_an_effect_is_the_difference_of_two_predictions_and_its_error_that_of_draws(surface: Surface) -> None:
    found = effects(surface, AT).set_index(["domain", "target"])
    shares = surface.shares["chart"]
    for domain in DOMAINS:
        more = moved(surface, AT, domain, [AT[DOMAINS.index(domain)] + 0.1])
        points = np.vstack([more, AT])
        mean = surface.predictor.mean(points) @ shares
        row = found.loc[(domain, "chart")]
        assert row["effect"] == pytest.approx(mean[0] - mean[1], abs=1e-9)
        draws = surface.predictor.draw(points, 4000, np.random.default_rng(0)) @ shares
        assert row["error"] == pytest.approx((draws[:, 0] - draws[:, 1]).std(), rel=0.08)
        # Both expectations err alike: the error of the difference is far below what two of them would have.
        apart_error = surface.predictor.predict(points).aggregate(shares)[1]
        assert row["error"] < np.hypot(*apart_error)


def test_no_weight_can_grow_beyond_one(surface: Surface) -> None:
    found = effects(surface, np.array([1.0, 0, 0])).set_index(["domain", "target"])
    assert found.loc[("boxes", "chart"), ["change", "effect", "error"]].tolist() == pytest.approx(
        [0, 0, 0], abs=1e-6
    )
    assert found.loc[("maths", "chart"), "change"] == pytest.approx(0.1)


def test_a_run_on_a_slice_is_not_apart_from_it(surface: Surface) -> None:
    runs = np.array([[0.1, 0.54, 0.36], [0.5, 0.2, 0.3]])
    assert apart(surface, AT, "boxes", runs) == pytest.approx([0, 0.1])


def test_of_a_domain_that_no_run_tried_nothing_is_said() -> None:
    one = records()
    frame = one.frame.assign(w_law=one.frame["w_maths"] * 0)
    surface = fit(Records(frame, [*DOMAINS, "law"], one.benchmarks, one.aggregates), "gp_sqrt")
    at = np.array([0.0 if name == "law" else 1 / 3 for name in surface.predictor.domains])
    assert "law" not in {*slices(surface, at, 3)["domain"], *effects(surface, at)["domain"]}
    place = surface.predictor.domains.index("law")
    single = np.eye(4)[surface.predictor.domains.index("boxes")]
    assert moved(surface, single, "boxes", [0.4])[0, place] == 0
