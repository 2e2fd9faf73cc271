"""What the rules of reporting.smk need to know of a study, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import Field

from modomodo.config.schema import Dataset, Reporting, Settings, Strategy, Study, Training, written
from modomodo.data.readers.published import published_as
from modomodo.errors import InputError
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.plan import Plan
from modomodo.mixtures.strategies.base import read_options

# The script of the explorer's page, each file after those that it uses.
EXPLORER_SCRIPTS = (
    *("surrogate", "mixture", "state", "drawing", "controls", "targets"),
    *("plane", "effects", "triangle", "runs", "optimum", "saving", "page"),
)
EXPORTABLE = ("gp_sqrt", "gp_average")  # surrogates whose formulas the explorer's page knows
FALLBACK = "gp_sqrt"  # of a study whose strategies propose by none of them


def check_exportable(surrogate: str) -> None:
    """Raises InputError for a surrogate that the explorer's page cannot evaluate."""
    from modomodo.mixtures.surrogates.base import surrogates

    try:
        surrogates.check_current(surrogate)
    except InputError as error:
        raise InputError(f"reporting.surrogate: {error}") from None
    if surrogate not in EXPORTABLE:
        raise InputError(
            f"reporting.surrogate: the explorer cannot evaluate '{surrogate}': use {' or '.join(EXPORTABLE)}"
        )


def proposing(strategies: Mapping[str, Strategy]) -> list[str]:
    """The surrogates that strategies propose by, in their order, each once."""
    from modomodo.mixtures.surrogates.base import DEFAULT

    found = [
        getattr(read_options(each.propose, each.options, f"strategies.{name}.options"), "surrogate", None)
        for name, each in strategies.items()
    ]
    return list(dict.fromkeys(DEFAULT if name == "auto" else name for name in found if name))


def shown_surrogate(strategies: Mapping[str, Strategy], otherwise: str = FALLBACK) -> str:
    """The first of them that the pages can show, so that they name the one that proposals are made by."""
    return next((name for name in proposing(strategies) if name in EXPORTABLE), otherwise)


def surrogate_of(study: Study) -> str:
    """The study's own choice for its pages, else that of its strategies."""
    return study.reporting.surrogate or shown_surrogate(study.strategies)


# A seed is a random one everywhere else on a page.
GROUP_TITLES = {"seed": "seed mixtures"}


def group_title(group: str) -> str:
    """How a group of strategies is written on a page."""
    return GROUP_TITLES.get(group, group.replace("_", " "))


@dataclass(frozen=True)
class Heading:
    """A strategy in Table 2: its group, its label, its mixtures. `some`: of a budget, that may leave some untrained."""

    group: str
    label: str
    mixtures: Sequence[str]
    some: bool = False


class TableSettings(Settings):
    """records → table 2."""

    seed: int
    headings: list[Heading]

    @classmethod
    def of(cls, study: Study, plan: Plan) -> Self:
        headings = [
            Heading(
                strategy.group, strategy.label or name, list(plan.by_strategy[name]), name in plan.budgets
            )
            for name, strategy in study.strategies.items()
        ]
        return cls(seed=study.training.seed, headings=headings)


class VerdictSettings(TableSettings):
    """records, runs → table 2 and the verdict."""

    surrogate: str = FALLBACK

    @classmethod
    def of(cls, study: Study, plan: Plan) -> Self:
        table = TableSettings.of(study, plan)
        return cls(seed=table.seed, headings=table.headings, surrogate=surrogate_of(study))


class FiguresSettings(TableSettings):
    """records, runs → figures. `benchmarks`: (name, in or out), in table order."""

    plugins: list[str] = []
    benchmarks: list[tuple[str, str]]
    column_width: float = Reporting.model_fields["column_width"].default
    dpi: int = Reporting.model_fields["dpi"].default
    surrogate: str = FALLBACK

    @classmethod
    def of(cls, study: Study, plan: Plan) -> Self:
        shown = study.reporting
        return cls(
            **_shown_as(study, plan),
            column_width=shown.column_width,
            dpi=shown.dpi,
            surrogate=surrogate_of(study),
        )


class ExplorerSettings(TableSettings):
    """records → explorer. `prompts`: drawn in a full run; `constraints`: the bounds of the study's searches.

    `proposing`: surrogates that the study's strategies propose by, other than the one that is shown.
    """

    study: str
    plugins: list[str] = []
    benchmarks: list[tuple[str, str]]
    surrogate: str = FALLBACK
    prompts: int
    constraints: Constraints = Field(default_factory=Constraints)
    proposing: list[str] = []

    @classmethod
    def of(cls, study: Study, plan: Plan) -> Self:
        searches = (strategy.options.get("constraints") for strategy in study.strategies.values())
        return cls(
            **_shown_as(study, plan),
            study=study.name,
            surrogate=surrogate_of(study),
            prompts=study.training.steps // study.training.iterations * study.training.prompts_per_step,
            # Where they differ, those of the first: a page has one set of sliders.
            constraints=Constraints(**next(filter(None, searches), {})),
            proposing=[name for name in proposing(study.strategies) if name != surrogate_of(study)],
        )


class RunPagesSettings(TableSettings):
    """records, runs, predictions → the pages of runs."""

    study: str
    plugins: list[str] = []
    benchmarks: list[tuple[str, str]]

    @classmethod
    def of(cls, study: Study, plan: Plan) -> Self:
        return cls(**_shown_as(study, plan), study=study.name)


@dataclass(frozen=True)
class ProposedBy:
    """A strategy as the report explains it: its function, and what the study asks of it."""

    group: str
    label: str
    propose: str
    mixtures: list[str]
    learns_from: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    mean_of_steps: bool = False
    target: str = "out_score"
    without: list[str] = field(default_factory=list)


class ReportSettings(TableSettings):
    """records, runs → the report: what it shows of the study. `strategies` in table order."""

    study: str
    notes: str = ""
    plugins: list[str] = []
    model: str
    domains: list[str]
    benchmarks: list[tuple[str, str]]
    training: Training
    strategies: list[ProposedBy]

    @classmethod
    def of(cls, study: Study, plan: Plan) -> Self:
        # What the page does not show is no reason to write it again.
        not_shown = {
            name: Training.model_fields[name].default
            for name in ("save_steps", "keep_weights", "threads", "report_to")
        }
        return cls(
            **_shown_as(study, plan),
            study=study.name,
            notes=study.reporting.notes,
            model=str(study.model.options.get("repo", study.model.builder)),
            domains=list(study.domains),
            training=study.training.model_copy(update=not_shown),
            strategies=[
                ProposedBy(
                    group=row.group,
                    label=row.label or name,
                    propose=row.propose,
                    mixtures=list(plan.by_strategy[name]),
                    learns_from=[*row.names_learned, *(other.title for other in row.cheaper_runs)],
                    options=row.options,
                    mean_of_steps=row.scores == "mean",
                    target=row.target,
                    without=list(row.without),
                )
                for name, row in study.strategies.items()
            ],
        )


class SourceOfData(Settings):
    """Where a dataset is from, for a model card: `repo` on the hub, or else what made it, its loader."""

    dataset: str
    role: str
    loader: str
    repo: str = ""
    revision: str = ""
    licence: str = ""

    @classmethod
    def of(cls, name: str, role: str, entry: Dataset) -> Self:
        found = published_as(entry)
        if found is None:
            return cls(dataset=name, role=role, loader=entry.loader, licence="your own data")
        about = found[1]
        return cls(
            dataset=name,
            role=role,
            loader=entry.loader,
            repo=(entry.source and entry.source.repo) or about.repo,
            revision=entry.source.revision if entry.source else "",
            licence=about.licence,
        )


class ExportSettings(TableSettings):
    """The winner → a Hugging Face folder with a model card. `metrics`: benchmark → metric."""

    study: str
    plugins: list[str] = []
    benchmarks: list[tuple[str, str]]
    metrics: dict[str, str]
    base: str
    base_repo: str = ""
    training: Training
    sources: list[SourceOfData]

    @classmethod
    def of(cls, study: Study, plan: Plan) -> Self:
        repo = str(study.model.options.get("repo", "")) if study.model.builder == "hub" else ""
        not_shown = ("seed", "save_steps", "keep_weights", "threads", "report_to")
        defaults = {name: Training.model_fields[name].get_default() for name in not_shown}
        sources = [SourceOfData.of(name, "training", entry) for name, entry in study.domains.items()]
        sources += [SourceOfData.of(name, "benchmark", entry) for name, entry in study.benchmarks.items()]
        return cls(
            **_shown_as(study, plan),
            study=study.name,
            metrics={name: written(benchmark.metric) for name, benchmark in study.benchmarks.items()},
            base=repo or study.model.builder,
            base_repo=repo,
            training=study.training.model_copy(update=defaults),
            sources=sources,
        )


def _shown_as(study: Study, plan: Plan) -> dict[str, Any]:
    """What pages and figures need to call things by the study's names."""
    table = TableSettings.of(study, plan)
    return {
        "plugins": study.plugins,
        "seed": table.seed,
        "headings": table.headings,
        "benchmarks": [(name, benchmark.group) for name, benchmark in study.benchmarks.items()],
    }
