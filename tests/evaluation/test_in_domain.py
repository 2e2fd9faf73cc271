"""What a run gains on its own domain: by hand."""

import math

import pytest

from modomodo.errors import InputError
from modomodo.evaluation.in_domain import compare, gain, table, verdict
from modomodo.evaluation.settings import InDomainSettings
from modomodo.mixtures.plan import plan
from modomodo.study.checks import study_from

HELD_OUT = {"loader": "boards", "options": {"domain": "science", "size": 10}, "metric": "exact_match"}


def test_a_gain_is_the_mean_of_the_differences_with_their_standard_error():
    # Differences 1, 0, 1, 0: mean 1/2, sample standard deviation sqrt(1/3), over sqrt(4).
    gained = gain([0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0])
    assert gained.n == 4
    assert gained.score == pytest.approx(0.5)
    assert gained.standard_error == pytest.approx(math.sqrt(1 / 3) / 2)


def test_a_loss_is_negative():
    assert gain([1.0, 1.0, 0.5], [0.0, 0.5, 0.5]).score == pytest.approx(-0.5)


def test_gains_that_are_all_the_same_are_not_certain_either():
    # Jeffreys' posterior after 0 of 2, Beta(1/2, 5/2), has the variance 1.25 / (9 · 4).
    error = math.sqrt(1.25 / 36)
    for before, after in (([0.0, 0.0], [1.0, 1.0]), ([1.0, 1.0], [0.0, 0.0]), ([1.0, 0.0], [1.0, 0.0])):
        assert gain(before, after).standard_error == pytest.approx(error)
    assert compare([0.0, 0.0], [1.0, 1.0])["standard_errors"] == pytest.approx(1 / error)


def test_questions_about_one_image_gain_together():
    # Differences 1, 1, 0, 0 of two images: as sure as two questions that gain 1 and 0.
    together = gain([0.0] * 4, [1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"])
    assert together.standard_error == pytest.approx(gain([0.0] * 2, [1.0, 0.0]).standard_error)
    assert (
        compare([0.0] * 4, [1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"])["gain_se"] == together.standard_error
    )


def test_another_number_of_answers_is_refused():
    with pytest.raises(InputError, match="2 scores of the base model, 1 of the trained one"):
        gain([0.0, 1.0], [1.0])


def test_the_table_and_its_verdict():
    before, after = [0.0] * 20, [1.0] * 15 + [0.0] * 5  # 0.75 in standard errors of sqrt(.75 * .25 / 19)
    lines = [
        {"domain": "relation", "mixture": "single-relation", **compare(before, after)},
        {"domain": "science", "mixture": "single-science", **compare(before, [1.0] + [0.0] * 19)},
    ]
    frame = table(lines)
    assert list(frame["domain"]) == ["relation", "science"]
    assert frame["standard_errors"][0] == pytest.approx(0.75 / math.sqrt(0.75 * 0.25 / 19))
    assert frame["base"][0] == 0.0 and frame["trained"][0] == 0.75 and frame["questions"][0] == 20
    assert "1 of 2 rise" in verdict(frame) and "(not: science, 1.0)" in verdict(frame)
    assert verdict(frame[:1]).endswith("more than 3 standard errors")


def test_the_run_on_a_domain_alone_is_found(study_data):
    study_data["held_out"] = {"science": HELD_OUT}
    assert plan(study_from(study_data, "study.yaml")).singles == {"science": "single-science"}


def test_held_out_questions_are_a_dataset_like_any_other(study_data):
    study_data["held_out"] = {"science": HELD_OUT}
    assert list(study_from(study_data, "study.yaml").datasets)[-1] == "science_held_out"


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ({"sience": HELD_OUT}, "held_out.sience: unknown domain: did you mean 'science'"),
        (
            {"science": {**HELD_OUT, "metric": "exact_mach"}},
            "held_out.science.metric: .*did you mean 'exact_match'",
        ),
        ({"science": {**HELD_OUT, "loader": "bords"}}, "held_out.science.loader: .*did you mean 'boards'"),
        ({"science": {**HELD_OUT, "group": "in"}}, "held_out.science.group: unknown key"),
    ],
)
def test_bad_held_out_questions_are_refused(study_data, held_out, message):
    study_data["held_out"] = held_out
    with pytest.raises(InputError, match=message):
        study_from(study_data, "study.yaml")


def test_a_domain_that_no_mixture_is_alone_is_refused(study_data):
    study_data["held_out"] = {"science": HELD_OUT}
    del study_data["strategies"]["single"]
    with pytest.raises(InputError, match="held_out.science: no mixture is science alone: add a strategy"):
        plan(study_from(study_data, "study.yaml"))


def test_a_benchmark_of_the_same_file_is_refused(study_data):
    study_data["held_out"] = {"science": HELD_OUT}
    study_data["benchmarks"]["science_held_out"] = study_data["benchmarks"]["chart"]
    with pytest.raises(InputError, match="its examples would be science_held_out.jsonl"):
        study_from(study_data, "study.yaml")


def test_held_out_questions_may_have_templates_of_their_own(study_data):
    study_data["held_out"] = {"science": {**HELD_OUT, "prompts": {"choice": "Say the letter."}}}
    step = InDomainSettings.of(study_from(study_data, "study.yaml"))
    assert step.own_prompts["science_held_out"].choice == "Say the letter."
