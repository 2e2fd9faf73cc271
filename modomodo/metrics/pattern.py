"""A regular expression, searched under a time limit: a pattern may need longer for a text than a training lasts."""

from typing import Annotated

import regex
from pydantic import AfterValidator, Field

from modomodo.data.examples import Example
from modomodo.metrics.metric import TEXTS, Score, metric, references


def _compiles(pattern: str) -> str:
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return pattern


@metric("regex", version=1)
def regular_expression(
    answer: str,
    example: Example,
    pattern: Annotated[str, AfterValidator(_compiles)],
    seconds: Annotated[float, Field(gt=0)] = 1.0,
) -> Score:
    r"""1 when `pattern` is found; with a group, when the group's last match is an accepted answer.

    The syntax is that of the package regex. Without a match, or none within `seconds`, an answer is unparsed.

    Example: `{regex: {pattern: 'total: (\d+)'}}`: "sum 3, total: 5" for "5" is 1.
    """
    try:
        matches = list(regex.compile(pattern).finditer(answer, timeout=seconds))
    except TimeoutError:
        matches = []
    if not matches:
        return Score(0.0, parsed=False)
    if not matches[-1].re.groups:
        return Score(1.0)
    found = (matches[-1][1] or "").strip()
    return Score(
        float(example.answer_type in TEXTS and found in [one.strip() for one in references(example)])
    )
