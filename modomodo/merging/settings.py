from typing import Self

from pydantic import Field

from modomodo.config.schema import Evaluation, MergeMethod, Settings, Strategy, Study, Templates
from modomodo.evaluation.settings import PredictStep, ScoreStep
from modomodo.mixtures.settings import ProposeStep, RecordsStep


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
