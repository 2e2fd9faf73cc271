"""Images as published → the files that examples point to: decoded once, checked, named by their content.

An image that needs no change keeps its published bytes, so nothing is encoded a second time. One that has to
be resized or brought to RGB is written as PNG, whose pixels do not depend on an encoder's quality setting.
"""

import hashlib
import io
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import PIL.ExifTags
import PIL.Image
import PIL.ImageOps
from PIL import (
    BmpImagePlugin,  # noqa: F401  (the decoders below, which register themselves)
    GifImagePlugin,  # noqa: F401  (the decoders below, which register themselves)
    JpegImagePlugin,  # noqa: F401  (the decoders below, which register themselves)
    PngImagePlugin,  # noqa: F401  (the decoders below, which register themselves)
    TiffImagePlugin,  # noqa: F401  (the decoders below, which register themselves)
    WebPImagePlugin,  # noqa: F401  (the decoders below, which register themselves)
)

from modomodo.config.schema import MAX_PIXELS
from modomodo.errors import InputError
from modomodo.files import write_bytes

Background = Literal["white", "black"]
# Qwen2-VL's image processor refuses what is longer and thinner.
MAX_ASPECT_RATIO = 200

# The decoders of published datasets. Others (EPS calls Ghostscript) have no business here.
_DECODED = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_KEPT = {"JPEG": ".jpg", "PNG": ".png"}


class InvalidRow(ValueError):  # noqa: N818  (a row is invalid, the program is not)
    """Why a row cannot become an example, in the words that `<dataset>.rejected.jsonl` gets."""


class InvalidImage(InvalidRow):
    """Why an image of a row cannot be used."""


@dataclass(frozen=True)
class Image:
    """An image as published (its encoded bytes, or its file) and how it is changed."""

    source: bytes | Path
    max_side: int | None = None  # in pixels; resized when its longer side is longer
    background: Background = "white"  # under transparent pixels

    @property
    def cost(self) -> int:
        """Bytes that travel to the process that decodes it."""
        return len(self.source) if isinstance(self.source, bytes) else 0


ImageLike = PIL.Image.Image | Image


def displayed_size(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels as a viewer shows the image; only its header is read. Raises InvalidImage."""
    with _decoder(max_pixels):
        try:
            with PIL.Image.open(path, formats=_DECODED) as image:
                width, height = image.size
                turned = image.getexif().get(PIL.ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        except Exception as error:
            raise InvalidImage(_unreadable(error)) from None
    return (height, width) if turned else (width, height)


def encode(image: ImageLike, max_pixels: int = MAX_PIXELS) -> tuple[bytes, str]:
    """The bytes of an image file and its suffix. Raises InvalidImage for what cannot be decoded to its last row.

    A published image is changed where it is longer than its `max_side`, not RGB, turned by EXIF orientation (the
    libraries that read it later disagree on obeying that) or one of several frames; else its bytes stay.
    """
    with _decoder(max_pixels):
        try:
            if isinstance(image, PIL.Image.Image):
                return _png(image), ".png"
            data = image.source if isinstance(image.source, bytes) else image.source.read_bytes()
            with PIL.Image.open(io.BytesIO(data), formats=_DECODED) as opened:
                suffix = _KEPT.get(opened.format or "")
                frames = getattr(opened, "n_frames", 1)
                opened.load()  # all of it: only so is a truncated file found
                changed = _changed(opened, image)
                if changed is opened and suffix is not None and frames == 1:
                    return data, suffix
                return _png(changed), ".png"
        except InvalidImage:
            raise
        except MemoryError:
            raise
        except Exception as error:  # decoders raise nearly anything on damaged bytes
            raise InvalidImage(_unreadable(error)) from None


def _changed(opened: PIL.Image.Image, wanted: Image) -> PIL.Image.Image:
    """The image upright, in RGB and not longer than wanted; the very same object when it already is."""
    image: PIL.Image.Image = opened
    if opened.getexif().get(PIL.ExifTags.Base.Orientation, 1) != 1:
        image = PIL.ImageOps.exif_transpose(opened)
    width, height = image.size
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise InvalidImage(
            f"image: {width} x {height} pixels: sides differ by more than {MAX_ASPECT_RATIO} times"
        )
    return _resized(_rgb(image, wanted.background), wanted.max_side)


def limited(image: ImageLike, max_side: int | None) -> ImageLike:
    """The image with its longer side at most `max_side` pixels; the smaller of two limits counts."""
    if isinstance(image, PIL.Image.Image):
        return _resized(image, max_side)
    if max_side is None:
        return image
    return replace(image, max_side=min(max_side, image.max_side or max_side))


def _resized(image: PIL.Image.Image, max_side: int | None) -> PIL.Image.Image:
    width, height = image.size
    if max_side is None or max(width, height) <= max_side:
        return image
    scale = max_side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image.resize(size, PIL.Image.Resampling.LANCZOS)


def _rgb(image: PIL.Image.Image, background: Background) -> PIL.Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        flat = PIL.Image.new("RGB", layer.size, background)
        flat.paste(layer, mask=layer.getchannel("A"))
        return flat
    if image.mode.startswith("I;16"):  # 16 bits: Pillow would cut off instead of scaling
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in ("I", "F"):  # which value is white is written nowhere
        raise InvalidImage(f"image: pixels of 32 bits (mode {image.mode}) have no known brightness")
    return image.convert("RGB")


def _png(image: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _unreadable(error: Exception) -> str:
    if isinstance(error, PIL.Image.DecompressionBombError | PIL.Image.DecompressionBombWarning):
        return f"image: {error}: raise max_pixels if it is meant to be read"
    if isinstance(error, PIL.UnidentifiedImageError):
        return "image: no image of a known format"
    if isinstance(error, OSError | SyntaxError | ValueError):  # Pillow's own words
        return f"image: {error}"
    return f"image: {type(error).__name__}: {error}"


@contextmanager
def _decoder(max_pixels: int) -> Iterator[None]:
    """Pillow with an image of more than `max_pixels` as an error, not a warning."""
    before = PIL.Image.MAX_IMAGE_PIXELS
    PIL.Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of decoders on odd metadata
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            yield
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = before


def write_image(image: ImageLike, folder: Path, max_pixels: int = MAX_PIXELS) -> str:
    """Write an image under the digest of its file, so that equal ones are kept once; returns the file's name.

    Raises InvalidImage for an image that cannot be decoded, InputError when the disk is full.
    """
    data, suffix = encode(image, max_pixels)
    name = f"{hashlib.sha256(data).hexdigest()[:24]}{suffix}"
    path = folder / name
    if not path.exists():
        try:
            write_bytes(path, data)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be written ({error.strerror}): make room, then run again"
            ) from None
    return name


# --- many at once -------------------------------------------------------------------------------------------

CHUNK_ROWS, CHUNK_BYTES = 32, 8 << 20  # of one task of a worker, whichever is reached first
T = TypeVar("T")
Written = list[str] | InvalidImage


def write_images(
    rows: Iterable[tuple[T, Sequence[ImageLike]]], folder: Path, max_pixels: int, workers: int
) -> Iterator[tuple[T, Written]]:
    """Write each row's images; yields (what came with the row, names or why not) in the order of the rows.

    What is written does not depend on `workers`. Above one, processes decode and write; a few chunks of rows
    are under way at a time, so memory stays flat however many rows come.
    Raises InputError when the disk is full or a worker is killed.
    """
    chunks = _chunks(rows)
    first = next(chunks, None)
    second = next(chunks, None) if workers > 1 else None
    if second is None:  # one process, or too few rows for it to be worth starting others
        for carried_rows, images_of_rows in chain([first] if first else [], chunks):
            yield from zip(carried_rows, _write_rows(images_of_rows, folder, max_pixels), strict=True)
        return
    assert first is not None
    import multiprocessing
    from concurrent.futures import Future, ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # Not fork: pyarrow's threads may hold a lock at that moment.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    waiting: deque[tuple[list[T], Future[list[Written]]]] = deque()
    with ProcessPoolExecutor(workers, context) as pool:
        try:
            for carried_rows, images_of_rows in chain([first, second], chunks):
                waiting.append((carried_rows, pool.submit(_write_rows, images_of_rows, folder, max_pixels)))
                if len(waiting) > 2 * workers:
                    carried_rows, written = waiting.popleft()
                    yield from zip(carried_rows, written.result(), strict=True)
            while waiting:
                carried_rows, written = waiting.popleft()
                yield from zip(carried_rows, written.result(), strict=True)
        except BrokenProcessPool:
            raise InputError(
                f"{folder}: a worker was killed, most likely for its memory: lower data.threads ({workers})"
            ) from None
        finally:
            for _, written in waiting:
                written.cancel()


def _chunks(
    rows: Iterable[tuple[T, Sequence[ImageLike]]],
) -> Iterator[tuple[list[T], list[Sequence[ImageLike]]]]:
    carried_rows: list[T] = []
    images_of_rows: list[Sequence[ImageLike]] = []
    cost = 0
    for carried, images in rows:
        carried_rows.append(carried)
        images_of_rows.append(images)
        cost += sum(_cost(image) for image in images)
        if len(carried_rows) >= CHUNK_ROWS or cost >= CHUNK_BYTES:
            yield carried_rows, images_of_rows
            carried_rows, images_of_rows, cost = [], [], 0
    if carried_rows:
        yield carried_rows, images_of_rows


def _cost(image: Any) -> int:
    return image.cost if isinstance(image, Image) else image.width * image.height * len(image.getbands())


def _write_rows(images_of_rows: list[Sequence[ImageLike]], folder: Path, max_pixels: int) -> list[Written]:
    return [_write_row(images, folder, max_pixels) for images in images_of_rows]


def _write_row(images: Sequence[ImageLike], folder: Path, max_pixels: int) -> Written:
    try:
        return [write_image(image, folder, max_pixels) for image in images]
    except InvalidImage as error:
        return error
