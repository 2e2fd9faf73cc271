"""Every strategy on tables that people really have: each a defined answer, or an error with a hint."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modomodo.errors import InputError
from modomodo.mixtures.records import Records, from_rows
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.strategies.base import Request, declaration, propose, read_options, strategies
from modomodo.mixtures.surrogates.base import surrogates

ROOT = Path(__file__).parents[2]
DOMAINS = ["a", "b", "c"]
BENCHMARKS = ["in_1", "in_2", "out_1", "out_2"]
AGGREGATES = {"in_score": {"in_1": 100, "in_2": 50}, "out_score": {"out_1": 30, "out_2": 70}}
OPTIONS = {
    "explicit": {"weights": {"a": 0.2, "b": 0.3, "c": 0.5}},
    "by_size": {"sizes": {"a": 100, "b": 300, "c": 50}},
    "online": {"rule": "dump"},
    "quadratic_surface": {"samples": 500},
    "acquire": {"surrogate": "gp_sqrt", "candidates": 300},
    "cma_es": {"surrogate": "ridge_sqrt"},
    "pareto": {"surrogate": "quadratic"},
    "race": {"surrogate": "gp_sqrt", "candidates": 300, "rungs": {1: 2, 9: 1}},
}
# merge_screen also needs merged experts: tests/merging/test_screening.py.
EVERY = sorted(set(strategies) - {"merge_screen"})
LEARNING = [name for name in EVERY if declaration(name).learns]
SEARCHES = ["acquire", "cma_es", "pareto"]
TAKE_A_NUMBER = [*SEARCHES, "quadratic_surface", "dirichlet", "design"]


def scores(weights):
    a, b, c = np.sqrt(weights)
    return [0.2 + 0.4 * a, 0.3 + 0.2 * b, 0.1 + 0.3 * c + 0.2 * a, 0.2 + 0.5 * b * c]


def runs(count=5):
    """The seeds of three domains and `count` other mixtures."""
    named = {f"single-{name}": np.eye(3)[i] for i, name in enumerate(DOMAINS)}
    named |= {f"exclude-{name}": (1 - np.eye(3)[i]) / 2 for i, name in enumerate(DOMAINS)}
    named["all"] = np.full(3, 1 / 3)
    for number, row in enumerate(np.random.default_rng(4).dirichlet(np.ones(3), count)):
        named[f"other-{number}"] = row
    return named


def rows(named=None, **changed):
    """As `from_rows` takes them; `changed`: mixture → scores in the place of its own."""
    named = runs() if named is None else named
    return [
        {
            "mixture": name,
            "seed": 1,
            "step": 9,
            "strategy": name.split("-")[0],
            "weights": dict(zip(DOMAINS, weights.tolist(), strict=True)),
            "scores": dict(zip(BENCHMARKS, changed.get(name, scores(weights)), strict=True)),
        }
        for name, weights in named.items()
    ]


def table(named=None, domains=DOMAINS, benchmarks=BENCHMARKS, backwards=False, **changed) -> Records:
    found = rows(named, **changed)
    return from_rows(found[::-1] if backwards else found, domains, benchmarks, AGGREGATES)


def ask(name, records, domains=None, count=2, **options):
    options = OPTIONS.get(name, {}) | options
    usable = records.domains if domains is None else domains
    return propose(name, Request(records, usable, count, 3, options=read_options(name, options)))


def assert_mixtures(proposals, domains=DOMAINS):
    assert proposals
    for proposal in proposals:
        assert set(proposal.weights) == set(domains)
        assert math.fsum(proposal.weights.values()) == pytest.approx(1, abs=1e-9)
        assert min(proposal.weights.values()) >= 0
        if proposal.predicted is not None:
            assert math.isfinite(proposal.predicted.mean)


def by_name(proposals):
    # Strategies with a mixture a domain answer in the order of the domains.
    return sorted(tuple(sorted(proposal.weights.items())) for proposal in proposals)


# --- the order of things ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_permuted_columns_and_rows_give_the_same_answer_by_name(name):
    one = ask(name, table())
    turned = table(domains=["c", "a", "b"], benchmarks=BENCHMARKS[::-1], backwards=True)
    other = ask(name, turned)
    if name in LEARNING:
        assert by_name(other) == by_name(one)
    else:  # sums over the weights end in another last digit
        np.testing.assert_allclose(
            [[weight for _, weight in row] for row in by_name(other)],
            [[weight for _, weight in row] for row in by_name(one)],
            rtol=1e-12,
        )


@pytest.mark.parametrize("name", EVERY)
def test_the_same_twice(name):
    assert by_name(ask(name, table())) == by_name(ask(name, table()))


def test_two_processes_write_the_same_bytes(tmp_path):
    """All strategies of a study at once, also where hashes are salted otherwise."""
    path = tmp_path / "runs.csv"
    table().frame.to_csv(path, index=False)
    config = {
        "name": "odd",
        "records": {"path": str(path)},
        "replicates": 4,
        "strategies": {
            name: {
                "propose": name,
                "count": 2 if name in TAKE_A_NUMBER else 1,
                "options": OPTIONS.get(name, {}),
            }
            for name in EVERY
            if name != "online"  # trains a run, and recorded runs are past
        },
    }
    settings = tmp_path / "odd.yaml"
    settings.write_text(json.dumps(config))
    for salt in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "scripts/propose.py", "--config", settings, "--output", tmp_path / salt],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": salt, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*.*"))
    assert len([path for path in files if path.parent.name == "mixtures"]) >= len(EVERY) - 1
    for path in files:
        assert (tmp_path / "1" / path).read_bytes() == (tmp_path / "2" / path).read_bytes(), path


# --- poor tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "case", ["duplicated", "tied", "constant", "a constant column", "an unused domain", "repeats"]
)
def test_poor_tables_give_mixtures(name, case):
    named = runs()
    match case:
        case "duplicated":  # the same weights under other names, with other scores
            seen = table(
                named | {f"again-{i}": weights for i, weights in enumerate(named.values())}, all=[0.5] * 4
            )
        case "tied":
            seen = table(named, **{mixture: [0.5, 0.5, 0.5, 0.5] for mixture in list(named)[:-1]})
        case "constant":
            seen = table(named, **{mixture: [0.4] * 4 for mixture in named})
        case "a constant column":
            seen = table(
                named, **{mixture: [*scores(weights)[:3], 0.4] for mixture, weights in named.items()}
            )
        case "an unused domain":
            named = {
                mixture: np.append(weights[:2] / weights[:2].sum(), 0.0)
                for mixture, weights in named.items()
                if weights[:2].sum() > 0
            }
            seen = table(named)
        case "repeats":
            again = [row | {"seed": seed} for row in rows() for seed in (1, 2)]
            seen = from_rows(again, DOMAINS, BENCHMARKS, AGGREGATES)
    if case == "an unused domain" and name == "leave_one_out":
        with pytest.raises(InputError, match="no record of the mixture without a and without b: train"):
            ask(name, seen)
        return
    if case in ("tied", "constant") and name == "pareto":
        with pytest.raises(
            InputError, match="the front has 1 of the 2 mixtures asked for: lower `count` to 1"
        ):
            ask(name, seen)
        assert_mixtures(ask(name, seen, count=1))
        return
    assert_mixtures(ask(name, seen))


@pytest.mark.parametrize("name", EVERY)
def test_a_single_record(name):
    seen = table({"all": np.full(3, 1 / 3)})
    match name:
        case "leave_one_out":
            with pytest.raises(InputError, match="no record of the mixture without a and without b and with"):
                ask(name, seen)
        case _:
            assert_mixtures(ask(name, seen, count=1))


@pytest.mark.parametrize("name", EVERY)
def test_no_record(name):
    seen = table({})
    if name in LEARNING:
        with pytest.raises(InputError, match="no trained|no records of trained|nothing to learn from"):
            ask(name, seen)
    else:
        assert_mixtures(ask(name, seen))


@pytest.mark.parametrize("name", EVERY)
def test_a_missing_score(name):
    """Searches learn from the rest of its row, a quadratic surface from the other rows; heuristics need all."""
    gap = table(**{"exclude-b": [0.4, 0.3, math.nan, 0.5]})
    if name in ("alpha", "collinearity", "leave_one_out"):
        message = "no out_score of exclude-b|no Out-Score of the mixture without b"
        with pytest.raises(InputError, match=message):
            ask(name, gap)
    else:
        assert_mixtures(ask(name, gap))


@pytest.mark.parametrize("name", EVERY)
def test_one_domain_only(name):
    seen = from_rows(
        [row | {"weights": {"a": 1.0}, "seed": seed} for row in rows()[:1] for seed in (1, 2)],
        ["a"],
        BENCHMARKS,
        AGGREGATES,
    )
    options = {
        "explicit": {"weights": {"a": 1.0}},
        "by_size": {"sizes": {"a": 7}},
    }.get(name, {})
    match name:
        case "exclude_one":
            with pytest.raises(InputError, match="exclude-one mixtures need at least two domains, found 1"):
                ask(name, seen, **options)
        case "pairs" | "online":
            with pytest.raises(InputError, match=f"{name}: at least two domains are needed, found 1"):
                ask(name, seen, **options)
        case "leave_one_out":
            with pytest.raises(InputError, match="no record of the mixture without a"):
                ask(name, seen, **options)
        case _:
            assert_mixtures(ask(name, seen, count=1, **options), ["a"])


def untried(count=8):
    """No run gives c weight; scores are losses, so that sums without a run would be the best."""
    random = np.random.default_rng(2)
    named = {
        f"m{i}": np.append(weights, 0.0) for i, weights in enumerate(random.dirichlet(np.ones(2), count))
    }
    named |= {"single-a": np.eye(3)[0], "single-b": np.eye(3)[1]}
    return table(named, **{name: [value - 1 for value in scores(weights)] for name, weights in named.items()})


CLAIMING = ["alpha", "collinearity", "quadratic_surface", *SEARCHES]


@pytest.mark.parametrize("name", CLAIMING)
def test_a_domain_that_no_run_tried_gets_no_weight(name):
    proposals = ask(name, untried(), count=1)
    assert_mixtures(proposals)
    assert proposals[0].weights["c"] == 0
    if name in SEARCHES:
        assert "no run has tried c: nothing is known of a mixture with it" in proposals[0].note


@pytest.mark.parametrize(
    ("surrogate", "acquisition"),
    [(name, "greedy") for name in sorted(set(surrogates) - {"merged"})]
    + [("gp_sqrt", name) for name in ("expected_improvement", "ucb", "thompson", "worst")],
)
def test_no_surrogate_makes_a_search_give_weight_to_what_no_run_tried(surrogate, acquisition):
    options = {"surrogate": surrogate, "acquisition": acquisition, "candidates": 60}
    for proposal in ask("acquire", untried(), **options):
        assert proposal.weights["c"] == 0 or proposal.predicted is None, (
            "only to explore, and without a claim"
        )


def test_what_no_run_tried_is_explored_or_asked_for_without_a_prediction():
    explored = ask("acquire", untried(), acquisition="explore")
    assert max(proposal.weights["c"] for proposal in explored) > 0.3
    asked = ask("acquire", untried(), constraints={"minimum": {"c": 0.2}})
    only = ask("acquire", untried(), domains=["c"], count=1)
    for proposal in [*explored, *asked, *only]:
        assert proposal.predicted is None or proposal.weights["c"] == 0
    assert min(proposal.weights["c"] for proposal in asked) > 0.19 and only[0].weights == {"c": 1}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("case", ["one row", "one mixture", "constant"])
def test_what_tells_no_mixture_from_another_is_predicted_without_certainty_or_nan(name, case):
    named = runs()
    if case == "constant":
        seen = table(named, **{mixture: [5.0] * 4 for mixture in named})
    else:
        repeats = [row | {"seed": seed} for row in rows({"all": named["all"]}) for seed in (1, 2)]
        seen = from_rows(repeats[: 2 if case == "one mixture" else 1], DOMAINS, BENCHMARKS, AGGREGATES)
    (proposal,) = ask(name, seen, count=1)
    assert proposal.predicted is None or proposal.predicted.standard_deviation is None
    assert "how far mixtures differ is not known" in proposal.note and "nan" not in proposal.note
    assert (
        "all runs scored the same" if case == "constant" else "all runs have the same mixture"
    ) in proposal.note


# --- what a file or a study may get wrong ---------------------------------------------------------------------------


def written(tmp_path, records):
    path = tmp_path / "runs.csv"
    records.frame.to_csv(path, index=False)
    return path


def proposed(tmp_path, path, name, **options):
    """scripts/propose.py as a person calls it: exit code, what it says."""
    config = {
        "name": "odd",
        "records": {"path": str(path)},
        "replicates": 4,
        "strategies": {
            "mine": {
                "propose": name,
                "count": 2 if name in TAKE_A_NUMBER else 1,
                "options": OPTIONS.get(name, {}) | options,
            }
        },
    }
    settings = tmp_path / "odd.yaml"
    settings.write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "scripts/propose.py", "--config", settings, "--output", tmp_path / "next"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("y_out_1", "inf", "runs.csv:4: y_out_1: 'inf' is not a finite number"),
        ("y_out_1", "-inf", "runs.csv:4: y_out_1: '-inf' is not a finite number"),
        ("w_b", "-0.5", "runs.csv:4: w_b: the weight -0.5 is negative: give a number from 0 to 1"),
        ("w_b", "0.3", "runs.csv:4: w_a…: the weights sum to 1.3, not 1"),
        ("w_b", "", "runs.csv:4: w_b: empty, though other weights are given: write 0"),
        ("w_b", "nan", "runs.csv:4: w_b: empty, though other weights are given: write 0"),
        ("w_b", "inf", "runs.csv:4: w_b: 'inf' is not a finite number"),
    ],
)
def test_a_bad_cell_is_reported_with_file_line_and_column(tmp_path, column, value, message):
    path = written(tmp_path, table())
    text = pd.read_csv(path, dtype=str)
    text.loc[2, column] = value
    text.to_csv(path, index=False)
    code, said = proposed(tmp_path, path, "acquire")
    assert code != 0 and "Traceback" not in said
    assert message in said and len(said.splitlines()) == 1
    assert not (tmp_path / "next").exists()


def test_a_repeated_column_is_reported(tmp_path):
    path = written(tmp_path, table())
    path.write_text(path.read_text().replace("y_in_2", "y_in_1", 1))
    code, said = proposed(tmp_path, path, "acquire")
    assert code != 0 and said.endswith("runs.csv:1: column 'y_in_1' appears twice: give it another name")


@pytest.mark.parametrize("name", LEARNING)
def test_weights_off_by_rounding_are_scaled_for_every_strategy(tmp_path, name):
    exact = table()
    frame = exact.frame.copy()
    weights = [f"w_{domain}" for domain in DOMAINS]
    # Three digits: thirds sum to 0.999; rows are recognised as the seeds that they are.
    frame[weights] = frame[weights].astype(float).round(3)
    path = tmp_path / "runs.csv"
    frame.to_csv(path, index=False)
    rounded = ask(name, read_records(path))
    assert_mixtures(rounded)
    if name in ("alpha", "collinearity", "leave_one_out"):
        assert by_name(rounded) == by_name(ask(name, exact))


CONSTRAINTS = [
    ({"maximum": {"aa": 0.3}}, "constraints: maximum: unknown domain 'aa': did you mean 'a'?"),
    ({"minimum": {"d": 0.3}}, "constraints: minimum: unknown domain 'd': known: a, b, c"),
    ({"sizes": {"aa": 3}}, "constraints: sizes: unknown domain 'aa': did you mean 'a'?"),
    (
        {"minimum": {"a": 0.6, "b": 0.5}},
        "constraints: the least weights sum to 1.1, above 1: a 0.6, b 0.5: lower one of them",
    ),
    (
        {"maximum": {"a": 0.2, "b": 0.2, "c": 0.2}},
        "constraints: the greatest weights sum to 0.6, below 1: a 0.2 (maximum of 0.2)",
    ),
    (
        {"minimum": {"a": 0.5}, "maximum": {"a": 0.4}},
        "constraints: 'a' needs at least 0.5 (minimum of 0.5) but may have at most 0.4 (maximum of 0.4)",
    ),
    (
        {"epochs": 1, "prompts": 1000, "sizes": {"a": 50, "b": 100, "c": 60}},
        "below 1: a 0.03",
    ),
    (
        {"prior": {"a": 1.0}, "prior_distance": 0.01, "maximum": {"a": 0.5}},
        "no mixture keeps to the bounds and within prior_distance 0.01 of the prior",
    ),
]


@pytest.mark.parametrize("name", ["design", *SEARCHES])
@pytest.mark.parametrize(("constraints", "message"), CONSTRAINTS)
def test_constraints_that_cannot_be_kept_name_the_culprits(name, constraints, message):
    with pytest.raises(InputError) as error:
        ask(name, table(), constraints=constraints)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["design", *SEARCHES])
def test_constraints_are_kept(name):
    limits = {"minimum": {"a": 0.1}, "maximum": {"b": 0.4}}
    for proposal in ask(name, table(), constraints=limits):
        assert proposal.weights["a"] >= 0.1 - 1e-6 and proposal.weights["b"] <= 0.4 + 1e-6


# --- standard errors and steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in surrogates
        if name not in ("auto", "lightgbm", "quadratic_split", "merged")  # a constant below 40 runs; a choice
    ],
)
def test_a_run_of_a_huge_standard_error_has_little_pull(name):
    """The score of one run is moved far away: with a standard error to match, the surface hardly follows."""
    from modomodo.mixtures.surrogates.base import objective, observe

    named = runs(12)
    seen = table(named)
    aim = objective(seen, "out_score", AGGREGATES)
    clean = observe(seen, aim)
    place = clean.mixtures.index("other-3")
    moved = clean.scores.copy()
    moved[place] += 2.0

    def pull(error):
        errors = np.full(clean.scores.shape, 0.01)
        errors[place] = error
        fitted = surrogates[name](replace(clean, scores=moved, errors=errors), 0)
        kept = surrogates[name](replace(clean, errors=errors), 0)
        return np.abs(fitted.mean(clean.weights[[place]]) - kept.mean(clean.weights[[place]])).max()

    assert pull(5.0) < 0.5 * pull(0.01)


def test_searches_read_several_steps():
    """`gp_steps` sees every step, whatever was scored when; the others the last alone."""
    late = rows()
    early = [
        row | {"step": step, "scores": {b: score * share for b, score in row["scores"].items()}}
        for row in rows()
        for step, share in ((3, 0.5), (6, 0.8))
        if not (row["mixture"] == "all" and step == 3)
    ]
    every = from_rows(early + late, DOMAINS, BENCHMARKS, AGGREGATES)
    with_steps = ask("acquire", every, surrogate="gp_steps")
    assert_mixtures(with_steps)
    last = from_rows(late, DOMAINS, BENCHMARKS, AGGREGATES)
    assert by_name(ask("acquire", every)) == by_name(ask("acquire", last))
    alone = ask("acquire", last, surrogate="gp_steps")
    assert [found.predicted for found in with_steps] != [found.predicted for found in alone]
    # Steps that were never scored say nothing.
    unscored = [row | {"step": 6, "scores": dict.fromkeys(BENCHMARKS, math.nan)} for row in rows()]
    assert by_name(
        ask("acquire", from_rows(unscored + late, DOMAINS, BENCHMARKS, AGGREGATES), surrogate="gp_steps")
    ) == by_name(alone)
