"""What a metric is, and the summary of a benchmark's scores."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from modomodo.data.examples import Example
from modomodo.errors import InputError, told
from modomodo.registry import Registry
from modomodo.standard_errors import standard_error


class Score(NamedTuple):
    """The score of one answer: a value in [0, 1], and whether there was an answer at all."""

    value: float
    parsed: bool = True


@dataclass(eq=False)
class Metric:
    """A registered metric. Call it with a row's completion, its extracted answer and the example.

    The function `score` gets the extracted answer. Without one (the completion broke the reasoning format, or nothing
    stands between its tags) the score is 0 and unparsed, unless the metric `reads_completion`: then `score` gets the
    whole completion instead, as the parsers of those benchmarks do. `version` is raised when the same answers would
    score differently.

    A metric with a `prompt` wants a judging model (schema.Judge) to read the answer first: `prompt(text, example)`
    is what it is asked, None where there is no need, and `score` gets its reply, or None, too.
    """

    name: str
    version: int
    score: Callable[..., Score]  # (text, example), with a `prompt` (text, example, reply)
    reads_completion: bool = False
    prompt: Callable[[str, Example], str | None] | None = None

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.score)

    def question(self, completion: str, answer: str | None, example: Example) -> str | None:
        """What a judging model is to be asked about a row; None for nothing.

        Raises InputError as the score does.
        """
        if self.prompt is None or (not self.reads_completion and not (answer or "").strip()):
            return None
        with self._named(example):
            return self.prompt(completion if answer is None else answer, example)

    def __call__(
        self, completion: str, answer: str | None, example: Example, reply: str | None = None
    ) -> Score:
        """The score of one row. Raises InputError naming the example when it lacks what the metric needs.

        So it does without the reply to a question that is to be asked.
        """
        if not self.reads_completion and not (answer or "").strip():
            return Score(0.0, parsed=False)
        if reply is None and self.question(completion, answer, example) is not None:
            raise InputError(f"metric '{self.name}' asks a judge, which is done for the study's scores only")
        with self._named(example):
            text = completion if answer is None else answer
            score = self.score(text, example, *([] if self.prompt is None else [reply]))
            if not 0 <= score.value <= 1:
                raise ValueError(f"value {score.value} is not in [0, 1]")
            return score

    @contextmanager
    def _named(self, example: Example) -> Iterator[None]:
        """An exception inside becomes an InputError that names the metric and the example."""
        try:
            yield
        except Exception as error:
            where = f"metric '{self.name}': example '{example.id}' of {example.dataset}"
            reason = str(error) if isinstance(error, InputError) else told(error)
            raise InputError(f"{where}: {reason}") from error


# Imported when one of its metrics is first asked for, with the libraries that it needs.
_HOMES = {
    "anls": ("anls",),
    "exact_match": ("exact_match", "exact_match_normalised"),
    "mathvista": ("mathvista", "mathvista_judged"),
    "mean_iou": ("mean_iou", "mean_iou_matched"),
    "mmmu": ("mmmu", "mmmu_lmms_eval"),
    "relaxed_accuracy": ("relaxed_accuracy",),
    "scienceqa": ("scienceqa", "scienceqa_lmms_eval"),
}

metrics: Registry[Metric] = Registry(
    "metric", members={f"modomodo.metrics.{home}": names for home, names in _HOMES.items()}
)


def metric(
    name: str,
    version: int,
    reads_completion: bool = False,
    prompt: Callable[[str, Example], str | None] | None = None,
) -> Callable[[Callable], Metric]:
    """Decorator: register a function `(text, example) → Score` as a metric.

    With a `prompt` the function is `(text, example, reply) → Score` (see Metric).
    """

    def decorate(score: Callable[..., Score]) -> Metric:
        return metrics.register(name)(Metric(name, version, score, reads_completion, prompt))

    return decorate


def references(example: Example) -> list[str]:
    """The accepted answers of a text question: `answers` in its `meta` when it has several, else its one.

    Raises InputError when there is none, or the answer is no text.
    """
    accepted = example.meta.get("answers", [example.answer])
    if not isinstance(accepted, list) or not all(isinstance(one, str) for one in accepted):
        raise InputError("the accepted answers are no list of texts")
    accepted = [one for one in accepted if one.strip()]  # to an empty one any text is near
    if not accepted:
        raise InputError("there is no accepted answer")
    return accepted


class Summary(NamedTuple):
    """A benchmark's score: the mean of its rows' values, its standard error, and how many had no answer."""

    n: int
    score: float
    standard_error: float
    unparsed: int


def summarise(values: Sequence[float], unparsed: int, images: Sequence[str] | None = None) -> Summary:
    """The mean of the rows' values in [0, 1] and its standard error; `images`: which rows share one.

    The standard error measures the luck of the questions drawn, not that of training (`standard_errors`).
    Raises InputError for a benchmark without rows.
    """
    if not values:
        raise InputError("a benchmark without rows has no score: check its examples and predictions")
    return Summary(len(values), math.fsum(values) / len(values), standard_error(values, images), unparsed)
