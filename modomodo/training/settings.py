"""What the rules of training.smk need to know of a study, and nothing else."""

from typing import Self

from pydantic import Field

from modomodo.config.schema import Call, Judge, Model, Settings, Study, Templates, Training
from modomodo.training.rewards import asks_judge


class BaseModelSettings(Settings):
    """The base model. It depends on the templates: a model that is built needs their vocabulary."""

    plugins: list[str] = []
    model: Model
    prompts: Templates = Field(default_factory=Templates)

    @classmethod
    def of(cls, study: Study) -> Self:
        return cls(plugins=study.plugins, model=study.model, prompts=study.prompts)


class TrainSettings(Settings):
    """base + stream → checkpoints. `rewards` are those of the domains that the mixture may use.

    `reward_weights`: domain → weights of its own; `judge` where one of the rewards asks it.
    """

    plugins: list[str] = []
    training: Training
    dtype: str
    prompts: Templates = Field(default_factory=Templates)
    own_prompts: dict[str, Templates] = {}
    rewards: dict[str, list[Call]]
    reward_weights: dict[str, dict[str, float]] = {}
    judge: Judge | None = None

    @classmethod
    def of(cls, study: Study, domains: list[str] | None = None) -> Self:
        # The seed is an argument, so that repeats differ in nothing else; how often a run saves, what it keeps
        # afterwards and where it is shown does not change its result.
        without_effect = ("seed", "save_steps", "keep_weights", "report_to")
        defaults = {
            name: Training.model_fields[name].get_default(call_default_factory=True)
            for name in without_effect
        }
        rewards = {name: study.domains[name].rewards for name in domains or study.domains}
        asked = any(asks_judge(call) for calls in rewards.values() for call in calls)
        return cls(
            plugins=study.plugins,
            training=study.training.model_copy(update=defaults),
            dtype=study.model.dtype,
            prompts=study.prompts,
            own_prompts=study.own_templates(domains or study.domains),
            rewards=rewards,
            reward_weights={name: own for name in rewards if (own := study.domains[name].reward_weights)},
            judge=study.judge if asked else None,
        )
