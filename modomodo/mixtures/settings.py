"""What the rules of mixtures.smk need to know of a study, and nothing else."""

from pathlib import Path
from typing import Self

from pydantic import Field

from modomodo.config.schema import Draw, Settings, Strategy, Study
from modomodo.errors import InputError, nearest
from modomodo.files import file_digest
from modomodo.mixtures.budget import Prices, Seeds
from modomodo.mixtures.races import WHOLE, Stretch


class StreamSettings(Settings):
    """mixture + examples → stream. `since` and `until`: what a job of a race trains of the run (`races.Stretch`)."""

    steps: int
    prompts_per_step: int
    scored_steps: list[int]
    iterations: int = 1
    draw: Draw = Field(default_factory=Draw)
    since: int = 0
    until: int | None = None

    @classmethod
    def of(cls, study: Study, stretch: Stretch = WHOLE) -> Self:
        training = study.training
        return cls(
            steps=training.steps,
            prompts_per_step=training.prompts_per_step,
            scored_steps=training.scored_steps,
            iterations=training.iterations,
            # A window is one of exact shares: with random ones it would draw the same streams again.
            draw=study.draw if study.draw.shares == "exact" else Draw(),
            since=stretch.since,
            until=stretch.until,
        )

    @property
    def window(self) -> int | None:
        """Prompts of a window of exact shares; None where chance decides the shares."""
        return self.draw.window if self.draw.shares == "exact" else None


class RecordsSettings(Settings):
    """scores → records. `benchmarks`: (name, in or out); both lists in table order."""

    domains: list[str]
    benchmarks: list[tuple[str, str]]

    @classmethod
    def of(cls, study: Study) -> Self:
        benchmarks = [(name, benchmark.group) for name, benchmark in study.benchmarks.items()]
        return cls(domains=list(study.domains), benchmarks=benchmarks)

    def unordered(self) -> Self:
        """For a strategy, which goes by names: another order in the study is no reason to propose again."""
        return self.model_copy(
            update={"domains": sorted(self.domains), "benchmarks": sorted(self.benchmarks)}
        )


class ProposeSettings(Settings):
    """records → mixtures, of one strategy."""

    plugins: list[str] = []
    strategy: Strategy
    domains: list[str]
    cheaper: list[str] = []  # digests of other studies' records that it learns from
    prices: Prices | None = None  # of a strategy with a budget
    seeds: Seeds | None = None  # of runs, where its budget may repeat some

    @classmethod
    def of(cls, study: Study, name: str) -> Self:
        if name not in study.strategies:
            raise InputError(
                f"--strategy {name}: the study has no such strategy: {nearest(name, study.strategies)}"
            )
        # Heading and label are the table's affair.
        strategy = study.strategies[name].model_copy(update={"group": "", "label": None})
        # A table that is not there is told by what reads it.
        tables = [path for other in strategy.cheaper_runs if (path := Path(other.records)).is_file()]
        digests = [file_digest(path) for path in tables]
        prices = (
            Prices.of(study, f"strategies.{name}.options.budget") if strategy.options.get("budget") else None
        )
        return cls(
            plugins=study.plugins,
            strategy=strategy,
            domains=sorted(study.domains),
            cheaper=digests,
            prices=prices,
            seeds=Seeds.of(study) if strategy.options.get("repeats") else None,
        )
