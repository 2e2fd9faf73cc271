"""Mean IoU: the paper's metric for LISA-test (section 3.1)."""

from modomodo.data.answers import parse_boxes
from modomodo.data.boxes import by_confidence, matched_iou
from modomodo.data.examples import Box, Example
from modomodo.errors import InputError
from modomodo.metrics.metric import Score, metric


@metric("mean_iou", version=2, answers=("box",))
def mean_iou(answer: str, example: Example) -> Score:
    """IoU with the true box of the most confident box answered (of equals, the first), in [0, 1].

    A referring expression has one true box, and Visual-RFT's evaluation reads one box from an answer.
    With k true boxes, the k most confident ones are matched greedily and the sum is divided by k.
    An answer that lists no boxes counts as unparsed.

    Example: `mean_iou`: "[0, 0, 10, 5]" for "[[0, 0, 10, 10]]" is 0.5.
    """
    predicted = parse_boxes(answer)
    if predicted is None:
        return Score(0.0, parsed=False)
    truth = _truth(example)
    return Score(matched_iou(truth, by_confidence(predicted)[: len(truth)]))


@metric("mean_iou_matched", version=2, answers=("box",))
def mean_iou_matched(answer: str, example: Example) -> Score:
    """As the reward `iou`: all boxes answered count, and superfluous ones lower the value.

    Example: `mean_iou_matched`: "[[0, 0, 10, 10], [20, 20, 30, 30]]" for "[[0, 0, 10, 10]]" is 0.5.
    """
    predicted = parse_boxes(answer)
    if predicted is None:
        return Score(0.0, parsed=False)
    return Score(matched_iou(_truth(example), predicted))


def _truth(example: Example) -> list[Box]:
    if isinstance(example.answer, str):
        raise InputError("its answer is no list of boxes: mean IoU needs answer_type 'box'")
    return example.answer
