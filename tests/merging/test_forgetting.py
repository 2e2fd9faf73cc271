"""Experts that lost what the base could do are reported, with expert and benchmark."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from modomodo.merging.forgetting import find_regressions, format_regressions
from modomodo.merging.screening import log_regressions

RIGHT, WRONG = [1.0] * 100, [0.0] * 100


def some(right: int, of: int = 100) -> list[float]:
    return [1.0] * right + [0.0] * (of - right)


def test_a_loss_by_hand():
    # 40 right before, 28 of them after: 12 of 100 differ by -1. Standard error √(.12 · .88 / 99).
    found = find_regressions({"chart": some(40)}, {"geometry": {"chart": some(28)}})
    assert [(each.domain, each.benchmark, each.before, each.after) for each in found] == [
        ("geometry", "chart", 0.4, 0.28)
    ]
    assert found[0].standard_errors == pytest.approx(0.12 / math.sqrt(0.12 * 0.88 / 99))
    assert str(found[0]) == (
        "the expert of 'geometry' forgot: chart 0.280, the base 0.400 (3.7 standard errors): its merges may "
        "mislead (docs/merging.md)"
    )


def test_gains_equal_scores_and_small_losses_are_no_loss():
    base = {"chart": some(40), "math": RIGHT, "general": WRONG}
    experts = {
        "better": {"chart": some(80), "math": RIGHT, "general": some(1)},
        "about": {"chart": some(35), "math": RIGHT, "general": WRONG},  # 5 of 100: 2.3 standard errors
        # As many right as before, but others.
        "other": {"chart": some(40)[::-1], "math": RIGHT, "general": WRONG},
    }
    assert find_regressions(base, experts) == []


def test_the_questions_are_compared_one_by_one():
    # The same two scores: twelve questions lost, or fifty lost and thirty-eight won.
    random = np.random.default_rng(0).permutation(100)
    after = np.zeros(100)
    after[np.concatenate([random[:2], random[52:90]])] = 1.0
    before = np.zeros(100)
    before[random[:52]] = 1.0
    assert find_regressions({"x": before.tolist()}, {"a": {"x": after.tolist()}}) == []
    assert len(find_regressions({"x": some(52)}, {"a": {"x": some(40)}})) == 1


def test_a_benchmark_that_is_lost_completely_is_reported_and_one_question_shows_nothing():
    found = find_regressions({"x": RIGHT, "one": [1.0]}, {"a": {"x": WRONG, "one": [0.0]}})
    # A hundred questions that all differ alike: the deviation of Beta(1/2, 100.5).
    error = math.sqrt(0.5 * 100.5 / (101**2 * 102))
    assert [each.benchmark for each in found] == ["x"]
    assert found[0].standard_errors == pytest.approx(1 / error)


def test_all_losses_are_formatted_by_expert():
    found = find_regressions(
        {"chart": some(80), "math": some(80)},
        {"science": {"chart": WRONG, "math": WRONG}, "box": {"chart": some(80), "math": WRONG}},
    )
    assert format_regressions(found) == "box: math; science: chart, math"
    assert format_regressions([]) == ""


def test_experts_and_base_are_asked_by_themselves():
    class Scorer:
        experts = SimpleNamespace(by_domain={"a": None, "b": None})

        def score(self, weights, alpha):
            asked.append((weights, alpha))
            right = {"": 50, "a": 50, "b": 10}["".join(weights)]
            return {"chart": some(right)}

    asked: list = []
    assert [each.domain for each in log_regressions(Scorer())] == ["b"]
    assert asked == [({"a": 1.0}, 1.0), ({"b": 1.0}, 1.0), ({}, 1.0)]
