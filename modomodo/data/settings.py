"""What the rules of data.smk need to know of a study, and nothing else."""

from typing import Self

from modomodo.config.schema import Dataset, Settings, Source, Study
from modomodo.data.readers.published import Published, catalogue, hosted, published_as
from modomodo.errors import InputError, nearest


def dataset_of(study: Study, name: str) -> Dataset:
    """A domain, benchmark or held-out set by its name. Raises InputError naming the nearest one."""
    if name not in study.datasets:
        raise InputError(f"--name {name}: the study has no such dataset: {nearest(name, study.datasets)}")
    return study.datasets[name]


class DownloadSettings(Settings):
    """hub, or a folder → the raw files of one published dataset's split."""

    plugins: list[str] = []
    loader: str
    split: str
    source: Source | None
    raw_from: str | None = None
    config: str | None = None  # of a repository that has several, for a loader that reads any
    task: str | None = None  # of lmms-eval

    @classmethod
    def of(cls, study: Study, name: str) -> Self:
        entry = dataset_of(study, name)
        published = published_as(entry)
        if published is None:
            raise InputError(
                f"'{name}' has nothing to download: its loader '{entry.loader}' reads no raw files"
            )
        return cls(
            plugins=study.plugins,
            loader=entry.loader,
            split=published[1].split(entry.options),
            source=entry.source,
            raw_from=study.data.raw_from,
            config=entry.options.get("name") if entry.loader in hosted else None,
            task=entry.options.get("task") if entry.loader in hosted else None,
        )

    @property
    def about(self) -> Published:
        """Where the files are published. Raises InputError for a loader that reads none."""
        entry = Dataset(
            loader=self.loader,
            options={"split": self.split, "name": self.config, "task": self.task},
            source=self.source,
        )
        published = published_as(entry)
        if published is None:
            raise InputError(f"--settings: loader '{self.loader}' has nothing to download")
        return published[1]


class ExamplesSettings(Settings):
    """raw → examples, of one dataset."""

    plugins: list[str] = []
    dataset: Dataset
    version: int = 1  # of a published dataset's reader

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
        version = catalogue[entry.loader].version if entry.loader in catalogue else 1
        return cls(plugins=study.plugins, dataset=Dataset(**fields), version=version)


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
        if entry.limit is not None:
            cause = f"limit: {entry.limit} rows are read"
        return cls(examples=entry.expected, cause=cause)


class Table1Settings(Settings):
    """examples → table 1. `roles`: (dataset, training, in or out), in table order."""

    roles: list[tuple[str, str]]
    steps: int
    prompts_per_step: int
    iterations: int = 1
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
            iterations=training.iterations,
            expected={name: count for name, count in expected.items() if count is not None},
        )
