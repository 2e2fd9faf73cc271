"""Boxes against boxes: overlap of two, and of two sets by greedy matching.

A box is (x1, y1, x2, y2), top left to bottom right, in any unit that both sides share; an overlap is a
ratio of areas in [0, 1], so it does not depend on the unit.
"""

from collections.abc import Sequence
from typing import NamedTuple

from modomodo.data.examples import Box


class ScoredBox(NamedTuple):
    """A predicted box; confidence is 1 when the answer gave none."""

    box: Box
    confidence: float = 1.0


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0 when either has no area (corners swapped included)."""
    if not (a[0] < a[2] and a[1] < a[3] and b[0] < b[2] and b[1] < b[3]):
        return 0.0
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    # Areas of extremely thin boxes can round to nothing, and a ratio of nearly equal ones to above 1.
    return min(1.0, intersection / union) if union > 0 else 0.0


def by_confidence(predicted: Sequence[ScoredBox]) -> list[ScoredBox]:
    """Most confident first; equals keep their order."""
    return sorted(predicted, key=lambda scored: -scored.confidence)


def without_duplicates(predicted: Sequence[ScoredBox]) -> list[ScoredBox]:
    """The first of each set of boxes with the same corners."""
    first: dict[Box, ScoredBox] = {}
    for scored in predicted:
        first.setdefault(scored.box, scored)
    return list(first.values())


def matched_iou(truth: Sequence[Box], predicted: Sequence[ScoredBox], threshold: float = 0.0) -> float:
    """Sum of the overlaps of greedily matched boxes over the larger number of boxes, in [0, 1].

    From the most confident prediction on, each takes the free true box that it overlaps most, if by more
    than `threshold`; dividing by max(len(truth), len(predicted)) makes a missed and a superfluous box cost
    the same. For one true and one predicted box this is their IoU. No box on either side scores 1.

    Source: the detection reward of Visual-RFT (github.com/Liuziyu77/Visual-RFT), where the threshold is 0.5.
    """
    if not truth and not predicted:
        return 1.0
    free = list(truth)
    total = 0.0
    for scored in by_confidence(predicted):
        if not free:
            break
        overlaps = [iou(box, scored.box) for box in free]
        best = max(overlaps)
        if best > threshold:
            total += best
            del free[overlaps.index(best)]
    return total / max(len(truth), len(predicted))
