"""Average normalised Levenshtein similarity: InfographicVQA's metric, by lmms-eval's rules."""

from rapidfuzz.distance import Levenshtein

from modomodo.data.examples import Example
from modomodo.metrics.metric import TEXTS, Score, metric, references

_THRESHOLD = 0.5


@metric("anls", version=2, answers=TEXTS)
def anls(answer: str, example: Example) -> Score:
    """The best similarity to an accepted answer; below 0.5 it counts as 0.

    Example: `anls`: "blue skies" for "blue sky" is 0.7.
    """
    similarity = max(normalised_similarity(answer, reference) for reference in references(example))
    return Score(similarity if similarity >= _THRESHOLD else 0.0)


def normalised_similarity(answer: str, reference: str) -> float:
    """1 - edit distance / length of the longer text, at most 1 (lmms-eval api/metrics.py, as VLMEvalKit).

    The distance is that of the texts in lower case with white space collapsed, the length that of the texts
    as they are, in upper case: stray spaces make two texts more alike, and "ß" is two letters long. Both
    are the benchmark's own code. Two empty texts are the same.
    """
    distance = Levenshtein.distance(_plain(answer), _plain(reference))
    length = max(len(answer.upper()), len(reference.upper()))
    return 1 - distance / length if length else 1.0


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
