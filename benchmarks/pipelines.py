"""What each arm of rivals.py has picked by when: the checkpoint with the best observed Out-Score so far.

An arm comes in stages: what is trained before anybody may pick anew, and what that takes. One run after another has a
stage each; the seed mixtures of a search are one together, and so is a race.

Time is told in full runs: one that is trained to its end without dynamic sampling, and answers once.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from modomodo.mixtures.halving import go_on
from modomodo.mixtures.records import Records

# Seconds of a core, medians over this study's runs: training without dynamic sampling, and one checkpoint's answers.
TRAINING, ANSWERING = 5.9, 1.5
GENERATION = 0.6  # what a step takes more if each of its prompts is generated twice
BATCH = 8  # runs after the seed mixtures, where no budget ends a search before
RUNGS = (10, 20, 40)  # steps of a race
# So many runs → those that get to each rung in their time, with dynamic sampling and without.
RACES = {8: (10, 5, 3), 7: (10, 4, 3), 6: (9, 4, 2), 5: (7, 3, 2), 4: (6, 3, 1), 3: (4, 2, 1), 2: (2, 1, 1)}
ORDERS = 2000  # drawn of restarts

Picks = list["Pick"]
Choose = Callable[[Picks], "Run"]
HeldOut = Callable[["Run"], float]  # a run's Out-Score on questions that no choice saw


@dataclass(frozen=True)
class Run:
    """A run. `work`: scored step → optimiser steps up to it, one with replaced prompts counting more."""

    mixture: str
    seed: int
    resampled: bool
    work: Mapping[int, float]
    steps: int  # of a full run
    score: float  # observed Out-Score at the last step

    @property
    def key(self) -> tuple[str, int, bool]:
        """What makes it this run."""
        return self.mixture, self.seed, self.resampled

    def time(self, step: int | None = None, answers: int = 1) -> float:
        """In full runs, to a step or to its end."""
        work = self.work[max(self.work) if step is None else step] / self.steps
        return (TRAINING * work + ANSWERING * answers) / (TRAINING + ANSWERING)


@dataclass(frozen=True)
class Stage:
    """The runs that finish, and what it takes in full runs."""

    finished: tuple[Run, ...]
    time: float


@dataclass(frozen=True)
class Pick:
    """What is picked from `time` on; its stage began at `begun`."""

    begun: float
    time: float
    run: Run


# --- stages ----------------------------------------------------------------------------------------------------------


def whole(runs: Sequence[Run]) -> list[Stage]:
    """One run after another."""
    return [Stage((run,), run.time()) for run in runs]


def together(runs: Sequence[Run]) -> Stage:
    """Runs, none of which is picked before the last has ended."""
    return Stage(tuple(runs), sum(run.time() for run in runs))


def race(batch: Sequence[Run], records: Records, counts: Sequence[int]) -> Stage:
    """A race in which so many of a batch get to each of RUNGS, the first of it starting.

    `records`: what the batch scored at each of them, and other runs, known from the start. Who goes on is decided as in
    `propose: race`.
    """
    frame, by_name = records.frame, {run.mixture: run for run in batch}
    known = ~frame["mixture"].isin(by_name).to_numpy()
    going = [run.mixture for run in batch[: counts[0]]]
    time = 0.0
    for before, step, count in zip((0, *RUNGS), RUNGS, counts, strict=False):
        if before:
            seen = replace(records, frame=frame[known].reset_index(drop=True))
            going = list(go_on(seen, sorted(going), count, RUNGS[-1]).chosen)
        for run in map(by_name.__getitem__, going):
            time += run.time(step) - (run.time(before, 0) if before else 0.0)
        known |= (frame["mixture"].isin(going) & (frame["step"] == step)).to_numpy()
    return Stage(tuple(by_name[name] for name in going), time)


def begun(stages: Iterable[Stage], budget: float) -> tuple[Stage, ...]:
    """Those that begin before a budget is spent."""
    kept, spent = [], 0.0
    for stage in stages:
        if spent >= budget:
            break
        kept.append(stage)
        spent += stage.time
    return tuple(kept)


# --- picks -----------------------------------------------------------------------------------------------------------


def picks(stages: Sequence[Stage]) -> Picks:
    """Each that scored better than all before it."""
    found: Picks = []
    ends = itertools.accumulate(stage.time for stage in stages)
    for stage, end in zip(stages, ends, strict=True):
        best = max(stage.finished, key=lambda run: run.score)
        if not found or best.score > found[-1].run.score:
            found.append(Pick(end - stage.time, end, best))
    return found


def at(time: float) -> Choose:
    """The pick at a time."""
    return lambda found: [pick.run for pick in found if pick.time <= time][-1]


def begun_by(budget: float) -> Choose:
    """The pick once all is finished that was begun before the budget was spent."""
    return lambda found: [pick.run for pick in found if pick.begun < budget][-1]


# --- arms ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """Of what an arm delivers: its mean, the standard error of that, and the spread over replicates."""

    observed: float
    held_out: float
    error: float
    spread: float
    replicates: tuple[float, ...]  # held-out Out-Scores; none of restarts, whose orders are drawn

    def row(self) -> dict[str, float | str]:
        """For a table."""
        numbers = {
            "observed": self.observed,
            "held_out": self.held_out,
            "standard_error": self.error,
            "spread": self.spread,
        }
        rounded = {name: round(value, 4) for name, value in numbers.items()}
        return rounded | {"replicates": " ".join(f"{value:.3f}" for value in self.replicates)}


@dataclass(frozen=True)
class Search:
    """An arm that was run under each of some seeds."""

    stages: tuple[tuple[Stage, ...], ...]

    @cached_property
    def found(self) -> list[Picks]:
        """The picks under each seed."""
        return [picks(stages) for stages in self.stages]

    @property
    def first(self) -> float:
        """The time from which on there is a pick under every seed."""
        return max(stages[0].time for stages in self.stages)

    @property
    def runs(self) -> list[Run]:
        """All that finish."""
        return [run for stages in self.stages for stage in stages for run in stage.finished]

    @property
    def asked(self) -> list[Run]:
        """Those that are picked at some time."""
        return [pick.run for found in self.found for pick in found]

    def time(self, budget: float) -> float:
        """When all is finished that is begun within a budget, mean over the seeds."""
        return float(np.mean([sum(stage.time for stage in begun(one, budget)) for one in self.stages]))

    def estimate(self, choose: Choose, time: float, held_out: HeldOut) -> Estimate:
        """Of the runs that are chosen among its picks."""
        chosen = [choose(found) for found in self.found]
        values = [held_out(run) for run in chosen]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        observed = float(np.mean([run.score for run in chosen]))
        return Estimate(
            observed, float(np.mean(values)), spread / math.sqrt(len(values)), spread, tuple(values)
        )


@dataclass(frozen=True)
class Restarts:
    """An arm that trains one recipe under seed after seed: a pool of runs, of which orders are drawn.

    A pool is worth as many replicates as it holds times the runs of one. Orders that take nearly all of it pick nearly
    the same, so the spread between such replicates is told, at most, by orders of half of the pool: rather too much,
    for the best of fewer runs spread more.
    """

    pool: tuple[Run, ...]

    @cached_property
    def found(self) -> list[Picks]:
        """The picks in each order."""
        return [picks(whole(order)) for order in self._orders()]

    def _orders(self) -> Iterator[list[Run]]:
        random = np.random.default_rng(0)
        for _ in range(ORDERS):
            yield [self.pool[i] for i in random.permutation(len(self.pool))]

    @property
    def mean_time(self) -> float:
        """Of a run."""
        return float(np.mean([run.time() for run in self.pool]))

    @property
    def first(self) -> float:
        """The time from which on there is a pick in every order."""
        return max(run.time() for run in self.pool)

    @property
    def runs(self) -> list[Run]:
        """All of the pool."""
        return list(self.pool)

    asked = runs  # each is picked at some time, in some order

    def time(self, budget: float) -> float:
        """When all is finished that is begun within a budget, mean over the orders."""
        orders = (begun(whole(order), budget) for order in self._orders())
        return float(np.mean([sum(stage.time for stage in stages) for stages in orders]))

    def estimate(self, choose: Choose, time: float, held_out: HeldOut) -> Estimate:
        """Of the runs that are chosen in each order, when so much time is spent."""
        runs = time / self.mean_time
        half = begun_by(self.mean_time * (min(runs, len(self.pool) / 2) - 0.5))
        spread = float(np.std([held_out(half(found)) for found in self.found]))
        chosen = [choose(found) for found in self.found]
        observed, mean = (
            float(np.mean(values))
            for values in ([run.score for run in chosen], [held_out(run) for run in chosen])
        )
        return Estimate(observed, mean, spread * math.sqrt(min(1.0, runs / len(self.pool))), spread, ())


Arm = Search | Restarts


# --- tables ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """An arm, with dynamic sampling or without, and what it picked."""

    name: str
    resampled: bool
    arm: Arm


def tables(
    found: Sequence[tuple[float, Result]], limit: float, scores: Mapping[tuple, float]
) -> dict[str, pd.DataFrame]:
    """What was picked after a run, at equal time and, with dynamic sampling, at the end of what was planned; over time.

    `limit`: full runs of the equal time.
    """

    def held_out(run: Run) -> float:
        return scores[run.key]

    planned = max(result.arm.time(math.inf) for budget, result in found if budget == math.inf)
    rows, curves = [], []
    for budget, result in found:
        arm, about = result.arm, {"arm": result.name, "resampled": result.resampled}
        for reading, end in _readings(result, budget, limit, planned):
            time = arm.time(end)
            got = arm.estimate(begun_by(end), time, held_out)
            rows.append(about | {"reading": reading, "time": round(time, 2)} | got.row())
        if budget == limit:
            last = arm.time(limit)
            halves = (half / 2 for half in range(2, int(2 * last)))
            times = [arm.first, *(time for time in halves if arm.first < time < last)]
            # Replicates end at different times: the last point is of all of them.
            for time, choose in [*((time, at(time)) for time in times), (last, begun_by(limit))]:
                got = arm.estimate(choose, time, held_out)
                curves.append(about | {"time": round(time, 2)} | got.row())
    return {"rivals": pd.DataFrame(rows), "rivals_curves": pd.DataFrame(curves)}


def _readings(result: Result, budget: float, limit: float, planned: float) -> Iterator[tuple[str, float]]:
    """What is told of an arm, and when: all that is begun by then is finished."""
    restarts = isinstance(result.arm, Restarts)
    if restarts:
        yield "one run", 0.5
    if restarts or budget == limit:
        yield "equal time", limit
    if result.resampled and (restarts or budget == math.inf):
        yield "all planned", planned


def runs_table(found: Sequence[tuple[float, Result]], scores: Mapping[tuple, float]) -> pd.DataFrame:
    """A row a run that was trained for some arm; held-out scores of those that were picked, and of all restarts."""
    runs = {run.key: run for _, result in found for run in result.arm.runs}
    return pd.DataFrame(
        {
            "mixture": run.mixture,
            "seed": run.seed,
            "resampled": run.resampled,
            "time": round(run.time(), 3),
            "observed": round(run.score, 5),
            "held_out": round(scores.get(key, math.nan), 5),
        }
        for key, run in sorted(runs.items())
    )
