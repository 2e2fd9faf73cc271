"""Questions are made ready in batches as they are asked for, within a bound of memory."""

import PIL.Image
import pytest
import torch

from modomodo import generation
from modomodo.errors import InputError
from modomodo.examples import Example
from modomodo.generation import Batches
from modomodo.prompts import Templates


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
    """Six questions of growing length, each about a picture of 10 x 10 pixels, the fifth of 30 x 10."""
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


def ids(batches):
    return [list(batch.ids) for batch in batches]


def test_batches_hold_questions_of_similar_length(rows):
    assert ids(Batches(rows[::-1], Processor(), Templates(), 4)) == [["0", "1", "2", "3"], ["4", "5"]]


def test_large_images_make_small_batches(rows, monkeypatch):
    monkeypatch.setattr(generation, "BATCH_PIXELS", 250)
    batches = Batches(rows, Processor(), Templates(), 4)
    assert ids(batches) == [["0", "1"], ["2", "3"], ["4"], ["5"]]
    assert len(batches) == 4


def test_nothing_is_made_ready_before_it_is_asked_for(rows):
    processor = Processor()
    batches = iter(Batches(rows, processor, Templates(), 2))
    assert processor.calls == []
    next(batches)
    assert processor.calls == [2]


def test_batches_are_kept_for_the_next_checkpoint_up_to_a_bound(rows):
    processor = Processor()
    batches = Batches(rows, processor, Templates(), 2, kept=2 * 200 * 8)  # int64: the first two of three
    first = [batch.inputs["pixel_values"].tolist() for batch in batches]
    assert processor.calls == [2, 2, 2]
    assert [batch.inputs["pixel_values"].tolist() for batch in batches] == first
    assert processor.calls == [2, 2, 2, 2]
    assert ids(batches) == [["0", "1"], ["2", "3"], ["4", "5"]]


def test_an_image_that_went_bad_is_named(rows, tmp_path):
    batches = Batches(rows, Processor(), Templates(), 2)
    data = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"pages\.jsonl: id '3': image: .*3\.png cannot be read"):
        list(batches)
