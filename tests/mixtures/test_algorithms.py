import math

import pytest

from modomodo.errors import InputError
from modomodo.mixtures import algorithms, records


def table(domains, runs):
    """{mixture: (weights, In-Score, Out-Score)} at one step."""
    return records.from_rows(
        [
            {
                "mixture": name,
                "seed": 0,
                "step": 9,
                "weights": weights,
                "scores": {"in": inside, "out": outside},
            }
            for name, (weights, inside, outside) in runs.items()
        ],
        domains,
        ["in", "out"],
        {"in_score": {"in": 1}, "out_score": {"out": 1}},
    )


TWO = {
    "base": ({}, 0.9, 0.9),
    "single-a": ({"a": 1.0}, 0.4, 0.2),
    "single-b": ({"b": 1.0}, 0.2, 0.6),
    "all": ({"a": 0.5, "b": 0.5}, 0.5, 0.5),
}
THREE = {
    "single-a": ({"a": 1.0}, 0.4, 0.2),
    "single-b": ({"b": 1.0}, 0.2, 0.6),
    "single-c": ({"c": 1.0}, 0.6, 0.2),
    "exclude-a": ({"b": 0.5, "c": 0.5}, 0.1, 0.5),
    "exclude-b": ({"a": 0.5, "c": 0.5}, 0.1, 0.4),
    "exclude-c": ({"a": 0.5, "b": 0.5}, 0.1, 0.6),
}


@pytest.mark.parametrize(
    ("trade_off", "expected"),
    # ΣIn = a 0.2+0.5, b 0.1+0.5: min-max 1, 0. ΣOut = a 0.1+0.5, b 0.3+0.5: min-max 0, 1.
    [(1.0, {"a": 1.0, "b": 0.0}), (0.0, {"a": 0.0, "b": 1.0}), (0.25, {"a": 0.25, "b": 0.75})],
)
def test_alpha_by_hand(trade_off, expected):
    assert algorithms.alpha(table(["a", "b"], TWO), ["a", "b"], trade_off, 0.5) == pytest.approx(expected)


def test_alpha_single_scales_only_single_domain_mixtures():
    # ΣOut = a 0.2+0.4+0.6, b 0.6+0.5+0.6, c 0.2+0.5+0.4 with factor 1: 1.2, 1.7, 1.1 → 1/6, 1, 0.
    weights = algorithms.alpha(table(["a", "b", "c"], THREE), ["a", "b", "c"], 0.0, 1.0)
    assert weights == pytest.approx({"a": 1 / 7, "b": 6 / 7, "c": 0.0})
    # With factor 0: 1.0, 1.1, 0.9 → 1/2, 1, 0.
    weights = algorithms.alpha(table(["a", "b", "c"], THREE), ["a", "b", "c"], 0.0, 0.0)
    assert weights == pytest.approx({"a": 1 / 3, "b": 2 / 3, "c": 0.0})


def test_alpha_without_a_domain_keeps_the_records_and_rescales_the_rest():
    # Factor 1, domains a and c only: 1.2 and 1.1 → 1, 0.
    weights = algorithms.alpha(table(["a", "b", "c"], THREE), ["a", "c"], 0.0, 1.0)
    assert weights == {"a": 1.0, "c": 0.0}


def test_alpha_with_equal_sums_gives_equal_weights():
    equal = {
        "single-a": ({"a": 1.0}, 0.3, 0.3),
        "single-b": ({"b": 1.0}, 0.3, 0.3),
        "all": ({"a": 0.5, "b": 0.5}, 0.3, 0.3),
    }
    assert algorithms.alpha(table(["a", "b"], equal), ["a", "b"]) == {"a": 0.5, "b": 0.5}
    # When only In-Score tells nothing, Out-Score alone decides.
    equal["single-b"] = ({"b": 1.0}, 0.3, 0.4)
    assert algorithms.alpha(table(["a", "b"], equal), ["a", "b"], 0.5) == {"a": 0.0, "b": 1.0}


def test_a_single_record():
    only = table(["a", "b"], {"single-a": ({"a": 1.0}, 0.3, 0.3)})
    assert algorithms.alpha(only, ["a", "b"]) == {"a": 1.0, "b": 0.0}
    assert algorithms.collinearity(only, ["a", "b"]) == {"a": 1.0, "b": 0.0}


def test_collinearity_by_hand():
    # X = [[1,0],[0,1],[1,1]], λ = 1: (XᵀX + I)⁻¹ = [[3,-1],[-1,3]] / 8, Xᵀy = [0.7, 1.1], β = [0.125, 0.325].
    weights = algorithms.collinearity(table(["a", "b"], TWO), ["a", "b"], ridge=1.0)
    assert weights == pytest.approx({"a": 0.125 / 0.45, "b": 0.325 / 0.45})


def test_collinearity_divides_by_the_variance_inflation():
    # X = [[1,0],[1,1],[1,1]]: inverse [[3,-2],[-2,4]] / 8, β = [0.225, 0.25], VIF = [3/8, 4/8], s = [0.6, 0.5].
    runs = {
        "m": ({"a": 1.0}, 0, 0.2),
        "n": ({"a": 0.5, "b": 0.5}, 0, 0.6),
        "o": ({"a": 0.2, "b": 0.8}, 0, 0.6),
    }
    weights = algorithms.collinearity(table(["a", "b"], runs), ["a", "b"], ridge=1.0)
    assert weights == pytest.approx({"a": 6 / 11, "b": 5 / 11})


def test_collinearity_drops_negative_coefficients():
    runs = {"m": ({"a": 1.0}, 0, 0.9), "n": ({"a": 0.5, "b": 0.5}, 0, 0.1)}
    assert algorithms.collinearity(table(["a", "b"], runs), ["a", "b"]) == {"a": 1.0, "b": 0.0}
    nothing = {"m": ({"a": 1.0}, 0, 0.0), "n": ({"a": 0.5, "b": 0.5}, 0, 0.0)}
    assert algorithms.collinearity(table(["a", "b"], nothing), ["a", "b"]) == {"a": 0.5, "b": 0.5}
    negative = {"m": ({"a": 1.0}, 0, -0.5), "n": ({"b": 1.0}, 0, -0.1)}
    assert algorithms.collinearity(table(["a", "b"], negative), ["a", "b"]) == {"a": 0.5, "b": 0.5}


def test_leave_one_out_by_hand():
    # Without a 0.5, b 0.4, c 0.6: ŝ = 0.5, 0, 1, raw 0.15, 0.2, 0.1.
    weights = algorithms.leave_one_out(table(["a", "b", "c"], THREE), ["a", "b", "c"])
    assert weights == pytest.approx({"a": 0.15 / 0.45, "b": 0.2 / 0.45, "c": 0.1 / 0.45})


def test_leave_one_out_without_a_domain():
    runs = table(["a", "b", "c"], THREE)
    assert algorithms.leave_one_out(runs, ["a", "b"]) == pytest.approx({"a": 0.15 / 0.35, "b": 0.2 / 0.35})
    remaining = algorithms.leave_one_out(runs, ["a", "b"], range_over="remaining")
    assert remaining == pytest.approx({"a": 1 / 3, "b": 2 / 3})


def test_leave_one_out_with_equal_scores():
    runs = {name: (weights, 0, 0.5) for name, (weights, _, _) in THREE.items()}
    weights = algorithms.leave_one_out(table(["a", "b", "c"], runs), ["a", "b", "c"])
    assert weights == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})


def test_leave_one_out_says_what_is_missing():
    runs = {name: run for name, run in THREE.items() if name != "exclude-b"}
    runs["exclude-c"] = (runs["exclude-c"][0], 0.1, math.nan)
    with pytest.raises(InputError) as error:
        algorithms.leave_one_out(table(["a", "b", "c"], runs), ["a", "c"])
    assert "no record of the mixture without b; no Out-Score of the mixture without c" in str(error.value)
    # The range of the remaining domains needs c's score, not b's.
    with pytest.raises(InputError, match="^leave_one_out: no Out-Score of the mixture without c:"):
        algorithms.leave_one_out(table(["a", "b", "c"], runs), ["a", "c"], range_over="remaining")


def test_a_mixture_that_only_looks_like_leave_one_out_is_not_one():
    runs = dict(THREE) | {"exclude-b": ({"a": 0.6, "c": 0.4}, 0.1, 0.4)}
    with pytest.raises(InputError, match="no record of the mixture without b"):
        algorithms.leave_one_out(table(["a", "b", "c"], runs), ["a", "b", "c"])


def test_a_missing_score_names_its_mixture():
    runs = dict(TWO) | {"single-b": ({"b": 1.0}, 0.2, math.nan)}
    for heuristic in (algorithms.alpha, algorithms.collinearity):
        with pytest.raises(InputError, match="no out_score of single-b"):
            heuristic(table(["a", "b"], runs), ["a", "b"])
    # A_in does not read Out-Score.
    assert algorithms.alpha(table(["a", "b"], runs), ["a", "b"], 1.0) == {"a": 1.0, "b": 0.0}
    with pytest.raises(InputError, match="no records"):
        algorithms.alpha(table(["a", "b"], {"base": ({}, 0.9, 0.9)}), ["a", "b"])


def test_repeats_of_a_mixture_count_once():
    once = table(["a", "b"], TWO)
    twice = records.from_rows(
        [
            {
                "mixture": name,
                "seed": seed,
                "step": 9,
                "weights": weights,
                "scores": {"in": i, "out": o + 0.01 * seed},
            }
            for name, (weights, i, o) in TWO.items()
            for seed in ((-1, 0, 1) if name == "single-b" else (0,))
        ],
        ["a", "b"],
        ["in", "out"],
        {"in_score": {"in": 1}, "out_score": {"out": 1}},
    )
    for heuristic in (algorithms.alpha, algorithms.collinearity):
        assert heuristic(twice, ["a", "b"]) == pytest.approx(heuristic(once, ["a", "b"]))


# Out-Scores of the paper's seed rows (Table 2), In-Scores beside them; domains 1 to 5 are COCO, LISA, GeoQAV,
# SAT and ScienceQA. The mixture without COCO has no Out-Score in our copy.
SEEDS = {
    "single-1": ("1", 0.3254, 0.4589),
    "single-2": ("2", 0.318, 0.4219),
    "single-3": ("3", 0.2232, 0.4753),
    "single-4": ("4", 0.199, 0.4915),
    "single-5": ("5", 0.3274, 0.4263),
    "exclude-1": ("2345", 0.5146, math.nan),
    "exclude-2": ("1345", 0.5432, 0.4783),
    "exclude-3": ("1245", 0.5767, 0.4889),
    "exclude-4": ("1235", 0.5463, 0.4721),
    "exclude-5": ("1234", 0.4787, 0.493),
    "all": ("12345", 0.5638, 0.4609),
}


def test_the_papers_seed_rows():
    runs = table(
        list("12345"),
        {name: ({d: 1 / len(used) for d in used}, i, o) for name, (used, i, o) in SEEDS.items()},
    )
    domains = list("12345")
    with pytest.raises(InputError, match="no out_score of exclude-1:"):
        algorithms.alpha(runs, domains, 0.0)
    with pytest.raises(InputError, match="no Out-Score of the mixture without 1:"):
        algorithms.leave_one_out(runs, domains)
    # A_in: every domain collects 0.5 · its single + 3.2233 (the sum of all others) - its exclude-one; from the
    # smallest (GeoQAV) 3.2233 + 0.1116 - 0.5767 = 2.7582 to the greatest (ScienceQA) 2.9083.
    sums = {"1": 2.8714, "2": 2.8391, "3": 2.7582, "4": 2.7765, "5": 2.9083}
    raw = {d: (value - 2.7582) / (2.9083 - 2.7582) for d, value in sums.items()}
    expected = {d: value / sum(raw.values()) for d, value in raw.items()}
    assert algorithms.alpha(runs, domains, 1.0) == pytest.approx(expected, abs=1e-6)
    # "No 1" Norm, its range over the four scored ones: 1345 .4783, 1245 .4889, 1235 .4721, 1234 .493.
    weights = algorithms.leave_one_out(runs, domains[1:], range_over="remaining")
    raw = {
        d: 0.2 - 0.1 * (s - 0.4721) / 0.0209
        for d, s in zip("2345", (0.4783, 0.4889, 0.4721, 0.493), strict=True)
    }
    assert weights == pytest.approx({d: value / sum(raw.values()) for d, value in raw.items()})
