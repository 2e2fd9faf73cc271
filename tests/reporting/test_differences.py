"""Differences between mixtures that answer the same questions, by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from modomodo.errors import InputError
from modomodo.mixtures.records import from_rows
from modomodo.reporting.differences import Differences, cross_fitted, near_best
from modomodo.reporting.questions import (
    QuestionScores,
    collect_questions,
    read_question_scores,
)
from modomodo.reporting.tables import mixture_means

RIGHT = {  # run → its values on questions 1 to 8 of chart and 1 to 4 of maths
    "base/0": ([0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1]),
    "a/1": ([1, 1, 1, 0, 0, 0, 1, 1], [1, 1, 0, 1]),
    "a/2": ([1, 1, 0, 0, 0, 0, 1, 1], [1, 0, 0, 1]),
    "b/1": ([1, 1, 1, 1, 1, 0, 1, 1], [1, 1, 0, 1]),
}
WEIGHTS = {"a": {"x": 1.0}, "b": {"y": 1.0}, "base": {}}


def questions_of(right=RIGHT, images=None):
    chart, maths = (len(part) for part in right["b/1"])
    frame = pd.DataFrame(
        {
            "benchmark": ["chart"] * chart + ["maths"] * maths,
            "question": [str(i) for i in range(chart + maths)],
            "image": images or [f"{i}.png" for i in range(chart + maths)],
            **{run: [*one, *two] for run, (one, two) in right.items()},
        }
    )
    return QuestionScores(frame)


def differences(right=RIGHT, images=None, paired=True, errors=0.1):
    rows = [
        {
            "mixture": run.partition("/")[0],
            "seed": int(run.partition("/")[2]),
            "step": 9,
            "weights": WEIGHTS[run.partition("/")[0]],
            "scores": {"chart": float(np.mean(one)), "maths": float(np.mean(two))},
            "standard_errors": {"chart": errors, "maths": errors},
        }
        for run, (one, two) in right.items()
    ]
    sizes = {"out_score": {"chart": 8, "maths": 4}}
    records = from_rows(rows, ["x", "y"], ["chart", "maths"], sizes)
    return Differences.of(records, mixture_means(records), questions_of(right, images) if paired else None)


ONE = {run: values for run, values in RIGHT.items() if run != "a/2"}  # nothing repeated


def test_a_difference_has_the_error_of_its_questions_differences():
    found = differences(ONE).between("b", "a", "chart")
    # 0, 0, 0, 1, 1, 0, 0, 0: mean 1/4, squared deviations 6/16 + 2 · 9/16 = 1.5; over 8 · 7.
    assert found.gap == pytest.approx(0.25)
    assert found.standard_error == pytest.approx(math.sqrt(1.5 / 56))
    apart = differences(ONE, paired=False).between("b", "a", "chart")
    assert apart.standard_error == pytest.approx(math.sqrt(2) * 0.1), (
        "as if they had answered other questions"
    )


def test_questions_about_one_image_count_together():
    images = [*"aabbccdd", *"efgh"]
    found = differences(ONE, images).between("b", "a", "chart")
    # Sums of the deviations: -1/2, +1/2, +1/2, -1/2; 4 · 1/4 · 4/3 over 8².
    assert found.standard_error == pytest.approx(math.sqrt(4 / 3) / 8)


def test_an_aggregate_adds_up_the_variances_of_its_benchmarks():
    found = differences(ONE).between("b", "a", "out_score")
    assert found.gap == pytest.approx(2 / 12)
    # On maths both answer alike, which is not certain: the deviation of Beta(1/2, 4.5).
    alike = 0.5 * 4.5 / (25 * 6)
    assert found.standard_error == pytest.approx(math.sqrt((8 / 12) ** 2 * 1.5 / 56 + (4 / 12) ** 2 * alike))


def test_a_mixture_with_several_seeds_is_compared_by_its_mean_and_the_noise_between_seeds_is_added():
    found = differences().between("b", "a", "chart")
    # a has 5/8 and 4/8: variance between seeds 1/128. The mean of a is right in 1, 1, 1/2, 0, 0, 0, 1, 1: differences
    # 0, 0, 1/2, 1, 1, 0, 0, 0 of mean 5/16 and Σ d² - 8 · mean² = 9/4 - 25/32.
    assert found.gap == pytest.approx(7 / 8 - 9 / 16)
    question = (9 / 4 - 25 / 32) / 56
    assert found.standard_error == pytest.approx(math.sqrt(question + (1 + 1 / 2) / 128))
    # The base model was not trained: it has no seeds.
    base = differences().between("a", "base", "maths")
    error = np.std([1, 0.5, 0, 0], ddof=1) ** 2 / 4
    assert base.standard_error == pytest.approx(math.sqrt(error + 0.5 / 32))


def test_what_is_within_noise_of_the_best():
    many = 50
    right = {
        "base/0": ([0] * many, [0] * 4),
        "a/1": ([1] * 40 + [0] * 10, [1, 1, 0, 0]),
        "b/1": ([1] * 46 + [0] * 4, [1, 1, 0, 0]),
    }
    # Six of fifty questions more, and none less: 0.12 ± 0.046. Errors of 0.056 and 0.038 of the scores say ± 0.068.
    assert near_best(differences(right).from_best("chart")).tolist() == [False, False, True]
    assert near_best(differences(right, paired=False, errors=0.05).from_best("chart")).tolist() == [
        *(False, True, True)
    ]


def test_nothing_can_be_told_apart_where_no_noise_is_known():
    found = differences(ONE, paired=False, errors=math.nan)
    assert math.isnan(found.between("b", "a", "chart").standard_error)
    assert not found.between("b", "base", "chart").beyond_noise


def test_a_run_without_scores_of_its_questions_is_compared_as_strangers_are():
    found = differences(ONE)
    assert found.paired("a", "b", "out_score")
    lacking = Differences(
        found.table, found.shares, found.noise, questions_of({k: v for k, v in ONE.items() if k != "a/1"})
    )
    assert not lacking.paired("a", "b", "out_score") and lacking.paired("base", "b", "out_score")
    assert lacking.between("b", "a", "chart").standard_error == pytest.approx(math.sqrt(2) * 0.1)


# --- the winner's luck ----------------------------------------------------------------------------------------


def coins(mixtures, seeds=1, count=200, better=0.0, seed=0):
    """Mixtures that answer at random; m0 is better by so much."""
    random = np.random.default_rng(seed)
    runs = {"base/0": random.random(count) < 0.3}
    for m in range(mixtures):
        runs |= {f"m{m}/{s}": random.random(count) < 0.5 + better * (m == 0) for s in range(seeds)}
    rows = [
        {
            "mixture": run.partition("/")[0],
            "seed": int(run.partition("/")[2]),
            "step": 9,
            "weights": {} if run == "base/0" else {"x": 1.0},
            "scores": {"chart": float(values.mean())},
        }
        for run, values in runs.items()
    ]
    records = from_rows(rows, ["x"], ["chart"], {"out_score": {"chart": count}})
    frame = pd.DataFrame({"benchmark": "chart", "question": range(count), "image": range(count)})
    questions = QuestionScores(frame.assign(**{run: values.astype(float) for run, values in runs.items()}))
    return Differences.of(records, mixture_means(records), questions)


def test_the_best_of_many_equal_mixtures_is_no_better_on_other_questions():
    fair, best = [], []
    for seed in range(20):
        found = coins(20, seed=seed)
        fair.append(cross_fitted(found, "out_score", ("base",)).score)
        best.append(found.table.loc[found.table["mixture"] != "base", "out_score"].max())
    assert np.mean(best) > 0.55, "the luckiest of twenty"
    # On these questions the mean of all is 0.5 ± 0.01; the luck is gone but for what halves of one sample share.
    assert np.mean(fair) == pytest.approx(0.5, abs=0.02)


def test_a_clear_winner_loses_nothing():
    found = coins(5, better=0.4)
    chosen = cross_fitted(found, "out_score", ("base", "m1"))
    row = found.table.set_index("mixture")["out_score"]
    assert chosen.score == pytest.approx(row["m0"], abs=1e-9) and chosen.luck == pytest.approx(0, abs=1e-9)
    assert chosen.leads["m1"] == pytest.approx(row["m0"] - row["m1"], abs=1e-9)
    assert list(chosen.leads) == ["base", "m1"]


def test_seeds_are_divided_as_the_questions_are():
    """A mixture that one seed alone makes look good is not confirmed by its other seed."""
    lucky = coins(2, seeds=2)
    frame = lucky.questions.frame.copy()
    frame[["m0/0", "m0/1", "m1/0", "m1/1"]] = [1.0, 0.0, 0.4, 0.4]
    found = Differences(lucky.table, lucky.shares, lucky.noise, QuestionScores(frame))
    # Half of the time m0 is seen by its good seed, chosen, and read at the bad one: 0; else m1 is chosen: 0.4.
    assert cross_fitted(found, "out_score").score == pytest.approx(0.2, abs=0.03)


def test_the_same_twice_and_nothing_without_questions():
    found = coins(4)
    assert cross_fitted(found, "out_score") == cross_fitted(coins(4), "out_score")
    assert cross_fitted(Differences(found.table, found.shares, found.noise), "out_score") is None
    assert cross_fitted(coins(1), "out_score") is None, "there was no choice"
    one_image = QuestionScores(found.questions.frame.assign(image="a.png"))
    assert cross_fitted(Differences(found.table, found.shares, found.noise, one_image), "out_score") is None


def test_errors_of_runs_that_answered_the_same_questions_go_together():
    found = coins(2, seeds=2, count=100)
    frame = found.questions.frame.copy()
    frame["m1/0"] = frame["m0/0"]  # alike
    scores = QuestionScores(frame)
    draw = scores.errors(["m0", "m0", "m1"], ["chart"])
    drawn = np.stack([draw(np.random.default_rng(seed)) for seed in range(500)])[:, :, 0]
    p = frame["m0/0"].mean()
    assert drawn[:, 0].std() == pytest.approx(math.sqrt(p * (1 - p) / 100), rel=0.1)
    assert (drawn[:, 2] == drawn[:, 0]).all(), "equal answers have equal errors"
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.3, "coins have nothing in common"
    assert scores.errors(["m0", "m0", "m0"], ["chart"]) is None and scores.errors(["m7"], ["chart"]) is None


# --- files --------------------------------------------------------------------------------------------------------


def run_file(folder, name, ids=("01", "NA"), values=(1.0, 0.5)):
    path = folder / f"{name.replace('/', '-')}.csv"
    frame = pd.DataFrame({"benchmark": "chart", "question": ids, "image": ["a.png", "b.png"], name: values})
    frame.to_csv(path, index=False)
    return path


def test_the_runs_tables_become_one(tmp_path):
    paths = [run_file(tmp_path, "a/1"), run_file(tmp_path, "a/2", values=(0.0, 1.0))]
    collect_questions(paths).to_csv(tmp_path / "question_scores.csv", index=False)
    found = read_question_scores(tmp_path / "question_scores.csv")
    assert found.frame["question"].tolist() == ["01", "NA"], "ids are text"
    assert found.runs == {"a": ["a/1", "a/2"]} and found.mean("a", "chart").tolist() == [0.5, 0.75]


def test_runs_scored_on_other_questions_are_reported(tmp_path):
    paths = [run_file(tmp_path, "a/1"), run_file(tmp_path, "b/1", ids=("01", "02"))]
    with pytest.raises(InputError, match=r"b-1\.csv: other questions than in .*a-1\.csv: delete both"):
        collect_questions(paths)
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_question_scores(tmp_path / "none.csv")
    (tmp_path / "odd.csv").write_text("benchmark,question\n")
    with pytest.raises(InputError, match=r"odd\.csv: no column 'image'"):
        read_question_scores(tmp_path / "odd.csv")
