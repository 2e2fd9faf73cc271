"""Relaxed accuracy: ChartQA's metric (Masry et al. 2022, section 5.1), by lmms-eval's rules."""

from modomodo.data.examples import Example
from modomodo.metrics.metric import TEXTS, Score, metric, score_of_match

_TOLERANCE = 0.05


@metric("relaxed_accuracy", version=1, answers=TEXTS)
def relaxed_accuracy(answer: str, example: Example) -> Score:
    """1 for a number within 5% of the true one, or for the same text whatever its case; else 0.

    Example: `relaxed_accuracy`: "10.4" for "10" is 1.
    """
    return score_of_match(answer, example, is_relaxed_match)


def is_relaxed_match(answer: str, reference: str) -> bool:
    """lmms-eval's rule (tasks/chartqa), to the letter; texts are compared as they are.

    Its edges: "12%" is 0.12 and so no match of "12"; a true 0 has no 5% and needs the very text "0";
    thousands separators and units make a text of a number.
    """
    number, true_number = _number(answer), _number(reference)
    if number is not None and true_number:
        return abs(number - true_number) / abs(true_number) <= _TOLERANCE
    return answer.lower() == reference.lower()


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
