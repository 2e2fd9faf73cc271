"""The example row: one question about one image with a verifiable answer."""

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

import PIL.Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from modomodo.errors import InputError
from modomodo.files import canonical, read_jsonl, write_jsonl

AnswerType = Literal["box", "choice", "text", "number"]
Box = tuple[float, float, float, float]


class Example(BaseModel):
    """A line of `examples/<dataset>.jsonl`. The reasoning template is not part of it (see prompts)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    id: str = Field(min_length=1, description="Unique within the dataset.")
    dataset: str = Field(min_length=1, description="The dataset the row belongs to.")
    image: str = Field(min_length=1, description="Image path, relative to this file's folder.")
    question: str = Field(min_length=1, description="The question; a multiple choice holds its options.")
    answer: str | list[Box] = Field(
        description="Boxes as [[x1, y1, x2, y2], …] when answer_type is box, else text; a choice is its letter."
    )
    answer_type: AnswerType
    choices: list[str] = Field(default_factory=list, description="Texts of the options, in letter order.")
    meta: dict[str, Any] = Field(
        default_factory=dict, description="Anything else; boxes name their convention under 'boxes'."
    )

    @model_validator(mode="after")
    def _answer_fits_its_type(self) -> Self:
        if self.answer_type == "box":
            if isinstance(self.answer, str):
                raise ValueError("answer: a box answer is a list of [x1, y1, x2, y2]")
            if not self.answer:
                raise ValueError("answer: no box")
            for x1, y1, x2, y2 in self.answer:
                if not (x1 < x2 and y1 < y2):
                    raise ValueError(f"answer: box [{x1}, {y1}, {x2}, {y2}] has no area")
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


def first_problem(error: ValidationError) -> str:
    """The first finding of a pydantic error, as `field: what is wrong`."""
    finding = error.errors()[0]
    where = ".".join(str(part) for part in finding["loc"])
    message = finding["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def read_examples(path: str | Path) -> Iterator[Example]:
    """Examples in file order.

    Raises InputError naming file, line and field for a damaged row or a repeated id.
    """
    seen: dict[str, int] = {}
    for number, row in read_jsonl(path):
        try:
            example = Example.model_validate(row)
        except ValidationError as error:
            raise InputError(f"{path}:{number}: {first_problem(error)}") from None
        if example.id in seen:
            raise InputError(f"{path}:{number}: id: '{example.id}' already stands in line {seen[example.id]}")
        seen[example.id] = number
        yield example


def check_image(example: Example, path: str | Path) -> None:
    """Raises InputError when the image of an example of file `path` is missing or cannot be decoded."""
    image = Path(path).parent / example.image
    try:
        with PIL.Image.open(image) as opened:
            opened.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{path}: id '{example.id}': image: {image} cannot be read ({error}): delete {path} to make it anew"
        ) from None


def write_examples(
    dataset: str,
    rows: Iterable[tuple[dict[str, Any], PIL.Image.Image]],
    output: str | Path,
    max_rejected: float = 0.01,
) -> dict[str, int]:
    """Write `<dataset>.jsonl`, its images beside it and the rows that fail in `<dataset>.rejected.jsonl`.

    `rows` gives the fields of Example without `image`, and the picture. Images are named by the SHA-256 of
    their file, so equal pictures are kept once. Returns the counts {"kept", "rejected"}.

    Raises InputError when no row is left, or a larger share than `max_rejected` fails.
    """
    output = Path(output)
    images = output.parent / "images" / dataset
    images.mkdir(parents=True, exist_ok=True)
    rejected: list[dict] = []
    seen: set[str] = set()

    def kept() -> Iterator[dict]:
        for number, (raw_fields, image) in enumerate(rows, 1):
            fields = {**raw_fields, "dataset": dataset}
            try:
                # Check the text first, so that no picture is written for a row that fails.
                row = Example.model_validate({**fields, "image": "unwritten"}).model_dump(mode="json")
                canonical(row)  # fails for a meta that JSON cannot hold
                if fields["id"] in seen:
                    raise ValueError(f"id: '{fields['id']}' stands twice")
                name = _write_image(image, images)
            except (ValueError, OSError, SyntaxError) as error:  # SyntaxError: PIL, of a broken PNG
                reason = first_problem(error) if isinstance(error, ValidationError) else str(error)
                rejected.append({"line": number, "reason": reason, "id": str(fields.get("id"))})
                continue
            seen.add(fields["id"])
            yield {**row, "image": f"images/{dataset}/{name}"}

    write_jsonl(output, kept())
    aside = rejected_path(output)
    write_jsonl(aside, rejected)
    total = len(seen) + len(rejected)
    if not seen:
        raise InputError(f"{output}: dataset '{dataset}' has no valid row ({total} rejected, see {aside})")
    if len(rejected) > max_rejected * total:
        raise InputError(
            f"{aside}: {len(rejected)} of {total} rows of '{dataset}' failed ({rejected[0]['reason']}), more than "
            f"max_rejected allows ({max_rejected:.1%}): mend the raw data or raise max_rejected"
        )
    return {"kept": len(seen), "rejected": len(rejected)}


def rejected_path(examples: Path) -> Path:
    """Where the rows that failed lie, for the examples at a path."""
    return examples.with_suffix(".rejected.jsonl")


def _write_image(image: PIL.Image.Image, folder: Path) -> str:
    """Save losslessly under the digest of the file; returns the file's name."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    data = buffer.getvalue()
    name = f"{hashlib.sha256(data).hexdigest()[:24]}.png"
    path = folder / name
    if not path.exists():
        beside = folder / f".{name}.{os.getpid()}"
        beside.write_bytes(data)
        os.replace(beside, path)
    return name
