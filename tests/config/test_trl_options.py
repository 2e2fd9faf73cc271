"""`training.trl`: what reaches TRL, what is refused, and that the installed TRL is what is asked."""

import subprocess
import sys

import pytest

from modomodo.config.schema import Training
from modomodo.config.trl_options import FREE, installed_options
from modomodo.errors import InputError
from modomodo.study.checks import study_from
from modomodo.training.settings import TrainSettings


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (
            {"trl": {"epsilom_high": 0.28}},
            "trl: epsilom_high: TRL's GRPOConfig has no such option: did you mean 'epsilon_high'?",
        ),
        ({"trl": {"beta": 0.1}}, "trl: beta: not free to choose here: write training.beta"),
        ({"trl": {"max_steps": 3}}, "trl: max_steps: not free to choose here: give steps"),
        ({"trl": {"lr": 1}}, "trl: lr: not free to choose here: write training.learning_rate"),
        ({"trl": {"shuffle_dataset": True}}, "trl: shuffle_dataset: not free to choose here: this pipeline"),
        ({"trl": {"sync_ref_model": True}}, "trl: sync_ref_model: not free to choose here: .*would not know"),
        (
            {"trl": {"epsilon_high": "0.28"}},
            "trl: epsilon_high: input should be a valid number, found '0.28'",
        ),
        ({"trl": {"epsilon_high": -1}}, "trl: epsilon_high: input should be greater than 0, found -1"),
        (
            {"trl": {"mask_truncated_completions": 1}},
            "trl: mask_truncated_completions: input should be a valid bool",
        ),
        (
            {"trl": {"scale_rewards": "grup"}},
            "trl: scale_rewards: input should be 'group', 'batch' or 'none'",
        ),
        ({"trl": {"lr_scheduler_type": "cosin"}}, "trl: lr_scheduler_type: 'cosin': did you mean 'cosine'?"),
        ({"trl": {"lr_scheduler_type": "reduce_lr_on_plateau"}}, "wants an evaluation during the training"),
        ({"trl": {"optim": "adamw_torh"}}, "trl: optim: 'adamw_torh': did you mean 'adamw_torch'?"),
        ({"trl": {"vllm_model_impl": "vllm"}}, "trl: vllm_model_impl: is of a vLLM inside the trainer"),
        ({"trl": {"vllm_importance_sampling_correction": True}}, "has no effect with vllm: off"),
        ({"trl": {"num_iterations": 2}}, "trl: num_iterations: 9 steps are not a multiple of 2"),
        ({"loss_type": "luspo"}, "loss_type: 'luspo' is defined on sequences"),
        (
            {"loss_type": "gspo"},
            "loss_type: 'gspo' is no loss of TRL: write trl: {importance_sampling_level: sequ",
        ),
    ],
)
def test_what_trl_does_not_take_is_told_when_the_study_is_read(study_data, training, said) -> None:
    study_data["training"] |= training
    with pytest.raises(InputError, match=f"^study.yaml: training.*{said}"):
        study_from(study_data, "study.yaml")


@pytest.mark.parametrize(
    "options",
    [
        {
            "epsilon_high": 0.28,
            "delta": None,
            "scale_rewards": False,
            "importance_sampling_level": "sequence",
        },
        {
            "optim": "adafactor",
            "lr_scheduler_type": "cosine",
            "weight_decay": 0,
            "generation_kwargs": {"min_p": 0.1},
        },
    ],
)
def test_what_trl_takes_is_part_of_a_runs_settings_and_nothing_is_where_it_is_not_set(
    study_data, options
) -> None:
    without = TrainSettings.of(study_from(study_data, "study.yaml"))
    study_data["training"]["trl"] = options
    settings = TrainSettings.of(study_from(study_data, "study.yaml"))
    assert settings.training.trl == options
    assert "trl" not in without.text() and settings.text() != without.text()


def test_the_source_that_is_read_is_the_configuration_that_is_imported() -> None:
    import dataclasses

    from trl import GRPOConfig

    assert installed_options().keys() == {field.name for field in dataclasses.fields(GRPOConfig)}
    assert set(FREE) <= installed_options().keys()


def test_losses_are_those_of_trl() -> None:
    import inspect

    from trl import GRPOTrainer

    source = inspect.getsource(GRPOTrainer._compute_loss)
    losses = Training.model_fields["loss_type"].annotation.__args__
    assert all(f'"{loss}"' in source for loss in losses)


def test_a_study_with_options_of_trl_is_read_without_torch() -> None:
    code = (
        "import sys; from modomodo.config.schema import Training; Training(trl={'top_p': 0.9, 'optim': 'adafactor'}); "
        "sys.exit('torch' in sys.modules or 'trl' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
