"""What is said of a key that a study does not have: by its meaning, not by its letters."""

import dataclasses
import re

import pytest

from modomodo.config.foreign_keys import FOREIGN_KEYS
from modomodo.config.loading import MEANT
from modomodo.config.schema import Data, Dataset, Evaluation, Model, Study, Training
from modomodo.errors import InputError
from modomodo.study.checks import study_from


def complaint(data, key: str) -> str:
    *parents, last = key.split(".")
    home = data
    for parent in parents:
        home = home.setdefault(parent, {})
    home[last] = 1
    with pytest.raises(InputError) as error:
        study_from(data, "study.yaml")
    return str(error.value).removeprefix(f"study.yaml: {key}: ")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("training.lr", "unknown key: write training.learning_rate"),
        ("lr", "unknown key: write training.learning_rate"),
        ("beta", "unknown key here: it is a key of training"),
        ("evaluation.beta", "unknown key here: it is a key of training"),
        ("learning_rate", "unknown key here: it is a key of training"),
        ("evaluation.learning_rate", "unknown key here: it is a key of training"),
        ("training.kl_coef", "unknown key: write training.beta (coefficient of the KL penalty)"),
        (
            "training.batch_size",
            "unknown key: write train_batch_size (completions per step over all devices)",
        ),
        ("batch_size", "unknown key here: it is a key of evaluation"),
        ("max_completion_length", "unknown key here: it is a key of training, evaluation"),
        (
            "evaluation.max_new_tokens",
            "unknown key: write max_completion_length, in training or in evaluation",
        ),
        ("training.lora_rank", "unknown key: write training.lora: {rank: …, alpha: …"),
        (
            "model.load_in_4bit",
            "unknown key: this pipeline has no such key: a base is trained as it is",
        ),
        ("training.wandb", "unknown key: write training.report_to"),
        (
            "training.logging_steps",
            "unknown key: this pipeline has no such key: each step is a line of runs/",
        ),
        ("training.top_p", "unknown key: write training.trl: {top_p: …}"),
        ("evaluation.temperature", "unknown key: this pipeline has no such key: rollouts are sampled by"),
        ("training.system_prompt", "unknown key: texts around a question are under prompts"),
        ("prompts.system_prompt", "unknown key: texts around a question are under prompts"),
        (
            "training.early_stopping",
            "unknown key: this pipeline has no such key: a mixture is trained to its end",
        ),
        (
            "training.num_train_epochs",
            "unknown key: this pipeline has no such key: a run has a number of steps",
        ),
        ("training.output-dir", "unknown key: this pipeline has no such key: results are in results/<name>/"),
        ("training.epsilon_high", "unknown key: write training.trl: {epsilon_high: …}"),
        ("training.label_names", "unknown key: this pipeline has no such key: TRL's setting is fixed"),
        ("training.optimizer", "unknown key: write training.trl: {optim: …}"),
        ("training.reward_funcs", "unknown key: name them in a domain's rewards"),
        (
            "model.model_name_or_path",
            "unknown key: write model: {builder: hub, options: {repo: …, revision: …}}",
        ),
        ("domains.science.split", "unknown key: what the loader takes goes under options"),
        ("domains.science.dataset", "unknown key: write loader"),
        ("benchmarks.chart.max_samples", "unknown key: write limit (rows to read)"),
        ("strategies.alpha.ridge", "unknown key: known: count, group, label"),
        (
            "domains.science.seed",
            "unknown key here: it is a key of training, strategies.<name>; what a function",
        ),
    ],
)
def test_a_key_of_another_program_says_what_to_write(study_data, key, said):
    assert complaint(study_data, key).startswith(said)


def test_no_field_of_trl_is_taken_for_a_misspelt_key():
    from trl import GRPOConfig

    fields = {field.name for field in dataclasses.fields(GRPOConfig)} - set(Training.model_fields)
    assert fields - set(FOREIGN_KEYS) == set()


def test_what_is_said_names_keys_that_there_are():
    sections = {"training": Training, "evaluation": Evaluation, "model": Model, "data": Data}
    for said in {*FOREIGN_KEYS.values(), *MEANT.values()}:
        for section, key in re.findall(r"\b(training|evaluation|model|data)\.(\w+)", said):
            assert key in sections[section].model_fields, said
        for key in re.findall(r"(?:write|give) (\w+)(?= |$|;|,)", said):
            models = (Training, Evaluation, Dataset, Study, Model)
            assert any(key in model.model_fields for model in models), said


def test_a_name_is_said_of_one_thing():
    assert not set(FOREIGN_KEYS) & (set(Training.model_fields) - {"temperature"})
