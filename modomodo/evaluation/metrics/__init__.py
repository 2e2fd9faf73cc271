"""Metrics: one completion and its example → a value in [0, 1]; a benchmark's values → its score.

A study names a benchmark's metric. Where the paper, the benchmark's authors and lmms-eval differ, each
reading is a metric of its own; docs/fidelity.md says which is the default and why.
"""

from modomodo.evaluation.metrics import (
    anls,
    exact_match,
    mathvista,
    mean_iou,
    mmmu,
    relaxed_accuracy,
    scienceqa,
)
from modomodo.evaluation.metrics.metric import Metric, Score, Summary, metric, metrics, references, summarise

__all__ = [
    "Metric",
    "Score",
    "Summary",
    "anls",
    "exact_match",
    "mathvista",
    "mean_iou",
    "metric",
    "metrics",
    "mmmu",
    "references",
    "relaxed_accuracy",
    "scienceqa",
    "summarise",
]
