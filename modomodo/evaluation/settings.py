"""What the rules of evaluation.smk need to know of a study, and nothing else."""

from typing import Self

from pydantic import Field

from modomodo.config.schema import Call, Evaluation, Judge, Settings, Study, Templates, held_out_name
from modomodo.data.lmms_eval.environment import VERSION as LMMS_VERSION
from modomodo.metrics.metric import called


def metric_versions(study: Study) -> dict[str, int]:
    """Benchmark → version of its metric."""
    return {
        name: LMMS_VERSION if benchmark.task else called(benchmark.metric).version
        for name, benchmark in study.benchmarks.items()
    }


class PredictSettings(Settings):
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
        """What the predictions of one benchmark depend on: not on another one's templates."""
        prompts = self.own_prompts.get(name, self.prompts)
        return self.model_copy(update={"prompts": prompts, "own_prompts": {}})


class TaskOfLmmsEval(Settings):
    """A task of lmms-eval, and what its rules depend on besides its name."""

    task: str
    edition: str


class ScoreSettings(Settings):
    """predictions → scores. `metrics`: benchmark → metric; `judge` where one of them asks it.

    `lmms_eval`: the benchmarks that are tasks of lmms-eval, whose metrics are that task's.
    """

    plugins: list[str] = []
    metrics: dict[str, Call]
    judge: Judge | None = None
    lmms_eval: dict[str, TaskOfLmmsEval] = {}

    @classmethod
    def of(cls, study: Study) -> Self:
        named = {name: benchmark.metric for name, benchmark in study.benchmarks.items()}
        tasks = {name: task for name, benchmark in study.benchmarks.items() if (task := benchmark.task)}
        asked = any(called(metric).prompt is not None for name, metric in named.items() if name not in tasks)
        found = {}
        if tasks:
            from modomodo.data.readers.lmms_eval import edition

            found = {name: TaskOfLmmsEval(task=task, edition=edition(task)) for name, task in tasks.items()}
        return cls(
            plugins=study.plugins,
            metrics=named,
            judge=study.judge if asked else None,
            lmms_eval=found,
        )


class InDomainSettings(PredictSettings):
    """base + runs on one domain + held-out questions → what each gains. `metrics`: domain → metric."""

    metrics: dict[str, Call]

    @classmethod
    def of(cls, study: Study) -> Self:
        fields = dict(PredictSettings.of(study))
        fields["own_prompts"] = study.own_templates(map(held_out_name, study.held_out))
        metrics = {name: held_out.metric for name, held_out in study.held_out.items()}
        return cls(**fields, metrics=metrics)

    def on_one_device(self) -> Self:
        """The same with transformers and at most one GPU: held-out questions are few."""
        update = {"engine": "transformers", "gpus": min(1, self.evaluation.gpus)}
        return self.model_copy(update={"evaluation": self.evaluation.model_copy(update=update)})
