"""Who goes on: by what is expected at the last step, not by the rank so far."""

from dataclasses import replace

import numpy as np
import pytest

from modomodo.errors import InputError
from modomodo.mixtures.halving import Decision, go_on
from modomodo.mixtures.records import Records, from_rows

DOMAINS = ["a", "b", "c"]


def table(weights: np.ndarray, scores: dict[int, np.ndarray], error: float = 0.0) -> Records:
    """Runs m00, m01, … with their scores at some steps, NaN where a run did not get to it."""
    return from_rows(
        [
            {
                "mixture": f"m{i:02d}",
                "seed": 42,
                "step": step,
                "weights": dict(zip(DOMAINS, row, strict=True)),
                "scores": {"quiz": values[i]},
                "standard_errors": {"quiz": error},
            }
            for step, values in scores.items()
            for i, row in enumerate(weights)
            if np.isfinite(values[i])
        ],
        DOMAINS,
        ["quiz"],
        {"out_score": {"quiz": 100}},
    )


def drawn(count: int, seed: int = 0) -> np.ndarray:
    """Mixtures [count, domains]."""
    return np.random.default_rng(seed).dirichlet(np.ones(3), count)


def names(*numbers: int) -> list[str]:
    return [f"m{i:02d}" for i in numbers]


def expected(decision: Decision) -> dict[str, float]:
    return {each.mixture: each.mean for each in decision.expected}


def test_the_best_go_on_where_scores_tell():
    weights = drawn(12)
    surface = weights @ [1.0, 0.0, -1.0]
    decision = go_on(table(weights, {500: 0.5 + 0.1 * surface}, 0.01), names(*range(12)), 4, 2000)
    assert sorted(decision.chosen) == sorted(names(*np.argsort(-surface)[:4]))
    assert decision.informed
    assert sum(each.probability for each in decision.expected) == pytest.approx(4)


def test_a_lucky_run_among_bad_neighbours_does_not_go_on():
    """Its mixture is that of poor runs: most of the score is noise, which the last step will not have."""
    good, poor = drawn(8, 1) * [0.2, 0.2, 0.2] + [0.8, 0.0, 0.0], drawn(8, 2) * [0.2, 0.2, 0.2] + [0, 0, 0.8]
    weights = np.concatenate([good, poor])
    weights /= weights.sum(axis=1, keepdims=True)
    noise = np.random.default_rng(3).normal(0, 0.03, 16)
    early = np.where(np.arange(16) < 8, 0.6, 0.5) + noise
    early[15] = 0.64  # the second best of all
    assert (early > early[15]).sum() < 3
    decision = go_on(table(weights, {500: early}, 0.05), names(*range(16)), 5, 2000)
    assert "m15" not in decision.chosen


def stopped_and_full() -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Twenty full runs in which step 500 says nothing of step 2000, and eight that are at step 500."""
    random = np.random.default_rng(2)
    early, late = random.normal(0.5, 0.05, 28), random.normal(0.6, 0.05, 28)
    late[20:] = np.nan
    return drawn(28), {500: early, 2000: late}


def test_scores_that_tell_nothing_are_called_so():
    weights, scores = stopped_and_full()
    records = table(weights, scores)
    spread = go_on(records, names(*range(20, 28)), 3, 2000)
    assert not spread.informed and "far from each other" in spread.reason
    chosen = np.sqrt(weights[[int(name[1:]) for name in spread.chosen]])
    near = np.sqrt(weights[[20 + int(i) for i in np.argsort(-scores[500][20:])[:3]]])
    assert (
        np.linalg.norm(chosen[:, None] - chosen, axis=2).sum()
        > np.linalg.norm(near[:, None] - near, axis=2).sum()
    )
    finish = go_on(records, names(*range(20, 28)), 3, 2000, if_uninformative="finish")
    assert sorted(finish.chosen) == names(*range(20, 28)) and "all go on" in finish.reason


def test_full_runs_show_what_an_early_score_is_worth():
    """The same scores of the candidates: the better the full runs agree with their early ones, the surer the choice."""
    weights, scores = stopped_and_full()
    agreeing = {500: scores[500], 2000: np.where(np.isfinite(scores[2000]), scores[500] + 0.1, np.nan)}
    candidates = names(*range(20, 28))
    sure = go_on(table(weights, agreeing), candidates, 3, 2000)
    unsure = go_on(table(weights, scores), candidates, 3, 2000)
    assert sure.signal > 0.95 > 0.25 > unsure.signal
    # The level is that of the last step, where the full runs were scored, and no more is expected than they showed.
    assert np.mean(list(expected(sure).values())) == pytest.approx(scores[500].mean() + 0.1, abs=0.03)
    assert np.ptp(list(expected(sure).values())) > 3 * np.ptp(list(expected(unsure).values()))


def test_those_that_went_on_do_not_shift_the_others():
    """Only the better half was scored at step 1500: what is expected of a stopped run is not lifted to their level."""
    weights = drawn(12)
    surface = weights @ [0.1, 0.0, -0.1]
    late = np.where(surface >= np.median(surface), surface + 0.2, np.nan)
    decision = go_on(table(weights, {500: surface, 1500: late}, 0.002), names(*range(12)), 6, 2000)
    best = {f"m{i:02d}" for i in np.flatnonzero(np.isfinite(late))}
    assert set(decision.chosen) == best
    assert min(expected(decision)[name] for name in best) > max(
        mean for name, mean in expected(decision).items() if name not in best
    )


def test_the_order_of_rows_and_columns_changes_nothing():
    weights, scores = stopped_and_full()
    records = table(weights, scores, 0.02)
    turned = replace(records, frame=records.frame.iloc[::-1], domains=DOMAINS[::-1])
    candidates = names(*range(20, 28))
    assert go_on(records, candidates, 3, 2000) == go_on(turned, candidates, 3, 2000)


def test_constant_scores_and_one_mixture_are_no_error():
    same = np.full((4, 3), 1 / 3)
    decision = go_on(table(same, {5: np.full(4, 0.5)}), names(0, 1, 2, 3), 2, 9)
    assert len(decision.chosen) == 2
    assert expected(decision)["m00"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("candidates", "count", "message"),
    [
        (["m00", "m9"], 1, "no score of 'm9': known: m00"),
        (["m00", "m01"], 3, "3 runs are to go on, of 2"),
    ],
)
def test_bad_requests(candidates: list[str], count: int, message: str):
    with pytest.raises(InputError, match=message):
        go_on(table(drawn(4), {5: np.arange(4.0)}), candidates, count, 9)


def test_candidates_that_were_never_scored_at_the_same_step_cannot_be_compared():
    scores = {5: np.array([0.1, 0.2, np.nan]), 7: np.array([np.nan, np.nan, 0.3])}
    with pytest.raises(InputError, match="no step at which all candidates were scored"):
        go_on(table(drawn(3), scores), names(0, 1, 2), 1, 9)
