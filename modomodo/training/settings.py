"""What the rules of training.smk need to know of a study, and nothing else."""

from typing import Self

from pydantic import Field

from modomodo.config.schema import Model, Settings, Study, Templates, Training


class BaseModelSettings(Settings):
    """The base model. It depends on the templates: a model that is built needs their vocabulary."""

    plugins: list[str] = []
    model: Model
    prompts: Templates = Field(default_factory=Templates)

    @classmethod
    def of(cls, study: Study) -> Self:
        return cls(plugins=study.plugins, model=study.model, prompts=study.prompts)


class TrainSettings(Settings):
    """base + stream → checkpoints. `rewards` names the rewards of the domains the mixture may use."""

    plugins: list[str] = []
    training: Training
    dtype: str
    prompts: Templates = Field(default_factory=Templates)
    own_prompts: dict[str, Templates] = {}
    rewards: dict[str, list[str]]

    @classmethod
    def of(cls, study: Study, domains: list[str] | None = None) -> Self:
        # The seed is an argument, so that repeats differ in nothing else; how often a run saves, what it keeps
        # afterwards and where it is shown does not change its result.
        without_effect = ("seed", "save_steps", "keep_weights", "report_to")
        defaults = {
            name: Training.model_fields[name].get_default(call_default_factory=True)
            for name in without_effect
        }
        return cls(
            plugins=study.plugins,
            training=study.training.model_copy(update=defaults),
            dtype=study.model.dtype,
            prompts=study.prompts,
            own_prompts=study.own_templates(domains or study.domains),
            rewards={name: study.domains[name].rewards for name in domains or study.domains},
        )
