"""Boxes between rows, which keep their convention, and a model, which has its own: in prompts, truth and answers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from modomodo.config.schema import Templates
from modomodo.data.answers import parse_boxes
from modomodo.data.conventions import SENTENCES, SIDES, Size, clipped, converted
from modomodo.data.examples import Example, open_image
from modomodo.errors import InputError
from modomodo.training.families import family_of
from modomodo.training.model_directory import model_type
from modomodo.training.processors import Processor

UNKNOWN = "0-1000"  # of a family that documents none; the prompt says it


@dataclass(frozen=True)
class ModelBoxes:
    """How a model writes boxes: its convention, whether prompts say it, and the size to which it resizes an image."""

    convention: str = UNKNOWN
    said: bool = False
    resized: Callable[[Size], Size] = lambda size: size

    def templates(self, templates: Templates) -> Templates:
        """The templates, with a word on the convention for a model that cannot know it."""
        if not self.said:
            return templates
        text = f"{templates.box} {SENTENCES[self.convention]}".strip()
        return templates.model_copy(update={"box": text})

    def truth(self, example: Example, folder: Path) -> Example:
        """The example with its true boxes in the model's convention, as rewards compare them with what it writes.

        `folder` is that of its file. Raises InputError for an image that cannot be read.
        """
        if isinstance(example.answer, str) or example.meta["boxes"] == self.convention != "pixels":
            return example
        own = example.meta["boxes"]
        size, seen = self._sizes(example, folder)
        inside = clipped(example.answer, own, size)
        if not all(x1 < x2 and y1 < y2 for x1, y1, x2, y2 in inside):
            wide, high = size
            raise InputError(
                f"example '{example.id}' of {example.dataset}: answer: a box lies outside the image of {wide} x {high}"
            )
        boxes = converted(inside, own, self.convention, size, seen)
        return example.model_copy(update={"answer": boxes, "meta": example.meta | {"boxes": self.convention}})

    def answer(self, answer: str | None, example: Example, folder: Path) -> str | None:
        """An answer with its boxes in the example's convention, as metrics compare them with the truth.

        What is no list of boxes stays as it is. `folder` and errors: as for `truth`.
        """
        if answer is None or example.answer_type != "box":
            return answer
        own = example.meta["boxes"]
        predicted = parse_boxes(answer)
        if not predicted or own == self.convention != "pixels":
            return answer
        sizes = self._sizes(example, folder)
        boxes = converted([scored.box for scored in predicted], self.convention, own, *reversed(sizes))
        return str(
            [
                {"Position": list(box), "Confidence": scored.confidence}
                for box, scored in zip(boxes, predicted, strict=True)
            ]
        )

    def _sizes(self, example: Example, folder: Path) -> tuple[Size, Size]:
        """Of the first image, in its file and as the model sees it; of no account where nothing counts pixels."""
        if SIDES[self.convention] is not None and SIDES[example.meta["boxes"]] is not None:
            return (0, 0), (0, 0)
        with open_image(example, example.image, folder) as image:
            return image.size, self.resized(image.size)


def model_boxes(directory: str | Path, processor: Processor) -> ModelBoxes:
    """The box convention of a directory's family, with the processor that resizes for it.

    Raises InputError for a family of pixels whose processor resizes in an unknown way.
    """
    kind = model_type(directory)
    convention = family_of(kind).boxes
    if convention is None:
        return ModelBoxes(said=True)
    if convention != "pixels":
        return ModelBoxes(convention)

    def resized(size: Size) -> Size:
        """As Qwen's processors resize: to whole merged patches, within a range of pixels."""
        width, height = size
        images = processor.image_processor
        high, wide = smart_resize(
            height,
            width,
            factor=images.patch_size * images.merge_size,
            min_pixels=images.size["shortest_edge"],
            max_pixels=images.size["longest_edge"],
        )
        return wide, high

    tried = (101, 67)
    really = _resized_by(processor, tried)
    if really is None or really != resized(tried):
        raise InputError(
            f"{directory}: family '{kind}' writes boxes in pixels, and its processor does not resize as Qwen2.5-VL's: "
            "declare another convention"
        )
    return ModelBoxes(convention, resized=resized)


def _resized_by(processor: Processor, size: Size) -> Size | None:
    """The size to which a processor really resizes an image, by the grid of patches that it returns."""
    images = processor.image_processor
    grid = images(images=[PIL.Image.new("RGB", size)], return_tensors="pt").get("image_grid_thw")
    if grid is None:
        return None
    _, high, wide = grid[0].tolist()
    return wide * images.patch_size, high * images.patch_size
