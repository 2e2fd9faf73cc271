"""True answers as a metric scores them: what gives the truth itself less than 1 can teach or measure no better."""

import json
from collections.abc import Iterable

from modomodo.data.answers import extract_answer
from modomodo.data.examples import Example
from modomodo.metrics.metric import Metric


def completion_of_truth(example: Example) -> str:
    """A completion with the true answer."""
    answer = example.answer if isinstance(example.answer, str) else json.dumps(example.answer)
    return f"<think>\n</think>\n<answer>{answer}</answer>"


def unread_truths(what: str, metric: Metric, examples: Iterable[Example]) -> list[str]:
    """A warning when true answers do not get the full value. One that asks a judge, or is of the form, is left out.

    `what`: a domain or benchmark and what the metric is to it. Raises InputError for a true answer that cannot be read.
    """
    if metric.prompt is not None or metric.form:
        return []
    asked = [example for example in examples if example.answer_type in metric.answers]
    short = [
        example
        for example in asked
        if metric(right := completion_of_truth(example), extract_answer(right), example).value < 1
    ]
    if not short:
        return []
    return [
        f"{what} '{metric.name}' gives {len(short)} of {len(asked)} true answers less than 1, e.g. "
        f"{json.dumps(short[0].answer, ensure_ascii=False)[:80]} of example '{short[0].id}': name another one"
    ]
