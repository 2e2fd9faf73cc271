"""Prompts whose completions all got the same reward: counted by domain, and what is left of the mixture without them."""

import json
import math

import numpy as np
import pytest
import tiny_runs

from modomodo.config.schema import Training
from modomodo.files import read_jsonl
from modomodo.training.groups import RewardColumns, groups_of, step_counts, teaching, with_shares
from modomodo.training.lessons import lessons
from modomodo.training.reward_functions import for_the_answer
from modomodo.training.settings import TrainSettings

NAN = math.nan


def test_a_group_teaches_where_its_summed_rewards_differ():
    accuracy = [1, 0, 1, 1, 0.7, 0.7, NAN, NAN]
    format_ = [1, 1, 1, 1, 0.1, 0.1, 0, 1]
    rewards = np.array([accuracy, format_], dtype=np.float32).T
    assert teaching(rewards, [2.0, 1.0], 2) == [True, False, False, True]
    assert teaching(rewards, [2.0, 0.0], 2) == [True, False, False, False]
    assert teaching(np.full((4, 1), NAN), [1.0], 2) == [False, False]  # no reward applies to any


def test_equal_rewards_are_equal_however_they_round():
    rewards = np.full((6, 2), 0.1, dtype=np.float32)  # whose mean is not 0.1 in float32
    assert teaching(rewards, [2.0, 1.0], 6) == [False]


def test_rewards_that_are_normalised_one_by_one_count_one_by_one():
    opposed = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert teaching(opposed, [1.0, 1.0], 2) == [False]
    assert teaching(opposed, [1.0, 1.0], 2, each=True) == [True]


def test_the_log_has_the_realised_and_the_effective_mixture():
    rows = [
        {"step": 1, **step_counts(["a", "b"], [True, False])},
        {"step": 2},  # learns from the same completions
        {"step": 3, **step_counts(["a", "a"], [True, False])},
        {"step": 4, **step_counts(["b", "b"], [False, True])},
    ]
    assert rows[0] == {
        "step": 1,
        "prompts/a": 1.0,
        "prompts/b": 1.0,
        "frac_reward_zero_std/a": 0.0,
        "frac_reward_zero_std/b": 1.0,
    }
    shares = [
        {key: value for key, value in row.items() if key.startswith(("realised", "effective"))}
        for row in with_shares(rows)
    ]
    assert shares[0] == {"realised/a": 0.5, "realised/b": 0.5, "effective/a": 1.0}
    assert shares[1] == shares[0]
    assert shares[2] == {"realised/a": 0.75, "realised/b": 0.25, "effective/a": 1.0}
    assert shares[3] == {
        "realised/a": 0.5,
        "realised/b": 0.5,
        "effective/a": 2 / 3,
        "effective/b": 1 / 3,
    }
    assert groups_of(rows) == {
        "effective": {"a": 2 / 3, "b": 1 / 3},
        "frac_reward_zero_std": {"a": 1 / 3, "b": 2 / 3},
    }
    assert groups_of([{"step": 1, "reward": 1.0}]) == {}  # a log of an earlier version


def test_what_is_judged_is_the_answer_and_not_its_form():
    settings = TrainSettings(
        training=Training(bf16=False, reward_weights={"accuracy": 2.0, "format": 1.0, "iou": 2.0}),
        dtype="float32",
        rewards={"maths": ["accuracy", "format"], "form": ["format"], "boxes": ["iou"], "shy": ["accuracy"]},
        reward_weights={"shy": {"accuracy": 0.5}},
    )
    judged = for_the_answer(settings)
    assert judged == {
        "maths": {"accuracy": 1.0},
        "form": {"format": 1.0},  # it has nothing else
        "boxes": {"iou": 1.0},
        "shy": {"accuracy": 0.25},
    }
    columns = RewardColumns(["accuracy", "format", "iou"], [2.0, 1.0, 2.0], 2, judged)
    rewards = [
        *([0, 1, NAN], [0, 0, NAN]),  # only the form differs
        *([NAN, 1, NAN], [NAN, 0, NAN]),
        *([NAN, NAN, 0.4], [NAN, NAN, 0.2]),
        *([0.25, NAN, NAN], [0, NAN, NAN]),  # of 0.25, which is all that can be earned
        *([NAN, NAN, NAN], [NAN, NAN, NAN]),
    ]
    found = columns.outcomes(np.array(rewards, dtype=np.float32), ["maths", "form", "boxes", "shy", "maths"])
    assert [one.taught for one in found] == [True, True, True, True, False]
    assert [one.right_differs for one in found] == [False, True, True, True, False]
    assert [one.success for one in found] == pytest.approx([0.0, 0.5, 0.3, 0.5, 0.0])
    # Two sums a distance d apart: each is d / 2 from the mean, by a deviation of d / sqrt(2).
    assert [one.advantage for one in found] == pytest.approx([0.7070, 0.7070, 0.7068, 0.7069, 0.0], abs=3e-4)


def test_a_domain_that_hardly_teaches_is_a_warning():
    taught = [{"step": i, **step_counts(["a", "b"], [i % 2 == 0, i == 0])} for i in range(20)]
    (text,) = lessons(taught, {"a": ["letters"], "b": ["letters"]}, "base", ["other"])
    assert text.startswith("b: for 95% of its prompts all completions got the same reward")


def test_a_training_counts_what_the_trainer_saw(tmp_path):
    base = tiny_runs.make_base(tmp_path)
    shown = tiny_runs.run(base, tmp_path / "run")
    log = [row for _, row in read_jsonl(tmp_path / "run/log.jsonl")]
    for texts, row in zip(shown, log, strict=True):
        lengths = [len(text.partition(": ")[2]) for text in texts]
        flat = sum(len(set(lengths[start : start + 4])) == 1 for start in (0, 4)) / 2
        assert row["prompts/colours"] == 2
        assert row["frac_reward_zero_std/colours"] == flat == pytest.approx(row["frac_reward_zero_std"])
        assert row["realised/colours"] == 1
    assert json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[-1])["effective/colours"] == 1
