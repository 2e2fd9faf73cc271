"""What trains when TRL is upgraded: every default that a study relies on is recorded, and what is set is documented."""

import ast
import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import Trainer
from trl import GRPOConfig

from modomodo.config.schema import Training
from modomodo.tiny.qwen2vl import make_model, make_processor
from modomodo.training import trainer, trl_arguments
from modomodo.training.models import load_model

RECORDED = Path(__file__).parent / "trl_defaults.json"
FIDELITY = Path(__file__).parents[2] / "docs/fidelity.md"


def installed_defaults() -> dict[str, Any]:
    defaults = {}
    for field in dataclasses.fields(GRPOConfig):
        made = field.default_factory is not dataclasses.MISSING
        defaults[field.name] = field.default_factory() if made else field.default
    return defaults


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The options that reach TRL, for some training settings."""
    monkeypatch.setattr(trl_arguments, "GRPOConfig", lambda **options: options)
    return lambda **settings: trl_arguments.trainer_arguments(Training(**settings), tmp_path, 42, ["format"])


def test_no_default_that_is_relied_on_has_changed(passed) -> None:
    unset = {name: value for name, value in installed_defaults().items() if name not in passed()}
    recorded = json.loads(RECORDED.read_text())
    changed = {
        name: (recorded.get(name, "not an option"), unset.get(name, "not an option, or set here"))
        for name in sorted(recorded.keys() | unset.keys())
        if (name in recorded) != (name in unset) or recorded[name] != unset[name]
    }
    assert not changed, (
        "compare with the paper (docs/fidelity.md), set or record: option: (recorded, installed)"
    )


def test_the_papers_objective_is_set_with_and_without_vllm(passed) -> None:
    for settings in ({}, {"gpus": 1, "vllm": "colocate"}, {"gpus": 4, "vllm": "server"}):
        options = passed(**settings)
        assert options["use_bias_correction_kl"] is False
        assert options["vllm_importance_sampling_correction"] is False
        assert options["log_multimodal"] is False
        assert (options["scale_rewards"], options["epsilon"], options["top_k"]) == ("group", 0.2, 0)
        assert (options["beta"], options["loss_type"]) == (0.04, "grpo")
        assert (options["adam_beta1"], options["adam_beta2"], options["adam_epsilon"]) == (0.9, 0.999, 1e-8)


def documented() -> dict[str, tuple[str, str]]:
    """Option → TRL's default and the value here, as the table in docs/fidelity.md has them."""
    text = FIDELITY.read_text().partition("## Objective and optimiser")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    return {row[1].strip("`"): (row[3].strip("`"), row[4].strip("`")) for row in rows}


def test_the_documents_table_is_what_is_installed_and_what_is_set(passed) -> None:
    options, defaults = passed(), installed_defaults()
    assert documented().keys() >= trl_arguments.OBJECTIVE.keys()
    for name, (default, here) in documented().items():
        assert defaults[name] == ast.literal_eval(default), name
        if not here.startswith("training."):
            assert options[name] == ast.literal_eval(here), name
        elif name != "warmup_steps":
            assert options[name] == getattr(Training(), here.removeprefix("training.")), name


def test_the_optimiser_is_the_papers_whatever_its_own_defaults(tmp_path: Path) -> None:
    arguments = trl_arguments.trainer_arguments(Training(bf16=False), tmp_path, 42, ["format"])
    optimiser, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
    assert optimiser is torch.optim.AdamW
    assert options == {"lr": 1e-6, "betas": (0.9, 0.999), "eps": 1e-8, "fused": True}
    left = {name: p.default for name, p in inspect.signature(optimiser).parameters.items()}
    # `weight_decay` is in the groups of parameters that the trainer makes.
    assert {name: left[name] for name in ("amsgrad", "maximize")} == {"amsgrad": False, "maximize": False}


def test_the_gradient_is_that_of_the_papers_equation_1(tmp_path: Path) -> None:
    """On-policy, for two completions of two and three tokens, worked out by hand.

    loss = 1/G Σᵢ 1/Tᵢ Σₜ (-rᵢₜ Aᵢ + β (e^d - d - 1)), rᵢₜ = 1 with gradient 1, d = log π_ref - log π:
    its derivative by log π of a token is (-Aᵢ + β (1 - e^d)) / (G Tᵢ).
    """
    processor = make_processor(["{question} Think."])
    make_model(processor.tokenizer, seed=0).save_pretrained(tmp_path)
    training = Training(bf16=False, gradient_checkpointing=False, beta=0.5, threads=1)
    trained = trainer.StreamTrainer(
        model=load_model(tmp_path),
        args=trl_arguments.trainer_arguments(training, tmp_path / "trainer", 42, ["format"]),
        reward_funcs=[lambda completions, **columns: [0.0] * len(completions)],
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": "How many?"}]}]),
        processing_class=processor,
    )
    policy = torch.tensor([[-1.0, -2.0, -0.5], [-3.0, -0.1, -0.2]], requires_grad=True)
    reference = torch.tensor([[-1.5, -1.0, -0.5], [-3.0, -0.4, -2.0]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    advantages = torch.tensor([1.5, -0.5])
    trained._get_per_token_logps_and_entropies = lambda *args, **kwargs: (
        policy,
        torch.zeros(2, 3),
        None,
    )
    ids = torch.zeros(2, 3, dtype=torch.long)
    loss = trained._compute_loss(
        trained.model,
        {
            "prompt_ids": ids,
            "prompt_mask": torch.ones_like(ids),
            "completion_ids": ids,
            "completion_mask": mask,
            "advantages": advantages,
            "ref_per_token_logps": reference,
            "num_items_in_batch": torch.tensor(5),
        },
    )
    loss.backward()
    by_hand = (-advantages[:, None] + 0.5 * (1 - torch.exp(reference - policy.detach()))) * mask
    torch.testing.assert_close(policy.grad, by_hand / (2 * mask.sum(1, keepdim=True)))
