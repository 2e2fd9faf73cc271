"""What the rules of merging.smk need to know of a study, and nothing else."""

from typing import Self

from modomodo.config.schema import Call, Strategy, Study
from modomodo.evaluation.settings import PredictSettings, ScoreSettings
from modomodo.mixtures.settings import ProposeSettings, RecordsSettings

# Raise when the same merge would score otherwise: all are then scored again. Here and not in screening.py,
# since the rules read it, and Snakemake need not load scipy.
CACHE_VERSION = 1


class MergeSettings(PredictSettings):
    """experts + mixtures + benchmarks → records of fidelity `merged`. `benchmarks`: (name, in or out)."""

    metrics: dict[str, Call]
    benchmarks: list[tuple[str, str]]
    domains: list[str]
    alphas: list[float]

    @classmethod
    def of(cls, study: Study) -> Self:
        records = RecordsSettings.of(study)
        return cls(
            **dict(PredictSettings.of(study)),
            metrics=ScoreSettings.of(study).metrics,
            benchmarks=records.benchmarks,
            domains=records.domains,
            alphas=study.merging.alphas,
        )

    def answering(self) -> PredictSettings:
        """What an answer depends on."""
        return PredictSettings(**{key: getattr(self, key) for key in PredictSettings.model_fields})


class ScreenSettings(MergeSettings):
    """The same for the candidates of one strategy."""

    strategy: Strategy

    @classmethod
    def of(cls, study: Study, name: str = "") -> Self:
        fields = dict(MergeSettings.of(study))
        # By name: another order in the study is no reason to screen again.
        fields |= {key: sorted(fields[key]) for key in ("domains", "benchmarks")}
        return cls(**fields, strategy=ProposeSettings.of(study, name).strategy)
