"""What training on one domain alone gains on held-out questions of that domain.

Not every training domain has a benchmark of its own kind (in the paper COCO and GeoQAV have none), so Table 2
cannot tell whether GRPO learned what it was given. This can: the base model and the run on that domain alone
answer the same questions, which no score of the study uses.
"""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from modomodo.errors import InputError
from modomodo.evaluation.metrics.metric import Summary, summarise

CLEAR = 3.0  # standard errors from which on a gain is no luck of the questions
COLUMNS = [
    *("domain", "mixture", "seed", "step", "metric", "questions"),
    *("base", "base_se", "trained", "trained_se", "gain", "gain_se", "standard_errors"),
]


def gain(before: Sequence[float], after: Sequence[float]) -> Summary:
    """The mean gain, question by question, of scores in [0, 1], and its standard error.

    Both models answer the same questions, so the error is that of the differences (a paired comparison).
    Raises InputError for another number of answers.
    """
    if len(before) != len(after):
        raise InputError(f"{len(before)} scores of the base model, {len(after)} of the trained one")
    halves = [(b - a + 1) / 2 for a, b in zip(before, after, strict=True)]  # to where scores are: [0, 1]
    n, mean, error, _ = summarise(halves, 0)
    return Summary(n, 2 * mean - 1, 2 * error, 0)


def row(
    domain: str,
    mixture: str,
    seed: int,
    step: int,
    metric: str,
    before: Sequence[float],
    after: Sequence[float],
) -> dict[str, object]:
    """A line of in_domain.csv from the scores of the same questions before and after training."""
    base, trained, gained = summarise(before, 0), summarise(after, 0), gain(before, after)
    return {
        "domain": domain,
        "mixture": mixture,
        "seed": seed,
        "step": step,
        "metric": metric,
        "questions": base.n,
        "base": base.score,
        "base_se": base.standard_error,
        "trained": trained.score,
        "trained_se": trained.standard_error,
        "gain": gained.score,
        "gain_se": gained.standard_error,
        "standard_errors": in_standard_errors(gained),
    }


def in_standard_errors(gained: Summary) -> float:
    """A gain over its standard error; infinite, or 0 for no gain, when every question gained the same."""
    if gained.standard_error == 0:
        return math.copysign(math.inf, gained.score) if gained.score else 0.0
    return gained.score / gained.standard_error


def table(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """in_domain.csv, in the order given."""
    return pd.DataFrame(list(rows), columns=COLUMNS)


def verdict(frame: pd.DataFrame) -> str:
    """`held-out questions of their own domain: 4 of 5 ... rise by more than 3 standard errors (geometry 2.1)`."""
    clear = frame["standard_errors"] > CLEAR
    told = (
        ""
        if clear.all()
        else " (not: "
        + ", ".join(
            f"{domain}, {errors:.1f}"
            for domain, errors in frame.loc[~clear, ["domain", "standard_errors"]].itertuples(index=False)
        )
        + ")"
    )
    return (
        f"trained on one domain alone, {clear.sum()} of {len(frame)} rise on held-out questions of that domain by more "
        f"than {CLEAR:g} standard errors{told}"
    )
