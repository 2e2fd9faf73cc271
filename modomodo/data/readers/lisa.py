"""LISA: the box of what an instruction refers to, from ReasonSeg (LISA's own benchmark).

Raw are pairs X.jpg and X.json in `train/` (239 images) and `test/` (779). The JSON, in UTF-8 or cp1252, holds
`text`, a list of instructions, and `shapes`, labelled polygons. As the paper says, each instruction is an
example of its own, the flattened list is shuffled, and images longer than 640 pixels are resized.

Boxes are written as integers in 0-1000 of the image's sides, cut off, not rounded (Visual-RFT's conversion,
and the coordinates Qwen2-VL was trained with), so that resizing leaves them as they are. A polygon that
reaches over the image's edge is cut there. Labels: "target" is what is asked for; "ignore" and "flag" are
not.

Open in the paper, each an option:

- `box`: the smallest box of the `first_target` shape (default), of the `first_shape` whatever its label (what
  Visual-RFT's script does; the same wherever the first shape is a target), or of the `union` of all targets.
- `seed` of the shuffle; `longest`, the side in pixels.
- 1326 and 3397 could not be counted here; two test files are known to hold no polygon and are rejected.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modomodo.data.examples import RawExample, Rejected
from modomodo.data.images import Image, InvalidRow, displayed_size
from modomodo.data.readers.published import Published, check_option, published
from modomodo.errors import InputError

QUESTION = "Output the bounding box in the image corresponding to the instruction: {}"
_SUFFIXES = (".jpg", ".jpeg", ".png")
_COUNT = (
    "the paper does not say which instructions it kept: check that ReasonSeg's {} is complete ({} images)"
)

ABOUT = Published(
    files={
        "train": ["train/*.json", "train/*.jpg"],
        "test": ["test/*.json", "test/*.jpg"],
    },
    licence="none stated for ReasonSeg; a mirror of its val split says cc-by-nc-4.0",
    by_hand="get train.zip and test.zip of ReasonSeg from "
    "https://drive.google.com/drive/folders/125mewyg5Ao6tZ3ZdJ-1-E3n04LGVELqy and unpack them to "
    "{folder}/lisa/train and {folder}/lisa/test",
    differs={"train": _COUNT.format("train", 239), "test": _COUNT.format("test", 779)},
)


@published("lisa", ABOUT)
def lisa(
    raw: Path | None = None,
    *,
    split: str = "train",
    box: str = "first_target",
    seed: int = 42,
    longest: int = 640,
) -> Iterator[RawExample]:
    """Rejected files first, then the examples in shuffled order. Raises InputError where there is no file."""
    check_option("split", split, list(ABOUT.files))
    check_option("box", box, ["first_target", "first_shape", "union"])
    if raw is None:
        raise InputError("--raw: missing: the folder that holds train/ and test/")
    folder = Path(raw) / split
    annotations = sorted(folder.glob("*.json"))
    if not annotations:
        raise InputError(f"{folder}: no JSON file: {ABOUT.by_hand.format(folder='data.raw_from')}")
    examples: list[RawExample] = []
    for path in annotations:
        try:
            examples += _examples(path, split, box, longest)
        except InvalidRow as error:
            yield Rejected(f"{split}/{path.name}", str(error))
    random.Random(seed).shuffle(examples)
    yield from examples


def _examples(path: Path, split: str, box: str, longest: int) -> list[RawExample]:
    """One example an instruction, or Rejected in its place."""
    annotation = read_annotation(path)
    image = _image_next_to(path)
    answer = normalised_box(_points(annotation, box), displayed_size(image))
    texts = annotation.get("text")
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list) or not texts:
        raise InvalidRow("text: no instruction")
    examples: list[RawExample] = []
    for number, text in enumerate(texts):
        id_ = f"{split}-{path.stem}-{number}"
        if not isinstance(text, str) or not text.strip():
            examples.append(Rejected(id_, "text: empty"))
            continue
        fields = {
            "id": id_,
            "question": QUESTION.format(text.strip()),
            "answer": [answer],
            "answer_type": "box",
            "meta": {"boxes": "0-1000", "is_sentence": bool(annotation.get("is_sentence"))},
        }
        examples.append((fields, Image(image, longest)))
    return examples


def read_annotation(path: Path) -> dict[str, Any]:
    """A JSON object in UTF-8 or, as some are, cp1252. Raises InvalidRow for anything else."""
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            value = json.loads(data.decode(encoding))
        except UnicodeDecodeError:
            continue
        except json.JSONDecodeError as error:
            raise InvalidRow(f"not valid JSON: {error.msg} in line {error.lineno}") from None
        if not isinstance(value, dict):
            raise InvalidRow("not a JSON object")
        return value
    raise InvalidRow("neither UTF-8 nor cp1252")


def _image_next_to(path: Path) -> Path:
    for suffix in _SUFFIXES:
        if path.with_suffix(suffix).is_file():
            return path.with_suffix(suffix)
    raise InvalidRow(f"image: no {path.stem}.jpg next to it")


def _points(annotation: dict[str, Any], box: str) -> list[tuple[float, float]]:
    """The corners of the polygons that the box is drawn around, in pixels."""
    shapes = [shape for shape in annotation.get("shapes") or [] if isinstance(shape, dict)]
    if box != "first_shape":
        shapes = [shape for shape in shapes if shape.get("label") == "target"]
    if box != "union":
        shapes = shapes[:1]
    try:
        points = [(float(x), float(y)) for shape in shapes for x, y in shape["points"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InvalidRow("shapes: points that are no pairs of numbers") from None
    if not points:
        raise InvalidRow("shapes: no polygon of the target")
    return points


def normalised_box(points: list[tuple[float, float]], size: tuple[int, int]) -> list[int]:
    """The smallest box around points in pixels, cut to the image, as integers in 0-1000 of its sides.

    >>> normalised_box([(10, 20), (30, 20), (30, 45)], (100, 50))
    [100, 400, 300, 900]
    """
    corners: list[int] = []
    for choose in (min, max):
        for axis in (0, 1):
            value = choose(point[axis] for point in points)
            if value != value or abs(value) == float("inf"):
                raise InvalidRow("shapes: points that are no numbers")
            corners.append(int(min(max(value, 0), size[axis]) / size[axis] * 1000))
    return corners
