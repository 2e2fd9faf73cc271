"""Differences between mixtures: all answer the same questions, so they are judged question by question.

The error of a difference is that of its questions, paired (`standard_errors.paired_error`), and that of the training:
the variance between seeds of one mixture, over the seeds of each. Part of the luck of a training is in both, so this
marks rather too much as within noise. docs/results.md says more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

from modomodo.mixtures.records import (
    BASE,
    Records,
    aggregate_shares,
    last_step,
    score_column,
    seed_noise,
    trained,
)
from modomodo.reporting.questions import QuestionScores
from modomodo.standard_errors import paired_error

BEYOND_NOISE = 1.96  # standard errors of a difference: a two-sided 5 % level
SPLITS = 200  # of the questions into halves
SEED = 0  # of them


@dataclass(frozen=True)
class Difference:
    """By how much one mixture is ahead of another, and the standard error of that; NaN where it is not known."""

    gap: float
    standard_error: float

    @property
    def beyond_noise(self) -> bool:
        """Whether the questions and the seeds leave no doubt of its sign."""
        return abs(self.gap) > BEYOND_NOISE * self.standard_error


@dataclass(frozen=True)
class Differences:
    """How differences between the rows of Table 2 are judged.

    `table` has a row a mixture: its mean over `seeds` runs. `shares`: target → what each benchmark counts in it, None
    where that is not known; `noise`: target → standard deviation between runs of one mixture, NaN where none was
    repeated. Without `questions`, as in a table of strangers, errors are those of models that answered different
    questions, which is too much.
    """

    table: pd.DataFrame
    shares: Mapping[str, Mapping[str, float] | None]
    noise: Mapping[str, float]
    questions: QuestionScores | None = None

    @classmethod
    def of(cls, records: Records, table: pd.DataFrame, questions: QuestionScores | None = None) -> Self:
        """Of the runs that a table shows."""
        runs = trained(last_step(records))
        return cls(
            table,
            {target: _shares(records, target) for target in records.targets},
            {target: seed_noise(runs, target) for target in records.targets},
            questions,
        )

    @cached_property
    def _rows(self) -> pd.DataFrame:
        return self.table.set_index("mixture")

    def between(self, one: str, other: str, target: str) -> Difference:
        """How far a mixture is ahead of another one."""
        scores = self._rows[score_column(target)]
        gap = float(scores[one] - scores[other])
        if one == other:
            return Difference(gap, 0.0)
        parts = [self._question_variance(one, other, target), self._training_variance(one, other, target)]
        known = [part for part in parts if math.isfinite(part)]
        return Difference(gap, math.sqrt(sum(known)) if known else math.nan)

    def from_best(self, target: str) -> list[Difference]:
        """Each row of the table less the best one; a gap of NaN for one without a score."""
        scores = self._rows[score_column(target)]
        best = str(scores.idxmax())
        return [self.between(str(mixture), best, target) for mixture in self._rows.index]

    def errors_from_best(self, target: str) -> list[float]:
        """The standard error of each row's difference from the best one, which has none: NaN."""
        if self.table[score_column(target)].isna().all():
            return [math.nan] * len(self.table)
        return [
            each.standard_error if each.standard_error > 0 else math.nan for each in self.from_best(target)
        ]

    def paired(self, one: str, other: str, target: str) -> bool:
        """Whether two mixtures are compared question by question."""
        shares = self.shares[target]
        return (
            self.questions is not None
            and shares is not None
            and all(self.questions.knows(mixture, shares) for mixture in (one, other))
        )

    def _question_variance(self, one: str, other: str, target: str) -> float:
        if not self.paired(one, other, target):
            errors = self._rows[f"se_{target}"]
            return float(errors[one] ** 2 + errors[other] ** 2)
        assert self.questions is not None
        return math.fsum(
            (share * paired_error(ones.tolist(), others.tolist(), self.questions.images(name))) ** 2
            for name, share in (self.shares[target] or {}).items()
            for ones, others in [[self.questions.mean(mixture, name) for mixture in (one, other)]]
        )

    def _training_variance(self, one: str, other: str, target: str) -> float:
        seeds = self._rows["seeds"]
        return self.noise[target] ** 2 * sum(1 / seeds[name] for name in (one, other) if name != BASE)


def _shares(records: Records, target: str) -> dict[str, float] | None:
    """What each benchmark counts in a target, where that is known."""
    sizes = records.aggregates.get(target) or aggregate_shares(trained(records), target)
    if not sizes:
        return None
    total = math.fsum(sizes.values())
    return {name: size / total for name, size in sizes.items()}


def near_best(differences: list[Difference]) -> np.ndarray:
    """Which rows of `from_best` cannot be told apart from the best, itself among them."""
    return np.array([math.isfinite(each.gap) and not each.beyond_noise for each in differences])


# --- the winner's luck ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CrossFitted:
    """What the best mixture of one half of the questions scores on the other half, on average over the splits.

    `leads`: how far it is ahead of other mixtures there. `luck`: how much better it does on the half it was chosen on.
    """

    score: float
    leads: Mapping[str, float]
    luck: float


def cross_fitted(found: Differences, target: str, others: tuple[str, ...] = ()) -> CrossFitted | None:
    """Choose the best mixture on one half of the questions, and read its score on the other.

    The best of many on these very questions is partly the luckiest. Questions about one image stay together; of a
    mixture with several seeds one half sees some and the other half the rest. None where the scores of the questions
    are not known, or a benchmark has one image only.
    """
    shares = found.shares[target]
    if found.questions is None or shares is None:
        return None
    asked = {mixture for mixture in found.table["mixture"] if found.questions.knows(mixture, shares)}
    names = [name for name in found.table["mixture"] if name in asked]
    competing = [place for place, name in enumerate(names) if name != BASE]
    if len(competing) < 2 or any(len(set(found.questions.images(name))) < 2 for name in shares):
        return None
    random = np.random.default_rng(SEED)
    scores, luck, leads = [], [], []
    for _ in range(SPLITS):
        halves = _halves(found.questions, names, shares, random)
        for own, other in (halves, halves[::-1]):
            chosen = competing[int(own[competing].argmax())]
            scores.append(other[chosen])
            luck.append(own[chosen] - other[chosen])
            leads.append([other[chosen] - other[names.index(name)] for name in others if name in asked])
    ahead = np.array(leads).mean(axis=0)
    return CrossFitted(
        float(np.mean(scores)),
        dict(zip([name for name in others if name in asked], ahead.tolist(), strict=True)),
        float(np.mean(luck)),
    )


def _halves(
    questions: QuestionScores, names: list[str], shares: Mapping[str, float], random: np.random.Generator
) -> np.ndarray:
    """Scores [2, mixtures] on two halves of the images and of the seeds."""
    columns = [column for name in names for column in questions.runs[name]]
    totals = np.zeros((2, len(columns)))
    for benchmark, share in shares.items():
        rows = questions.benchmarks[benchmark]
        number, images = pd.factorize(rows["image"])
        first = (random.permutation(len(images)) % 2 == 0)[number]
        values = rows[columns].to_numpy(float)
        totals += share * np.stack([values[first].mean(axis=0), values[~first].mean(axis=0)])
    halves, place = np.empty((2, len(names))), 0
    for i, name in enumerate(names):
        runs = place + random.permutation(len(questions.runs[name]))
        place += len(runs)
        middle = -(-len(runs) // 2)
        halves[:, i] = [
            totals[0, runs[:middle]].mean(),
            totals[1, runs[middle:] if len(runs) > 1 else runs].mean(),
        ]
    return halves
