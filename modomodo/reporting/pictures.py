"""Pictures for pages: small, decoded and encoded again, each once, as text that a page holds."""

import base64
import io
from pathlib import Path

import PIL.Image

from modomodo.data.examples import Example, open_image

SIDE = 160  # pixels of the longer side of a thumbnail
QUALITY = 55


class Pictures:
    """Thumbnails by number, in the order in which they were first asked for.

    Nothing of a file but its pixels gets into a page: neither metadata nor what is hidden behind its end.
    """

    def __init__(self) -> None:
        self.encoded: list[str] = []
        self._known: dict[Path, tuple[int, tuple[int, int]]] = {}

    def number(self, example: Example, name: str, folder: Path) -> tuple[int, tuple[int, int]]:
        """The number of an example's image, and its size in pixels before it was made small.

        Raises InputError for an image that cannot be read.
        """
        path = folder / name
        if path not in self._known:
            with open_image(example, name, folder) as image:
                size = image.size
                self.encoded.append(thumbnail(image))
            self._known[path] = len(self.encoded) - 1, size
        return self._known[path]


def thumbnail(image: PIL.Image.Image) -> str:
    """A picture of at most SIDE pixels as a data URL; a smaller one keeps its size, and its pixels exactly."""
    small = max(image.size) <= SIDE
    image.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG is decoded at a fraction of its size
    pixels = image.convert("RGB")
    pixels.thumbnail((SIDE, SIDE), PIL.Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    pixels.save(buffer, format="WEBP", lossless=small, quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
