"""Conventions of box coordinates: which numbers stand for a picture's sides.

Rows name theirs under `boxes` in their meta, and keep it. Models were each trained on one (training/families.py).
"""

from collections.abc import Iterable, Sequence

Size = tuple[int, int]  # width, height in pixels
Corners = tuple[float, float, float, float]  # x1, y1, x2, y2

# Convention → what a whole side is in it; None: its pixels. Of a row those of its image's file, of a model those of the
# picture as its processor resizes it. "locations": the tokens <loc0000> to <loc1023>, y first, of PaliGemma.
SIDES: dict[str, float | None] = {
    "0-1": 1.0,
    "0-999": 999.0,
    "0-1000": 1000.0,
    "pixels": None,
    "locations": 1024.0,
}
NORMALISED = {convention for convention, side in SIDES.items() if side is not None}

# What a prompt says of each where the model cannot know it.
SENTENCES = {
    "0-1": "Coordinates are fractions of the image's width and height, from 0 to 1.",
    "0-999": "Coordinates are integers from 0 to 999, relative to the image's width and height.",
    "0-1000": "Coordinates are integers from 0 to 1000, relative to the image's width and height.",
    "pixels": "Coordinates are pixels of the image.",
    "locations": "Coordinates are location tokens.",
}


def converted(
    boxes: Iterable[Sequence[float]], source: str, target: str, source_size: Size, target_size: Size
) -> list[Corners]:
    """Boxes (x1, y1, x2, y2) from one convention to another, not rounded.

    The sizes are those of the picture that pixels of either count; other conventions do not look at them.
    """
    wide, high = (_side(source, pixels) for pixels in source_size)
    to_wide, to_high = (_side(target, pixels) for pixels in target_size)
    # In this order, a whole side comes out whole.
    return [
        (x1 * to_wide / wide, y1 * to_high / high, x2 * to_wide / wide, y2 * to_high / high)
        for x1, y1, x2, y2 in boxes
    ]


def clipped(boxes: Iterable[Sequence[float]], convention: str, size: Size) -> list[Corners]:
    """Boxes cut to the picture: those of annotators reach a little beyond it."""
    wide, high = (_side(convention, pixels) for pixels in size)
    return [
        (min(max(x1, 0), wide), min(max(y1, 0), high), min(max(x2, 0), wide), min(max(y2, 0), high))
        for x1, y1, x2, y2 in boxes
    ]


def _side(convention: str, pixels: int) -> float:
    side = SIDES[convention]
    return float(pixels) if side is None else side
