"""What a metric is, and the summary of a benchmark's scores."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

from modomodo.config.options import check_options
from modomodo.config.schema import Call, name_and_options
from modomodo.data.answers import final_text
from modomodo.data.examples import AnswerType, Example
from modomodo.errors import InputError, told
from modomodo.registry import Registry
from modomodo.standard_errors import standard_error


class Score(NamedTuple):
    """The score of one answer: a value in [0, 1], and whether there was an answer at all."""

    value: float
    parsed: bool = True


ANSWERS: tuple[AnswerType, ...] = get_args(AnswerType)
TEXTS: tuple[AnswerType, ...] = ("choice", "text", "number")

Ask = Callable[[Sequence[str]], Mapping[str, str]]  # prompts → a judge's replies


@dataclass(eq=False)
class Metric:
    """A registered metric. Call it with a row's completion, its extracted answer and the example.

    The function `score` gets the extracted answer. Without one (the completion broke the reasoning format, or nothing
    stands between its tags) the score is 0 and unparsed, unless the metric `reads_completion`: then `score` gets the
    whole completion instead, as the parsers of those benchmarks do. One that is about the `whole` gets the completion
    with its thinking in any case. `version` is raised when the same answers would score differently.

    A metric with a `prompt` wants a judging model (schema.Judge) to read the answer first: `prompt(text, example)`
    is what it is asked, None where there is no need, and `score` gets its reply, or None, too.

    `answers`: the types of answers that it scores; `form`: it is about the form alone, so right and wrong answers may
    score alike.
    `options`: what a study hands to the function; with `reads: completion` no reasoning format is asked for, and
    `score` gets what stands behind the thinking (`answers.final_text`).
    """

    name: str
    version: int
    score: Callable[
        ..., Score
    ]  # (text, example, **options), with a `prompt` (text, example, reply, **options)
    reads_completion: bool = False
    prompt: Callable[..., str | None] | None = None  # (text, example, **options)
    whole: bool = False
    answers: tuple[AnswerType, ...] = ANSWERS
    form: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    reads: Literal["answer", "completion"] = "answer"

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.score)

    def with_options(self, options: Mapping[str, Any], where: str = "") -> "Metric":
        """The metric as a study calls it. Raises InputError naming an option that it lacks or that does not fit."""
        own = {name: value for name, value in options.items() if name != "reads"}
        reads = options.get("reads", "answer")
        place = where or f"metric '{self.name}'"
        if reads not in ("answer", "completion"):
            raise InputError(f"{place}.reads: '{reads}': write answer or completion")
        if reads == "completion" and self.answers == ("box",):
            raise InputError(f"{place}.reads: boxes are read from answers alone: remove it")
        check_options(self.score, own, place, given=2 if self.prompt is None else 3, besides=("reads",))
        return replace(self, options=own, reads=reads)

    def text(self, completion: str, answer: str | None) -> str | None:
        """What of a completion the function gets; None where that is nothing."""
        if self.reads == "completion":
            text = completion if self.whole else final_text(completion)
            return text if text.strip() else None
        if self.whole:
            return completion if (answer or "").strip() else None
        if self.reads_completion:
            return completion if answer is None else answer
        return answer if (answer or "").strip() else None

    def question(self, completion: str, answer: str | None, example: Example) -> str | None:
        """What a judging model is to be asked about a row; None for nothing.

        Raises InputError as the score does.
        """
        text = self.text(completion, answer)
        if self.prompt is None or text is None:
            return None
        with self._named(example):
            return self.prompt(text, example, **self.options)

    def __call__(
        self, completion: str, answer: str | None, example: Example, reply: str | None = None
    ) -> Score:
        """The score of one row. Raises InputError naming the example when it lacks what the metric needs.

        So it does without the reply to a question that is to be asked.
        """
        text = self.text(completion, answer)
        if text is None:
            return Score(0.0, parsed=False)
        if reply is None and self.question(completion, answer, example) is not None:
            raise InputError(f"metric '{self.name}' asks a judge, which is done for the study's scores only")
        with self._named(example):
            score = self.score(text, example, *([] if self.prompt is None else [reply]), **self.options)
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
    "choice": ("choice",),
    "form": ("json", "length", "repetition"),
    "judged": ("judge",),
    "maths": ("math",),
    "number": ("number",),
    "pattern": ("regex",),
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


def metric(name: str, version: int, **about: Any) -> Callable[[Callable], Metric]:
    """Decorator: register a function `(text, example, **options) → Score` as a metric; `about`: other fields of it.

    With a `prompt` the function is `(text, example, reply, **options) → Score` (see Metric).
    """

    def decorate(score: Callable[..., Score]) -> Metric:
        return metrics.register(name)(Metric(name, version, score, **about))

    return decorate


def called(call: Call, where: str = "") -> Metric:
    """The metric that a study calls, with its options. Raises InputError for an unknown one, or a wrong option."""
    name, options = name_and_options(call)
    return metrics[name].with_options(options, where)


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


def score_of_match(answer: str, example: Example, matches: Callable[[str, str], bool]) -> Score:
    """1 where the answer matches an accepted one, by `matches(answer, accepted)`, else 0.

    Raises InputError as `references` does.
    """
    return Score(float(any(matches(answer, reference) for reference in references(example))))


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
