"""What trains when TRL is upgraded: every default that a study relies on is recorded, and what is set is documented."""

import ast
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from trl import GRPOConfig

from modomodo.config.schema import Training
from modomodo.training import trainer

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
    monkeypatch.setattr(trainer, "GRPOConfig", lambda **options: options)
    return lambda **settings: trainer.trainer_arguments(Training(**settings), tmp_path, 42, ["format"])


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
    assert documented().keys() >= trainer.OBJECTIVE.keys()
    for name, (default, here) in documented().items():
        assert defaults[name] == ast.literal_eval(default), name
        if not here.startswith("training."):
            assert options[name] == ast.literal_eval(here), name
        elif name != "warmup_steps":
            assert options[name] == getattr(Training(), here.removeprefix("training.")), name
