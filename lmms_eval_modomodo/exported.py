"""A benchmark of a study as a task of lmms-eval (scripts/export_benchmark.py): what its YAML file calls.

A row holds the example as JSON and its images. Answers are scored by the study's own metric. Of a model that lmms-eval
brings it gets what stands behind the thinking; our own model hands the extracted answer over.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from modomodo.config.schema import Call
from modomodo.data.answers import final_text
from modomodo.data.examples import Example
from modomodo.metrics.metric import called


class TaskFunctions(NamedTuple):
    """The functions that a task's YAML file names."""

    doc_to_visual: Callable[[Mapping[str, Any]], list[Any]]
    doc_to_text: Callable[..., str]
    doc_to_target: Callable[[Mapping[str, Any]], str]
    process_results: Callable[[Mapping[str, Any], list[str]], dict[str, float]]


def task_functions(metric: Call) -> TaskFunctions:
    """Those of an exported benchmark that is scored by this metric."""
    score = called(metric)

    def doc_to_visual(doc: Mapping[str, Any]) -> list[Any]:
        return [image.convert("RGB") for image in doc["images"]]

    def doc_to_text(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, str]) -> str:
        return f"{_example(doc).question}{lmms_eval_specific_kwargs['post_prompt']}"

    def doc_to_target(doc: Mapping[str, Any]) -> str:
        return str(_example(doc).answer)

    def process_results(doc: Mapping[str, Any], results: list[str]) -> dict[str, float]:
        found = score(results[0], final_text(results[0]), _example(doc))
        return {score.name: found.value, "unparsed": float(not found.parsed)}

    return TaskFunctions(doc_to_visual, doc_to_text, doc_to_target, process_results)


def _example(doc: Mapping[str, Any]) -> Example:
    return Example.model_validate_json(doc["example"])
