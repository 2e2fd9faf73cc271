"""Images as published → the files that examples point to: decoded once, checked, named by their content.

An image that needs no change keeps its published bytes, so nothing is encoded a second time. One that has to
be resized or brought to RGB is written as PNG, whose pixels do not depend on an encoder's quality setting.
"""

import hashlib
import io
import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import PIL.ExifTags
import PIL.Image
import PIL.ImageFile
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


class Array(Protocol):
    """Pixels as numpy holds them: [height, width] of uint8 or uint16, or [height, width, 1, 3 or 4] of uint8."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


# How an image may be handed over: encoded bytes, a file, the hub's {bytes, path}, Pillow's image, an array.
Source = bytes | str | os.PathLike[str] | Mapping[str, Any] | PIL.Image.Image | Array


@dataclass(frozen=True)
class Image:
    """An image in any form, and how it is changed."""

    source: Source
    max_side: int | None = None  # in pixels; resized when its longer side is longer
    background: Background = "white"  # under transparent pixels


ImageLike = Image | Source


@dataclass(frozen=True)
class Prepared:
    """An image as it travels to the process that decodes and writes it."""

    source: bytes | Path | PIL.Image.Image  # pixels are upright and RGB
    max_side: int | None
    background: Background

    @property
    def cost(self) -> int:
        """Bytes that travel."""
        if isinstance(self.source, PIL.Image.Image):
            return 3 * self.source.width * self.source.height
        return len(self.source) if isinstance(self.source, bytes) else 0

    @cached_property
    def key(self) -> tuple[str | bytes, int | None, Background]:
        """Equal for images of which the same file is made."""
        if isinstance(self.source, Path):
            return str(self.source), self.max_side, self.background
        if isinstance(self.source, bytes):
            return hashlib.sha256(self.source).digest(), self.max_side, self.background
        pixels = hashlib.sha256(repr(self.source.size).encode() + self.source.tobytes())
        return pixels.digest(), self.max_side, self.background


def prepared(image: ImageLike, max_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Prepared:
    """An image in any form as its bytes, its file or its pixels, for writing; the smaller of two sides counts.

    An opened file of which nothing has been read goes back to its bytes: what is published is written, not decoded
    here, and equal whatever form it came in. Raises InvalidImage for a form that is none of `Source`, and for pixels
    that cannot be used.
    """
    if not isinstance(image, Image):
        image = Image(image)
    sides = [side for side in (max_side, image.max_side) if side is not None]
    with _decoder(max_pixels):
        source = _source(image.source)
        if isinstance(source, PIL.Image.Image):
            if source.width * source.height > max_pixels:
                raise InvalidImage(
                    f"image: {source.width} x {source.height} pixels exceed max_pixels ({max_pixels}): raise it if "
                    "the image is meant to be read"
                )
            pixels = _upright_rgb(source, image.background)
            source = pixels.copy() if pixels is source else pixels  # whose owner may draw on it again
    return Prepared(source, min(sides, default=None), image.background)


def _source(given: object) -> bytes | Path | PIL.Image.Image:
    """Raises InvalidImage for a form that is none of `Source`."""
    if isinstance(given, Mapping):  # the hub's, with its bytes or the path of a file
        data = given.get("bytes")
        given = given.get("path") if data is None else data
    if isinstance(given, PIL.Image.Image):
        data = _bytes_of_unread(given)
        return given if data is None else data
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if given is None or (isinstance(given, str) and not given):
        raise InvalidImage("image: there is none")
    if isinstance(given, str | os.PathLike):
        return Path(os.fsdecode(given))
    if hasattr(given, "__array_interface__"):
        array: Any = given
        return PIL.Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
    raise InvalidImage(
        f"image: found {type(given).__name__}, expected a file, its bytes, {{bytes, path}}, Pillow's image or an array"
    )


def _bytes_of_unread(image: PIL.Image.Image) -> bytes | None:
    """The file of an opened image that is still what the file holds: no pixel read or changed, at its first frame."""
    if not isinstance(image, PIL.ImageFile.ImageFile) or not image.tile or image.tell() != 0:
        return None
    file = image.fp
    if file is None:
        return None
    position = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(position)
    with PIL.Image.open(io.BytesIO(data)) as again:  # Pillow's draft() would show in size or mode
        return data if (again.size, again.mode) == (image.size, image.mode) else None


def displayed_size(path: Path | io.BytesIO, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels as a viewer shows the image; only its header is read. Raises InvalidImage."""
    with _decoder(max_pixels), PIL.Image.open(path, formats=_DECODED) as image:
        width, height = image.size
        turned = image.getexif().get(PIL.ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def size_of(image: ImageLike) -> tuple[int, int]:
    """Width and height of an image in any form, as a viewer shows it. Raises InvalidImage."""
    source = prepared(image).source
    if isinstance(source, PIL.Image.Image):
        return source.size
    return displayed_size(io.BytesIO(source) if isinstance(source, bytes) else source)


def encode(image: ImageLike | Prepared, max_pixels: int = MAX_PIXELS) -> tuple[bytes, str]:
    """The bytes of an image file and its suffix. Raises InvalidImage for what cannot be decoded to its last row.

    A published image is changed where it is longer than its `max_side`, not RGB, turned by EXIF orientation (the
    libraries that read it later disagree on obeying that) or one of several frames; else its bytes stay.
    """
    if not isinstance(image, Prepared):
        image = prepared(image, max_pixels=max_pixels)
    with _decoder(max_pixels):
        if isinstance(image.source, PIL.Image.Image):
            return _png(_resized(image.source, image.max_side)), ".png"
        data = image.source if isinstance(image.source, bytes) else image.source.read_bytes()
        with PIL.Image.open(io.BytesIO(data), formats=_DECODED) as opened:
            suffix = _KEPT.get(opened.format or "")
            frames = getattr(opened, "n_frames", 1)
            opened.load()  # all of it: only so is a truncated file found
            changed = _resized(_upright_rgb(opened, image.background), image.max_side)
            if changed is opened and suffix is not None and frames == 1:
                return data, suffix
            return _png(changed), ".png"


def _upright_rgb(opened: PIL.Image.Image, background: Background) -> PIL.Image.Image:
    """The image upright and in RGB; the very same object when it already is."""
    image: PIL.Image.Image = opened
    _check_shape(*image.size)
    if opened.getexif().get(PIL.ExifTags.Base.Orientation, 1) != 1:
        image = PIL.ImageOps.exif_transpose(opened)
    image = _rgb(image, background)
    image.load()
    return image


def _resized(image: PIL.Image.Image, max_side: int | None) -> PIL.Image.Image:
    width, height = image.size
    if max_side is None or max(width, height) <= max_side:
        return image
    scale = max_side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    _check_shape(*size)  # rounding to whole pixels makes a thin image thinner
    return image.resize(size, PIL.Image.Resampling.LANCZOS)


def _check_shape(width: int, height: int) -> None:
    if min(width, height) < 1:
        raise InvalidImage(f"image: {width} x {height} pixels: empty")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise InvalidImage(
            f"image: {width} x {height} pixels: sides differ by more than {MAX_ASPECT_RATIO} times"
        )


def _rgb(image: PIL.Image.Image, background: Background) -> PIL.Image.Image:
    if image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "La":  # Pillow would drop its transparency
        image = image.convert("LA")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        flat = PIL.Image.new("RGB", layer.size, background)
        flat.paste(layer, mask=layer.getchannel("A"))
        return flat
    if image.mode in ("I", "F"):  # which value is white is written nowhere
        raise InvalidImage(f"image: pixels of 32 bits (mode {image.mode}) have no known brightness")
    return image.convert("RGB")


def _eight_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """Greys of 16 bits scaled to 8, where Pillow would cut them off, with the one that is transparent, if any."""
    wide = image.convert("I")
    grey = wide.point(lambda value: value * (1 / 256)).convert("L")
    transparent = grey.info.pop("transparency", None)
    if transparent is None:
        return grey
    import numpy as np

    opaque = (np.asarray(wide) != transparent).astype(np.uint8) * 255
    return PIL.Image.merge("LA", (grey, PIL.Image.fromarray(opaque)))


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
    """Pillow with an image of more than `max_pixels` as an error, not a warning, and all errors as InvalidImage."""
    before = PIL.Image.MAX_IMAGE_PIXELS
    PIL.Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of decoders on odd metadata
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            yield
    except (InvalidImage, MemoryError):
        raise
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise InvalidImage(_unreadable(error)) from None
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = before


@contextmanager
def checked_before() -> Iterator[None]:
    """Pillow without its limit of pixels: for images of examples, which passed `max_pixels` when they were written."""
    before = PIL.Image.MAX_IMAGE_PIXELS
    PIL.Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = before


def write_image(image: Prepared, folder: Path, max_pixels: int = MAX_PIXELS) -> str:
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
Key = tuple[str | bytes, int | None, Background]
Written = str | InvalidImage


@dataclass
class _Chunk(Generic[T]):
    """Rows, with the keys of their images, and those images that no earlier chunk has."""

    rows: list[tuple[T, list[Key]]] = field(default_factory=list)
    new: dict[Key, Prepared] = field(default_factory=dict)


def write_images(
    rows: Iterable[tuple[T, Sequence[Prepared]]], folder: Path, max_pixels: int, workers: int
) -> Iterator[tuple[T, list[str] | InvalidImage]]:
    """Write each row's images; yields (what came with the row, names or why not) in the order of the rows.

    An image that several rows share is decoded once. What is written does not depend on `workers`. Above one,
    processes decode and write; a few chunks of rows are under way at a time, so memory stays flat however many rows
    come (but for some 200 bytes for each image).
    Raises InputError when the disk is full or a worker is killed.
    """
    done: dict[Key, Written] = {}

    def finished(chunk: _Chunk[T], written: list[Written]) -> Iterator[tuple[T, list[str] | InvalidImage]]:
        done.update(zip(chunk.new, written, strict=True))
        for carried, keys in chunk.rows:
            yield carried, _names([done[key] for key in keys])

    chunks = _chunks(rows)
    first = next(chunks, None)
    second = next(chunks, None) if workers > 1 else None
    if second is None:  # one process, or too few rows for it to be worth starting others
        for chunk in chain([first] if first else [], chunks):
            yield from finished(chunk, _write_all([*chunk.new.values()], folder, max_pixels))
        return
    assert first is not None
    import multiprocessing
    from concurrent.futures import Future, ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # Not fork: pyarrow's threads may hold a lock at that moment.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    waiting: deque[tuple[_Chunk[T], Future[list[Written]]]] = deque()
    with ProcessPoolExecutor(workers, context) as pool:
        try:
            for chunk in chain([first, second], chunks):
                waiting.append((chunk, pool.submit(_write_all, [*chunk.new.values()], folder, max_pixels)))
                if len(waiting) > 2 * workers:
                    chunk, future = waiting.popleft()
                    yield from finished(chunk, future.result())
            while waiting:
                chunk, future = waiting.popleft()
                yield from finished(chunk, future.result())
        except BrokenProcessPool:
            raise InputError(
                f"{folder}: a worker was killed, most likely for its memory: lower data.threads ({workers})"
            ) from None
        finally:
            for _, future in waiting:
                future.cancel()


def _chunks(rows: Iterable[tuple[T, Sequence[Prepared]]]) -> Iterator[_Chunk[T]]:
    seen: set[Key] = set()
    chunk: _Chunk[T] = _Chunk()
    cost = 0
    for carried, images in rows:
        chunk.rows.append((carried, [image.key for image in images]))
        for image in images:
            if image.key not in seen:
                seen.add(image.key)
                chunk.new[image.key] = image
                cost += image.cost
        if len(chunk.rows) >= CHUNK_ROWS or cost >= CHUNK_BYTES:
            yield chunk
            chunk, cost = _Chunk(), 0
    if chunk.rows:
        yield chunk


def _names(written: list[Written]) -> list[str] | InvalidImage:
    """The files of a row's images, or why one of them cannot be used."""
    names: list[str] = []
    for one in written:
        if isinstance(one, InvalidImage):
            return one
        names.append(one)
    return names


def _write_all(images: list[Prepared], folder: Path, max_pixels: int) -> list[Written]:
    return [_written(image, folder, max_pixels) for image in images]


def _written(image: Prepared, folder: Path, max_pixels: int) -> Written:
    try:
        return write_image(image, folder, max_pixels)
    except InvalidImage as error:
        return error
