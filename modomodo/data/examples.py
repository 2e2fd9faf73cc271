"""The example row: one question about one image with a verifiable answer."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, Self

import PIL.Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from modomodo.config.loading import first_problem
from modomodo.config.schema import MAX_PIXELS
from modomodo.data.images import Image, InvalidImage, Picture, limited, write_images
from modomodo.errors import InputError
from modomodo.files import FIX_LINE, canonical, read_jsonl, write_jsonl

AnswerType = Literal["box", "choice", "text", "number"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Rejected:
    """In place of a row: it fails a check, and why."""

    id: str  # the raw key: the row's id, or what finds it in the raw files
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """In place of a row: the dataset's own filter, as the paper describes it, leaves it out."""

    reason: str


RawExample = tuple[dict[str, Any], Image | Sequence[Image]] | Rejected | LeftOut


class Example(BaseModel):
    """A line of `examples/<dataset>.jsonl`. The reasoning template is not part of it (see prompts)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    id: str = Field(min_length=1, description="Unique within the dataset.")
    dataset: str = Field(min_length=1, description="The dataset the row belongs to.")
    image: str = Field(min_length=1, description="Image path, relative to this file's folder.")
    question: str = Field(min_length=1, description="The question; a multiple choice holds its options.")
    answer: str | list[Box] = Field(
        description="Boxes as [[x1, y1, x2, y2], …] if answer_type is box, else text; a choice is its letter."
    )
    answer_type: AnswerType
    choices: list[str] = Field(default_factory=list, description="Texts of the options, in letter order.")
    meta: dict[str, Any] = Field(
        default_factory=dict, description="Anything else; boxes name their convention under 'boxes'."
    )

    @model_validator(mode="after")
    def _images_stay_inside(self) -> Self:
        further = self.meta.get("images", [])
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
                if self.meta.get("boxes") == "0-1000" and not 0 <= min(x1, y1) <= max(x2, y2) <= 1000:
                    raise ValueError(f"answer: box [{x1:g}, {y1:g}, {x2:g}, {y2:g}] lies outside the image")
            if "boxes" not in self.meta:
                raise ValueError("meta: 'boxes' must name the coordinate convention (e.g. '0-1000')")
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

    Most examples have one. A question about several (MMMU's `<image 2>`) lists the others, in the order of
    their numbers, under `images` in its `meta`; their references stay in the text as they are.
    Raises InputError naming the example when that list is anything else.
    """
    further = example.meta.get("images", [])
    if not isinstance(further, list) or not all(isinstance(path, str) and path for path in further):
        raise InputError(
            f"example '{example.id}' of {example.dataset}: meta.images: expected a list of paths"
        )
    return [example.image, *further]


def read_examples(path: str | Path) -> Iterator[Example]:
    """Examples in file order.

    Raises InputError naming file, line and field for a damaged row or a repeated id.
    """
    seen: dict[str, int] = {}
    for number, row in read_jsonl(path):
        try:
            example = Example.model_validate(row)
        except ValidationError as error:
            raise InputError(f"{path}:{number}: {first_problem(error)}: {FIX_LINE}") from None
        if example.id in seen:
            raise InputError(
                f"{path}:{number}: id: '{example.id}' already stands in line {seen[example.id]}: {FIX_LINE}"
            )
        seen[example.id] = number
        yield example


@contextmanager
def open_image(example: Example, name: str, folder: Path) -> Iterator[PIL.Image.Image]:
    """An image of an example, by its path as the example has it, and the folder of the examples' file.

    Raises InputError naming example and image when the image is missing, or fails to be decoded inside `with`.
    """
    try:
        with PIL.Image.open(folder / name) as image:
            yield image
    except (OSError, SyntaxError, ValueError) as error:
        path = folder / f"{example.dataset}.jsonl"
        raise InputError(
            f"{path}: id '{example.id}': image: {folder / name} cannot be read ({error}): delete {path} to "
            "make it anew"
        ) from None


def check_image(example: Example, folder: Path) -> None:
    """Raises InputError when an image of an example is missing or cannot be decoded. `folder`: its file's."""
    for name in image_paths(example):
        with open_image(example, name, folder) as image:
            image.load()


def write_examples(
    dataset: str,
    rows: Iterable[RawExample],
    output: str | Path,
    max_rejected: float = 0.01,
    max_question: int | None = None,
    max_pixels: int = MAX_PIXELS,
    workers: int = 1,
    longest: int | None = None,
) -> dict[str, int]:
    """Write `<dataset>.jsonl`, its images beside it and the rows that fail in `<dataset>.rejected.jsonl`.

    `rows` gives the fields of Example without `image`, and the image or images: the first becomes `image`,
    further ones `images` in its `meta`. Images are named by the SHA-256 of their file, so equal ones are kept
    once. A row fails when its fields break Example's rules, its id stood before, its question has more than
    `max_question` characters, or an image cannot be decoded or has more than `max_pixels`. Images with a side of
    more than `longest` pixels are resized to it.

    The files do not depend on `workers`, the processes that decode images. Returns the counts
    {"kept", "rejected"} and one for each reason that a dataset's own filter left rows out for.

    Raises InputError when no row is left, or a larger share than `max_rejected` fails.
    """
    output = Path(output)
    images = output.parent / "images" / dataset
    images.mkdir(parents=True, exist_ok=True)
    rejected: list[dict] = []
    left_out: Counter[str] = Counter()
    kept_count = 0

    def checked() -> Iterator[tuple[Checked, Sequence[Image]]]:
        """Rows in order, their text checked, so that no picture is written for a row that fails."""
        seen: set[str] = set()
        for number, row in enumerate(rows, 1):
            if isinstance(row, LeftOut):
                left_out[row.reason] += 1
                continue
            if isinstance(row, Rejected):
                yield Checked(number, row.id, None, row.reason), ()
                continue
            fields = {**row[0], "dataset": dataset}
            pictures = [row[1]] if isinstance(row[1], PIL.Image.Image | Picture) else row[1]
            pictures = [limited(one, longest) for one in pictures]
            id_ = str(fields.get("id"))
            reason = _fault(fields, pictures, max_question)
            if (
                reason is None
                and longest is not None
                and fields.get("meta", {}).get("boxes", "0-1000") != "0-1000"
            ):
                reason = "meta: boxes that are not in 0-1000 do not fit a resized image: leave longest out"
            if reason is None and id_ in seen:
                reason = f"id: '{id_}' stands twice"
            seen.add(id_)
            yield Checked(number, id_, fields, reason), pictures if reason is None else ()

    def kept() -> Iterator[dict]:
        nonlocal kept_count
        for row, written in write_images(checked(), images, max_pixels, workers):
            reason = str(written) if isinstance(written, InvalidImage) else row.reason
            if row.fields is None or reason is not None or isinstance(written, InvalidImage):
                rejected.append({"line": row.number, "reason": _shortened(str(reason)), "id": row.id})
                continue
            paths = [f"images/{dataset}/{name}" for name in written]
            fields = {**row.fields, "image": paths[0]}
            if len(paths) > 1:
                fields["meta"] = {**fields.get("meta", {}), "images": paths[1:]}
            kept_count += 1
            yield Example.model_validate(fields).model_dump(mode="json")

    write_jsonl(output, kept())
    aside = rejected_path(output)
    write_jsonl(aside, rejected)
    total = kept_count + len(rejected)
    if not kept_count:
        why = "".join(f"; {count} left out: {reason}" for reason, count in sorted(left_out.items()))
        raise InputError(
            f"{output}: dataset '{dataset}' has no valid row ({total} rejected, see {aside}{why})"
        )
    if len(rejected) > max_rejected * total:
        raise InputError(
            f"{aside}: {len(rejected)} of {total} rows of '{dataset}' failed ({rejected[0]['reason']}), more "
            f"than max_rejected allows ({max_rejected:.1%}): mend the raw data or raise max_rejected"
        )
    return {"kept": kept_count, "rejected": len(rejected), **dict(sorted(left_out.items()))}


class Checked(NamedTuple):
    """A row whose text has been looked at: `reason` says why it fails, None when it does not."""

    number: int  # from 1, in the order that the dataset's function gives its rows
    id: str
    fields: dict[str, Any] | None
    reason: str | None


def _fault(fields: dict[str, Any], pictures: Sequence[Image], max_question: int | None) -> str | None:
    try:
        row = Example.model_validate({**fields, "image": "unwritten"})
        canonical(row.model_dump(mode="json"))  # fails for a meta that JSON cannot hold
    except ValueError as error:
        return first_problem(error) if isinstance(error, ValidationError) else str(error)
    if max_question is not None and len(fields["question"]) > max_question:
        return f"question: {len(fields['question'])} characters, more than max_question ({max_question})"
    return None if pictures else "image: there is none"


def _shortened(reason: str, longest: int = 300) -> str:
    return reason if len(reason) <= longest else f"{reason[:longest]} …"


def rejected_path(examples: Path) -> Path:
    """Where the rows that failed lie, for the examples at a path."""
    return examples.with_suffix(".rejected.jsonl")
