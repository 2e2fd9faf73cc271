"""What can be said of a completion's form without its true answer: length, repetitions, valid JSON.

Each is 1 for the form that is wanted and falls to 0, so that a penalty is a reward that is lost, and a completion which
breaks the reasoning format escapes none.
"""

import json as parser
import re
from collections import Counter
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, Field

from modomodo.data.examples import Example
from modomodo.metrics.metric import Score, metric


@metric("length", version=1, whole=True, form=True)
def length(
    completion: str,
    example: Example,
    limit: Annotated[int, Field(ge=1)],
    fade: Annotated[int, Field(ge=0)] = 0,
) -> Score:
    """1 up to `limit` characters of the whole completion, then falling to 0 over the next `fade`.

    DAPO's soft overlong punishment (arxiv.org/abs/2503.14476, equation 13) plus 1, counted in characters.

    Example: `{length: {limit: 2000, fade: 1000}}`: a completion of 2500 characters is 0.5.
    """
    beyond = len(completion) - limit
    return Score(1.0 if beyond <= 0 else max(0.0, 1 - beyond / fade) if fade else 0.0)


# Words, and pieces of very long ones; of scripts without spaces single signs; and marks.
_TOKEN = re.compile("[\u2e80-\u9fff\uac00-\ud7af]|[^\\W\u2e80-\u9fff\uac00-\ud7af]{1,12}|[^\\w\\s]")


@metric("repetition", version=1, whole=True, form=True)
def repetition(completion: str, example: Example, words: Annotated[int, Field(ge=1)] = 4) -> Score:
    """The share of the whole completion's runs of so many `words` that are no repetition of an earlier one.

    1 for a completion that repeats nothing, or is shorter; near 0 for one that goes round in circles. The repetition
    penalty of arxiv.org/abs/2502.03373 as a share.

    Example: `{repetition: {words: 1}}`: a completion of "no no no no" is 0.25.
    """
    tokens = _TOKEN.findall(completion.casefold())
    runs = Counter(zip(*(tokens[start:] for start in range(words)), strict=False))
    return Score(len(runs) / runs.total() if runs else 1.0)


def _is_schema(schema: dict[str, Any]) -> dict[str, Any]:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"no JSON schema: {error.message}") from None
    return schema


_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?```", re.DOTALL)
_LONGEST = 1_000_000  # characters: a deeper or longer text is no answer


@metric("json", version=1, form=True)
def json(
    answer: str, example: Example, schema: Annotated[dict[str, Any], AfterValidator(_is_schema)] | None = None
) -> Score:
    """1 when the answer is one JSON value, bare or in a Markdown fence, and fits the JSON `schema` if there is one.

    NaN and Infinity, which Python writes, are no JSON. Another answer counts as unparsed.

    Example: `{json: {schema: {required: [x]}}}`: "{\"x\": 3}" for "B" is 1.
    """
    fence = _FENCE.fullmatch(answer.strip())
    try:
        value = parser.loads((fence[1] if fence else answer)[:_LONGEST], parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Score(0.0, parsed=False)
    if schema is None:
        return Score(1.0)
    from jsonschema import Draft202012Validator

    try:
        return Score(float(Draft202012Validator(schema).is_valid(value)))
    except RecursionError:
        return Score(0.0)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")
