"""What lies between a study and TRL: rewards by domain, arguments, the stream's order, and checkpoint steps.

The one module of the quick tests that imports modomodo.training.trainer, which takes seconds.
"""

import json
import os
import signal
from pathlib import Path

import PIL.Image
import pytest
from trl.data_utils import prepare_multimodal_messages

from modomodo.config.schema import Judge, Templates, Training
from modomodo.data.examples import Example
from modomodo.data.prompts import messages
from modomodo.errors import InputError
from modomodo.metrics import judge as judging
from modomodo.study.checks import study_from
from modomodo.training.callbacks import SaveOnSignal, StopAt, write_log
from modomodo.training.reward_functions import reward_functions, summed_weights
from modomodo.training.run_folder import link_shared_checkpoints
from modomodo.training.settings import TrainSettings
from modomodo.training.stream_trainer import one_placeholder_per_image
from modomodo.training.trainer import training_dataset
from modomodo.training.trl_arguments import trainer_arguments

RIGHT = "<think>one and two</think><answer>3</answer>"
WRONG = "<think>no idea</think><answer>4</answer>"
BROKEN = "3"
BOX = "<think>there</think><answer>[{'Position': [0, 0, 10, 10], 'Confidence': 0.9}]</answer>"
HALF = "<think>there</think><answer>[{'Position': [0, 0, 10, 5], 'Confidence': 0.9}]</answer>"


def functions_of(rewards, **settings):
    training = Training(bf16=False, **settings.pop("training", {}))
    return reward_functions(
        TrainSettings(training=training, dtype="float32", rewards=rewards, **settings), Path("run")
    )


def call(function, rows):
    """A reward of rows (dataset, answer type, answer, completion), and what it logged."""
    values_of = {}

    def log_metric(name, value):
        values_of.setdefault(name, []).append(value)

    values = function(
        prompts=["?"] * len(rows),
        completions=[[{"role": "assistant", "content": completion}] for *_, completion in rows],
        completion_ids=[[1]] * len(rows),
        id=[str(i) for i in range(len(rows))],
        dataset=[dataset for dataset, *_ in rows],
        answer_type=[kind for _, kind, _, _ in rows],
        answer=[json.dumps(answer) for _, _, answer, _ in rows],
        example=[example_of(str(i), row) for i, row in enumerate(rows)],
        log_metric=log_metric,
        log_extra=lambda *_: None,
        trainer_state=None,
    )
    # What TRL makes of them: the mean over all values, of all processes.
    return values, {name: sum(values) / len(values) for name, values in values_of.items()}


def rewards_in(logged):
    return {name: value for name, value in logged.items() if name.startswith("rewards/")}


def example_of(identity, row):
    dataset, kind, answer, _ = row
    meta = {"boxes": "0-1000"} if kind == "box" else {}
    fields = {"id": identity, "dataset": dataset, "image": "a.png", "question": "?", "meta": meta}
    return Example(**fields, answer_type=kind, answer=answer).model_dump_json()


MIXED = [
    ("science", "number", "3", RIGHT),
    ("relation", "number", "3", RIGHT),
    ("science", "number", "3", WRONG),
    ("boxes", "box", [[0, 0, 10, 10]], HALF),
    ("relation", "number", "3", BROKEN),
    ("boxes", "box", [[0, 0, 10, 10]], BOX),
]
WANTED = {"science": ["accuracy", "format"], "relation": ["format"], "boxes": ["iou"]}


def test_there_is_one_function_a_reward_in_a_fixed_order():
    functions = functions_of(WANTED)
    assert [function.__name__ for function in functions] == ["accuracy", "format", "iou"]
    other_order = {domain: WANTED[domain][::-1] for domain in reversed(WANTED)}
    assert [function.__name__ for function in functions_of(other_order)] == ["accuracy", "format", "iou"]


def test_rows_of_domains_that_do_not_name_a_reward_get_none():
    accuracy, form, iou = (call(function, MIXED)[0] for function in functions_of(WANTED))
    assert accuracy == [1.0, None, 0.0, None, None, None]
    assert form == [1.0, 1.0, 1.0, None, 0.0, None]
    assert iou == [None, None, None, 0.5, None, 1.0]


def test_means_are_logged_by_domain():
    accuracy, form, iou = (rewards_in(call(function, MIXED)[1]) for function in functions_of(WANTED))
    assert accuracy == {"rewards/science/accuracy": 0.5}
    assert form == {"rewards/science/format": 1.0, "rewards/relation/format": 0.5}
    assert iou == {"rewards/boxes/iou": 0.75}


def test_a_reward_that_does_not_apply_to_an_answer_is_no_zero_in_the_mean():
    # accuracy is None for a box: were it 0, the domain's mean would be 0.5.
    rows = [("mixed", "number", "3", RIGHT), ("mixed", "box", [[0, 0, 10, 10]], BOX)]
    (function,) = functions_of({"mixed": ["accuracy"]})
    assert call(function, rows) == ([1.0, None], {"rewards/mixed/accuracy": 1.0})


def test_a_batch_without_the_reward_logs_nothing():
    accuracy = functions_of(WANTED)[0]
    assert call(accuracy, [("boxes", "box", [[0, 0, 1, 1]], BOX)]) == ([None], {})


def test_an_unknown_reward_is_told():
    with pytest.raises(InputError, match="unknown reward 'acuracy': did you mean 'accuracy'?"):
        functions_of({"science": ["acuracy"]})


# --- options, weights, metrics ------------------------------------------------------------------------------


def test_domains_call_a_reward_with_their_own_options_and_weights():
    wanted = {
        "science": [{"number": {"rel_tol": 0.5}}],
        "relation": ["number"],
        "boxes": ["number", "format"],
    }
    own = {"science": {"number": 1.0}, "boxes": {"format": 0.5}}
    form, number = functions_of(wanted, reward_weights=own, training={"reward_weights": {"number": 4.0}})
    rows = [(domain, "number", "4", RIGHT) for domain in ("science", "relation")]
    assert call(number, rows) == (
        [0.25, 0.0],  # of 1, in a sum that gives it 4
        {"rewards/science/number": 1.0, "rewards/relation/number": 0.0}
        | {"unparsed/science/number": 0.0, "unparsed/relation/number": 0.0},
    )
    assert (form.__name__, number.__name__) == ("format", "number")


def test_the_weights_of_the_sum():
    wanted = {"science": ["math", "format"], "boxes": ["iou", {"length": {"limit": 9}}]}
    settings = TrainSettings(training=Training(bf16=False), dtype="float32", rewards=wanted)
    assert summed_weights(settings) == {"math": 2.0, "format": 1.0, "iou": 2.0, "length": 1.0}
    changed = settings.model_copy(update={"reward_weights": {"science": {"math": -3.0}}})
    assert summed_weights(changed)["math"] == -3.0


def test_a_metric_as_a_reward_is_asked_about_its_own_domains_alone():
    (function,) = functions_of({"relation": ["number"]})
    unreadable = ("science", "text", "blue", RIGHT)  # would be an error
    values, logged = call(
        function, [unreadable, ("relation", "number", "3", RIGHT), ("relation", "number", "3", BROKEN)]
    )
    assert values == [None, 1.0, 0.0]
    assert logged == {"rewards/relation/number": 0.5, "unparsed/relation/number": 0.0}
    assert call(function, [unreadable]) == ([None], {})


def test_a_judge_as_a_reward_is_asked_once_and_its_replies_are_kept(tmp_path, monkeypatch):
    asked = []

    def reply(prompt, judge, client):
        asked.append(prompt)
        return "yes" if "3" in prompt.partition("<<<")[2] else "no"

    monkeypatch.setattr(judging, "_ask", reply)
    monkeypatch.setattr(judging, "_client", lambda judge: None)
    settings = TrainSettings(
        training=Training(bf16=False), dtype="float32", rewards={"science": ["judge"]}, judge=Judge(model="m")
    )
    rows = [("science", "text", "three", text) for text in (RIGHT, WRONG, RIGHT, BROKEN)]
    for _ in range(2):  # again, as a resumed run does
        (function,) = reward_functions(settings, tmp_path)
        assert call(function, rows)[0] == [1.0, 0.0, 1.0, 0.0]
        assert len(asked) == 2
    assert len((tmp_path / "judge.0.jsonl").read_text().splitlines()) == 2


def test_a_study_hands_its_judge_to_a_training_that_asks_it(study_data):
    study_data["judge"] = {"model": "m"}
    assert TrainSettings.of(study_from(study_data, "study.yaml")).judge is None
    study_data["domains"]["science"]["rewards"] = ["format", "judge"]
    study = study_from(study_data, "study.yaml")
    assert TrainSettings.of(study).judge == study.judge
    assert TrainSettings.of(study, ["boxes"]).judge is None


def test_what_looks_like_a_hacked_reward_is_watched():
    *_, last = functions = functions_of(
        {"science": ["accuracy", "format"], "boxes": ["iou"], "relation": ["format"]}
    )
    early = "<think><answer>3</answer></think><answer>4</answer>"
    rows = [
        ("science", "number", "3", RIGHT),
        ("science", "number", "3", WRONG),
        ("science", "number", "3", BROKEN),
        ("science", "number", "3", early),
        ("relation", "number", "3", "<answer>3</answer><think></think>"),
        ("boxes", "box", [[0, 0, 10, 10]], WRONG),
    ]
    for _ in range(2):  # a step after the other
        logged = [call(function, rows)[1] for function in functions]
        assert not any(name.startswith("watch/") for before in logged[:-1] for name in before)
        watched = {name: value for name, value in logged[-1].items() if name.startswith("watch/")}
        assert watched == {
            "watch/science/format_alone": 0.5,
            "watch/science/answer_before_thought": 0.25,
            "watch/science/tags_repeated": 0.25,
            # Without a reward for the answer there is nothing to be alone of.
            "watch/relation/answer_before_thought": 1.0,
            "watch/relation/tags_repeated": 0.0,
        }
    assert last.__name__ == "iou"


# --- arguments ----------------------------------------------------------------------------------------------


def test_the_papers_settings_in_trls_words(tmp_path):
    arguments = trainer_arguments(Training(bf16=False), tmp_path, 42, ["accuracy", "format", "iou"])
    assert (arguments.max_steps, arguments.warmup_steps) == (2000, 200)
    assert arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps == 12
    assert arguments.num_generations == 6
    assert (arguments.learning_rate, arguments.beta, arguments.loss_type) == (1e-6, 0.04, "grpo")
    assert str(arguments.lr_scheduler_type.value) == "linear"
    assert arguments.reward_weights == [2.0, 1.0, 2.0]
    assert not arguments.shuffle_dataset
    assert (arguments.seed, arguments.data_seed) == (42, 42)


def test_accumulation_divides_the_batch_and_keeps_the_completions(tmp_path):
    arguments = trainer_arguments(
        Training(bf16=False, gradient_accumulation_steps=4), tmp_path, 7, ["format"]
    )
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == (3, 4)
    assert arguments.generation_batch_size == 12
    assert arguments.reward_weights == [1.0]


def test_the_dataset_is_the_stream_in_its_order(tmp_path, example_fields):
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "i.png")
    ids = ["3", "1", "2"]
    rows = [(Example(**example_fields(id=i, image="i.png")), tmp_path) for i in ids]
    dataset = training_dataset(rows, Templates(number="Think.", separator=" "))
    assert dataset["id"][:] == ids
    assert dataset[0]["prompt"] == [{"role": "user", "content": "How many? Think."}]
    assert [image.size for image in dataset[0]["images"]] == [(4, 4)]
    assert {"dataset", "answer", "answer_type"} <= set(dataset.column_names)
    assert json.loads(dataset[0]["answer"]) == "3"


def test_a_question_about_several_images_shows_them_all_in_order(tmp_path, example_fields):
    for width in (4, 5, 6):
        PIL.Image.new("RGB", (width, 4)).save(tmp_path / f"{width}.png")
    one = Example(**example_fields(id="1", image="4.png"))
    two = Example(**example_fields(id="2", image="6.png", meta={"images": ["5.png"]}))
    dataset = training_dataset([(one, tmp_path), (two, tmp_path)], Templates())
    assert [[image.width for image in row["images"]] for row in dataset] == [[4], [6, 5]]
    # As TRL makes messages of the column: a place for each image, then the question.
    (message,) = prepare_multimodal_messages(dataset[1]["prompt"], images=dataset[1]["images"])
    assert [part["type"] for part in message["content"]] == ["image", "image", "text"]


def test_images_stand_where_the_question_marks_them_in_training_as_in_prediction(tmp_path, example_fields):
    for width in (4, 5):
        PIL.Image.new("RGB", (width, 4)).save(tmp_path / f"{width}.png")
    question = "Is <image> wider than <image>?"
    marked = Example(**example_fields(id="1", image="5.png", meta={"images": ["4.png"]}, question=question))
    plain = Example(**example_fields(id="2", image="4.png"))
    text = Example(**example_fields(id="3", image=""))
    dataset = training_dataset([(row, tmp_path) for row in (marked, plain, text)], Templates())
    for row, example in zip(dataset, (marked, plain, text), strict=True):
        (trained,) = prepare_multimodal_messages(row["prompt"], images=row["images"])
        (asked,) = messages(example, Templates())
        assert [(part["type"], part.get("text")) for part in trained["content"]] == [
            (part["type"], part.get("text")) for part in asked["content"]
        ]
        shown = [part["image"].width for part in trained["content"] if part["type"] == "image"]
        assert shown == [image.width for image in row["images"]]


# --- checkpoint steps ----------------------------------------------------------------------------------------------


def test_marks_past_the_end_are_links_to_the_first_of_them(tmp_path):
    (tmp_path / "checkpoint-500").mkdir()
    (tmp_path / "checkpoint-1500").mkdir()
    (tmp_path / "checkpoint-1500" / "model.safetensors").write_bytes(b"last")
    for _ in range(2):  # again, as a resumed run does
        link_shared_checkpoints(tmp_path, {2000: 663, 500: 500, 1500: 663})
    assert not (tmp_path / "checkpoint-500").is_symlink()
    assert (tmp_path / "checkpoint-2000").readlink().name == "checkpoint-1500"
    assert (tmp_path / "checkpoint-2000" / "model.safetensors").read_bytes() == b"last"


def test_marks_that_are_all_reached_are_no_links(tmp_path):
    for step in (2, 7):
        (tmp_path / f"checkpoint-{step}").mkdir()
    link_shared_checkpoints(tmp_path, {2: 2, 7: 7})
    assert not any(path.is_symlink() for path in tmp_path.iterdir())


def test_training_stops_with_the_stream():
    class State:
        global_step = 0
        should_training_stop = False

    state, control = State(), State()
    for step, stops in ((661, False), (662, False), (663, True)):
        state.global_step = step
        StopAt(lambda: 663).on_step_end(None, state, control)
        assert control.should_training_stop is stops


def test_the_log_holds_no_durations_and_only_steps(tmp_path):
    history = [
        {"step": 1, "reward": 0.5, "loss": 0.1, "step_time": 3.2, "kl": 0.0},
        {"step": 2, "reward": 0.75, "kl": 0.01},
        {"step": 2, "train_runtime": 9.0, "train_loss": 0.1},
    ]
    write_log(tmp_path, history)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert lines == [
        '{"step": 1, "kl": 0.0, "loss": 0.1, "reward": 0.5}',
        '{"step": 2, "kl": 0.01, "reward": 0.75}',
    ]


def test_a_training_told_to_stop_saves_after_the_step_at_hand():
    class State:
        global_step = 0
        should_save = should_training_stop = False
        device = "cpu"

    before = signal.getsignal(signal.SIGTERM)
    try:
        callback = SaveOnSignal(last_step=lambda: 9)
        state, control = State(), State()
        state.global_step = 3
        callback.on_step_end(State, state, control)
        assert not control.should_save
        os.kill(os.getpid(), signal.SIGTERM)
        state.global_step = 4
        callback.on_step_end(State, state, control)
        assert control.should_save and control.should_training_stop and callback.stopped_at == 4
        # At the last step there is nothing to go on with: the run is finished, not interrupted.
        state.global_step, callback.stopped_at = 9, None
        callback.on_step_end(State, state, control)
        assert callback.stopped_at is None
    finally:
        signal.signal(signal.SIGTERM, before)


def test_each_image_has_one_mark_for_vllm():
    assert one_placeholder_per_image([1, 5, 5, 5, 2, 5, 5, 3], 5) == [1, 5, 2, 5, 3]
    assert one_placeholder_per_image([5, 5], 5) == [5]
    assert one_placeholder_per_image([1, 1, 2], 5) == [1, 1, 2]
