"""Successive halving of real runs: many mixtures start, and few are trained to the end."""

import itertools
from dataclasses import replace
from typing import Literal

from pydantic import Field, field_validator

from modomodo.mixtures.records import trained
from modomodo.mixtures.strategies.base import Proposal, Request, _options, as_requested, declare
from modomodo.mixtures.strategies.search import CandidateOptions, batch
from modomodo.mixtures.strategies.seeds import DesignOptions, design


class RaceOptions(CandidateOptions):
    """Options of `race`; those of `acquire` choose the mixtures that start where it learns from earlier runs."""

    rungs: dict[int, int] = Field(
        description="Scored step → how many runs are trained to it, e.g. {500: 16, 1500: 8, 2000: 4}; to the first "
        "all, to the last step the fewest."
    )
    if_uninformative: Literal["spread", "finish"] = Field(
        "spread",
        description="Where early scores tell nothing of the last ones: 'spread', mixtures far from each other go on; "
        "'finish', all go on.",
    )

    @field_validator("rungs")
    @classmethod
    def _shrink(cls, rungs: dict[int, int]) -> dict[int, int]:
        steps, counts = list(rungs), list(rungs.values())
        if len(steps) < 2:
            raise ValueError(f"{rungs}: a race has two rungs or more, e.g. {{500: 16, 2000: 4}}")
        if sorted(steps) != steps:
            raise ValueError(f"{steps}: the steps must increase")
        if counts[-1] < 1:
            raise ValueError(f"{steps[-1]}: {counts[-1]} runs: at least one is trained to the end")
        for before, step in itertools.pairwise(steps):
            if rungs[step] > rungs[before]:
                raise ValueError(
                    f"{step}: {rungs[step]} runs go on, of the {rungs[before]} at step {before}: rungs must not grow"
                )
        return rungs

    @property
    def start(self) -> int:
        """How many mixtures start."""
        return next(iter(self.rungs.values()))

    @property
    def finish(self) -> int:
        """How many of them are trained to the end, or more where all may."""
        return list(self.rungs.values())[-1]


@declare(
    "race",
    options=RaceOptions,
    suffixes=as_requested,
    learns=False,
    may_learn=True,
    start=lambda options: options.start,
)
def race(request: Request) -> list[Proposal]:
    """The mixtures that start a race; who goes on is decided by their scores (docs/strategies.md).

    Far from each other within the constraints; where it learns from earlier runs, a batch as `acquire` chooses it.
    """
    options = _options(request, RaceOptions)
    if request.records.benchmarks and len(trained(request.records)):
        return batch(request, options)
    return design(replace(request, options=DesignOptions(constraints=options.constraints)))
