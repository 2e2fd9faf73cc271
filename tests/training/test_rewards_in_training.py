"""What lies between a study and TRL: rewards by domain, arguments, the stream's order, and checkpoint steps.

The one module of the quick tests that imports modomodo.training.trainer, which takes seconds.
"""

import json
import os
import signal

import PIL.Image
import pytest
from trl.data_utils import prepare_multimodal_messages

from modomodo.config.schema import Templates, Training
from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.training.stream_trainer import one_placeholder_per_image
from modomodo.training.trainer import (
    SaveOnSignal,
    StopAt,
    link_shared_checkpoints,
    reward_functions,
    trainer_arguments,
    training_dataset,
    write_log,
)

RIGHT = "<think>one and two</think><answer>3</answer>"
WRONG = "<think>no idea</think><answer>4</answer>"
BROKEN = "3"
BOX = "<think>there</think><answer>[{'Position': [0, 0, 10, 10], 'Confidence': 0.9}]</answer>"
HALF = "<think>there</think><answer>[{'Position': [0, 0, 10, 5], 'Confidence': 0.9}]</answer>"


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
        log_metric=log_metric,
        log_extra=lambda *_: None,
        trainer_state=None,
    )
    # What TRL makes of them: the mean over all values, of all processes.
    return values, {name: sum(values) / len(values) for name, values in values_of.items()}


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
    functions = reward_functions(WANTED)
    assert [function.__name__ for function in functions] == ["accuracy", "format", "iou"]
    other_order = {domain: WANTED[domain][::-1] for domain in reversed(WANTED)}
    assert [function.__name__ for function in reward_functions(other_order)] == ["accuracy", "format", "iou"]


def test_rows_of_domains_that_do_not_name_a_reward_get_none():
    accuracy, form, iou = (call(function, MIXED)[0] for function in reward_functions(WANTED))
    assert accuracy == [1.0, None, 0.0, None, None, None]
    assert form == [1.0, 1.0, 1.0, None, 0.0, None]
    assert iou == [None, None, None, 0.5, None, 1.0]


def test_means_are_logged_by_domain():
    accuracy, form, iou = (call(function, MIXED)[1] for function in reward_functions(WANTED))
    assert accuracy == {"rewards/science/accuracy": 0.5}
    assert form == {"rewards/science/format": 1.0, "rewards/relation/format": 0.5}
    assert iou == {"rewards/boxes/iou": 0.75}


def test_a_reward_that_does_not_apply_to_an_answer_is_no_zero_in_the_mean():
    # accuracy is None for a box: were it 0, the domain's mean would be 0.5.
    rows = [("mixed", "number", "3", RIGHT), ("mixed", "box", [[0, 0, 10, 10]], BOX)]
    (function,) = reward_functions({"mixed": ["accuracy"]})
    assert call(function, rows) == ([1.0, None], {"rewards/mixed/accuracy": 1.0})


def test_a_batch_without_the_reward_logs_nothing():
    accuracy = reward_functions(WANTED)[0]
    assert call(accuracy, [("boxes", "box", [[0, 0, 1, 1]], BOX)]) == ([None], {})


def test_an_unknown_reward_is_told():
    with pytest.raises(InputError, match="unknown reward 'acuracy': did you mean 'accuracy'?"):
        reward_functions({"science": ["acuracy"]})


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
        StopAt(663).on_step_end(None, state, control)
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
        callback = SaveOnSignal(last_step=9)
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
