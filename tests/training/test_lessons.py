"""Runs that learnt nothing, and rewards that teach nothing."""

import pytest

from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.training.lessons import lessons, unfit_rewards
from modomodo.training.rewards import reward, rewards

REWARDS = {"geometry": ["accuracy", "format"]}


def example(dataset: str, answer: object, answer_type: str, **fields: object) -> Example:
    base = {"id": "1", "dataset": dataset, "image": "a.png", "question": "?"}
    return Example.model_validate(base | {"answer": answer, "answer_type": answer_type} | fields)


CHOICE = example("geometry", "A", "choice", choices=["1", "2"])
BOX = example("boxes", [[0, 0, 1, 1]], "box", meta={"boxes": "0-1000"})


def test_a_reward_that_does_not_apply_to_its_domain_is_told_before_training():
    named = {"geometry": ["iou", "format"], "boxes": ["accuracy", "iou"], "unseen": ["iou"]}
    assert unfit_rewards(named, [CHOICE, CHOICE, BOX]) == [
        "geometry: the reward 'iou' does not apply to its answers (choice) and teaches nothing there: name another one",
        "boxes: the reward 'accuracy' does not apply to its answers (box) and teaches nothing there: name another one",
    ]
    # It applies to some of the rows.
    assert (
        unfit_rewards({"geometry": ["iou"]}, [CHOICE, BOX.model_copy(update={"dataset": "geometry"})]) == []
    )
    assert (
        unfit_rewards({"geometry": ["accuracy", "format"], "boxes": ["iou", "iou_visual_rft"]}, [CHOICE, BOX])
        == []
    )


def test_a_reward_that_cannot_be_asked_beforehand_is_not_judged():
    try:

        @reward("of_a_lesson")
        def score(completion: str, truth: object, answer_type: str) -> float:
            raise OSError("no network")

        assert unfit_rewards({"geometry": ["of_a_lesson"]}, [CHOICE]) == []
    finally:
        rewards._functions.pop("of_a_lesson", None)


def steps(count: int, **values: float) -> list[dict]:
    moving = {"frac_reward_zero_std": 0.5, "grad_norm": 1.0}
    return [moving | {"step": step} | values for step in range(1, count + 1)]


def test_a_run_that_learnt_nothing_says_so():
    assert lessons(steps(3), REWARDS, "base", ["other", "another"]) == []
    unchanged = "nothing was learnt: the weights are still the base model's"
    assert lessons(steps(3), REWARDS, "base", ["base", "base"]) == [unchanged]
    # The digest of a published model is that of other files, so the gradient counts too.
    flat = steps(3, frac_reward_zero_std=1.0, grad_norm=0.0)
    assert lessons(flat, REWARDS, "base", ["other"]) == [
        f"{unchanged}: all completions of a prompt always got the same reward"
    ]
    hardly = lessons(steps(3, frac_reward_zero_std=0.95), REWARDS, "base", ["other"])
    assert hardly == [
        "hardly anything could be learnt: for at least 90% of the prompts all completions got the same reward"
    ]


@pytest.mark.parametrize("value", [0.0, 1.0, 0.25])
def test_a_reward_of_always_the_same_value_is_told(value: float):
    log = steps(10, **{"rewards/geometry/accuracy": value, "rewards/geometry/format": 1.0})
    text = f"geometry: the reward 'accuracy' was {value:g} for every completion and taught nothing there"
    assert lessons(log, REWARDS, "base", ["other"]) == [text]
    assert lessons(log[:9], REWARDS, "base", ["other"]) == []  # too few steps to say
    log[0]["rewards/geometry/accuracy"] = 0.5
    assert lessons(log, REWARDS, "base", ["other"]) == []


def test_true_answers_that_a_metric_gives_less_than_1_are_told():
    rows = [example("maths", text, "number", id=text) for text in ("1", "2 km")]
    assert unfit_rewards({"maths": ["number", "math"]}, rows) == []
    required = {"number": {"unit": "km", "unit_required": True}}
    assert unfit_rewards({"maths": [required]}, rows) == [
        "maths: the reward 'number' gives 1 of 2 true answers less than 1, e.g. \"1\" of example '1': name another one"
    ]
    with pytest.raises(InputError, match="example '3' of maths: the true answer 'blue' gives no number"):
        unfit_rewards({"maths": ["number"]}, [*rows, example("maths", "blue", "text", id="3")])
    # Nothing is known of those beforehand.
    assert unfit_rewards({"maths": ["judge", {"length": {"limit": 1}}]}, rows) == []
    assert unfit_rewards({"boxes": ["number"]}, [BOX]) == [
        "boxes: the reward 'number' does not apply to its answers (box) and teaches nothing there: name another one"
    ]


def test_a_reward_that_knows_one_of_several_accepted_answers_is_told():
    rows = [example("a", "grey", "text", id="1"), example("a", "red", "text", id="2")]
    assert unfit_rewards({"a": ["accuracy"]}, rows) == []
    rows[0] = rows[0].model_copy(update={"meta": {"answers": ["grey", "gray"]}})
    assert unfit_rewards({"a": ["accuracy", "format", "exact_match"]}, rows) == [
        "a: the reward 'accuracy' knows the first of several accepted answers alone, 'gray' of example '1' earns less: "
        "name a metric, e.g. exact_match"
    ]


@pytest.mark.parametrize(
    ("kind", "share", "said"),
    [
        ("format_alone", 0.95, "90% of the completions earned the format and nothing for the answer"),
        ("answer_before_thought", 0.3, "20% of the completions answered before the end of the thinking"),
        ("tags_repeated", 0.3, "20% of the completions repeated a tag of the format"),
    ],
)
def test_completions_that_earn_without_an_answer_are_told_at_the_end_of_a_run(kind, share, said):
    log = steps(12, **{f"watch/geometry/{kind}": 0.0})
    assert lessons(log, REWARDS, "base", ["other"]) == []
    for row in log[-3:]:
        row[f"watch/geometry/{kind}"] = share
    text = f"geometry: in the last quarter of the steps more than {said}: read some of its predictions"
    assert lessons(log, REWARDS, "base", ["other"]) == [text]
    assert lessons(log[3:], REWARDS, "base", ["other"]) == []  # too few steps to say
    for row in log[:6]:
        row[f"watch/geometry/{kind}"] = share
    for row in log[-3:]:
        row[f"watch/geometry/{kind}"] = 0.0
    assert lessons(log, REWARDS, "base", ["other"]) == []  # and unlearnt
