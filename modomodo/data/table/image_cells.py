"""Cells of a table → images, and which cells show by themselves that they hold any."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modomodo.data.examples import leaves_its_folder
from modomodo.data.images import ImageLike, InvalidRow
from modomodo.data.table.cells import data_in, is_empty
from modomodo.data.table.files import IMAGES

# How the files of the decoded formats begin, and how these beginnings look in base64.
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"RIFF")
_BASE64 = ("iVBORw0KGgo", "/9j/", "R0lGOD", "SUkqA", "TU0AK", "UklGR")
_LONGEST_PATH = 1000
_SHORTEST_BASE64 = 100  # characters: no image is smaller


@dataclass(frozen=True)
class ImagePlace:
    """Where the images lie that a table names."""

    folder: Path
    inside: bool  # a download's paths may not lead out of it; one's own files may name any


def images_of_cell(value: object, place: ImagePlace) -> list[ImageLike]:
    """None, one or several images: decoded, encoded, a path, {bytes, path}, or base64. Raises InvalidRow."""
    if is_empty(value):
        return []
    if isinstance(value, list | tuple):
        return [image for inner in value for image in images_of_cell(inner, place)]
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path") or value.get("url")
        return images_of_cell(path if data is None else data, place)
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("[") and isinstance(listed := data_in(text), list):  # VLMEvalKit's, of several
            return images_of_cell(listed, place)
        return [_named_image(text, place)]
    return [value]  # type: ignore[list-item]  # whose form is judged where it is decoded


def _named_image(text: str, place: ImagePlace) -> ImageLike:
    if text.startswith("data:image/") or (len(text) > 200 and "." not in text):
        try:
            return base64.b64decode(
                text.partition(",")[2] if text.startswith("data:") else text, validate=True
            )
        except (binascii.Error, ValueError):
            raise InvalidRow(f"image: '{text[:40]}…' is neither a path nor base64") from None
    if "://" in text and not text.startswith("file://"):
        raise InvalidRow(f"image: {text} is an address: download it, and name the file")
    if text.isdigit():
        raise InvalidRow(
            f"image: '{text}' is no file; if it is the index of a row (VLMEvalKit), repeat that row's image"
        )
    path = Path(text.removeprefix("file://")).expanduser()
    if place.inside and leaves_its_folder(text):
        raise InvalidRow(f"image: '{text}' leads out of the downloaded files")
    return place.folder / path


def holds_images(value: object) -> bool:
    """Whether a cell is an image, or a list of images: their bytes, base64, or the name of an image's file.

    >>> holds_images("scans/17.PNG"), holds_images("a scan"), holds_images([])
    (True, False, False)
    """
    if isinstance(value, list | tuple):
        filled = [inner for inner in value if not is_empty(inner)]
        return bool(filled) and all(map(holds_images, filled))
    if isinstance(value, str) and not holds_pixels(value):
        text = value.strip()
        return (
            "\n" not in text
            and len(text) <= _LONGEST_PATH
            and Path(text.partition("?")[0]).suffix.lower() in IMAGES
        )
    if isinstance(value, Mapping) and value.get("bytes") is None:
        return any(isinstance(value.get(key), str) and holds_images(value[key]) for key in ("path", "url"))
    return holds_pixels(value)


def holds_pixels(value: object) -> bool:
    """Whether a cell holds an image itself, or several, and not the name of a file."""
    if isinstance(value, list | tuple):
        return any(map(holds_pixels, value))
    if isinstance(value, Mapping):
        value = value.get("bytes")
    if isinstance(value, str):
        text = value.lstrip()
        return text.startswith("data:image/") or (len(text) > _SHORTEST_BASE64 and text.startswith(_BASE64))
    return isinstance(value, bytes) and value.startswith(_BEGINNINGS) and value[8:12] != b"WAVE"
