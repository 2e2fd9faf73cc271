"""Exact match: the paper's metric for every benchmark but LISA-test (section 3.1)."""

from modomodo.data.answers import is_exact_match
from modomodo.data.examples import Example
from modomodo.metrics.metric import TEXTS, Score, metric, score_of_match


@metric("exact_match", version=1, answers=TEXTS)
def exact_match(answer: str, example: Example) -> Score:
    """1 when the answer equals an accepted one, but for white space around it; case and signs count.

    Example: `exact_match`: "Paris." for "Paris" is 0.
    """
    return score_of_match(answer, example, is_exact_match)


@metric("exact_match_normalised", version=1, answers=TEXTS)
def exact_match_normalised(answer: str, example: Example) -> Score:
    """As `exact_match`, but case, the amount of white space and one full stop at the end do not count.

    Example: `exact_match_normalised`: "new  york." for "New York" is 1.
    """
    return score_of_match(_plain(answer), example, lambda plain, reference: plain == _plain(reference))


def _plain(text: str) -> str:
    return " ".join(text.split()).removesuffix(".").rstrip().casefold()
