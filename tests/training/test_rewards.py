"""The rewards by hand, in the shape in which TRL asks for them."""

import json
from typing import Literal

import pytest

from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.metrics.metric import TEXTS, Score, metric, metrics
from modomodo.training.rewards import columns, reward, reward_of, rewards

TRUTH = [[0, 0, 10, 10]]
GOOD = "<think>so</think><answer>{}</answer>"


def data(answer, answer_type, size=1):
    row = {"id": "7", "dataset": "d", "answer": json.dumps(answer), "answer_type": answer_type}
    fields = {"image": "a.png", "question": "?", "meta": {"boxes": "0-1000"} if answer_type == "box" else {}}
    fields |= {"choices": ["red", "blue"]} if answer_type == "choice" else {}
    row["example"] = json.dumps(row | fields | {"answer": answer})
    return {name: [value] * size for name, value in row.items()}


def give(name, answer, truth, answer_type):
    return rewards[name](["?"], [GOOD.format(answer)], **data(truth, answer_type))[0]


def test_format_is_one_or_zero_for_every_answer_type():
    completions = [GOOD.format("B"), "B", GOOD.format("")]
    for answer, answer_type in [("B", "choice"), ("red", "text"), ("3", "number"), (TRUTH, "box")]:
        assert rewards["format"](["?"] * 3, completions, **data(answer, answer_type, 3)) == [1, 0, 1]


def test_accuracy_is_exact_match():
    assert give("accuracy", " B ", "B", "choice") == 1
    assert give("accuracy", "b", "B", "choice") == 0
    assert give("accuracy", "B.", "B", "choice") == 0
    assert give("accuracy", "to the left", "to the left", "text") == 1
    assert give("accuracy", "3.0", "3", "number") == 0
    assert give("accuracy", "", "3", "number") == 0
    assert give("accuracy", "[0, 0, 10, 10]", TRUTH, "box") is None


@pytest.mark.parametrize("name", ["iou", "iou_visual_rft"])
def test_iou_of_one_box(name):
    assert give(name, "[{'Position': [0, 0, 10, 8], 'Confidence': 1}]", TRUTH, "box") == pytest.approx(0.8)
    assert give(name, "[0, 0, 10, 10]", TRUTH, "box") == 1
    assert give(name, "[20, 20, 30, 30]", TRUTH, "box") == 0
    assert give(name, "No Objects", TRUTH, "box") == 0
    assert give(name, "on the left", TRUTH, "box") == 0
    assert give(name, "B", "B", "choice") is None


def test_the_two_forms_of_iou_differ_as_documented():
    half = "[0, 0, 10, 5]"  # IoU 0.5, not above the threshold
    assert give("iou", half, TRUTH, "box") == 0.5
    assert give("iou_visual_rft", half, TRUTH, "box") == 0
    twice = "[[0, 0, 10, 10], [0, 0, 10, 10]]"
    assert give("iou", twice, TRUTH, "box") == 0.5
    assert give("iou_visual_rft", twice, TRUTH, "box") == 1


@pytest.mark.parametrize("name", ["iou", "iou_visual_rft"])
def test_iou_of_several_boxes(name):
    two = [[0, 0, 10, 10], [20, 0, 30, 10]]
    both = (
        "[{'Position': [20, 0, 30, 10], 'Confidence': 0.9}, {'Position': [0, 0, 10, 8], 'Confidence': 0.5}]"
    )
    assert give(name, both, two, "box") == pytest.approx((1 + 0.8) / 2)
    assert give(name, "[0, 0, 10, 8]", two, "box") == pytest.approx(0.8 / 2)
    # The most confident takes the one true box first, so the better one behind it finds none left.
    greedy = (
        "[{'Position': [0, 0, 10, 8], 'Confidence': 0.9}, {'Position': [0, 0, 10, 10], 'Confidence': 0.5}]"
    )
    assert give(name, greedy, TRUTH, "box") == pytest.approx(0.8 / 2)


def test_a_broken_format_zeroes_what_applies():
    broken = "<answer>B</answer>"
    about_text = {"accuracy", *(name for name in metrics if metrics[name].answers == TEXTS)}
    about_boxes = {"iou", "iou_visual_rft", "mean_iou", "mean_iou_matched"}
    for name in rewards:
        right = rewards[name](["?"], [broken], **data("B", "choice"))[0]
        box = rewards[name](["?"], ["[0, 0, 10, 10]"], **data(TRUTH, "box"))[0]
        assert right == (None if name in about_boxes else 0)
        assert box == (None if name in about_text else 0)


def test_conversational_completions_and_trls_extra_columns():
    completions = [
        [{"role": "assistant", "content": GOOD.format("B")}],
        [{"role": "assistant", "content": [{"type": "text", "text": GOOD.format("B")}]}],
        [{"role": "assistant", "content": GOOD.format("B")}, {"role": "assistant", "content": "B"}],
    ]
    prompts = [[{"role": "user", "content": "?"}]] * 3
    extra = {"trainer_state": None, "completion_ids": [[1], [2], [3]], "dataset": ["d"] * 3}
    assert rewards["accuracy"](prompts, completions, **data("B", "choice", 3) | extra) == [1, 1, 0]


def test_columns_of_an_example_are_what_rewards_read():
    row = {"id": "1", "dataset": "d", "image": "a.png", "question": "?", "answer": [[0, 0, 10, 10]]}
    box = Example.model_validate(row | {"answer_type": "box", "meta": {"boxes": "0-1000"}})
    made = columns(box)
    assert made["answer"] == "[[0.0,0.0,10.0,10.0]]"
    batch = {name: [value] for name, value in made.items()}
    assert rewards["iou"](["?"], [GOOD.format("[0, 0, 10, 10]")], **batch) == [1]


def test_a_failure_names_the_example_and_is_no_zero():
    with pytest.raises(InputError, match=r"reward 'iou': example '7' of d: TypeError: .*no list of \[x1"):
        give("iou", "[0, 0, 10, 10]", "B", "box")
    with pytest.raises(InputError, match="reward 'accuracy': example '7' of d: TypeError"):
        give("accuracy", "B", TRUTH, "choice")
    damaged = data("B", "choice") | {"answer": ["B"]}
    with pytest.raises(InputError, match="reward 'accuracy': example '7' of d: JSONDecodeError"):
        rewards["accuracy"](["?"], [GOOD.format("B")], **damaged)
    with pytest.raises(InputError, match="reward 'format': the data has no column 'answer_type'"):
        rewards["format"](["?"], ["B"], id=["7"], dataset=["d"], answer=["1"])


def test_options_of_ones_own_rewards_and_metrics():
    try:

        @reward("few_words_of_test")
        def few(completion, truth, answer_type, words=3, mark: Literal["a", "b"] = "a"):
            return float(len(completion.split()) <= words)

        @metric("close_of_test", version=1)
        def close(answer, example, step: float):
            return Score(1 / (len(answer) - step))

        batch = (["?"], ["one two three four"])
        assert reward_of("few_words_of_test")(*batch, **data("B", "choice")) == [0]
        assert reward_of({"few_words_of_test": {"words": 4}})(*batch, **data("B", "choice")) == [1]
        for options, said in (
            ({"word": 4}, "unknown option: did you mean 'words'"),
            ({"words": "x"}, "valid number"),
            ({"mark": "c"}, "should be 'a' or 'b'"),
        ):
            with pytest.raises(InputError, match=rf"domains\.d\.rewards\.few\S+: .*{said}"):
                reward_of({"few_words_of_test": options}, "domains.d.rewards.few_words_of_test")
        with pytest.raises(InputError, match="step: missing"):
            reward_of("close_of_test")
        with pytest.raises(
            InputError, match=r"'close_of_test': example '7' of d: \S+test_rewards\.py:\d+: Zero"
        ):
            reward_of({"close_of_test": {"step": 1.0}})(["?"], [GOOD.format("B")], **data("B", "choice"))
    finally:
        rewards._functions.pop("few_words_of_test", None)
        metrics._functions.pop("close_of_test", None)


def test_rewards_of_ones_own():
    try:

        @reward("brevity_of_test")
        def brevity(completion, truth, answer_type):
            return float("nan") if "nan" in completion else 1 / len(completion)

        assert brevity(["?"] * 2, ["ab", "abcd"], **data("B", "choice", 2)) == [0.5, 0.25]
        assert brevity.__name__ == "brevity_of_test"
        with pytest.raises(InputError, match="example '7' of d: ValueError: value nan is not finite"):
            brevity(["?"], ["nan"], **data("B", "choice"))
        with pytest.raises(
            InputError, match=r"example '7' of d: \S+test_rewards\.py:\d+: ZeroDivisionError: div"
        ):
            brevity(["?"], [""], **data("B", "choice"))
        with pytest.raises(InputError, match="registered twice"):
            reward("accuracy")(lambda completion, truth, answer_type: 1.0)
    finally:
        rewards._functions.pop("brevity_of_test", None)
