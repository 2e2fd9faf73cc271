"""The verifiable rewards of a completion, in TRL's signature (paper, section 3.1).

A reward is a function `f(prompts, completions, **columns)` that returns one float per completion, or None
where it does not apply. Its columns are those that `columns` makes of an example. When a completion breaks
the reasoning format, every reward that applies to it is 0 (paper: "otherwise, {Format, Acc, IoU} are all set
to zero"). The weights that sum them up belong to the training (paper: 2 for accuracy and IoU, 1 for format).

Every metric is a reward as well, of the same name: what it would score, and None for answers of other types.
"""

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modomodo.config.options import check_options
from modomodo.config.schema import Call, name_and_options
from modomodo.data.answers import extract_answer, is_exact_match, parse_boxes
from modomodo.data.boxes import matched_iou, without_duplicates
from modomodo.data.examples import Box, Example
from modomodo.errors import InputError, told
from modomodo.files import canonical
from modomodo.metrics.metric import Ask, Metric, metrics
from modomodo.registry import Registry

Reward = Callable[..., list[float | None]]
Truth = str | list[Box]


def columns(example: Example) -> dict[str, str]:
    """The columns that rewards get with a prompt, of one type: `answer` and the whole `example` are JSON."""
    return {
        "id": example.id,
        "dataset": example.dataset,
        "answer_type": example.answer_type,
        "answer": canonical(example.answer),
        "example": example.model_dump_json(exclude_defaults=True),
    }


def completion_text(completion: str | Sequence[dict[str, Any]]) -> str:
    """The text of a completion: plain, or conversational as TRL hands it out (its last turn)."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def of_metric(metric: Metric, ask: Ask | None = None) -> Reward:
    """The reward that gives what a metric scores, of completions that keep the reasoning format, else 0.

    It gives None for an example whose answer is of a type that the metric does not score. `ask` gives a judge's
    replies, for a metric that asks one. The share of answers that could not be read goes to the log, by domain.
    """

    @functools.wraps(metric)
    def score_batch(
        prompts: Sequence,
        completions: Sequence,
        example: Sequence[str],
        log_metric: Callable[[str, float], None] = lambda name, value: None,
        **data: Any,
    ) -> list[float | None]:
        rows = []
        for completion, json_row in zip(completions, example, strict=True):
            text = completion_text(completion)
            rows.append((text, extract_answer(text), Example.model_validate_json(json_row)))
        scored = [row[2].answer_type in metric.answers and _is_read(metric, row[1]) for row in rows]
        questions = [
            metric.question(*row) if there else None for row, there in zip(rows, scored, strict=True)
        ]
        wanted = [question for question in questions if question is not None]
        replies = ask(wanted) if ask is not None and wanted else {}
        values: list[float | None] = []
        for row, question, there in zip(rows, questions, scored, strict=True):
            if there:
                score = metric(*row, None if question is None else replies.get(question))
                log_metric(f"unparsed/{row[2].dataset}/{metric.name}", float(not score.parsed))
                values.append(score.value)
            else:
                values.append(0.0 if row[2].answer_type in metric.answers else None)
        return values

    score_batch.__name__ = metric.name
    return score_batch


def _is_read(metric: Metric, answer: str | None) -> bool:
    return answer is not None or metric.reads == "completion"


rewards: Registry[Reward] = Registry("reward", also=(metrics, of_metric))


def reward_of(call: Call, where: str = "", ask: Ask | None = None) -> Reward:
    """The reward that a study calls, with its options. `where`: its key; `ask`: for one that asks a judge.

    Raises InputError for an unknown one, and for an option that it lacks or that does not fit it.
    """
    name, options = name_and_options(call)
    rewards.check(name)
    if not rewards.is_own(name):
        return of_metric(metrics[name].with_options(options, where), ask)
    function = rewards[name]
    if not options and not hasattr(function, "__wrapped__"):
        return function  # of a whole batch, as TRL calls it
    check_options(function, options, where or f"reward '{name}'", given=3)
    if not options:
        return function
    chosen = functools.partial(function, options=options)
    functools.update_wrapper(chosen, function)
    return chosen


def asks_judge(call: Call) -> bool:
    """Whether a reward that a study calls asks its judge."""
    name, _ = name_and_options(call)
    return not rewards.is_own(name) and name in metrics and metrics[name].prompt is not None


def reward(name: str) -> Callable[[Callable[..., float | None]], Reward]:
    """Decorator: register a function of one completion (text, true answer, answer type, **options) as a reward.

    The reward it makes takes whole batches, as TRL calls it. Whatever fails inside, a value that is not a
    finite number included, becomes an InputError that names the reward and the example: a silent 0 would
    teach the model that its answer was wrong.
    """

    def decorate(score: Callable[..., float | None]) -> Reward:
        needed = ("id", "dataset", "answer", "answer_type")

        @functools.wraps(score)
        def score_batch(
            prompts: Sequence, completions: Sequence, options: Mapping[str, Any] = {}, **data: Any
        ) -> list[float | None]:
            for column in needed:
                if column not in data:
                    raise InputError(
                        f"reward '{name}': the data has no column '{column}' (see rewards.columns)"
                    )
            values = []
            for position, completion in enumerate(completions):
                identity, dataset, answer, answer_type = (data[column][position] for column in needed)
                try:
                    value = score(completion_text(completion), json.loads(answer), answer_type, **options)
                    if value is not None and not math.isfinite(value):
                        raise ValueError(f"value {value} is not finite")
                except Exception as error:
                    where = f"reward '{name}': example '{identity}' of {dataset}"
                    raise InputError(f"{where}: {told(error)}") from error
                values.append(value)
            return values

        score_batch.__name__ = name  # TRL logs a reward under its function's name
        return rewards.register(name)(score_batch)

    return decorate


@reward("format")
def format_reward(completion: str, truth: Truth, answer_type: str) -> float:
    """1 when the completion keeps the reasoning format, else 0; for every answer type.

    Example: `format`: "blue" for "B" is 1.
    """
    return float(extract_answer(completion) is not None)


@reward("accuracy")
def accuracy(completion: str, truth: Truth, answer_type: str) -> float | None:
    """1 when the answer is exactly the true one, except for white space around it, else 0; None for boxes.

    Example: `accuracy`: "B." for "B" is 0.
    """
    if answer_type == "box":
        return None
    answer = extract_answer(completion)
    return float(answer is not None and is_exact_match(answer, _text(truth)))


@reward("iou")
def iou(completion: str, truth: Truth, answer_type: str) -> float | None:
    """Overlap of the predicted with the true boxes in [0, 1]; 0 when none can be read, None for non-boxes.

    The paper's plain form, "a real-valued reward in [0,1]": one box against one is their IoU. Several are
    matched greedily by confidence; the sum of their IoU is divided by the larger count, so that a missed, a
    superfluous and a repeated box all cost.

    Example: `iou`: "[0, 0, 10, 5]" for "[[0, 0, 10, 10]]" is 0.5.
    """
    if answer_type != "box":
        return None
    predicted = parse_boxes(extract_answer(completion) or "")
    return 0.0 if predicted is None else matched_iou(_boxes(truth), predicted)


@reward("iou_visual_rft")
def iou_visual_rft(completion: str, truth: Truth, answer_type: str) -> float | None:
    """As `iou`, but an overlap counts only above 0.5 and repeated boxes are dropped; None for non-boxes.

    The rule of Visual-RFT's detection reward (github.com/Liuziyu77/Visual-RFT), from which the paper has its
    COCO set. Its first step, symbolic equality of the whole texts, is left out: no two box lists need it.

    Example: `iou_visual_rft`: "[0, 0, 10, 5]" for "[[0, 0, 10, 10]]" is 0.
    """
    if answer_type != "box":
        return None
    predicted = parse_boxes(extract_answer(completion) or "")
    return (
        0.0 if predicted is None else matched_iou(_boxes(truth), without_duplicates(predicted), threshold=0.5)
    )


def _text(truth: Truth) -> str:
    if not isinstance(truth, str):
        raise TypeError("the answer is no text")
    return truth


def _boxes(truth: Truth) -> list[Box]:
    if isinstance(truth, str) or not all(len(box) == 4 for box in truth):
        raise TypeError("the answer is no list of [x1, y1, x2, y2]")
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in truth]
