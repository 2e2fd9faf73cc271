"""Predictions → scores → records, with aggregates by benchmark size."""

import math

import numpy as np
import pytest

from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.evaluation.benchmarks import Questions
from modomodo.evaluation.predictions import Prediction
from modomodo.evaluation.scores import (
    BenchmarkScore,
    RunScores,
    aggregate_sizes,
    benchmarks_of,
    collect,
    read_run_scores,
    score_benchmark,
    truths_warnings,
    unparsed_warnings,
)
from modomodo.files import write_json
from modomodo.metrics.metric import metrics
from modomodo.mixtures.mixture import Mixture
from modomodo.mixtures.online import OnlineOptions
from modomodo.mixtures.records import is_online, trained, write_records
from modomodo.mixtures.records_csv import read_records
from modomodo.reporting.results import results_of
from modomodo.reporting.settings import Heading
from modomodo.reporting.tables import table2
from modomodo.reporting.verdict import verdict_of
from modomodo.reporting.wording import words

GROUPS = {"small": "in", "large": "in", "chart": "out"}
SIZES = {"small": 100, "large": 300, "chart": 50}


def score(value: float, error: float = 0.01, n: int = 10) -> dict:
    return {
        "metric": "exact_match",
        "version": 1,
        "n": n,
        "score": value,
        "standard_error": error,
        "unparsed": 0,
    }


def run(mixture: str, seed: int = 42, **steps: dict) -> RunScores:
    """Scores by step: `run("all", s2={"chart": (0.5, 0.1)})`."""
    scores = {
        int(name[1:]): {
            benchmark: BenchmarkScore(**score(value, error, SIZES[benchmark]))
            for benchmark, (value, error) in given.items()
        }
        for name, given in steps.items()
    }
    return RunScores(mixture=mixture, seed=seed, steps=scores)


MIXTURES = {
    name: Mixture(name=name, weights=weights, strategy=strategy, round=0)
    for name, strategy, weights in (
        ("single-x", "single", {"x": 1.0, "y": 0.0}),
        ("all", "all", {"x": 0.5, "y": 0.5}),
    )
}
SCORES = {"small": (0.5, 0.05), "large": (0.9, 0.02), "chart": (0.25, 0.06)}


def row_of(records, mixture, step):
    frame = records.frame
    return frame[(frame["mixture"] == mixture) & (frame["step"] == step)].iloc[0]


# --- one benchmark ------------------------------------------------------------------------------------------


@pytest.fixture
def examples(example_fields):
    return [Example(**example_fields(id=str(i), answer="3", image=f"{i}.png")) for i in range(4)]


def predictions(*answers):
    return {
        str(i): Prediction(id=str(i), completion=answer or "", answer=answer, finish_reason="stop", tokens=1)
        for i, answer in enumerate(answers)
    }


def test_a_benchmarks_score_by_hand(examples):
    # 3 of 4 right: mean 0.75, standard error √(0.75 · 0.25 / 3) = 0.25.
    found, values = score_benchmark(
        examples, predictions("3", "3", "4", "3"), metrics["exact_match"], "p.jsonl"
    )
    assert found == (4, 0.75, 0.25, 0) and values == [1, 1, 0, 1]


def test_questions_about_one_image_are_not_independent(examples):
    # Two images with two questions each, all right or all wrong: 0.5 with the error of two questions.
    shown = [example.model_copy(update={"image": "ab"[int(example.id) // 2]}) for example in examples]
    found, _ = score_benchmark(shown, predictions("3", "3", "4", "4"), metrics["exact_match"], "p.jsonl")
    assert found.standard_error == pytest.approx(0.5)


def test_completions_without_an_answer_count_as_wrong_and_are_reported(examples):
    found, _ = score_benchmark(examples, predictions("3", None, None, "3"), metrics["exact_match"], "p.jsonl")
    assert (found.n, found.score, found.unparsed) == (4, 0.5, 2)
    assert found.standard_error == pytest.approx(math.sqrt(0.25 / 3))


def test_examples_are_matched_by_id_not_by_place(examples):
    given = predictions("3", "3", "4", "5")
    found, _ = score_benchmark(
        examples[::-1], dict(reversed(given.items())), metrics["exact_match"], "p.jsonl"
    )
    assert found.score == 0.5


def test_a_missing_prediction_is_reported(examples):
    with pytest.raises(
        InputError, match=r"p\.jsonl: no prediction for '3': delete the file and predict again"
    ):
        score_benchmark(examples, predictions("3", "3", "3"), metrics["exact_match"], "p.jsonl")


def test_a_benchmark_without_rows_is_reported():
    with pytest.raises(InputError, match="without rows"):
        score_benchmark([], {}, metrics["exact_match"], "p.jsonl")


# --- the file -----------------------------------------------------------------------------------------------


def test_scores_survive_writing(tmp_path):
    scores = run("all", s2=SCORES, s9=SCORES)
    write_json(tmp_path / "42.json", scores.model_dump(mode="json"))
    assert read_run_scores(tmp_path / "42.json") == scores


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "steps.2.chart.n: "),
        ({"score": 1.2}, "steps.2.chart.score: "),
        ({"score": -0.1}, "steps.2.chart.score: "),
        ({"standard_error": -0.1}, "steps.2.chart.standard_error: "),
        ({"unparsed": -1}, "steps.2.chart.unparsed: "),
        ({"extra": 1}, "steps.2.chart.extra: "),
    ],
)
def test_a_damaged_score_is_reported_with_file_and_field(tmp_path, change, message):
    data = {"mixture": "all", "seed": 42, "steps": {"2": {"chart": {**score(0.5), **change}}}}
    write_json(tmp_path / "42.json", data)
    with pytest.raises(InputError) as error:
        read_run_scores(tmp_path / "42.json")
    assert str(error.value).startswith(f"{tmp_path / '42.json'}: {message}")


# --- records ------------------------------------------------------------------------------------------------


def test_an_aggregate_is_the_mean_of_its_group_and_a_benchmark_of_itself():
    groups = {"chart": "out", "small": "in", "large": "out"}
    assert benchmarks_of("out_score", groups) == ["chart", "large"]
    assert benchmarks_of("in_score", groups) == ["small"]
    assert benchmarks_of("chart", groups) == ["chart"]
    assert aggregate_sizes(groups, {"chart": 5, "small": 3}) == {
        "in_score": {"small": 3},
        "out_score": {"chart": 5},
    }


def test_in_and_out_score_weigh_benchmarks_by_size():
    records = collect([run("single-x", s2=SCORES)], MIXTURES, ["x", "y"], GROUPS)
    row = row_of(records, "single-x", 2)
    # In: (100 · 0.5 + 300 · 0.9) / 400 = 0.8, √((0.25 · 0.05)² + (0.75 · 0.02)²) = √0.00038125.
    assert row["in_score"] == pytest.approx(0.8)
    assert row["se_in_score"] == pytest.approx(math.sqrt(0.00038125))
    assert (row["out_score"], row["se_out_score"]) == pytest.approx((0.25, 0.06))


def test_a_record_holds_weights_scores_and_where_they_come_from():
    records = collect(
        [run("all", s2=SCORES, s9={**SCORES, "chart": (0.75, 0.05)}), run("all", 43, s2=SCORES)],
        MIXTURES,
        ["y", "x"],
        GROUPS,
    )
    assert (records.domains, records.benchmarks) == (["y", "x"], ["small", "large", "chart"])
    assert records.frame[["mixture", "seed", "step", "strategy"]].to_numpy().tolist() == [
        ["all", 42, 2, "all"],
        ["all", 42, 9, "all"],
        ["all", 43, 2, "all"],
    ]
    row = row_of(records, "all", 9)
    assert (row["w_x"], row["w_y"]) == (0.5, 0.5)
    assert (row["y_chart"], row["se_chart"], row["y_small"]) == (0.75, 0.05, 0.5)


def test_the_base_model_has_scores_and_no_weights():
    records = collect([run("base", 0, s0=SCORES), run("all", s2=SCORES)], MIXTURES, ["x", "y"], GROUPS)
    row = row_of(records, "base", 0)
    assert math.isnan(row["w_x"]) and math.isnan(row["w_y"])
    assert row["out_score"] == pytest.approx(0.25)
    assert row["strategy"] == "base"


def test_records_survive_their_file(tmp_path):
    records = collect([run("base", 0, s0=SCORES), run("all", s2=SCORES)], MIXTURES, ["x", "y"], GROUPS)
    write_records(tmp_path / "records.csv", records)
    again = read_records(tmp_path / "records.csv")
    assert (
        again.frame.astype(object).fillna("").to_dict() == records.frame.astype(object).fillna("").to_dict()
    )
    assert (again.domains, again.benchmarks) == (records.domains, records.benchmarks)


def test_scores_of_an_unknown_mixture_are_reported():
    with pytest.raises(InputError, match="scores of 'alpha' but no mixture of that name"):
        collect([run("alpha", s2=SCORES)], MIXTURES, ["x", "y"], GROUPS)


def test_runs_scored_on_other_questions_are_reported():
    other = run("all", s2=SCORES)
    other.steps[2]["chart"] = BenchmarkScore(**score(0.5, n=49))
    with pytest.raises(
        InputError, match="scores of 'all', step 2: chart has 49 questions, in another run 50"
    ):
        collect([run("single-x", s2=SCORES), other], MIXTURES, ["x", "y"], GROUPS)


def test_a_run_that_lacks_a_benchmark_has_no_aggregate_of_it():
    partial = {"small": (0.5, 0.05), "chart": (0.25, 0.06)}
    records = collect([run("all", s2=partial), run("single-x", s2=SCORES)], MIXTURES, ["x", "y"], GROUPS)
    row = row_of(records, "all", 2)
    assert math.isnan(row["in_score"]), "a mean over fewer benchmarks is another quantity"
    assert row["out_score"] == pytest.approx(0.25)


def test_a_run_twice_is_reported():
    with pytest.raises(InputError, match="'all' with seed 42 and step 2 appears twice"):
        collect([run("all", s2=SCORES), run("all", s2=SCORES)], MIXTURES, ["x", "y"], GROUPS)


def test_scores_of_a_benchmark_that_the_study_does_not_have_are_reported():
    with pytest.raises(InputError, match="unknown benchmark 'large'"):
        collect([run("all", s2=SCORES)], MIXTURES, ["x", "y"], {"small": "in", "chart": "out"})


def test_a_run_that_leaves_many_questions_unanswered_is_warned_of():
    def scored(mixture: str, *unparsed: int) -> RunScores:
        steps = {
            step: {
                "b": {
                    "metric": "m",
                    "version": 1,
                    "n": 10,
                    "score": 0.5,
                    "standard_error": 0.1,
                    "unparsed": many,
                }
            }
            for step, many in enumerate(unparsed, 1)
        }
        return RunScores(mixture=mixture, seed=1, steps=steps)

    assert unparsed_warnings(scored("all", 9, 2)) == []  # a fifth, and earlier steps do not count
    assert unparsed_warnings(scored("base", 10)) == []  # the format is what training teaches
    assert unparsed_warnings(scored("all", 3)) == [
        "b: no answer was found for more than 20% of the questions (unparsed in scores/, metric m): read some of its "
        "predictions"
    ]


def test_a_metric_that_does_not_give_the_truth_itself_is_said_with_the_base(tmp_path):
    row = {"dataset": "d", "image": "", "question": "?", "answer_type": "text"}
    examples = [Example(id=answer, answer=answer, **row) for answer in ("B", "Paris")]
    asked = [(metrics["choice"], Questions("d", tmp_path, examples))]
    base, trained_run = (RunScores(mixture=name, seed=1, steps={}) for name in ("base", "all"))
    assert truths_warnings(base, asked) == [
        "d: the metric 'choice' gives 1 of 2 true answers less than 1, e.g. \"Paris\" of example 'Paris': name another one"
    ]
    assert truths_warnings(trained_run, asked) == []
    assert truths_warnings(base, [(metrics["exact_match"], asked[0][1])]) == []


def test_the_share_of_unparsed_answers_goes_to_records_and_table(tmp_path):
    answered = run("all", s2=SCORES)
    first = next(iter(answered.steps[2].values()))
    first.unparsed = 3
    questions = sum(score.n for score in answered.steps[2].values())
    records = collect([run("base", 0, s0=SCORES), answered], MIXTURES, ["x", "y"], GROUPS)
    assert records.frame["unparsed"].tolist() == [0, 3 / questions]
    write_records(tmp_path / "records.csv", records)
    table = table2(read_records(tmp_path / "records.csv"), [Heading("seed", "All", ["all"])])
    assert table["unparsed"].tolist() == pytest.approx([0, 3 / questions])


# --- online runs --------------------------------------------------------------------------------------------


@pytest.fixture
def with_online(tmp_path):
    """Records, as read back from their file, with two seeds of an online run, which came to other weights."""
    online = Mixture(
        name="dump",
        weights={"x": 0.5, "y": 0.5},
        strategy="dump",
        round=0,
        online=OnlineOptions(rule="dump"),
    )
    realised = {("dump", 42): {"x": 0.7, "y": 0.3}, ("dump", 43): {"x": 0.9, "y": 0.1}}
    runs = [run("all", s2=SCORES), run("dump", 42, s2=SCORES), run("dump", 43, s2=SCORES)]
    records = collect(runs, {**MIXTURES, "dump": online}, ["x", "y"], GROUPS, realised)
    write_records(tmp_path / "records.csv", records)
    return read_records(tmp_path / "records.csv")


def test_an_online_run_has_the_weights_that_it_came_to(with_online):
    rows = with_online.frame.set_index(["mixture", "seed"])
    assert rows["w_x"].to_dict() == {("all", 42): 0.5, ("dump", 42): 0.7, ("dump", 43): 0.9}
    assert is_online(with_online.frame).tolist() == [False, True, True]
    table = table2(with_online, [Heading("seed", "All", ["all"]), Heading("online", "DUMP", ["dump"])])
    row = table.set_index("mixture").loc["dump"]
    assert (row["strategy"], row["seeds"], row["w_x"]) == ("DUMP (online)", 2, pytest.approx(0.8))


def test_nothing_is_learnt_from_an_online_run_and_no_weights_of_it_are_fitted(with_online):
    assert trained(with_online).frame["mixture"].tolist() == ["all"]
    headings = [Heading("seed", "All", ["all"]), Heading("online", "DUMP", ["dump"])]
    found = results_of(with_online, headings, GROUPS)
    assert found.online == {"dump"}
    assert results_of(with_online).mixtures["strategy"].tolist() == ["all", "dump (online)"]
    assert [bool(row) for row in np.isnan(found.weights()).all(axis=1)] == [False, True]
    # All stays the one of equal weights, and the verdict says whose weights it shows.
    assert found.places("all") == [0]
    verdict = verdict_of(found, "gp_sqrt")
    said = " ".join(words(verdict.model_copy(update={"online": True})))
    assert not verdict.online and "It was trained online" in said
    assert "It was trained online" not in " ".join(words(verdict))


def test_without_an_online_run_records_have_no_column_of_it():
    assert "online" not in collect([run("all", s2=SCORES)], MIXTURES, ["x", "y"], GROUPS).frame
