"""The one door for plugins: what a file of your own registers with, and the types that it hands over.

    from modomodo.plugins import Image, Score, dataset, extract_answer, metric, reward

docs/extending.md shows each in use. A name is imported when it is asked for, so a plugin loads no more than it uses;
its home in the package may move, its name here stays.
"""

import pkgutil
from typing import Any

_HOMES = {
    # Decorators: each registers a function under the name that a study calls it by.
    "dataset": "modomodo.data.readers.registry:datasets.register",
    "published": "modomodo.data.readers.published:published",
    "reward": "modomodo.training.rewards:reward",
    "metric": "modomodo.metrics.metric:metric",
    "surrogate": "modomodo.mixtures.surrogates.base:surrogates.register",
    "strategy": "modomodo.mixtures.strategies.base:declare",
    "model": "modomodo.training.builders:model_builders.register",
    # How a family of models differs from others.
    "family": "modomodo.training.families:declare_family",
    # Rows of a dataset.
    "Example": "modomodo.data.examples:Example",
    "Filtered": "modomodo.data.examples:Filtered",
    "Image": "modomodo.data.images:Image",
    "InvalidRow": "modomodo.data.images:InvalidRow",
    "Rejected": "modomodo.data.examples:Rejected",
    # Raw files of a published dataset.
    "Published": "modomodo.data.readers.published:Published",
    "check_option": "modomodo.data.readers.published:check_option",
    "examples_of": "modomodo.data.readers.published:examples_of",
    "image_of": "modomodo.data.readers.published:image_of",
    "parquet_rows": "modomodo.data.readers.published:parquet_rows",
    "text_of": "modomodo.data.readers.published:text_of",
    # Completions and their scores.
    "Score": "modomodo.metrics.metric:Score",
    "extract_answer": "modomodo.data.answers:extract_answer",
    "matched_iou": "modomodo.data.boxes:matched_iou",
    "parse_boxes": "modomodo.data.answers:parse_boxes",
    # Surrogates and strategies.
    "Observations": "modomodo.mixtures.surrogates.base:Observations",
    "Options": "modomodo.mixtures.strategies.base:Options",
    "Prediction": "modomodo.mixtures.surrogates.base:Prediction",
    "Predictor": "modomodo.mixtures.surrogates.base:Predictor",
    "Proposal": "modomodo.mixtures.strategies.base:Proposal",
    "Request": "modomodo.mixtures.strategies.base:Request",
    "point_predictor": "modomodo.mixtures.surrogates.points:point_predictor",
    # Bad input, reported in one line.
    "InputError": "modomodo.errors:InputError",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return pkgutil.resolve_name(_HOMES[name])


def __dir__() -> list[str]:
    return sorted(_HOMES)
