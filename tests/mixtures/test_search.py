"""Algorithm 4, CMA-ES and acquisition on a surface that is known: a paraboloid with its top inside the simplex."""

from dataclasses import replace

import numpy as np
import pytest

from modomodo.errors import InputError
from modomodo.mixtures.records import empty, from_rows
from modomodo.mixtures.strategies.base import Request, propose, read_options

DOMAINS = ["a", "b", "c"]
TOP = {"a": 0.5, "b": 0.3, "c": 0.2}


def height(weights: dict[str, float]) -> float:
    """0.9 at the top, falling with the squared distance from it."""
    return 0.9 - sum((weights[domain] - TOP[domain]) ** 2 for domain in DOMAINS)


def records(domains=DOMAINS, runs: int = 24, error: float = 0.0):
    random = np.random.default_rng(5)
    rows = []
    for number, drawn in enumerate(random.dirichlet(np.ones(3), runs)):
        weights = dict(zip(DOMAINS, drawn.tolist(), strict=True))
        rows.append(
            {
                "mixture": f"m{number:02d}",
                "seed": 1,
                "step": 9,
                "weights": weights,
                "scores": {"bench": height(weights), "other": 1 - height(weights)},
                "standard_errors": {"bench": error, "other": error},
            }
        )
    aggregates = {"out_score": {"bench": 10}, "in_score": {"other": 10}}
    return from_rows(rows, domains, ["bench", "other"], aggregates)


def ask(
    name: str, *, domains=DOMAINS, count: int = 2, seed: int = 0, seen=None, target="out_score", **options
):
    seen = records(domains) if seen is None else seen
    return propose(name, Request(seen, list(domains), count, seed, target, read_options(name, options)))


def far_from_top(weights: dict[str, float]) -> float:
    return max(abs(weights[domain] - TOP[domain]) for domain in TOP)


def test_algorithm_4_finds_the_top_of_a_quadratic_surface_and_predicts_it_exactly():
    found = ask("quadratic_surface", count=3, samples=20_000)
    assert len(found) == 3
    for proposal in found:
        assert proposal.predicted.mean == pytest.approx(height(proposal.weights), abs=1e-6)
    means = [proposal.predicted.mean for proposal in found]
    assert means == sorted(means, reverse=True)
    assert far_from_top(found[0].weights) < 0.03
    assert "R² of 5 splits 1" in found[0].note


def test_algorithm_4_minimises_when_the_target_is_the_contrary():
    best = ask("quadratic_surface", count=1, target="in_score")[0]
    # 1 - height is largest at a corner; draws from one Gaussian reach far, and none lies near the top.
    assert far_from_top(best.weights) > 0.3


@pytest.mark.parametrize("surrogate", ["quadratic", "gp_sqrt", "auto"])
def test_cma_es_climbs_a_surrogate_to_its_top_on_the_simplex(surrogate):
    best, second = ask("cma_es", surrogate=surrogate)
    for proposal in (best, second):
        assert sum(proposal.weights.values()) == pytest.approx(1, abs=1e-9)
        assert min(proposal.weights.values()) >= 0
    assert far_from_top(best.weights) < (0.02 if surrogate == "quadratic" else 0.1)
    apart = sum(abs(best.weights[domain] - second.weights[domain]) for domain in DOMAINS) / 2
    assert apart >= 0.05 - 1e-6


@pytest.mark.parametrize(
    "acquisition", ["greedy", "expected_improvement", "noisy_expected_improvement", "ucb", "thompson"]
)
def test_a_batch_by_acquisition_keeps_its_distance_and_lies_high(acquisition):
    found = ask("acquire", count=3, acquisition=acquisition, seen=records(runs=10, error=0.01))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        pair = found[first].weights, found[second].weights
        assert sum(abs(pair[0][domain] - pair[1][domain]) for domain in DOMAINS) / 2 >= 0.05 - 1e-6
    typical = np.mean(
        [
            height(dict(zip(DOMAINS, w, strict=True)))
            for w in np.random.default_rng(0).dirichlet(np.ones(3), 999)
        ]
    )
    assert np.mean([height(proposal.weights) for proposal in found]) > typical


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("quadratic_surface", {"samples": 500}),
        ("cma_es", {"surrogate": "gp_sqrt"}),
        ("acquire", {"acquisition": "thompson"}),
    ],
)
def test_the_same_seed_proposes_the_same_and_the_order_of_domains_changes_nothing(name, options):
    first = ask(name, **options)
    assert [proposal.weights for proposal in ask(name, **options)] == [proposal.weights for proposal in first]
    turned = ask(name, domains=DOMAINS[::-1], **options)
    for proposal, other in zip(first, turned, strict=True):
        assert {d: other.weights[d] for d in DOMAINS} == pytest.approx(proposal.weights, abs=1e-6)


@pytest.mark.parametrize("name", ["quadratic_surface", "cma_es", "acquire"])
def test_a_domain_that_may_not_be_used_gets_no_weight(name):
    request = Request(records(), ["a", "b"], 1, 0, "out_score", read_options(name, {}))
    (proposal,) = propose(name, request)
    assert set(proposal.weights) == {"a", "b"}
    assert sum(proposal.weights.values()) == pytest.approx(1, abs=1e-9)


def test_constraints_hold():
    limits = {"maximum": {"a": 0.3}, "minimum": {"c": 0.4}}
    for proposal in ask("cma_es", constraints=limits):
        assert proposal.weights["a"] <= 0.3 + 1e-6 and proposal.weights["c"] >= 0.4 - 1e-6


def test_a_gaussian_process_is_surer_where_it_has_seen_runs():
    from modomodo.mixtures.records import trained
    from modomodo.mixtures.surrogates.base import objective, observe, surrogates

    seen = trained(records(runs=12, error=0.005))
    aim = objective(seen, "out_score", {})
    predictor = surrogates["gp_sqrt"](observe(seen, aim), 0)
    at_runs = predictor.predict(seen.frame[["w_a", "w_b", "w_c"]].to_numpy(float))
    corner = predictor.predict(np.eye(3))
    column = list(predictor.benchmarks).index("bench")
    true = seen.frame["y_bench"].to_numpy(float)
    assert np.abs(at_runs.mean[:, column] - true).max() < 0.02
    assert (
        np.sqrt(at_runs.covariance[:, column, column]).mean()
        < np.sqrt(corner.covariance[:, column, column]).mean()
    )


@pytest.mark.parametrize("name", ["acquire", "cma_es", "merge_screen"])
def test_the_old_name_of_min_distance_is_refused_with_the_new_one(name):
    with pytest.raises(InputError, match="apart: renamed: write min_distance"):
        read_options(name, {"apart": 0.1})


def test_nothing_to_learn_from_is_reported():
    with pytest.raises(InputError, match="no trained mixture has a out_score"):
        ask("quadratic_surface", seen=from_rows([], DOMAINS, ["bench", "other"]))


def test_the_worst_mixture_lies_low_and_exploring_lies_far_from_what_was_seen():
    seen = records(runs=10, error=0.01)
    worst = ask("acquire", count=1, acquisition="worst", seen=seen)[0]
    best = ask("acquire", count=1, acquisition="greedy", seen=seen)[0]
    assert height(worst.weights) < height(best.weights)
    there = seen.frame[[f"w_{domain}" for domain in DOMAINS]].to_numpy()

    def gap(proposal):
        point = np.array([proposal.weights[domain] for domain in DOMAINS])
        return np.sqrt(((np.sqrt(there) - np.sqrt(point)) ** 2).sum(axis=1)).min()

    explored = ask("acquire", count=1, acquisition="explore", seen=seen)[0]
    assert gap(explored) > max(gap(best), gap(worst))


def test_the_front_of_two_contrary_scores_reaches_from_one_best_to_the_other():
    # in_score is 1 - out_score here: every mixture lies on the front.
    found = ask("pareto", count=3, surrogate="quadratic")
    expected = [proposal.predicted.mean for proposal in found]
    assert expected[0] < expected[2] < expected[1]


def test_auto_explores_when_nothing_beats_the_mean_and_a_chosen_surrogate_warns():
    noise = records(runs=14)
    frame = noise.frame.copy()
    random = np.random.default_rng(3)
    for name in [column for column in frame if column.startswith("y_")]:
        frame[name] = random.standard_normal(len(frame))
    frame[["in_score", "out_score"]] = random.standard_normal((len(frame), 2))
    noise = replace(noise, frame=frame)
    found = ask("acquire", count=2, surrogate="auto", seen=noise)
    assert found[0].note.startswith("explore,") and "no better than by their mean" in found[0].note
    assert not found[0].comparison["beats_mean"].any()
    warned = ask("acquire", count=1, surrogate="quadratic", seen=noise)
    assert warned[0].note.startswith("expected_improvement,") and "do not trust an optimum" in warned[0].note


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(1.0, [0.1, 0.9]), (2.0, [0.25, 0.75]), (1e6, [0.5, 0.5])],
)
def test_weights_by_size_are_tempered(temperature, expected):
    options = read_options("by_size", {"sizes": {"a": 100, "b": 900}, "temperature": temperature})
    found = propose("by_size", Request(empty(["a", "b"]), ["a", "b"], options=options))
    assert list(found[0].weights.values()) == pytest.approx(expected, abs=1e-5)


def test_a_missing_size_is_reported():
    options = read_options("by_size", {"sizes": {"a": 100}})
    with pytest.raises(InputError, match="give the number of rows of 'b' under 'sizes'"):
        propose("by_size", Request(empty(["a", "b"]), ["a", "b"], options=options))
