"""The draw of the training stream, at the paper's sizes and at its edges."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from modomodo.errors import InputError
from modomodo.mixtures.stream import (
    Stream,
    check_enough,
    checkpoint_steps,
    draw_stream,
    exact_choices,
    summary,
)

SIZES = {"COCO": 5997, "LISA": 1326, "GeoQAV": 1969, "SAT": 15000, "ScienceQA": 6218}
IDS = {domain: [f"{domain}-{i}" for i in range(size)] for domain, size in SIZES.items()}
SCORED = [500, 1500, 2000]
EVEN = {domain: 0.2 for domain in SIZES}


def paper_stream(weights: dict[str, float], seed: int = 42, ids: dict[str, list[str]] = IDS) -> Stream:
    return draw_stream(weights, ids, steps=2000, prompts_per_step=2, seed=seed)


def order_of(stream: Stream, domain: str) -> list[str]:
    return [draw.id for draw in stream.draws if draw.domain == domain]


@pytest.mark.parametrize("seed", [0, 42, 43])
def test_single_lisa_ends_at_step_663_of_the_paper(seed):
    stream = paper_stream({"LISA": 1.0}, seed)
    assert stream.steps == 663
    assert stream.exhausted == "LISA"
    shown = summary(stream, {"LISA": 1.0}, SCORED)
    assert shown["checkpoint_steps"] == {"500": 500, "1500": 663, "2000": 663}
    assert shown["exhausted"] == {"domain": "LISA", "step": 663}
    assert shown["prompts"] == 1326
    assert shown["realised"] == {"LISA": 1.0}


@pytest.mark.parametrize(
    ("domain", "steps"),
    [("COCO", 2000), ("LISA", 663), ("GeoQAV", 984), ("SAT", 2000), ("ScienceQA", 2000)],
)
def test_how_long_the_papers_singles_last(domain, steps):
    # 1969 of GeoQAV are an odd number: the last example is left out.
    stream = paper_stream({domain: 1.0})
    assert stream.steps == steps
    assert len(stream.draws) == 2 * steps
    assert stream.exhausted == (domain if steps < 2000 else None)


def test_a_full_stream_has_whole_steps_in_order():
    stream = paper_stream(EVEN)
    assert [draw.position for draw in stream.draws] == list(range(4000))
    assert [draw.step for draw in stream.draws] == [position // 2 + 1 for position in range(4000)]
    assert stream.steps == 2000


@pytest.mark.parametrize("seed", [0, 42])
@pytest.mark.parametrize(
    "weights",
    [
        EVEN,
        {"COCO": 0.55, "SAT": 0.3, "ScienceQA": 0.1, "GeoQAV": 0.05},
        {"COCO": 0.25, "LISA": 0.0, "GeoQAV": 0.25, "SAT": 0.25, "ScienceQA": 0.25},
        {"COCO": 0.98, "LISA": 0.02},
        {"SAT": 0.335, "ScienceQA": 0.335, "COCO": 0.33},
    ],
    ids=["all", "four", "exclude-LISA", "lopsided", "three"],
)
def test_realised_shares_of_2000_steps_lie_within_three_standard_deviations(weights, seed):
    shown = summary(paper_stream(weights, seed), weights, SCORED)
    assert shown["steps"] == 2000
    assert math.fsum(shown["realised"].values()) == pytest.approx(1)
    for domain, weight in weights.items():
        deviation = math.sqrt(weight * (1 - weight) / 4000)
        assert abs(shown["realised"][domain] - weight) <= 3 * deviation, domain
        assert shown["requested"][domain] == weight


def test_shares_over_many_seeds_spread_as_the_binomial_says():
    # 400 draws of 50 prompts at weight 0.3: the mean count is 15, its variance 10.5. A draw in fixed
    # proportions, without luck, would have the mean and not the variance.
    counts = []
    ids = {name: [str(i) for i in range(51)] for name in "ab"}
    for seed in range(400):
        stream = draw_stream({"a": 0.3, "b": 0.7}, ids, 25, 2, seed)
        counts.append(len(order_of(stream, "a")))
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
    assert abs(mean - 15) < 4 * math.sqrt(10.5 / 400)
    assert abs(variance - 10.5) < 4 * 10.5 * math.sqrt(2 / 399)


@pytest.mark.parametrize("weights", [EVEN, {"LISA": 1.0}, {"SAT": 0.9, "LISA": 0.1}])
def test_nothing_is_drawn_twice(weights):
    draws = paper_stream(weights).draws
    assert len({(draw.domain, draw.id) for draw in draws}) == len(draws)
    assert all(draw.id in IDS[draw.domain] for draw in draws[:200])


def test_a_domain_that_is_read_to_its_end_was_read_whole():
    draws = paper_stream({"LISA": 1.0}).draws
    assert {draw.id for draw in draws} == set(IDS["LISA"])
    assert [draw.id for draw in draws] != IDS["LISA"], "not shuffled"


def test_the_first_examples_of_a_domain_are_any_of_it():
    first = [int(name.rpartition("-")[2]) for name in order_of(paper_stream({"SAT": 1.0}), "SAT")]
    # The mean of 4000 of 0 … 14999, drawn without replacement, is 7499.5 ± 59.
    assert abs(sum(first) / len(first) - 7499.5) < 4 * 59


def test_the_order_of_domains_and_of_ids_changes_nothing():
    weights = {"COCO": 0.4, "LISA": 0.05, "GeoQAV": 0.15, "SAT": 0.25, "ScienceQA": 0.15}
    stream = paper_stream(weights)
    assert paper_stream(dict(reversed(weights.items()))).draws == stream.draws
    assert paper_stream(weights, ids=dict(reversed(IDS.items()))).draws == stream.draws


def test_a_domain_without_weight_changes_nothing():
    weights = {"COCO": 0.5, "SAT": 0.5}
    stream = paper_stream(weights)
    assert paper_stream({**weights, "LISA": 0.0, "AAA": 0.0}).draws == stream.draws


def test_the_same_seed_gives_the_same_stream_and_another_seed_another():
    assert paper_stream(EVEN, 42).draws == paper_stream(EVEN, 42).draws
    one, other = paper_stream(EVEN, 42), paper_stream(EVEN, 43)
    assert [draw.domain for draw in one.draws] != [draw.domain for draw in other.draws]
    shared = sum(a == b for a, b in zip(order_of(one, "COCO"), order_of(other, "COCO"), strict=False))
    assert shared < 10, "another seed, but the same order of examples"


def test_two_mixtures_share_each_domains_order():
    few, many = paper_stream({"COCO": 0.1, "SAT": 0.9}), paper_stream({"COCO": 0.8, "ScienceQA": 0.2})
    one, other = order_of(few, "COCO"), order_of(many, "COCO")
    assert len(one) < len(other)
    assert other[: len(one)] == one


def test_domains_are_shuffled_independently():
    stream = draw_stream({"a": 0.5, "b": 0.5}, {"a": IDS["COCO"], "b": IDS["COCO"]}, 500, 2, 42)
    one, other = order_of(stream, "a"), order_of(stream, "b")
    assert sum(a == b for a, b in zip(one, other, strict=False)) < 10


def test_mixtures_share_their_random_numbers():
    # The t-th uniform number picks a of {a: w, b: 1 - w} when it is below w, so more weight keeps every a.
    picks = [
        {draw.position for draw in paper_stream({"COCO": w, "SAT": 1 - w}).draws if draw.domain == "COCO"}
        for w in (0.1, 0.3, 0.8)
    ]
    assert all(fewer < more for fewer, more in pairwise(picks))


def test_a_stream_that_is_exhausted_in_the_middle_of_a_step_is_cut_to_complete_steps():
    stream = draw_stream({"a": 1.0}, {"a": ["1", "2", "3", "4", "5"]}, steps=10, prompts_per_step=2, seed=0)
    assert stream.steps == 2
    assert len(stream.draws) == 4
    assert stream.exhausted == "a"
    assert summary(stream, {"a": 1.0}, [1, 2, 10])["checkpoint_steps"] == {"1": 1, "2": 2, "10": 2}


def test_the_stream_ends_when_the_first_domain_is_exhausted():
    stream = draw_stream({"a": 0.5, "b": 0.5}, {"a": list("12"), "b": IDS["SAT"]}, 100, 1, 7)
    assert stream.exhausted == "a"
    assert stream.draws[-1].domain == "a"
    assert Counter(draw.domain for draw in stream.draws)["a"] == 2


@pytest.mark.parametrize("steps", [1, 3])
def test_a_domain_that_lasts_exactly_to_the_end_is_not_exhausted(steps):
    stream = draw_stream({"a": 1.0}, {"a": list("123456")[: 2 * steps]}, steps, 2, 0)
    assert (stream.steps, stream.exhausted) == (steps, None)
    assert summary(stream, {"a": 1.0}, [steps])["exhausted"] is None


def test_a_domain_without_weight_needs_no_examples():
    assert draw_stream({"a": 1.0, "b": 0.0}, {"a": list("12")}, 1, 2, 0).steps == 1


@pytest.mark.parametrize("ids", [{"a": ["1"]}, {"a": ["1"], "b": []}], ids=["absent", "empty"])
def test_a_domain_with_weight_but_no_examples_is_reported(ids):
    with pytest.raises(InputError, match="domain 'b' has weight 0.25 but no examples"):
        draw_stream({"a": 0.75, "b": 0.25}, ids, 5, 2, 0)


def test_a_domain_that_is_exhausted_before_the_first_step_is_reported():
    with pytest.raises(InputError, match="'a' is exhausted before the first step"):
        draw_stream({"a": 1.0}, {"a": ["1"]}, steps=5, prompts_per_step=2, seed=0)


def test_the_size_that_a_exhausted_domain_needs_is_its_own():
    # A seed that draws b twice before a's only example: 3 prompts in all, of which a gave 1.
    ids = {"a": ["1"], "b": IDS["SAT"]}
    seed = next(
        seed for seed in range(100) if len(draw_stream({"a": 0.5, "b": 0.5}, ids, 9, 1, seed).draws) == 3
    )
    with pytest.raises(InputError, match="'a' is exhausted .* more than 1 example"):
        draw_stream({"a": 0.5, "b": 0.5}, ids, steps=9, prompts_per_step=4, seed=seed)


def test_checkpoints_past_the_end_are_the_last_step():
    assert checkpoint_steps(SCORED, 2000) == {500: 500, 1500: 1500, 2000: 2000}
    assert checkpoint_steps(SCORED, 1500) == {500: 500, 1500: 1500, 2000: 1500}
    assert checkpoint_steps(SCORED, 3) == {500: 3, 1500: 3, 2000: 3}


def test_the_papers_data_suffice_for_its_steps():
    check_enough(SIZES, 2000, 2)
    check_enough({"a": 3, "b": 1}, 2, 2)


def test_too_little_data_for_any_mixture_is_reported_with_the_steps_that_fit():
    # 3 + 4 examples make three steps of two prompts, not four.
    with pytest.raises(InputError, match="4 steps need 8 prompts.* 7 examples.*lower the steps to 3"):
        check_enough({"a": 3, "b": 4}, 4, 2)


# --- exact shares -----------------------------------------------------------------------------------------------


def counts(choices, width, window):
    parts = [choices[i : i + window] for i in range(0, len(choices), window)]
    return np.array([np.bincount(part, minlength=width) for part in parts])


def test_exact_shares_by_hand():
    # 10 prompts of (.55, .25, .2): whole parts 5, 2, 2 and the largest rest, a tie of .5, to one of the first two;
    # the other gets it in the next window.
    found = counts(exact_choices([0.55, 0.25, 0.2], 20, 0, 10), 3, 10)
    assert found.sum(axis=0).tolist() == [11, 5, 4]
    assert sorted(found[:, 0].tolist()) == [5, 6] and found[:, 2].tolist() == [2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_at_the_end_of_every_window_each_domain_has_its_share(seed):
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.ones(6))
    choices = exact_choices(weights, 397, seed, 20)
    assert len(choices) == 397
    found = np.cumsum(counts(choices, 6, 20), axis=0)
    ends = np.minimum(20 * np.arange(1, len(found) + 1), 397)
    assert np.abs(found - ends[:, None] * weights).max() < 1.5


def test_exact_shares_leave_only_the_order_to_the_seed():
    weights = {"LISA": 0.3, "SAT": 0.7}
    one, two = (draw_stream(weights, IDS, 100, 2, seed, window=20) for seed in (1, 2))
    assert [draw.domain for draw in one.draws] != [draw.domain for draw in two.draws]
    for stream in (one, two):
        assert summary(stream, weights, [100])["realised"] == {"LISA": 0.3, "SAT": 0.7}
    random = draw_stream(weights, IDS, 100, 2, 1)
    assert summary(random, weights, [100])["realised"] != {"LISA": 0.3, "SAT": 0.7}


def test_exact_shares_end_where_a_domain_is_exhausted():
    stream = draw_stream({"LISA": 1.0}, IDS, 2000, 2, 42, window=20)
    assert stream.steps == 663 and stream.exhausted == "LISA"
