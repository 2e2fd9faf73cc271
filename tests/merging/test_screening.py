"""Many candidates on few questions, few on all: portions, halving, records, and the strategy that chooses."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.evaluation.benchmarks import Questions
from modomodo.merging.experts import Expert, Experts
from modomodo.merging.forgetting import Regression
from modomodo.merging.screening import (
    Merge,
    MergeScorer,
    draw_candidates,
    merged_records,
    portions,
    screen,
    successive_halving,
)
from modomodo.merging.settings import MergeSettings, ScreenSettings
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.plan import plan
from modomodo.mixtures.records import empty, from_rows, write_records
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.strategies.base import Request, propose, read_options
from modomodo.study.checks import study_from

GROUPS = {"science_test": "in", "chart": "out"}
EXPERTS = Experts(
    Path("base"),
    "digest",
    {
        name: Expert(name, Path(name), 9, False, f"digest of {name}")
        for name in ("boxes", "relation", "science")
    },
    9,
    42,
)


def test_portions_add_up_to_every_question_once():
    parts = portions(10, [0.11, 0.5, 1.0])
    assert [len(part) for part in parts] == [2, 3, 5]
    assert sorted(np.concatenate(parts)) == list(range(10))
    assert [len(part) for part in portions(3, [0.01, 0.02, 1.0])] == [1, 0, 2]
    assert portions(4, [1.0])[0].tolist() == [0, 1, 2, 3]


class FakeScorer:
    """Each question is answered right with the first weight as chance, spread evenly over the portions."""

    def __init__(self, shares, count=100):
        self.shares, self.count = shares, count
        self.benchmarks = {"chart": Questions("chart", Path("chart.jsonl"), [None] * count)}
        self.asked = []

    def values(self, weights, alpha, portion=0):
        self.asked.append((weights["a"], portion))
        start = [0.0, *self.shares][portion]
        return {"chart": [weights["a"]] * round(self.count * (self.shares[portion] - start))}


def test_halving_asks_all_candidates_little_and_the_best_everything():
    scorer = FakeScorer([0.1, 0.3, 1.0])
    mixtures = [{"a": i / 30, "b": 1 - i / 30} for i in range(30)]
    merges = successive_halving(scorer, mixtures, 1.5, lambda weights, means: means["chart"], fewest=2)
    assert [merge.mixture for merge in merges[:2]] == ["candidate-0001", "candidate-0002"]
    assert [merge.questions for merge in merges] == [0.1] * 20 + [0.3] * 7 + [1.0] * 3
    # 30 x 10 + 10 x 20 + 3 x 70 questions instead of 30 x 100
    assert sum(len(merge.values["chart"]) for merge in merges) == 710
    assert len(scorer.asked) == 43


def test_halving_keeps_as_many_as_must_be_proposed():
    merges = successive_halving(
        FakeScorer([0.1, 1.0]),
        [{"a": i / 10} for i in range(10)],
        1.0,
        lambda weights, means: means["chart"],
        fewest=4,
    )
    assert sum(merge.questions == 1 for merge in merges) == 4


def merges():
    values = {"science_test": [1.0, 0.0], "chart": [1.0, 1.0, 0.0, 0.0]}
    part = {"science_test": [1.0], "chart": [1.0]}
    return [
        Merge("all", "seed", {"boxes": 0.5, "science": 0.5}, 1.5, 1.0, values),
        Merge("all", "seed", {"boxes": 0.5, "science": 0.5}, 2.0, 1.0, values),
        Merge("candidate-0001", "candidate", {"boxes": 1.0}, 1.5, 0.25, part),
    ]


def test_records_of_merges_have_alpha_questions_and_experts(tmp_path):
    records = merged_records(merges(), EXPERTS, ["boxes", "science", "relation"], GROUPS)
    write_records(tmp_path / "merged.csv", records)
    read = read_records(tmp_path / "merged.csv", of_cheaper=True)
    assert list(read.frame["mixture"]) == ["all@1.5", "all@2", "candidate-0001@1.5"]
    assert list(read.frame["fidelity"].unique()) == ["merged"]
    assert list(read.frame["alpha"].astype(float)) == [1.5, 2.0, 1.5]
    assert list(read.frame["questions"].astype(float)) == [1.0, 1.0, 0.25]
    assert read.frame["experts"].unique().tolist() == [EXPERTS.digest]
    assert read.frame["y_chart"].tolist() == [0.5, 0.5, 1.0]
    assert read.frame["se_chart"].iloc[0] == pytest.approx((1 / 3 * 4 * 0.25 / 4) ** 0.5)
    assert (read.frame["seed"] == 42).all() and (read.frame["step"] == 9).all()


def test_records_say_which_experts_forgot_what(tmp_path):
    regression = Regression("boxes", "chart", 0.5, 0.1, 4.0)
    for forgot, cell in (((regression,), "boxes: chart"), ((), "")):
        records = merged_records(merges(), EXPERTS, ["boxes", "science", "relation"], GROUPS, forgot)
        write_records(tmp_path / "merged.csv", records)
        read = read_records(tmp_path / "merged.csv", of_cheaper=True)
        assert read.frame["forgot"].fillna("").unique().tolist() == [cell]


# --- the scorer -------------------------------------------------------------------------------------------------


@pytest.fixture
def scorer(small_study, tmp_path, monkeypatch, example_fields):
    """A scorer whose model answers nothing, but counts how often it is asked."""
    rows = [Example(**example_fields(id=str(i), image="none.png")) for i in range(4)]
    for name in GROUPS:
        (tmp_path / f"{name}.jsonl").write_text(name)
    asked = []

    def ask(self, coefficients, portion):
        asked.append((coefficients, portion))
        return {name: [coefficients.get("boxes", 0.0)] * 4 for name in self.benchmarks}

    monkeypatch.setattr(MergeScorer, "_ask", ask)

    def make(**changes):
        settings = MergeSettings.of(small_study).model_copy(update=changes)
        benchmarks = {name: Questions(name, tmp_path / f"{name}.jsonl", rows) for name in GROUPS}
        return MergeScorer(EXPERTS, benchmarks, settings, tmp_path / "scored"), asked

    return make


def test_what_was_scored_is_not_asked_again(scorer):
    first, asked = scorer()
    one = first.score({"boxes": 0.5, "science": 0.5}, 1.5)
    assert one == {name: [0.75] * 4 for name in GROUPS}
    again, _ = scorer()
    assert again.score({"science": 0.5, "boxes": 0.5}, 1.5) == one
    assert len(asked) == 1
    again.score({"boxes": 0.5, "science": 0.5}, 2.0)
    again.score({"boxes": 0.6, "science": 0.4}, 1.5)
    assert len(asked) == 3


def test_another_metric_is_another_score_and_more_alphas_are_not(scorer):
    first, asked = scorer()
    first.score({"boxes": 1.0}, 1.0)
    scorer(alphas=[1.0, 3.0])[0].score({"boxes": 1.0}, 1.0)
    assert len(asked) == 1
    other = {"science_test": "exact_match", "chart": "relaxed_accuracy"}
    scorer(metrics=other)[0].score({"boxes": 1.0}, 1.0)
    assert len(asked) == 2


def test_a_metric_that_asks_a_judge_is_refused(scorer):
    with pytest.raises(InputError, match="benchmark 'chart': metric 'mathvista_judged' asks a judge"):
        scorer(metrics={"science_test": "exact_match", "chart": "mathvista_judged"})


# --- the study --------------------------------------------------------------------------------------------------


@pytest.fixture
def screening(study_data):
    study_data["strategies"]["screened"] = {
        "propose": "merge_screen",
        "group": "merged",
        "count": 2,
        "learns_from": ["seed"],
        "options": {"candidates": 24, "questions": [0.25, 1.0]},
    }
    return study_data


def test_the_plan_knows_the_experts(screening):
    planned = plan(study_from(screening, "study.yaml"))
    assert planned.experts == {name: f"single-{name}" for name in ("boxes", "science", "relation")}
    assert planned.by_strategy["screened"] == ["screened-001", "screened-002"]


def test_a_missing_expert_is_reported_before_anything_runs(screening):
    screening["strategies"]["screened"]["learns_from"] = ["all"]
    with pytest.raises(
        InputError, match="strategies.screened.learns_from: no mixture that has all weight on 'boxes'"
    ):
        plan(study_from(screening, "study.yaml"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"questions": [0.5, 0.2, 1.0]}, "must grow from above 0 to 1"),
        ({"questions": [0.5]}, "must grow from above 0 to 1"),
        ({"candidate": 3}, "unknown key: did you mean 'candidates'"),
        ({"surrogate": "mergd"}, "unknown surrogate 'mergd': did you mean 'merged'"),
    ],
)
def test_bad_options_are_reported_before_anything_runs(screening, options, message):
    screening["strategies"]["screened"]["options"] = options
    with pytest.raises(InputError, match=message):
        plan(study_from(screening, "study.yaml"))


def test_alphas_do_not_re_run_what_does_not_merge(screening):
    before = study_from(screening, "study.yaml")
    after = study_from({**screening, "merging": {"alphas": [1.0]}}, "study.yaml")
    assert ScreenSettings.of(before, "screened").text() != ScreenSettings.of(after, "screened").text()
    assert MergeSettings.of(before).answering() == MergeSettings.of(after).answering()


def truth(weights):
    return {
        "chart": 0.4 * weights.get("boxes", 0) ** 0.5 + 0.3 * weights.get("science", 0),
        "science_test": 0.5,
    }


@pytest.fixture
def screened(screening):
    """Five trained mixtures, and candidates screened by merges that tell the truth at alpha 1.5."""
    study = study_from(screening, "study.yaml")
    settings = ScreenSettings.of(study, "screened")
    names = ["boxes", "relation", "science"]
    weights = [{one: float(one == each) for one in names} for each in names]
    weights += [
        {"boxes": a, "relation": b, "science": 1 - a - b}
        for a, b in ((0.3, 0.3), (0.6, 0.1), (0.1, 0.6), (0.4, 0.0))
    ]
    mixtures = [SimpleNamespace(name=f"m{i}", strategy="single", weights=w) for i, w in enumerate(weights)]
    rows = [
        {"mixture": m.name, "seed": 42, "step": 9, "weights": m.weights, "scores": truth(m.weights)}
        for m in mixtures
    ]
    records = from_rows(
        rows, names, list(GROUPS), {"in_score": {"science_test": 8}, "out_score": {"chart": 8}}
    )

    class Scorer(FakeScorer):
        experts = EXPERTS

        def __init__(self):
            super().__init__([0.25, 1.0], 8)
            self.benchmarks = {name: Questions(name, Path(name), [None] * 8) for name in GROUPS}

        def values(self, weights, alpha, portion=0):
            off = abs(alpha - 1.5) * np.sin(50 * weights.get("relation", 0))
            return {name: [float(score + off)] * (2, 6)[portion] for name, score in truth(weights).items()}

        def score_mixtures(self, mixtures, label):
            return [
                Merge(m.name, m.strategy, m.weights, alpha, 1.0, self.score(m.weights, alpha))
                for m in mixtures
                for alpha in settings.alphas
            ]

        def score(self, weights, alpha):
            return {name: [x] * 8 for name, (x, *_) in self.values(weights, alpha).items()}

    options = read_options("merge_screen", settings.strategy.options)
    found = screen(Scorer(), records, mixtures, settings, options)
    return study, records, options, found, merged_records(found, EXPERTS, names, GROUPS)


def test_screening_merges_what_was_trained_at_each_alpha_and_candidates_at_one(screened):
    _, _, _, found, _ = screened
    trained = [merge for merge in found if merge.strategy != "candidate"]
    assert len(trained) == 7 * 3 and len(found) == 21 + 24
    assert {merge.alpha for merge in found if merge.strategy == "candidate"} == {1.5}
    assert sum(merge.questions == 1 for merge in found if merge.strategy == "candidate") == 6


def test_the_strategy_proposes_the_best_finalists(screened):
    _, records, options, found, merged = screened
    request = Request(records, ["boxes", "relation", "science"], 2, 0, "out_score", options, merged=merged)
    picks = propose("merge_screen", request)
    assert [pick.suffix for pick in picks] == ["001", "002"]
    best = max(truth(merge.weights)["chart"] for merge in found if merge.strategy == "candidate")
    assert truth(picks[0].weights)["chart"] > best - 0.01
    assert "24 candidates, 6 finalists" in picks[0].note
    assert picks[0].comparison["surrogate"].tolist() == ["merged experts", "gp_average"]
    plain = read_options("merge_screen", options.model_dump() | {"surrogate": "gp_sqrt"})
    other = propose("merge_screen", replace(request, options=plain))[0].comparison
    assert other["surrogate"].tolist() == ["gp_sqrt"] and other["rmse"].notna().all()
    assert picks[0].predicted.mean == pytest.approx(truth(picks[0].weights)["chart"], abs=0.03)
    assert "forgot" not in picks[0].note
    merged.frame["forgot"] = "science: chart"
    assert "; experts that forgot: science: chart" in propose("merge_screen", request)[0].note


def test_the_strategy_needs_merged_records(screened):
    _, records, options, _, _ = screened
    with pytest.raises(InputError, match="make them with scripts/screen.py"):
        propose(
            "merge_screen", Request(records, ["boxes", "relation", "science"], 2, 0, "out_score", options)
        )


def test_random_mixtures_are_on_the_simplex_and_the_same_again():
    request = Request(empty(["a", "b"], ["x"]), ["b", "a"], 5, 3, "x", read_options("dirichlet", {}))
    first, again = propose("dirichlet", request), propose("dirichlet", request)
    assert [p.weights for p in first] == [p.weights for p in again] and len(first) == 5
    assert all(sum(p.weights.values()) == pytest.approx(1, abs=1e-9) for p in first)
    turned = propose("dirichlet", Request(request.records, ["a", "b"], 5, 3, "x", request.options))
    assert [p.weights["a"] for p in turned] == [p.weights["a"] for p in first]


def test_candidates_are_different_mixtures_that_were_not_trained():
    trained = [{"a": 1.0, "b": 0.0, "c": 0.0}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}]
    drawn = draw_candidates(["a", "b", "c"], Constraints(maximum={"c": 0.5}), 50, 0, trained)
    assert len(drawn) == 50 == len({tuple(weights.items()) for weights in drawn})
    assert all(weights["c"] <= 0.5 and weights not in trained for weights in drawn)
    assert drawn == draw_candidates(["a", "b", "c"], Constraints(maximum={"c": 0.5}), 50, 0, trained)
