"""Boxes in a model's own convention: to it and back per family, in prompts, rewards and metrics."""

from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest
from tiny_families import FAMILIES, TEXT

from modomodo.config.schema import Templates
from modomodo.data.answers import parse_boxes
from modomodo.data.boxes import matched_iou
from modomodo.data.conventions import SIDES, converted
from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.evaluation.engines.base import Batch, Engine
from modomodo.evaluation.predictions import Prediction
from modomodo.metrics.mean_iou import mean_iou
from modomodo.training import families
from modomodo.training.families import declare_family
from modomodo.training.model_boxes import ModelBoxes, model_boxes
from modomodo.training.processors import load_processor
from modomodo.training.rewards import columns

SIZES = [(640, 427), (333, 500), (97, 980)]  # width, height of an image's file
PIXELS = [(3.0, 5.0, 60.0, 200.0), (10.0, 20.0, 97.0, 427.0)]  # boxes of an image's file
OF_ROWS = ["0-1", "0-999", "0-1000", "pixels"]
DOCUMENTED = {"qwen2_vl": "0-1000", "qwen2_5_vl": "pixels", "qwen3_vl": "0-1000", "qwen3_5": "0-1000"}
DOCUMENTED |= {"internvl": "0-1000", "llava_next": "0-1", "llava_onevision": "0-1"}


def example(convention: str, size: tuple[int, int], folder: Path) -> Example:
    PIL.Image.new("RGB", size).save(folder / "a.png")
    boxes = converted(PIXELS, "pixels", convention, size, size)
    fields = {"id": "1", "dataset": "d", "image": "a.png", "question": "Where?", "answer_type": "box"}
    return Example.model_validate(fields | {"answer": boxes, "meta": {"boxes": convention}})


def written(boxes, convention: str) -> str:
    """As a model would write them: in whole numbers, or to three places where a side is 1."""
    places = 3 if convention == "0-1" else 0
    corners = [[f"{value:.{places}f}" for value in box] for box in boxes]
    return str([[float(value) if places else int(value) for value in box] for box in corners])


@pytest.fixture
def of_family(tiny_family):
    """A family's convention, with the limits of size that the Hub's Qwen models have."""

    def make(family: str) -> tuple[ModelBoxes, object]:
        processor = load_processor(tiny_family(family))
        if family.startswith("qwen"):
            images = processor.image_processor
            images.patch_size = 14
            images.size = {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 16384}
        return model_boxes(tiny_family(family), processor), processor

    return make


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in TEXT])
def test_a_box_comes_back_to_within_a_pixel(family, of_family, tmp_path):
    boxes, _ = of_family(family)
    assert boxes.convention == DOCUMENTED.get(family, "0-1000")
    for size in SIZES:
        for convention in OF_ROWS:
            row = example(convention, size, tmp_path)
            truth = boxes.truth(row, tmp_path)
            assert truth.meta["boxes"] == boxes.convention
            back = parse_boxes(boxes.answer(written(truth.answer, boxes.convention), row, tmp_path))
            assert back is not None
            found = converted([one.box for one in back], convention, "pixels", size, size)
            for box, wanted in zip(found, PIXELS, strict=True):
                assert box == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("size", SIZES)
def test_pixels_are_those_of_the_picture_that_the_processor_makes(of_family, size, tmp_path):
    boxes, processor = of_family("qwen2_5_vl")
    image = PIL.Image.new("RGB", size)
    _, high, wide = processor.image_processor(images=[image], return_tensors="pt")["image_grid_thw"][
        0
    ].tolist()
    assert boxes.resized(size) == (14 * wide, 14 * high) != size
    row = example("pixels", size, tmp_path)
    whole = row.model_copy(update={"answer": [(0.0, 0.0, *map(float, size))]})
    assert boxes.truth(whole, tmp_path).answer == [(0, 0, 14 * wide, 14 * high)]


def test_the_overlap_is_the_same_in_every_convention(of_family, tmp_path):
    row = example("0-1000", (640, 427), tmp_path)
    guess = [(0.0, 10.0, 400.0, 500.0)]
    overlap = matched_iou(row.answer, parse_boxes(str(guess)))
    for family in ("qwen2_5_vl", "llava_next"):
        boxes, _ = of_family(family)
        seen = boxes.resized((640, 427))
        text = str(converted(guess, "0-1000", boxes.convention, (640, 427), seen))
        assert matched_iou(boxes.truth(row, tmp_path).answer, parse_boxes(text)) == pytest.approx(overlap)
        assert mean_iou.score(boxes.answer(text, row, tmp_path), row).value == pytest.approx(
            mean_iou.score(str(guess), row).value
        )


def test_what_needs_no_conversion_stays_as_it_is(of_family, tmp_path):
    boxes, _ = of_family("qwen2_vl")
    row = example("0-1000", (640, 427), tmp_path)
    (tmp_path / "a.png").unlink()  # nor is an image opened
    assert boxes.truth(row, tmp_path) is row
    assert boxes.answer("[1, 2, 3, 4]", row, tmp_path) == "[1, 2, 3, 4]"
    other, _ = of_family("qwen2_5_vl")
    for answer in (None, "", "no box here", "[]", "No Objects"):
        assert other.answer(answer, row, tmp_path) == answer
    text = Example(id="1", dataset="d", image="", question="?", answer="[1, 2, 3, 4]", answer_type="text")
    assert other.truth(text, tmp_path) is text
    assert other.answer("[1, 2, 3, 4]", text, tmp_path) == "[1, 2, 3, 4]"


def test_prompts_say_the_convention_where_a_model_cannot_know_it(of_family):
    templates = Templates(box="Where?", text="Say.")
    for family in DOCUMENTED:
        assert of_family(family)[0].templates(templates) == templates
    for family in ("gemma3", "smolvlm", "idefics3"):
        said = of_family(family)[0].templates(templates)
        assert said.text == "Say."
        assert said.box == (
            "Where? Coordinates are integers from 0 to 1000, relative to the image's width and height."
        )


def test_confidences_are_kept(of_family, tmp_path):
    boxes, _ = of_family("llava_next")
    row = example("0-1000", (640, 427), tmp_path)
    text = boxes.answer("[{'Position': [0, 0, 0.5, 1], 'Confidence': 0.25}]", row, tmp_path)
    (found,) = parse_boxes(text)
    assert found == ((0, 0, 500, 1000), 0.25)


def test_a_box_of_an_annotator_that_reaches_beyond_the_image_is_cut(of_family, tmp_path):
    boxes, _ = of_family("qwen2_vl")
    row = example("pixels", (640, 427), tmp_path)
    beyond = row.model_copy(update={"answer": [(-2.0, 0.0, 641.5, 427.0)]})
    truth = boxes.truth(beyond, tmp_path)
    assert truth.answer == [(0, 0, 1000, 1000)]
    Example.model_validate_json(columns(truth)["example"])  # as rewards read it
    with pytest.raises(
        InputError, match="example '1' of d: answer: a box lies outside the image of 640 x 427"
    ):
        boxes.truth(row.model_copy(update={"answer": [(700.0, 0.0, 800.0, 5.0)]}), tmp_path)


def test_predictions_have_the_convention_of_their_rows(of_family, tmp_path):
    class Parrot(Engine):
        def load(self, directory, checked=False): ...

        def batches(self, rows, templates, limits): ...

        def answer(self, batch):
            return {
                id_: Prediction(
                    id=id_, completion="as written", answer="[0, 0, 0.5, 1]", finish_reason="stop", tokens=3
                )
                for id_ in batch.ids
            }

    engine = Parrot(None, 8)
    row = (example("0-1000", (640, 427), tmp_path), tmp_path)
    assert engine.answer_all([Batch([row], {}, 0)])["1"].answer == "[0, 0, 0.5, 1]"
    engine.boxes, _ = of_family("llava_next")
    prediction = engine.answer_all([Batch([row], {}, 0)])["1"]
    assert parse_boxes(prediction.answer)[0].box == (0, 0, 500, 1000)
    assert prediction.completion == "as written"


def test_a_plugins_family_has_its_convention_or_is_refused(of_family, tiny_family, monkeypatch):
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))
    assert declare_family("own_vl", boxes="0-999") == families.family_of("own_vl")
    with pytest.raises(InputError, match="family 'own_vl' has an entry already"):
        declare_family("own_vl", boxes="0-1")
    with pytest.raises(InputError, match="unknown field 'box': did you mean 'boxes'"):
        declare_family("other_vl", box="0-1")
    with pytest.raises(InputError, match="boxes: unknown convention '0-100': did you mean '0-1000'"):
        declare_family("other_vl", boxes="0-100")
    families.FAMILIES["gemma3"] = replace(families.FAMILIES["gemma3"], boxes="pixels")
    with pytest.raises(
        InputError, match="family 'gemma3' writes boxes in pixels, and its processor does not"
    ):
        of_family("gemma3")


def test_every_convention_can_be_said_and_named(tmp_path):
    assert (
        ModelBoxes("locations").answer(
            "<loc0512><loc0000><loc1024><loc0512>", example("0-1000", (640, 427), tmp_path), tmp_path
        )
        == "[{'Position': [0.0, 500.0, 500.0, 1000.0], 'Confidence': 1.0}]"
    )
    for convention in SIDES:
        assert ModelBoxes(convention, said=True).templates(Templates()).box != Templates().box
