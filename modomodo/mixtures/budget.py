"""GPU-hours spent where they promise most, by expected gain an hour: new mixtures, stopped runs, mixtures again.

The gain of an action is what its score is expected to add to the best posterior mean: the knowledge gradient (Frazier,
Powell and Dayanik 2009, INFORMS Journal on Computing 21(4), for correlated normal beliefs over a finite set). So
actions are compared by what is learned from them, a further seed of a mixture too: its score is as noisy as the first,
and counts by how much it still narrows that mixture's mean. They are chosen one by one; for the next, each earlier one
is taken to have scored what is expected of it, which leaves the means and narrows the rest (the kriging believer of
Ginsbourger, Le Riche and Carraro 2010).
"""

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from modomodo.config.schema import Settings, Study
from modomodo.errors import InputError


class Prices(Settings):
    """GPU-hours by the study's `costs`: never measured ones, by which the same records would give other proposals."""

    training: float  # of all steps of a run
    prediction: float  # of all its scored steps
    steps: int
    scored_steps: list[int]

    @classmethod
    def of(cls, study: Study, where: str) -> Self:
        """Of a study; jobs on CPUs count an hour an hour. `where` is the key of a budget.

        Raises InputError naming the key that is missing.
        """
        costs, training = study.costs, study.training
        hours = (costs.training_hours, costs.prediction_hours)
        for key, value in zip(("training_hours", "prediction_hours"), hours, strict=True):
            if value is None:
                raise InputError(
                    f"{where}: what a run costs is not known: set costs.{key} (make plan tells what it estimates)"
                )
        return cls(
            training=float(costs.training_hours or 0) * max(1, training.gpus),
            prediction=float(costs.prediction_hours or 0) * max(1, study.evaluation.gpus),
            steps=training.steps,
            scored_steps=training.scored_steps,
        )

    @property
    def whole(self) -> float:
        """A run from its start."""
        return self.further(0)

    def further(self, since: int) -> float:
        """The steps of a run after `since`, and their predictions."""
        scored = sum(step > since for step in self.scored_steps) / len(self.scored_steps)
        return self.training * (self.steps - since) / self.steps + self.prediction * scored


class Seeds(Settings):
    """The seeds of a study's runs: `first` of every mixture, `planned` of those under the study's `repeats`."""

    first: int
    planned: dict[str, list[int]] = Field(default_factory=dict)

    @classmethod
    def of(cls, study: Study) -> Self:
        """Of a study."""
        return cls(
            first=study.training.seed, planned={name: sorted(seeds) for name, seeds in study.repeats.items()}
        )

    def further(self, mixture: str, known: Collection[int]) -> int:
        """The next seed after the first that no run of a mixture has; `known`: those that it was trained with."""
        taken = {*known, *self.planned.get(mixture, ())}
        return next(seed for seed in itertools.count(self.first + 1) if seed not in taken)


class Budget(NamedTuple):
    """GPU-hours that a strategy may spend. `repeats`: how many further seeds of one mixture it may train."""

    hours: float
    prices: Prices
    repeats: int = 0

    @property
    def runs(self) -> int:
        """How many whole runs they hold; at least so many are finished, if there are as many places."""
        return int(self.hours / self.prices.whole * (1 + 1e-9))


class Decision(BaseModel):
    """What is done of a budget, as in `mixtures/<mixture>.json`."""

    model_config = ConfigDict(extra="forbid")

    does: Literal["train", "further", "repeat", "nothing"]
    run: str | None = Field(
        None, description="The mixture whose stopped run is trained further, or that is repeated."
    )
    seed: int | None = Field(None, description="What it is repeated with.")
    since: int = Field(0, description="The step that it was trained to.")
    hours: float = Field(0.0, description="GPU-hours that it costs.")
    gain_an_hour: float | None = Field(
        None, description="Of the best expected score; None where nothing is chosen by it."
    )


@dataclass(frozen=True)
class StoppedRun:
    """A run that a race stopped at `step`. `weights` by domain; `strategy`: the race's name."""

    step: int
    weights: dict[str, float]
    strategy: str


@dataclass(frozen=True)
class Belief:
    """What is believed of the expected scores at some mixtures, which are normal.

    `mean` [n], `covariance` [n, n]; `noise`: variance that one run adds to them.
    """

    mean: np.ndarray
    covariance: np.ndarray
    noise: float

    def slopes(self, place: int) -> np.ndarray:
        """What a score one standard deviation above its expectation at `place` adds to the means, [n]."""
        variance = self.covariance[place, place] + self.noise
        return self.covariance[place] / math.sqrt(variance) if variance > 0 else np.zeros(len(self.mean))

    def after(self, place: int) -> "Belief":
        """After the expected score at `place`."""
        slopes = self.slopes(place)
        return Belief(self.mean, self.covariance - np.outer(slopes, slopes), self.noise)


class Action(NamedTuple):
    """What a run of a mixture costs, and how many may be trained."""

    hours: float
    times: int = 1


@dataclass(frozen=True)
class Chosen:
    """An action by its number, and its expected gain an hour."""

    action: int
    gain_an_hour: float


def expected_gain(mean: np.ndarray, slopes: np.ndarray) -> float:
    """E[max(mean + slopes · Z)] - max(mean) for a standard normal Z, in closed form; both [n]."""
    from scipy.special import ndtr

    order = np.lexsort((mean, slopes))
    lines: list[tuple[float, float]] = []  # those that are the greatest for some Z, by slope
    edges: list[float] = []  # the Z from which on the next one is
    for intercept, slope in zip(mean[order], slopes[order], strict=True):
        if lines and slope - lines[-1][1] <= 1e-15:  # as steep and, by the order, not lower
            lines.pop()
            edges = edges[: max(0, len(lines) - 1)]
        while lines:
            edge = (lines[-1][0] - intercept) / (slope - lines[-1][1])
            if len(lines) > 1 and edge <= edges[-1]:
                lines.pop()
                edges.pop()
                continue
            edges.append(edge)
            break
        lines.append((intercept, slope))
    steeper = np.diff([slope for _, slope in lines])
    at = -np.abs(np.array(edges))
    density = np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
    return float(steeper @ np.maximum(density + at * ndtr(at), 0.0)) if len(at) else 0.0


def spend(
    belief: Belief, actions: Sequence[Action], budget: float, count: int, excludes: np.ndarray
) -> list[Chosen]:
    """At most `count` actions of greatest expected gain an hour that the budget holds together, in their order.

    Action i trains the mixture at place i of the belief. `excludes` [actions, actions]: which others are ruled out by
    one. Of equal gain an hour the cheaper comes first.
    """
    chosen: list[Chosen] = []
    hours = [action.hours for action in actions]
    left_of = np.array([action.times for action in actions])
    free = left_of > 0
    left = budget
    while len(chosen) < count:
        able = [i for i in range(len(hours)) if free[i] and hours[i] <= left * (1 + 1e-9)]
        if not able:
            break
        gains = {i: expected_gain(belief.mean, belief.slopes(i)) / hours[i] for i in able}
        best = min(able, key=lambda i: (-gains[i], hours[i], i))
        chosen.append(Chosen(best, gains[best]))
        left -= hours[best]
        left_of[best] -= 1
        free &= ~excludes[best]
        free[best] = left_of[best] > 0
        belief = belief.after(best)
    return chosen
