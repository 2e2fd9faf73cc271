"""A study of recorded runs: one YAML file, its keys and their checks."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from modomodo.config.loading import load_plugins, parse, plugins_beside
from modomodo.config.reading import beside, read_yaml
from modomodo.config.schema import Name, Seed, Settings, Strategy
from modomodo.errors import InputError
from modomodo.mixtures.cheaper_runs import check_strategy, locate
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.strategies.acquire import AcquireOptions
from modomodo.mixtures.strategies.base import declaration, read_options, strategies
from modomodo.mixtures.strategies.search import SearchOptions
from modomodo.mixtures.surrogates.base import surrogates


class Table(Settings):
    """Where the recorded runs are and what their columns mean."""

    path: str | None = Field(
        None,
        description="records.csv (columns w_<domain>, y_<benchmark>), or a folder of ratios.csv and metrics.csv.",
    )
    lower_is_better: bool | list[str] = Field(
        False, description="Scores that are losses: all, or the names of some."
    )
    aggregates: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Weighted means by name: {out_score: {benchmark: weight}}."
    )


class ReplayStrategy(Strategy):
    """A strategy on recorded runs; `learns_from` names values of the column `strategy`, none means all rows."""

    group: str = Field("model", description="Its heading in Table 2.")


class ReplayConfig(Settings):
    """The whole of a study of recorded runs."""

    name: Name = Field(description="Names the folder of its results: results/<name>/.")
    plugins: list[str] = Field([], description="Python files that register own strategies or surrogates.")
    records: Table = Field(description="The recorded runs.")
    target: str = Field("out_score", description="What to maximise: an aggregate or a benchmark.")
    seed: Seed = Field(0, description="Seed of the halves and of the comparison of surrogates.")
    replicates: int = Field(
        50, ge=2, description="Refits on halves of the mixtures, for how sure the optimum is."
    )
    constraints: Constraints = Field(
        default_factory=Constraints, description="What the optimum that is judged must keep to."
    )
    strategies: dict[Name, ReplayStrategy] = Field(min_length=1, description="Strategies by name.")

    @model_validator(mode="after")
    def _targets(self) -> "ReplayConfig":
        # A strategy without a target of its own has the study's.
        for name, strategy in self.strategies.items():
            if "target" not in strategy.model_fields_set:
                self.strategies[name] = strategy.model_copy(update={"target": self.target})
        return self


def load(text: str) -> ReplayConfig:
    """A study of recorded runs from its YAML file, or from JSON as a rule passes it. Raises InputError."""
    if text.lstrip().startswith("{"):
        try:
            data, where = json.loads(text), "--config"
        except json.JSONDecodeError as error:
            raise InputError(f"--config: not valid JSON: {error.msg} at character {error.pos}") from None
    else:
        data, where = read_yaml(text), text
    return replay_from(data, where)


def replay_from(data: Any, where: str) -> ReplayConfig:
    """A study of recorded runs from plain data, with every name in it checked. Raises InputError."""
    study = parse(data, ReplayConfig, where)
    study = study.model_copy(update={"plugins": plugins_beside(study.plugins, where)})
    if study.records.path:
        records = study.records.model_copy(update={"path": beside(study.records.path, where)})
        study = study.model_copy(update={"records": records})
    located = {name: locate(strategy, where) for name, strategy in study.strategies.items()}
    study = study.model_copy(update={"strategies": located})
    load_plugins(study.plugins)
    _check(study, where)
    return study


def tables_of(study: ReplayConfig) -> list[Path]:
    """The files that the records are read from, other studies' too. Raises InputError as `table_of`."""
    path = table_of(study)
    own = [path / "ratios.csv", path / "metrics.csv"] if path.is_dir() else [path]
    others = {
        Path(other.records) for strategy in study.strategies.values() for other in strategy.cheaper_runs
    }
    return [*own, *sorted(others)]


def table_of(study: ReplayConfig) -> Path:
    """The table of the study, or the folder of its two. Raises InputError when it names none that exists."""
    if not study.records.path:
        raise InputError("records.path: missing: name the table, or give it with --records")
    path = Path(study.records.path)
    if not path.exists():
        raise InputError(
            f"records.path: {path}: no such file, nor in the working directory: paths are relative to the study's file"
        )
    return path


def _check(study: ReplayConfig, where: str) -> None:
    """Raises InputError for a strategy, option or surrogate that does not exist."""
    for name, strategy in study.strategies.items():
        key = f"{where}: strategies.{name}"
        try:
            strategies[strategy.propose]
            options = read_options(strategy.propose, strategy.options, f"strategies.{name}.options")
            if isinstance(options, SearchOptions):
                surrogates.check(options.surrogate)
            check_strategy(name, strategy)
            if isinstance(options, AcquireOptions) and options.budget is not None:
                raise InputError("options.budget: recorded runs cost nothing more: remove it")
            if declaration(strategy.propose).online:
                raise InputError(
                    f"propose: '{strategy.propose}' trains a run, and recorded runs are past: remove it"
                )
        except InputError as error:
            text = str(error)
            raise InputError(
                f"{where}: {text}" if text.startswith("strategies.") else f"{key}: {text}"
            ) from None
