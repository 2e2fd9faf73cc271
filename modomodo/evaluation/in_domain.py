"""What training on one domain alone gains on held-out questions of that domain.

Not every training domain has a benchmark of its own kind (in the paper COCO and GeoQAV have none), so Table 2
cannot tell whether GRPO learned what it was given. This can: the base model and the run on that domain alone
answer the same questions, which no score of the study uses.
"""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from modomodo.errors import InputError
from modomodo.metrics.metric import Summary, summarise
from modomodo.standard_errors import paired_error

CLEAR = 3.0  # a gain of more standard errors is not chance in the choice of questions
COLUMNS = [
    *("domain", "mixture", "seed", "step", "metric", "questions"),
    *("base", "base_se", "trained", "trained_se", "gain", "gain_se", "standard_errors"),
]


def gain(before: Sequence[float], after: Sequence[float], images: Sequence[str] | None = None) -> Summary:
    """The mean gain, question by question, of scores in [0, 1], and its standard error.

    Both models answer the same questions, so the error is that of the differences (a paired comparison).
    Raises InputError for another number of answers.
    """
    if len(before) != len(after):
        raise InputError(f"{len(before)} scores of the base model, {len(after)} of the trained one")
    mean = math.fsum(b - a for a, b in zip(before, after, strict=True)) / len(before)
    return Summary(len(before), mean, paired_error(after, before, images), 0)


def compare(
    before: Sequence[float], after: Sequence[float], images: Sequence[str] | None = None
) -> dict[str, float]:
    """The columns of in_domain.csv that follow from scores of the same questions before and after training."""
    base, trained = summarise(before, 0, images), summarise(after, 0, images)
    gained = gain(before, after, images)
    return {
        "questions": base.n,
        "base": base.score,
        "base_se": base.standard_error,
        "trained": trained.score,
        "trained_se": trained.standard_error,
        "gain": gained.score,
        "gain_se": gained.standard_error,
        "standard_errors": gained.score / gained.standard_error,
    }


def table(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """in_domain.csv, in the order given. A row has domain, mixture, seed, step, metric and what `compare` gives."""
    return pd.DataFrame(list(rows), columns=COLUMNS)


def verdict(frame: pd.DataFrame) -> str:
    """`trained on one domain alone, 4 of 5 rise on held-out questions … (not: geometry, 2.1)`."""
    clear = frame["standard_errors"] > CLEAR
    others = frame.loc[~clear, ["domain", "standard_errors"]].itertuples(index=False)
    exceptions = ", ".join(f"{domain}, {errors:.1f}" for domain, errors in others)
    return (
        f"trained on one domain alone, {clear.sum()} of {len(frame)} rise on held-out questions of that domain by more "
        f"than {CLEAR:g} standard errors{f' (not: {exceptions})' if exceptions else ''}"
    )
