"""The example row: one question, about images or text alone, with a verifiable answer."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, Self

import PIL.Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from modomodo.config.loading import explain, parse
from modomodo.config.placeholders import IMAGE_MARK, refuse_placeholders, without_image_marks
from modomodo.config.schema import Dataset
from modomodo.data.conventions import NORMALISED, SIDES
from modomodo.data.images import (
    ImageLike,
    InvalidRow,
    Prepared,
    checked_before,
    prepared,
    write_images,
)
from modomodo.errors import InputError
from modomodo.files import FIX_LINE, read_jsonl, write_jsonl

AnswerType = Literal["box", "choice", "text", "number"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Rejected:
    """In place of a row: it fails a check, and why."""

    id: str  # the raw key: the row's id, or what finds it in the raw files
    reason: str


@dataclass(frozen=True)
class Filtered:
    """In place of a row: the dataset's own filter, as the paper describes it, drops it."""

    reason: str


Images = ImageLike | list[ImageLike] | tuple[ImageLike, ...]  # of a row; an empty list where it is text alone
RawExample = tuple[dict[str, Any], Images] | Rejected | Filtered


class Example(BaseModel):
    """A line of `examples/<dataset>.jsonl`. The reasoning template is not part of it (see prompts)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    id: str = Field(min_length=1, description="Unique within the dataset.")
    dataset: str = Field(min_length=1, description="The dataset the row belongs to.")
    image: str = Field(description="Image path, relative to this file's folder; empty for text alone.")
    question: str = Field(min_length=1, description="The question; a multiple choice holds its options.")
    answer: str | list[Box] = Field(
        description="Boxes as [[x1, y1, x2, y2], …] if answer_type is box, else text; a choice is its letter."
    )
    answer_type: AnswerType
    choices: list[str] = Field(default_factory=list, description="Texts of the options, in letter order.")
    meta: dict[str, Any] = Field(
        default_factory=dict, description="Anything else; boxes name their convention under 'boxes'."
    )

    @field_validator("question")
    @classmethod
    def _question_has_no_placeholder(cls, question: str) -> str:
        refuse_placeholders(question.replace(IMAGE_MARK, ""))
        return question

    @model_validator(mode="after")
    def _marks_are_places_of_images(self) -> Self:
        further = self.meta.get("images", [])
        images = bool(self.image) + (len(further) if isinstance(further, list) else 0)
        marks = self.question.count(IMAGE_MARK)
        if marks and marks != images:
            raise ValueError(
                f"question: '{IMAGE_MARK}' is a model's placeholder, the place of an image: {marks} of them, but "
                f"{images} images"
            )
        return self

    @model_validator(mode="after")
    def _images_stay_inside(self) -> Self:
        further = self.meta.get("images", [])
        if further and not self.image:
            raise ValueError("image: the first one is missing, meta.images holds further ones")
        for path in [self.image, *(further if isinstance(further, list) else [])]:
            if isinstance(path, str) and leaves_its_folder(path):
                raise ValueError(f"image: '{path}' leads out of the examples' folder")
        return self

    @model_validator(mode="after")
    def _answer_fits_its_type(self) -> Self:
        if self.answer_type == "box":
            if isinstance(self.answer, str):
                raise ValueError("answer: a box answer is a list of [x1, y1, x2, y2]")
            if not self.answer:
                raise ValueError("answer: no box")
            for x1, y1, x2, y2 in self.answer:
                if not (x1 < x2 and y1 < y2):
                    raise ValueError(f"answer: box [{x1:g}, {y1:g}, {x2:g}, {y2:g}] has no area")
                side = SIDES.get(self.meta.get("boxes", "pixels"))
                if side is not None and not 0 <= min(x1, y1) <= max(x2, y2) <= side:
                    raise ValueError(f"answer: box [{x1:g}, {y1:g}, {x2:g}, {y2:g}] lies outside the image")
            if not self.image:
                raise ValueError("image: a box answer needs one")
            if "boxes" not in self.meta:
                raise ValueError("meta: 'boxes' must name the coordinate convention (e.g. '0-1000')")
            if self.meta["boxes"] not in SIDES:
                raise ValueError(
                    f"meta: boxes: unknown convention '{self.meta['boxes']}': known: {', '.join(SIDES)}"
                )
            return self
        if not isinstance(self.answer, str) or not self.answer.strip():
            raise ValueError(f"answer: a {self.answer_type} answer is a non-empty text")
        if self.answer_type == "choice":
            letters = [chr(ord("A") + i) for i in range(len(self.choices))]
            if self.answer not in letters:
                raise ValueError(
                    f"answer: '{self.answer}' is not the letter of one of {len(self.choices)} choices"
                )
        return self


def leaves_its_folder(path: str) -> bool:
    """Whether a path, meant to be relative to a folder, leads anywhere else."""
    parts = PurePosixPath(path.replace("\\", "/"))
    return parts.is_absolute() or ".." in parts.parts or ":" in (parts.parts or ("",))[0] or "\0" in path


def image_paths(example: Example) -> list[str]:
    """The images in the order that the model sees them, relative to the examples' folder.

    Most examples have one, a text-only one has none. A question about several (MMMU's `<image 2>`) lists the others, in
    the order of their numbers, under `images` in its `meta`; their references stay in the text as they are.
    Raises InputError naming the example when that list is anything else.
    """
    further = example.meta.get("images", [])
    if not isinstance(further, list) or not all(isinstance(path, str) and path for path in further):
        raise InputError(
            f"example '{example.id}' of {example.dataset}: meta.images: expected a list of paths"
        )
    return [example.image, *further] if example.image else []


def image_cluster(image: str, id_: str) -> str:
    """What questions whose errors go together have in common: their image, or their id where they have none."""
    return image or f"#{id_}"


def read_examples(path: str | Path) -> Iterator[Example]:
    """Examples in file order.

    Raises InputError naming file, line and field for a damaged row or a repeated id.
    """
    seen: dict[str, int] = {}
    for number, row in read_jsonl(path):
        example = parse(row, Example, f"{path}:{number}", FIX_LINE)
        if example.id in seen:
            raise InputError(
                f"{path}:{number}: id: '{example.id}' is already in line {seen[example.id]}: {FIX_LINE}"
            )
        seen[example.id] = number
        yield example


def read_ids(path: str | Path) -> list[str]:
    """The ids of the examples, in file order; their other fields are not looked at.

    Raises InputError naming file and line for a row without an id, and for one that is not the first with its id.
    """
    lines: dict[str, int] = {}
    for number, row in read_jsonl(path):
        name = row.get("id")
        if not isinstance(name, str):
            raise InputError(f"{path}:{number}: id: missing: {FIX_LINE}")
        if lines.setdefault(name, number) != number:
            raise InputError(f"{path}:{number}: id: '{name}' is already in line {lines[name]}: {FIX_LINE}")
    return list(lines)


@contextmanager
def open_image(example: Example, name: str, folder: Path) -> Iterator[PIL.Image.Image]:
    """An image of an example, by its path as the example has it, and the folder of the examples' file.

    Raises InputError naming example and image when the image is missing, or fails to be decoded inside `with`.
    """
    try:
        with checked_before():
            image = PIL.Image.open(folder / name)
        with image:
            yield image
    except (OSError, SyntaxError, ValueError) as error:
        path = folder / f"{example.dataset}.jsonl"
        raise InputError(
            f"{path}: id '{example.id}': image: {folder / name} cannot be read ({error}): delete {path} to "
            "rebuild it"
        ) from None


def check_image(example: Example, folder: Path) -> None:
    """Raises InputError when an image of an example is missing or cannot be decoded. `folder`: its file's."""
    for name in image_paths(example):
        with open_image(example, name, folder) as image:
            image.load()


def write_examples(
    name: str, rows: Iterable[RawExample], output: str | Path, *, dataset: Dataset, workers: int = 1
) -> dict[str, int]:
    """Write `<name>.jsonl`, its images next to it and the rows that fail in `<name>.rejected.jsonl`.

    `rows` gives the fields of Example without `image`, and the image or images: the first becomes `image`, further
    ones `images` in its `meta`; with an empty list the row is text alone. Images are named by the SHA-256 of their
    file, so equal ones are kept once.

    Of `dataset`, `limit` rows are read. A row fails when its fields break Example's rules, an earlier row has its
    id, its question has more than `max_question` characters, or an image cannot be decoded or has more than
    `max_pixels`. Images with a side of more than `longest` pixels are resized to it.

    The files do not depend on `workers`, the processes that decode images. Returns the counts
    {"kept", "rejected"}, one for each reason for which a dataset's own filter dropped rows, and, where there are
    such rows, "without_image".

    Raises InputError when no row is left, or a larger share than `max_rejected` fails.
    """
    output = Path(output)
    folder = output.parent / "images" / name
    folder.mkdir(parents=True, exist_ok=True)
    filtered: Counter[str] = Counter()
    rejected: list[dict] = []
    checked = _checked(islice(rows, dataset.limit), name, dataset, filtered)
    written = write_images(checked, folder, dataset.max_pixels, workers)
    texts = Counter[bool]()
    kept = write_jsonl(output, _accepted(written, f"images/{name}", rejected, texts))
    write_jsonl(rejected_path(output), rejected)
    _check_share(output, kept, rejected, filtered, dataset.max_rejected)
    counts = {"kept": kept, "rejected": len(rejected), **dict(sorted(filtered.items()))}
    return counts | ({"without_image": texts[True]} if texts[True] else {})


class _Checked(NamedTuple):
    """A row whose fields have been checked: `reason` says why it fails, None when it does not."""

    number: int  # from 1, in the order that the dataset's function gives its rows
    id: str
    example: dict[str, Any] | None  # as it is written, but for the images' paths
    reason: str | None


def _checked(
    rows: Iterable[object], name: str, dataset: Dataset, filtered: Counter[str]
) -> Iterator[tuple[_Checked, Sequence[Prepared]]]:
    """Rows in order, with the images to be written: none for a row that fails. Counts what is filtered."""
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        if isinstance(row, Filtered):
            filtered[row.reason] += 1
            continue
        if isinstance(row, Rejected):
            yield _Checked(number, row.id, None, row.reason), ()
            continue
        if not (isinstance(row, tuple) and len(row) == 2 and isinstance(row[0], dict)):
            reason = f"found {type(row).__name__}, expected (fields, image), Rejected or Filtered"
            yield _Checked(number, f"row {number}", None, reason), ()
            continue
        fields, given = row
        images = given if isinstance(given, list | tuple) else [given]
        id_ = str(fields.get("id"))
        checked: tuple[_Checked, Sequence[Prepared]]
        try:
            example = _example({**fields, "dataset": name}, dataset, len(images))
            if id_ in seen:
                raise InvalidRow(f"id: '{id_}' is used by an earlier row")
            ready = [prepared(image, dataset.longest, dataset.max_pixels) for image in images]
            checked = _Checked(number, id_, example, None), ready
        except InvalidRow as error:
            checked = _Checked(number, id_, None, str(error)), ()
        seen.add(id_)
        yield checked


def _example(fields: dict[str, Any], dataset: Dataset, images: int) -> dict[str, Any]:
    """The row as it is written, but for its images' paths. Raises InvalidRow for one that breaks a rule."""
    question = fields.get("question")
    if isinstance(question, str):
        fields = fields | {"question": without_image_marks(question, images)}
    meta = fields.get("meta") or {}
    if images > 1 and isinstance(meta, dict):  # their names are known when they are written
        meta = {**meta, "images": ["unwritten"] * (images - 1)}
    try:
        example = Example.model_validate({**fields, "image": "unwritten" if images else "", "meta": meta})
        row = example.model_dump(mode="json")  # fails for a meta that JSON cannot hold
    except ValidationError as error:
        raise InvalidRow(explain(error, Example)) from None
    except ValueError as error:
        raise InvalidRow(str(error)) from None
    length = len(example.question)
    if length > dataset.max_question:
        raise InvalidRow(f"question: {length} characters, more than max_question ({dataset.max_question})")
    if dataset.longest is not None and example.meta.get("boxes", "0-1000") not in NORMALISED:
        raise InvalidRow("meta: boxes in pixels do not fit a resized image: leave longest out")
    return row


def _accepted(
    rows: Iterable[tuple[_Checked, list[str] | InvalidRow]],
    folder: str,
    rejected: list[dict],
    without_image: Counter[bool],
) -> Iterator[dict]:
    """The rows that passed, with the paths of their images, and counted; the others are added to `rejected`."""
    for row, written in rows:
        if row.example is None or row.reason is not None or isinstance(written, InvalidRow):
            reason = str(written) if isinstance(written, InvalidRow) else str(row.reason)
            rejected.append({"line": row.number, "reason": _shortened(reason), "id": row.id})
            continue
        first, *further = [f"{folder}/{name}" for name in written] or [""]
        example = row.example | {"image": first}
        without_image[not first] += 1
        if further:
            example["meta"]["images"] = further
        yield example


def _check_share(
    output: Path, kept: int, rejected: list[dict], filtered: Counter[str], max_rejected: float
) -> None:
    """Raises InputError when no row is left, or too many failed."""
    name, path = output.stem, rejected_path(output)
    if not kept:
        most = f", {_commonest(rejected)}" if rejected else ""
        why = "".join(f"; {count} filtered: {reason}" for reason, count in sorted(filtered.items()))
        raise InputError(
            f"{output}: dataset '{name}' has no valid row ({len(rejected)} rejected{most}, see {path}{why})"
        )
    total = kept + len(rejected)
    if len(rejected) > max_rejected * total:
        raise InputError(
            f"{path}: {len(rejected)} of {total} rows of '{name}' failed ({_commonest(rejected)}), more "
            f"than max_rejected allows ({max_rejected:.1%}): fix the raw data or raise max_rejected"
        )


def _commonest(rejected: Sequence[dict]) -> str:
    """The reason for which most rows failed, in the words of the first of them: numbers and quotations differ."""
    kinds = [re.sub(r"'[^']*'|\d+", "", row["reason"]) for row in rejected]
    kind, count = Counter(kinds).most_common(1)[0]
    first = rejected[kinds.index(kind)]
    share = f"{count} of them: " if count < len(rejected) else ""
    return f"{share}{first['reason']}"


def _shortened(reason: str, longest: int = 300) -> str:
    return reason if len(reason) <= longest else f"{reason[:longest]} …"


def find_examples(paths: Iterable[Path], names: Iterable[str] | None, option: str) -> dict[str, Path]:
    """Name → file NAME.jsonl, of some datasets or of all that are given. `option`: how a script was given the files.

    Raises InputError for a dataset without a file.
    """
    files = {path.stem: path for path in paths}
    names = list(files if names is None else names)
    for name in names:
        if name not in files:
            raise InputError(f"{option}: no {name}.jsonl given")
    return {name: files[name] for name in names}


def rejected_path(examples: Path) -> Path:
    """Where the rows that failed lie, for the examples at a path."""
    return examples.with_suffix(".rejected.jsonl")
