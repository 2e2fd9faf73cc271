"""What each step of the pipeline needs to know of a study, and nothing else.

A rule hands its step these settings as canonical text, so a changed key re-runs the steps it affects and
no other. Each class says how to take itself from a study.
"""

from typing import Any, Self

from pydantic import Field

from modomodo.datasets.published import catalogue
from modomodo.errors import InputError, nearest
from modomodo.metrics import metrics
from modomodo.mixtures import Constraints
from modomodo.plan import plan
from modomodo.prompts import Templates
from modomodo.study import (
    Dataset,
    Draw,
    Evaluation,
    Judge,
    MergeMethod,
    Model,
    Reporting,
    Settings,
    Source,
    Strategy,
    Study,
    Training,
    held_out_name,
)


def dataset_of(study: Study, name: str) -> Dataset:
    """A domain, benchmark or held-out set by its name. Raises InputError naming the nearest one."""
    if name not in study.datasets:
        raise InputError(f"--name {name}: the study has no such dataset: {nearest(name, study.datasets)}")
    return study.datasets[name]


class DownloadStep(Settings):
    """hub, or a folder → the raw files of one published dataset's split."""

    plugins: list[str] = []
    loader: str
    split: str
    source: Source | None
    raw_from: str | None = None

    @classmethod
    def of(cls, study: Study, name: str) -> Self:
        entry = dataset_of(study, name)
        if entry.loader not in catalogue:
            raise InputError(
                f"'{name}' has nothing to download: its loader '{entry.loader}' reads no raw files"
            )
        return cls(
            plugins=study.plugins,
            loader=entry.loader,
            split=catalogue[entry.loader].split(entry.options),
            source=entry.source,
            raw_from=study.data.raw_from,
        )


class ExamplesStep(Settings):
    """raw → examples, of one dataset."""

    plugins: list[str] = []
    dataset: Dataset

    @classmethod
    def of(cls, study: Study, name: str) -> Self:
        entry = dataset_of(study, name)
        # The raw files are an input, how many examples are expected is Table 1's affair, and a template is put to a
        # question only when it is asked.
        fields = {
            key: getattr(entry, key)
            for key in Dataset.model_fields
            if key not in ("source", "expected", "prompts")
        }
        return cls(plugins=study.plugins, dataset=Dataset(**fields))


class BaseStep(Settings):
    """The base model. The templates are in because a built model has to know their words."""

    plugins: list[str] = []
    model: Model
    prompts: Templates = Field(default_factory=Templates)

    @classmethod
    def of(cls, study: Study) -> Self:
        return cls(plugins=study.plugins, model=study.model, prompts=study.prompts)


class Expected(Settings):
    """How many examples a dataset should give, and the likely cause when it does not."""

    examples: int
    cause: str = ""

    @classmethod
    def of(cls, entry: Dataset) -> Self | None:
        if entry.expected is None:
            return None
        about = catalogue.get(entry.loader)
        cause = about.differs.get(about.split(entry.options), "") if about else ""
        return cls(examples=entry.expected, cause=cause)


class Table1Step(Settings):
    """examples → table 1. `roles`: (dataset, training, in or out), in table order."""

    roles: list[tuple[str, str]]
    steps: int
    prompts_per_step: int
    expected: dict[str, Expected] = {}

    @classmethod
    def of(cls, study: Study) -> Self:
        roles = [(name, "training") for name in study.domains]
        roles += [(name, benchmark.group) for name, benchmark in study.benchmarks.items()]
        training = study.training
        entries = {**study.domains, **study.benchmarks}
        expected = {name: Expected.of(entry) for name, entry in entries.items()}
        return cls(
            roles=roles,
            steps=training.steps,
            prompts_per_step=training.prompts_per_step,
            expected={name: count for name, count in expected.items() if count is not None},
        )


class StreamStep(Settings):
    """mixture + examples → stream."""

    steps: int
    prompts_per_step: int
    scored_steps: list[int]
    draw: Draw = Field(default_factory=Draw)

    @classmethod
    def of(cls, study: Study) -> Self:
        training = study.training
        return cls(
            steps=training.steps,
            prompts_per_step=training.prompts_per_step,
            scored_steps=training.scored_steps,
            draw=study.draw,
        )

    @property
    def window(self) -> int | None:
        """Prompts of a window of exact shares; None where chance decides the shares."""
        return self.draw.window if self.draw.shares == "exact" else None


class TrainStep(Settings):
    """base + stream → checkpoints. `rewards` names the rewards of the domains the mixture may use."""

    plugins: list[str] = []
    training: Training
    dtype: str
    prompts: Templates = Field(default_factory=Templates)
    own_prompts: dict[str, Templates] = {}
    rewards: dict[str, list[str]]

    @classmethod
    def of(cls, study: Study, domains: list[str] | None = None) -> Self:
        # The seed is an argument, so that repeats differ in nothing else; how often a run saves and what it keeps
        # afterwards changes nothing.
        aside = ("seed", "save_every", "keep_weights")
        passed = {name: Training.model_fields[name].default for name in aside}
        return cls(
            plugins=study.plugins,
            training=study.training.model_copy(update=passed),
            dtype=study.model.dtype,
            prompts=study.prompts,
            own_prompts=study.own_templates(domains or study.domains),
            rewards={name: study.domains[name].rewards for name in domains or study.domains},
        )


class PredictStep(Settings):
    """checkpoints + benchmarks → predictions."""

    plugins: list[str] = []
    evaluation: Evaluation
    dtype: str
    prompts: Templates = Field(default_factory=Templates)
    own_prompts: dict[str, Templates] = {}

    @classmethod
    def of(cls, study: Study) -> Self:
        return cls(
            plugins=study.plugins,
            evaluation=study.evaluation,
            dtype=study.model.dtype,
            prompts=study.prompts,
            own_prompts=study.own_templates(study.benchmarks),
        )

    def for_benchmark(self, name: str) -> Self:
        """What decides the predictions of one benchmark: another one's templates do not."""
        prompts = self.own_prompts.get(name, self.prompts)
        return self.model_copy(update={"prompts": prompts, "own_prompts": {}})


class ScoreStep(Settings):
    """predictions → scores. `metrics`: benchmark → metric; `judge` where one of them asks it."""

    plugins: list[str] = []
    metrics: dict[str, str]
    judge: Judge | None = None

    @classmethod
    def of(cls, study: Study) -> Self:
        named = {name: benchmark.metric for name, benchmark in study.benchmarks.items()}
        asked = any(metrics[metric].prompt is not None for metric in named.values())
        return cls(plugins=study.plugins, metrics=named, judge=study.judge if asked else None)


class OwnDomainStep(Settings):
    """base + runs on one domain + held-out questions → what each gains. `metrics`: domain → metric."""

    plugins: list[str] = []
    evaluation: Evaluation
    dtype: str
    prompts: Templates = Field(default_factory=Templates)
    own_prompts: dict[str, Templates] = {}
    metrics: dict[str, str]

    @classmethod
    def of(cls, study: Study) -> Self:
        return cls(
            **dict(PredictStep.of(study))
            | {"own_prompts": study.own_templates(map(held_out_name, study.held_out))},
            metrics={name: held_out.metric for name, held_out in study.held_out.items()},
        )


class MergeStep(Settings):
    """experts + mixtures + benchmarks → records of fidelity `merged`. `benchmarks`: (name, in or out)."""

    plugins: list[str] = []
    evaluation: Evaluation
    dtype: str
    prompts: Templates = Field(default_factory=Templates)
    own_prompts: dict[str, Templates] = {}
    metrics: dict[str, str]
    benchmarks: list[tuple[str, str]]
    domains: list[str]
    alphas: list[float]
    method: MergeMethod = Field(default_factory=MergeMethod)

    @classmethod
    def of(cls, study: Study) -> Self:
        records = RecordsStep.of(study)
        return cls(
            **dict(PredictStep.of(study)),
            metrics=ScoreStep.of(study).metrics,
            benchmarks=records.benchmarks,
            domains=records.domains,
            alphas=study.merging.alphas,
            method=MergeMethod(**{key: getattr(study.merging, key) for key in MergeMethod.model_fields}),
        )

    def answering(self) -> PredictStep:
        """What decides an answer."""
        return PredictStep(**{key: getattr(self, key) for key in PredictStep.model_fields})


class ScreenStep(MergeStep):
    """The same for the candidates of one strategy."""

    strategy: Strategy

    @classmethod
    def of(cls, study: Study, name: str = "") -> Self:
        merging = MergeStep.of(study)
        # By name: another order in the study is no reason to screen anew.
        fields = {key: getattr(merging, key) for key in MergeStep.model_fields} | {
            "domains": sorted(merging.domains),
            "benchmarks": sorted(merging.benchmarks),
        }
        return cls(**fields, strategy=ProposeStep.of(study, name).strategy)


class RecordsStep(Settings):
    """scores → records. `benchmarks`: (name, in or out); both lists in table order."""

    domains: list[str]
    benchmarks: list[tuple[str, str]]

    @classmethod
    def of(cls, study: Study) -> Self:
        benchmarks = [(name, benchmark.group) for name, benchmark in study.benchmarks.items()]
        return cls(domains=list(study.domains), benchmarks=benchmarks)

    def unordered(self) -> Self:
        """For a strategy, which goes by names: another order in the study is no reason to propose anew."""
        return self.model_copy(
            update={"domains": sorted(self.domains), "benchmarks": sorted(self.benchmarks)}
        )


class ProposeStep(Settings):
    """records → mixtures, of one strategy."""

    plugins: list[str] = []
    strategy: Strategy
    domains: list[str]

    @classmethod
    def of(cls, study: Study, name: str) -> Self:
        if name not in study.strategies:
            raise InputError(
                f"--strategy {name}: the study has no such strategy: {nearest(name, study.strategies)}"
            )
        # Heading and label are the table's affair.
        strategy = study.strategies[name].model_copy(update={"group": "", "label": None})
        return cls(plugins=study.plugins, strategy=strategy, domains=sorted(study.domains))


class HeadingSettings(Settings):
    """How Table 2 calls a strategy and its mixtures."""

    group: str
    label: str
    mixtures: list[str]


class TableStep(Settings):
    """records → table 2."""

    seed: int
    headings: list[HeadingSettings]

    @classmethod
    def of(cls, study: Study) -> Self:
        mixtures = plan(study).by_strategy
        headings = [
            HeadingSettings(group=strategy.group, label=strategy.label or name, mixtures=list(mixtures[name]))
            for name, strategy in study.strategies.items()
        ]
        return cls(seed=study.training.seed, headings=headings)


class FiguresStep(TableStep):
    """records, runs → figures. `benchmarks`: (name, in or out), in table order."""

    plugins: list[str] = []
    benchmarks: list[tuple[str, str]]
    column_width: float = Reporting.model_fields["column_width"].default
    dpi: int = Reporting.model_fields["dpi"].default
    surrogate: str = Reporting.model_fields["surrogate"].default

    @classmethod
    def of(cls, study: Study) -> Self:
        shown = study.reporting
        return cls(
            **_shown_as(study),
            column_width=shown.column_width,
            dpi=shown.dpi,
            surrogate=shown.surrogate,
        )


class ExplorerStep(TableStep):
    """records → explorer. `prompts`: drawn in a full run; `constraints`: what the study's searches keep to."""

    study: str
    plugins: list[str] = []
    benchmarks: list[tuple[str, str]]
    surrogate: str = Reporting.model_fields["surrogate"].default
    prompts: int
    constraints: Constraints = Field(default_factory=Constraints)

    @classmethod
    def of(cls, study: Study) -> Self:
        searches = (strategy.options.get("constraints") for strategy in study.strategies.values())
        return cls(
            **_shown_as(study),
            study=study.name,
            surrogate=study.reporting.surrogate,
            prompts=study.training.steps * study.training.prompts_per_step,
            # Where they differ, those of the first: a page has one set of sliders.
            constraints=Constraints(**next(filter(None, searches), {})),
        )


class OverviewStep(TableStep):
    """records, runs → the report's first page: what it tells of the study.

    `strategies`: (group, label, function, mixtures, what it learns from), in table order.
    """

    study: str
    notes: str = ""
    plugins: list[str] = []
    model: str
    domains: list[str]
    benchmarks: list[tuple[str, str]]
    training: Training
    strategies: list[tuple[str, str, str, int, list[str]]]
    runs: int

    @classmethod
    def of(cls, study: Study) -> Self:
        # What the page does not tell is no reason to write it anew.
        untold = {
            name: Training.model_fields[name].default for name in ("save_every", "keep_weights", "threads")
        }
        planned = plan(study)
        return cls(
            **_shown_as(study),
            study=study.name,
            notes=study.reporting.notes,
            model=str(study.model.options.get("repo", study.model.builder)),
            domains=list(study.domains),
            training=study.training.model_copy(update=untold),
            strategies=[
                (row.group, row.label or name, row.propose, len(planned.by_strategy[name]), row.learns_from)
                for name, row in study.strategies.items()
            ],
            runs=len(planned.runs),
        )


def _shown_as(study: Study) -> dict[str, Any]:
    """What pages and figures need to call things by the study's names."""
    table = TableStep.of(study)
    return {
        "plugins": study.plugins,
        "seed": table.seed,
        "headings": table.headings,
        "benchmarks": [(name, benchmark.group) for name, benchmark in study.benchmarks.items()],
    }
