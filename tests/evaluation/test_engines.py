"""Questions are prepared in batches as they are asked for, within a bound of memory; images are encoded once."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import PIL.Image
import pytest
import torch
from transformers import GenerationConfig

from modomodo.config.schema import Evaluation, Templates
from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.evaluation.engines.base import (
    BatchLimits,
    LazyBatches,
    prediction_of,
    render_prompts,
    stop_tokens,
)
from modomodo.evaluation.engines.hf import TransformersEngine, processor_inputs
from modomodo.evaluation.engines.vllm import VllmEngine
from modomodo.tiny.qwen2vl import make_model, make_processor
from modomodo.training.models import load_model
from modomodo.training.processors import load_processor


class Processor:
    """Notes what it is asked for; a question becomes as many floats as its images have pixels."""

    def __init__(self):
        self.calls = []

    def apply_chat_template(self, messages, **options):
        return messages[-1]["content"][-1]["text"]

    def __call__(self, text, images, **options):
        self.calls.append(len(text))
        return {
            "pixel_values": torch.arange(
                sum(image.width * image.height for of_one in images for image in of_one)
            )
        }


@pytest.fixture
def rows(tmp_path):
    """Six questions of growing length, each about an image of 10 x 10 pixels, the fifth of 30 x 10."""
    rows = []
    for number in range(6):
        width = 30 if number == 4 else 10
        PIL.Image.new("RGB", (width, 10)).save(tmp_path / f"{number}.png")
        example = Example(
            id=str(number),
            dataset="pages",
            image=f"{number}.png",
            question="word " * (number + 1),
            answer="3",
            answer_type="number",
        )
        rows.append((example, tmp_path))
    return rows


def lazy_batches(rows, processor, size, **limits):
    """Batches of the processor's tensors, as they are."""

    def prepare(prompts, images):
        inputs = processor_inputs(processor, prompts, images)
        return inputs, sum(tensor.nbytes for tensor in inputs.values())

    prompts = render_prompts(rows, processor, Templates())
    return LazyBatches(rows, prompts, prepare, BatchLimits(size, **limits))


def ids(batches):
    return [list(batch.ids) for batch in batches]


def test_batches_hold_questions_of_similar_length(rows):
    assert ids(lazy_batches(rows[::-1], Processor(), 4)) == [["0", "1", "2", "3"], ["4", "5"]]


def test_large_images_make_small_batches(rows):
    batches = lazy_batches(rows, Processor(), 4, pixels=250)
    assert ids(batches) == [["0", "1"], ["2", "3"], ["4"], ["5"]]
    assert len(batches) == 4


def test_nothing_is_prepared_before_it_is_asked_for(rows):
    processor = Processor()
    batches = iter(lazy_batches(rows, processor, 2))
    assert processor.calls == []
    next(batches)
    assert processor.calls == [2]


def test_batches_are_cached_for_the_next_checkpoint_up_to_a_bound(rows):
    processor = Processor()
    batches = lazy_batches(rows, processor, 2, cache_bytes=2 * 200 * 8)  # int64: the first two of three
    first = [batch.inputs["pixel_values"].tolist() for batch in batches]
    assert processor.calls == [2, 2, 2]
    assert [batch.inputs["pixel_values"].tolist() for batch in batches] == first
    assert processor.calls == [2, 2, 2, 2]
    assert ids(batches) == [["0", "1"], ["2", "3"], ["4", "5"]]


def test_an_image_that_went_bad_is_named(rows, tmp_path):
    batches = lazy_batches(rows, Processor(), 2)
    data = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"pages\.jsonl: id '3': image: .*3\.png cannot be read"):
        list(batches)


# --- the end of a completion ------------------------------------------------------------------------------------


ENDS = [(None, {"im_end"}), ("endoftext", {"im_end", "endoftext"}), ("both", {"im_end", "endoftext"})]


def with_end(checkpoint: Path, end: str | None, folder: Path) -> Path:
    """A copy whose generation_config.json names another end than the tokenizer's <|im_end|>, or none."""
    shutil.copytree(checkpoint, folder)
    token = load_processor(checkpoint).tokenizer.convert_tokens_to_ids
    named = {"endoftext": token("<|endoftext|>"), "both": [token("<|endoftext|>"), token("<|im_end|>")]}
    settings = {"eos_token_id": named[end]} if end else {}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def vllm(monkeypatch):
    """A vLLM that only takes what it is told."""
    taken = SimpleNamespace(LLM=lambda **options: None, SamplingParams=lambda **options: options)
    monkeypatch.setitem(sys.modules, "vllm", taken)
    for name in ("HF_HUB_OFFLINE", "VLLM_ENABLE_V1_MULTIPROCESSING"):  # which the engine sets for its process
        monkeypatch.setenv(name, "1")


@pytest.mark.parametrize(("end", "expected"), ENDS)
def test_predictions_end_where_rollouts_end(end, expected, checkpoints, boards, tmp_path, monkeypatch, vllm):
    directory = with_end(checkpoints["first"], end, tmp_path / "model")
    processor = load_processor(directory)
    stops = {processor.tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in expected}
    engine = TransformersEngine(processor, Evaluation(max_completion_length=8), "float32")
    engine.load(directory)

    def generate(input_ids, generation_config, **inputs):
        assert set(generation_config.eos_token_id) == stops
        return torch.cat([input_ids, torch.tensor([[7, processor.tokenizer.eos_token_id, 7]])], 1)

    monkeypatch.setattr(engine.model, "generate", generate)
    [batch] = engine.batches(boards[:1], Templates(), BatchLimits(1, 0))
    prediction = engine.answer(batch)["0"]
    assert (prediction.finish_reason, prediction.tokens) == ("stop", 1)

    with_vllm = VllmEngine(processor, Evaluation(max_completion_length=8), "float32", 1)
    with_vllm.load(directory)
    assert set(with_vllm.greedy["stop_token_ids"]) == with_vllm.stops == stops


def test_other_generation_settings_of_a_model_change_no_answer(checkpoints, boards, tmp_path):
    directory = tmp_path / "model"
    shutil.copytree(checkpoints["first"], directory)
    settings = json.loads((directory / "generation_config.json").read_text())
    settings |= {"repetition_penalty": 9.0, "no_repeat_ngram_size": 1, "do_sample": True, "temperature": 0.01}
    (directory / "generation_config.json").write_text(json.dumps(settings))
    answers = []
    for path in (checkpoints["first"], directory):
        engine = TransformersEngine(load_processor(path), Evaluation(max_completion_length=8), "float32")
        engine.load(path)
        answers.append(engine.answer_all(engine.batches(boards, Templates(), BatchLimits(3, 0))))
    assert answers[0] == answers[1]


def test_vllm_ends_where_the_tokenizer_says_without_generation_settings(checkpoints, tmp_path, vllm):
    directory = with_end(checkpoints["first"], None, tmp_path / "model")
    (directory / "generation_config.json").unlink()
    engine = VllmEngine(load_processor(directory), Evaluation(), "float32", 1)
    engine.load(directory)
    assert engine.stops == {engine.processor.tokenizer.eos_token_id}


# --- vision features --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """Untrained models: `words` has the tower of `first` and another language model, `tower` the reverse."""
    folder = tmp_path_factory.mktemp("checkpoints")
    processor = make_processor(["{question} Think."])
    first, other = (make_model(processor.tokenizer, seed) for seed in (0, 1))
    made = {"first": first}
    for name, mine in (("words", ("language_model", "lm_head")), ("tower", ("visual",))):
        made[name] = make_model(processor.tokenizer, 0)
        weights = {k: v for k, v in other.state_dict().items() if any(part in k for part in mine)}
        made[name].load_state_dict(weights, strict=False)
    for name, model in made.items():
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    return {name: folder / name for name in made}


@pytest.fixture
def boards(tmp_path):
    """Five questions of different length, each about noise of its own; two images in the last."""
    random = torch.Generator().manual_seed(0)
    rows = []
    for number in range(5):
        noise = torch.randint(0, 256, (32, 32, 3), generator=random, dtype=torch.uint8)
        PIL.Image.fromarray(noise.numpy()).save(tmp_path / f"{number}.png")
        images = [f"{number}.png"] if number < 4 else ["0.png", "4.png"]
        question = "How high is the red bar? " * (number + 1)
        fields = {
            "dataset": "pages",
            "answer": "3",
            "answer_type": "number",
            "image": images[0],
            "meta": {"images": images[1:]},
        }
        rows.append((Example(id=str(number), question=question, **fields), tmp_path))
    return rows


def by_pixels(directory, batches):
    """What a checkpoint answers that is shown the pixels, as transformers does it."""
    model, processor = load_model(directory), load_processor(directory)
    stops = stop_tokens(model.generation_config, processor.tokenizer)
    greedy = GenerationConfig(
        max_new_tokens=8, eos_token_id=sorted(stops), pad_token_id=processor.tokenizer.pad_token_id
    )
    answers = {}
    for batch in batches:
        with torch.inference_mode():
            output = model.generate(**batch.inputs, generation_config=greedy)
        start = batch.inputs["input_ids"].shape[1]
        rows = zip(batch.ids, output[:, start:].tolist(), strict=True)
        answers |= {id_: prediction_of(id_, row, stops, processor) for id_, row in rows}
    return answers


@contextmanager
def encoded_by(engine) -> Iterator[list[int]]:
    """How many images the engine's tower is shown, call by call."""
    shown: list[int] = []
    hook = engine.model.model.visual.register_forward_pre_hook(
        lambda module, words, named: shown.append(len(named["grid_thw"])), with_kwargs=True
    )
    yield shown
    hook.remove()


def test_images_are_encoded_once_as_long_as_the_tower_stays(checkpoints, boards):
    processor = load_processor(checkpoints["first"])
    engine = TransformersEngine(processor, Evaluation(max_completion_length=8), "float32")
    batches = engine.batches(boards, Templates(), BatchLimits(3, 1 << 20))
    pixels = list(lazy_batches(boards, processor, 3))

    def answers():
        found = {}
        for batch in batches:
            found |= engine.answer(batch)
        return found

    given = {}
    for name, shown in (
        ("first", [3, 3]),
        ("first", []),
        ("words", []),
        ("tower", [3, 3]),
        ("first", [3, 3]),
    ):
        engine.load(checkpoints[name])
        with encoded_by(engine) as encoded:
            given[name] = answers()
        assert encoded == shown
        assert given[name] == by_pixels(checkpoints[name], pixels)
    assert given["first"] != given["words"] and given["first"] != given["tower"]


def test_vision_features_take_less_memory_than_the_pixels(checkpoints, boards):
    processor = load_processor(checkpoints["first"])
    engine = TransformersEngine(processor, Evaluation(max_completion_length=8), "float32")
    engine.load(checkpoints["first"])
    pixels = sum(batch.nbytes for batch in lazy_batches(boards, processor, 3))
    room = sum(batch.nbytes for batch in engine.batches(boards, Templates(), BatchLimits(3, 0)))
    assert room < pixels / 2
    # Without memory for them images are encoded again, with the same answers.
    tight = engine.batches(boards, Templates(), BatchLimits(3, 0))
    with encoded_by(engine) as encoded:
        first = [engine.answer(batch) for batch in tight]
        assert [engine.answer(batch) for batch in tight] == first
    assert encoded == [3, 3, 3, 3]
