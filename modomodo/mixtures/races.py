"""The rungs of a race as jobs, known before anything runs, and who goes on, which a file says.

    races/<strategy>/<step>.json      which runs train on to that step, with what is expected of each (Promotion)
    mixtures/<strategy>@<step>-<n>.json   the n-th place there: a copy of the mixture that takes it, with its name

A place is drawn a stream, trained, predicted and scored by the rules of every mixture. Its files under its own name say
where the work lies: in the folders of the run, whose training goes on there, and which alone has a name in the records.
A place that nobody takes has its own name in its file, and nothing is trained.
"""

from collections.abc import Mapping
from typing import NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field

from modomodo.config.schema import Strategy
from modomodo.errors import InputError
from modomodo.mixtures.budget import StoppedRun
from modomodo.mixtures.mixture import Mixture
from modomodo.mixtures.records import Records, is_stopped, last_of_each
from modomodo.mixtures.strategies.base import read_options
from modomodo.mixtures.strategies.race import RaceOptions

CACHE_VERSION = 2  # raise when the same records would let others go on: all is then decided again


class Stretch(NamedTuple):
    """The steps of a run that one job trains: those after `since`, to `until`, or to its end."""

    since: int
    until: int | None

    def of(self, last: int) -> int:
        """How many steps that is of a run whose stream ends at step `last`."""
        return min(last, last if self.until is None else self.until) - min(last, self.since)


WHOLE = Stretch(0, None)  # of a run that is in no race


class Place(NamedTuple):
    """A place at a rung: in whose race, to which step, and its number from 1.

    `spare`: taken only where early scores tell nothing and all go on. `of`: the race of which a strategy with a budget
    may train a stopped run to the end; that strategy's is then the place.
    """

    strategy: str
    step: int
    number: int
    spare: bool
    of: str = ""

    @property
    def name(self) -> str:
        """What its files are called: no strategy's name has an @."""
        return f"{self.strategy}@{self.of or self.step}-{self.number:02d}"


class PromotedRun(BaseModel):
    """A run at the rung before. `probability`: of being among the best at the last step, of as many as go on."""

    model_config = ConfigDict(extra="forbid")

    mixture: str
    goes_on: bool
    expected: float = Field(description="Its score at the last step.")
    standard_deviation: float
    probability: float


class Promotion(BaseModel):
    """`races/<strategy>/<step>.json`: who trains on to a step, the best expected first."""

    model_config = ConfigDict(extra="forbid")

    strategy: str
    step: int
    last_step: int
    target: str
    signal: float = Field(
        description="Probability that the latest scores are correlated with those at the last step."
    )
    informed: bool = Field(description="Whether they were chosen by.")
    reason: str
    runs: list[PromotedRun]


def taken(mixture: Mixture, place: str) -> bool:
    """Whether somebody takes a place, by the file of that name."""
    return mixture.name != place


def places_of(strategy: str, rungs: Mapping[int, int], everyone: bool) -> list[Place]:
    """The places at the rungs after the first; `everyone`: one for each run, as all may go on."""
    first, *later = rungs
    return [
        Place(strategy, step, number, number > rungs[step])
        for step in later
        for number in range(1, (rungs[first] if everyone else rungs[step]) + 1)
    ]


def places_further(strategy: str, race: str, options: RaceOptions, most: int) -> list[Place]:
    """The places in which a strategy with a budget trains runs that a race has stopped, at most so many."""
    stopped = min(most, options.start - options.finish)
    last = list(options.rungs)[-1]
    return [Place(strategy, last, number, True, race) for number in range(1, stopped + 1)]


def stretches_of(rungs: Mapping[int, int]) -> dict[int, Stretch]:
    """Step of a rung → what a job of it trains."""
    steps = list(rungs)
    ends = [*steps[:-1], None]
    return {step: Stretch(since, until) for step, since, until in zip(steps, [0, *steps], ends, strict=False)}


def promote(records: Records, name: str, strategy: Strategy, step: int) -> Promotion:
    """Who of the race `name` trains on to `step`: of its runs that were scored at the rung before.

    `records`: what was scored so far, of these runs and of all that the strategy learns from.

    Raises InputError for a step that is none of its later rungs, and for a run without a score.
    """
    from modomodo.mixtures.halving import go_on  # pandas, which the plan has no use for

    options = cast(
        RaceOptions, read_options(strategy.propose, strategy.options, f"strategies.{name}.options")
    )
    rungs = options.rungs
    steps = list(rungs)
    if step not in steps[1:]:
        raise InputError(
            f"--step {step}: no later rung of strategies.{name}: {', '.join(map(str, steps[1:]))}"
        )
    before = steps[steps.index(step) - 1]
    frame = records.frame[(records.frame["strategy"] == name) & (records.frame["step"] == before)]
    candidates = sorted(set(frame["mixture"]))
    decision = go_on(
        *(records, candidates, min(rungs[step], len(candidates)), steps[-1]),
        *(strategy.target, strategy.seed, options.if_uninformative),
    )
    return Promotion(
        strategy=name,
        step=step,
        last_step=steps[-1],
        target=strategy.target,
        signal=decision.signal,
        informed=decision.informed,
        reason=decision.reason,
        runs=[
            PromotedRun(
                mixture=each.mixture,
                goes_on=each.mixture in decision.chosen,
                expected=each.mean,
                standard_deviation=each.standard_deviation,
                probability=each.probability,
            )
            for each in decision.expected
        ],
    )


def stopped_runs(records: Records) -> dict[str, StoppedRun]:
    """Mixture → its run that a race stopped, of all in the records."""
    reached = last_of_each(records)
    rows = reached.frame[is_stopped(reached.frame)].sort_values("mixture")
    return {
        str(row["mixture"]): StoppedRun(
            int(row["step"]), {name: float(row[f"w_{name}"]) for name in records.domains}, row["strategy"]
        )
        for _, row in rows.iterrows()
    }
