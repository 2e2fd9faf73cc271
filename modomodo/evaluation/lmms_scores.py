"""Our predictions scored by a task's own code in lmms-eval: runs in its environment alone.

lmms-eval's evaluator runs as from its command line, with a model that answers each request by what a checkpoint of ours
has answered already. So nothing of it can go wrong unseen there: no request fails or is answered for another question,
and an error ends the program. It gets the extracted answer, "" where there is none, and is told to strip no tags.
"""

import argparse
import math
import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from modomodo.data.examples import Example, image_cluster
from modomodo.data.lmms_eval.questions import load_task
from modomodo.errors import InputError, nearest, told
from modomodo.evaluation.predictions import Prediction
from modomodo.metrics.metric import Summary
from modomodo.standard_errors import standard_error

ROUNDED = 1e-5  # MMMU's aggregation rounds to five digits
RESAMPLES = 1000  # of lmms-eval's bootstrap, for metrics that are no means


@dataclass(frozen=True)
class TaskScore:
    """What lmms-eval says of one metric: the questions that it counts, and the value of each."""

    summary: Summary
    questions: list[Example]
    values: list[float]
    task_version: str


def score_task(
    named: str, metric: str, docs: Path, examples: Sequence[Example], predictions: Mapping[str, Prediction]
) -> TaskScore:
    """A metric of a task, of the predictions for its questions. `docs`: the task's rows as they were kept.

    A metric may count some of the questions only. Where it is no mean over questions, a question's value is its
    jackknife pseudo-value, whose mean and spread are the metric's.

    Raises InputError for a question without a prediction, a metric without a number in [0, 1], and whatever goes wrong
    in the task's code.
    """
    task = load_task(named, docs)
    name = str(task.config.task)
    for example in examples:
        if example.id not in predictions:
            raise InputError(f"{name}: no prediction for '{example.id}': delete the file and predict again")
    results, samples = _evaluated(task, name, examples, predictions)
    metric, chosen = _metric_and_filter(metric, name, results)
    score = results[f"{metric},{chosen}"]
    if isinstance(score, bool) or not isinstance(score, Real) or not 0 <= float(score) <= 1:
        raise InputError(
            f"{name}: metric '{metric}' is {score!r}, no number in [0, 1]: choose another metric of the task"
        )
    # Each filter's samples follow one another, and do not say of which they are.
    block = [each.name for each in task._filters].index(chosen)
    counted = {
        str(sample["doc_id"]): sample[metric]
        for sample in samples[block * len(examples) : (block + 1) * len(examples)]
        if metric in sample
    }
    questions = [example for example in examples if example.id in counted]
    found = [counted[example.id] for example in questions]
    values = _values(found, float(score), task.aggregation()[metric])
    error = results.get(f"{metric}_stderr,{chosen}")
    if not isinstance(error, Real) or not math.isfinite(error) or float(error) <= 0:
        error = standard_error(values, [image_cluster(example.image, example.id) for example in questions])
    unparsed = sum(not (predictions[example.id].answer or "").strip() for example in questions)
    summary = Summary(len(questions), float(score), float(error), unparsed)
    return TaskScore(summary, questions, values, _version(task))


def _version(task: Any) -> str:
    """A task's version as its file has it: under metadata, alone or in a list, of which lmms-eval reads the first."""
    metadata = task.config.metadata or {}
    each = metadata if isinstance(metadata, list) else [metadata]
    found = [one["version"] for one in each if isinstance(one, dict) and "version" in one]
    return f"version {found[0]}" if found else "without a version"


def _evaluated(
    task: Any, name: str, examples: Sequence[Example], predictions: Mapping[str, Prediction]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """lmms-eval's results and samples of the questions that we have, which may be fewer than the task's."""
    from lmms_eval.evaluator import evaluate

    random.seed(0)  # as its command line does: some tasks draw where they read nothing
    np.random.seed(1234)
    split = task.config.test_split if task.has_test_docs() else task.config.validation_split
    places = [int(example.id) for example in examples]
    for rows in {id(rows): rows for rows in (task.dataset, task.dataset_no_image)}.values():
        rows[split] = rows[split].select(places)
    ids = [example.id for example in examples]
    answers = {str(place): predictions[id_].answer or "" for place, id_ in enumerate(ids)}
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        options = argparse.Namespace(reasoning_tags="none", process_with_media=True, output_path=folder)
        try:
            done = evaluate(
                lm=_recorded(answers),
                task_dict={name: task},
                cli_args=options,
                bootstrap_iters=RESAMPLES,
                process_docs_parallel=1,
            )
        except Exception as error:  # of another's code
            last = getattr(error, "last_attempt", None)
            cause = (last.exception() if last else None) or error
            raise InputError(f"{name}: lmms-eval could not score it: {told(cause)}") from error
    samples = [dict(sample, doc_id=ids[int(sample["doc_id"])]) for sample in done["samples"][name]]
    scored, kept = done["n-samples"][name]["effective"], {sample["doc_id"] for sample in samples}
    if scored != len(ids) or kept != set(ids):
        raise InputError(
            f"{name}: lmms-eval scored {scored} questions, and {len(kept & set(ids))} of the {len(ids)} that were "
            "answered"
        )
    return done["results"][name], samples


def _recorded(answers: Mapping[str, str]) -> Any:
    """A model of lmms-eval that answers a row's request by its number."""
    from lmms_eval.api.model import lmms

    class Recorded(lmms):
        def generate_until(self, requests: Any) -> list[str]:
            return [answers[str(request.args[3])] for request in requests]

        def loglikelihood(self, requests: Any) -> Any:
            raise NotImplementedError("compares likelihoods")

        def generate_until_multi_round(self, requests: Any) -> Any:
            raise NotImplementedError("asks in several rounds")

    return Recorded()


def _metric_and_filter(named: str, task: str, results: Mapping[str, Any]) -> tuple[str, str]:
    """A metric and the filter of answers that it is of; of several filters the study names one: `metric,filter`."""
    known = [key for key in results if "," in key and "_stderr" not in key]
    found = [key for key in known if named in (key, key.partition(",")[0])]
    if not found:
        names = {key.partition(",")[0] for key in known}
        raise InputError(f"{task}: no metric '{named}': {nearest(named, names)}")
    if len(found) > 1:
        raise InputError(
            f"{task}: metric '{named}' is computed {len(found)} times: write one of {'; '.join(found)}"
        )
    metric, _, chosen = found[0].partition(",")
    return metric, chosen


def _values(found: Sequence[Any], score: float, aggregate: Any) -> list[float]:
    """The value of each question: its own where the score is their mean, else its jackknife pseudo-value."""
    numbers = [float(one) for one in found if isinstance(one, Real)]
    if len(numbers) == len(found) and math.isclose(math.fsum(numbers) / len(numbers), score, abs_tol=1e-9):
        return numbers
    with redirect_stdout(StringIO()):
        try:
            alone = [float(aggregate([one])) for one in found]
        except Exception:  # one question alone may have no score: a rank correlation has none
            alone = []
        if alone and math.isclose(math.fsum(alone) / len(alone), score, abs_tol=ROUNDED):
            return alone
        count = len(found)
        without = (float(aggregate([*found[:place], *found[place + 1 :]])) for place in range(count))
        return [count * score - (count - 1) * other for other in without]
