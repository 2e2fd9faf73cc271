"""Streams that are decided while a run trains: what the next step is made of, from what is noted of those before."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest

from modomodo.errors import InputError
from modomodo.files import read_json, read_jsonl, write_jsonl
from modomodo.mixtures.mixture import Mixture, write_mixture
from modomodo.mixtures.online import (
    LiveStream,
    OnlineOptions,
    Used,
    as_stream,
    next_shares,
    next_step,
    posterior,
    trained_on,
)
from modomodo.mixtures.records import empty
from modomodo.mixtures.settings import StreamSettings
from modomodo.mixtures.strategies.base import Request, propose, read_options
from modomodo.mixtures.stream import domain_order, draw_stream

ROOT = Path(__file__).parents[2]
IDS = {name: [f"{name}{i}" for i in range(30)] for name in ("easy", "hard", "fit")}


def used(position: int, domain: str, attempt: int = 0, **outcome: float) -> Used:
    given = {"taught": True, "advantage": 0.5, "success": 0.5} | outcome
    return Used(position // 2 + 1, position, attempt, domain, f"{domain}{position}", **given)


def stream(**changes) -> LiveStream:
    given = {"orders": IDS, "prompts_per_step": 2, "generations": 6, "steps": 10, "seed": 3}
    return LiveStream(**given | changes)


def run(live: LiveStream, outcome) -> list[Used]:
    """All steps of a run whose prompts come out as a function of domain and position says."""
    rows: list[Used] = []
    while domains := next_step(live, rows)[0]:
        start = len(rows)
        rows += [used(start + place, domain, **outcome(domain)) for place, domain in enumerate(domains)]
    return rows


# --- the stream ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [{"a": 50, "b": 50}, {"a": 7, "b": 50}, {"a": 8, "b": 50}])
def test_a_drawn_stream_whose_prompts_all_stay_is_the_drawn_stream(sizes) -> None:
    ids = {name: [str(i) for i in range(size)] for name, size in sizes.items()}
    drawn = draw_stream({"a": 0.5, "b": 0.5}, ids, steps=12, prompts_per_step=3, seed=5)
    orders = {name: domain_order(of_domain, name, 5) for name, of_domain in ids.items()}
    slots = [draw.domain for draw in drawn.draws]
    live = LiveStream(orders, 3, 6, 12, 5, slots=slots)
    rows: list[Used] = []
    while domains := next_step(live, rows)[0]:
        for domain in domains:
            done = sum(row.domain == domain for row in rows)
            row = used(len(rows), domain)._replace(step=len(rows) // 3 + 1, id=orders[domain][done])
            rows.append(row)
    assert as_stream(live, rows).draws == drawn.draws


def test_a_replaced_prompt_counts_as_seen_and_the_stream_ends_when_none_is_left() -> None:
    live = stream(orders={"a": list("12345"), "b": list("12345")}, slots=["a", "b"] * 10)
    rows = [used(0, "a"), used(1, "b", 0), used(1, "b", 1)]
    assert next_step(live, rows) == (["a", "b"], None)
    rows += [used(2, "a"), used(3, "b", 0), used(3, "b", 1), used(3, "b", 2)]
    assert next_step(live, rows) == ([], "b")
    assert [(row.position, row.attempt) for row in trained_on(rows)] == [(0, 0), (1, 1), (2, 0), (3, 2)]
    found = as_stream(live, rows)
    assert (found.steps, found.exhausted, len(found.draws)) == (2, "b", 4)


def test_a_step_must_be_whole() -> None:
    live = stream(orders={"a": ["1"], "b": list("123")}, slots=["a", "b"])
    assert next_step(live, []) == ([], "a")
    assert next_step(stream(orders={"a": ["1"], "b": list("123")}, slots=["b", "a"]), []) == (
        ["b", "a"],
        None,
    )


# --- the rules ----------------------------------------------------------------------------------------------


def test_dumps_shares_are_the_papers_formula() -> None:
    seen = {
        "easy": [used(0, "easy", advantage=0.1)],
        "fit": [used(i, "fit", advantage=0.9) for i in range(3)],
    }
    found = next_shares(seen, OnlineOptions(rule="dump"), generations=6)
    bounds = {
        "easy": 0.1 + math.sqrt(2 * math.log(24 + 1) / (6 + 1)),
        "fit": 0.9 + math.sqrt(2 * math.log(24 + 1) / (18 + 1)),
    }
    total = sum(math.exp(value / 0.1) for value in bounds.values())
    assert found == pytest.approx({name: math.exp(value / 0.1) / total for name, value in bounds.items()})


def test_without_evidence_all_domains_are_alike() -> None:
    for rule in ("dump", "learnability"):
        shares = next_shares({"a": [], "b": []}, OnlineOptions(rule=rule), 6)
        assert shares == {"a": 0.5, "b": 0.5}


def test_what_does_not_teach_is_learnt_from_less() -> None:
    seen = {
        "easy": [used(i, "easy", taught=False) for i in range(8)],
        "fit": [used(i, "fit", taught=i % 2 == 0) for i in range(8)],
    }
    assert next_shares(seen, OnlineOptions(rule="learnability"), 6) == pytest.approx(
        {"easy": (1 / 10) / (6 / 10), "fit": (5 / 10) / (6 / 10)}
    )


def test_only_the_window_counts() -> None:
    rows = [used(i, "a", taught=False, advantage=0.0) for i in range(9)] + [used(9, "a", advantage=1.0)]
    seen = {"a": rows, "b": []}
    for rule in ("dump", "learnability"):
        one, all_ = (next_shares(seen, OnlineOptions(rule=rule, window=size), 6)["a"] for size in (1, 50))
        assert one > all_


def test_temperature_and_exploration_are_dumps() -> None:
    seen = {"a": [used(0, "a", advantage=0.9)], "b": [used(i, "b", advantage=0.1) for i in range(5)]}

    def share(**options) -> float:
        return next_shares(seen, OnlineOptions(rule="dump", **options), 6)["a"]

    assert share(temperature=0.1) > share(temperature=1) > 0.5  # the warmer, the more even
    assert share(exploration=1) > share(exploration=0)  # a was seen more rarely
    assert share(exploration=0, temperature=0.8) == pytest.approx(1 / (1 + math.exp(-1)))


def test_the_target_is_a_success_rate() -> None:
    rates = {"easy": 0.9, "hard": 0.1, "fit": 0.5}
    ids = {name: [str(i) for i in range(500)] for name in IDS}
    for target, wanted in ((0.9, "easy"), (0.1, "hard")):
        options = OnlineOptions(rule="thompson", target=target)
        rows = run(stream(orders=ids, steps=100, options=options), lambda domain: {"success": rates[domain]})
        assert [row.domain for row in rows[100:]].count(wanted) > 60


def test_a_posterior_counts_completions_and_forgets() -> None:
    rows = [used(0, "a", success=1.0), used(1, "b", success=0.0), used(2, "a", success=0.25)]
    assert posterior(rows, "a", 1.0, 4) == (1 + 4 + 1, 1 + 0 + 3)
    assert posterior(rows, "a", 0.5, 4) == (1 + 4 / 4 + 1, 1 + 0 + 3)
    assert posterior(rows, "b", 0.5, 4) == (1, 1 + 4 / 2)
    assert posterior(rows, "c", 0.5, 4) == (1, 1)


@pytest.mark.parametrize("rule", ["dump", "learnability", "thompson"])
def test_a_rule_prefers_the_domain_that_is_neither_known_nor_too_hard(rule) -> None:
    outcomes = {
        "easy": {"taught": False, "advantage": 0.0, "success": 1.0},
        "hard": {"taught": False, "advantage": 0.0, "success": 0.0},
        "fit": {"taught": True, "advantage": 0.9, "success": 0.5},
    }
    ids = {name: [str(i) for i in range(500)] for name in IDS}
    rows = run(stream(orders=ids, steps=100, options=OnlineOptions(rule=rule)), outcomes.get)
    late = [row.domain for row in rows[100:]]
    assert late.count("fit") > 2 * max(late.count("easy"), late.count("hard"))
    assert rows == run(stream(orders=ids, steps=100, options=OnlineOptions(rule=rule)), outcomes.get)


def test_without_a_reason_to_change_the_domains_are_those_of_uniform_weights() -> None:
    """Common random numbers: the domain of each place is that of the drawn stream under the same seed."""
    ids = {name: [str(i) for i in range(500)] for name in IDS}
    even = OnlineOptions(rule="learnability", window=1)
    rows = run(stream(orders=ids, steps=50, options=even), lambda domain: {"taught": False})
    drawn = draw_stream(dict.fromkeys(ids, 1 / 3), ids, 50, 2, seed=3)
    agree = np.mean([row.domain == draw.domain for row, draw in zip(rows, drawn.draws, strict=True)])
    assert agree > 0.9  # only domains that were not seen yet differ from those that were


# --- the strategy -------------------------------------------------------------------------------------------


def test_the_strategy_proposes_where_the_run_starts() -> None:
    request = Request(
        empty(["a", "b"]), ["a", "b"], options=read_options("online", {"rule": "thompson", "target": 0.3})
    )
    (proposal,) = propose("online", request)
    assert proposal.weights == {"a": 0.5, "b": 0.5}
    assert proposal.online == OnlineOptions(rule="thompson", target=0.3)
    with pytest.raises(InputError, match="online: at least two domains are needed"):
        propose("online", Request(empty(["a"]), ["a"], options=read_options("online", {"rule": "dump"})))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "rule: missing"),
        ({"rule": "dumb"}, "rule"),
        ({"rule": "dump", "target": 0.5}, "target: has no effect with rule dump: remove it"),
        ({"rule": "thompson", "window": 5}, "window: has no effect with rule thompson"),
        ({"rule": "dump", "temperature": 0}, "temperature"),
        ({"rule": "thompson", "target": 1}, "target"),
        ({"rule": "thompson", "discount": 0}, "discount"),
        ({"rule": "learnability", "window": 0}, "window"),
        ({"rule": "learnability", "temperatur": 1}, "temperatur"),
    ],
)
def test_options_that_are_none(options, message) -> None:
    with pytest.raises(InputError, match=message):
        read_options("online", options)


def test_an_online_mixtures_stream_is_the_order_of_every_domain(tmp_path, monkeypatch) -> None:
    mixture = Mixture(
        name="m", weights={"a": 0.5, "b": 0.5}, strategy="m", round=0, online=OnlineOptions(rule="dump")
    )
    write_mixture(tmp_path / "m.json", mixture)
    for domain in "ab":
        rows = [{"id": f"{domain}{i}"} for i in range(12)]
        write_jsonl(tmp_path / f"{domain}.jsonl", rows)
    settings = StreamSettings(steps=10, prompts_per_step=2, scored_steps=[5, 10])
    words = ["--settings", settings.text(), "--mixture", tmp_path / "m.json", "--seed", 7]
    words += ["--examples", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--output", tmp_path / "s.jsonl"]
    monkeypatch.setattr("sys.argv", ["draw_stream.py", *map(str, words)])
    runpy.run_path(str(ROOT / "scripts/draw_stream.py"))["main"]()
    drawn = [(row["domain"], row["id"]) for _, row in read_jsonl(tmp_path / "s.jsonl")]
    expected = [
        (name, one) for name in "ab" for one in domain_order([f"{name}{i}" for i in range(12)], name, 7)
    ]
    assert drawn == expected
    found = read_json(tmp_path / "s.summary.json")
    assert (found["online"], found["prompts"], found["checkpoint_steps"]) == (
        {"rule": "dump"},
        20,
        {"5": 5, "10": 10},
    )
