"""Questions are prepared in batches as they are asked for, within a bound of memory; images are encoded once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
from modomodo.tiny.qwen2vl import make_model, make_processor
from modomodo.training.models import load_model, load_processor


class Processor:
    """Notes what it is asked for; a question becomes as many floats as its images have pixels."""

    def __init__(self):
        self.calls = []

    def apply_chat_template(self, messages, **options):
        return messages[-1]["content"][-1]["text"]

    def __call__(self, text, images, **options):
        self.calls.append(len(text))
        return {"pixel_values": torch.arange(sum(image.width * image.height for image in images))}


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
    stops = stop_tokens(model.generation_config)
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
