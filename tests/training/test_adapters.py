"""LoRA: adapters where they are meant to be, small checkpoints that answer as whole ones, the same bytes after a kill."""

import argparse
import shutil
from pathlib import Path

import pytest
import tiny_families
import tiny_runs
import torch
from safetensors.torch import load_file

from modomodo.config.schema import Lora
from modomodo.errors import InputError, Interrupted
from modomodo.files import read_json, read_jsonl, write_json
from modomodo.merging.arguments import experts_of
from modomodo.merging.weights import write_merged
from modomodo.study.checks import study_from
from modomodo.study.export import write_export
from modomodo.training.adapters import adaptable_layers, lora_config, save_adapter
from modomodo.training.model_directory import adapter_base
from modomodo.training.models import load_model
from modomodo.training.plain_directory import plain_directory
from modomodo.training.run_folder import weights_digest
from modomodo.training.vision import vision_parameters

SMALL = {"lora": {"rank": 2, "alpha": 4.0}, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """A family's tiny base, with images beside it."""
    made: dict[str, Path] = {}

    def base(family: str) -> Path:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            tiny_runs.draw_images(folder)
            made[family] = tiny_families.make_model(family, folder / "base")
        return made[family]

    return base


@pytest.mark.parametrize("family", sorted(tiny_families.FAMILIES))
def test_adapters_are_on_the_language_model_and_only_when_asked_on_what_sees(bases, family) -> None:
    from peft import get_peft_model

    model = load_model(bases(family))
    seeing = {name.removesuffix(".weight") for name in vision_parameters(model)}
    everywhere = adaptable_layers(model, with_vision=True)
    layers = adaptable_layers(model, with_vision=False)
    assert len(layers) >= 14 and not seeing & set(layers)  # 7 a layer
    assert bool(seeing & set(everywhere)) == (family not in tiny_families.TEXT)
    assert not any(name.endswith("lm_head") for name in everywhere)
    config = lora_config(model, Lora(rank=2, targets=["q_proj", "mlp.up_proj"]), with_vision=False)
    adapted = get_peft_model(model, config)
    found = {name.partition(".lora_")[0] for name, one in adapted.named_parameters() if one.requires_grad}
    wanted = {name for name in layers if name.endswith((".q_proj", "mlp.up_proj"))}
    assert {name.removeprefix("base_model.model.") for name in found} == wanted != set()


def test_a_target_that_no_layer_is_called_by_is_told_with_the_nearest(bases) -> None:
    model = load_model(bases("qwen2_5_vl"))
    with pytest.raises(
        InputError,
        match="training.lora.targets: 'q_prj': no linear layer of the language model is called so: did you mean 'q_proj'?",
    ):
        lora_config(model, Lora(targets=["v_proj", "q_prj"]), with_vision=False)
    with pytest.raises(InputError, match="'qkv': no linear layer of the language model"):
        lora_config(model, Lora(targets=["qkv"]), with_vision=False)
    lora_config(model, Lora(targets=["qkv"]), with_vision=True)


def test_in_a_folder_of_this_machine_it_is_told_when_the_study_is_read(bases, study_data) -> None:
    study_data["model"] = {"builder": "folder", "options": {"path": str(bases("qwen2_5_vl"))}}
    study_data["training"]["lora"] = {"targets": ["self_attn.q_proj", "up_prj"]}
    with pytest.raises(
        InputError, match="study.yaml: training.lora.targets: 'up_prj': no layer of .* mean 'up_proj'?"
    ):
        study_from(study_data, "study.yaml")
    study_data["training"]["lora"] = {"targets": ["self_attn.q_proj", "up_proj"]}
    study_from(study_data, "study.yaml")


def test_an_adapter_leads_to_the_study_s_base_also_where_that_is_a_link(bases, tmp_path) -> None:
    from peft import get_peft_model

    model = load_model(bases("qwen3"))
    (tmp_path / "study/runs").mkdir(parents=True)
    (tmp_path / "study/base").symlink_to(bases("qwen3"), target_is_directory=True)
    adapted = get_peft_model(model, lora_config(model, Lora(rank=2), with_vision=False))
    save_adapter(adapted, tmp_path / "study/runs/checkpoint-1", tmp_path / "study/base")
    config = read_json(tmp_path / "study/runs/checkpoint-1/adapter_config.json")
    assert config["base_model_name_or_path"] == "../../base"
    assert adapter_base(tmp_path / "study/runs/checkpoint-1") == bases("qwen3").resolve()


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(3, 11)[None]).logits


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3", "qwen3"])
def test_a_run_of_adapters_keeps_them_alone_and_goes_on_to_the_same_bytes(bases, tmp_path, family) -> None:
    base = bases(family)
    before = weights_digest(base)
    options = {"images": family not in tiny_families.TEXT, **SMALL}
    tiny_runs.run(base, tmp_path / "whole", **options)
    checkpoint = tmp_path / "whole/checkpoint-4"
    assert [path.name for path in checkpoint.glob("*.safetensors")] == ["adapter_model.safetensors"]
    log = [row for _, row in read_jsonl(tmp_path / "whole/log.jsonl")]
    assert log[0]["kl"] == 0.0 < log[-1]["kl"]  # to the base, which is the model without its adapter
    with pytest.raises(Interrupted, match="saved at step 2 of 4"):
        tiny_runs.run(base, tmp_path / "stopped", signal_at=2, **options)
    tiny_runs.run(base, tmp_path / "stopped", **options)
    assert tiny_runs.digests(tmp_path / "stopped") == tiny_runs.digests(tmp_path / "whole")
    trained, untrained = load_model(checkpoint), load_model(base)
    assert type(trained) is type(untrained) and weights_digest(base) == before
    assert (logits(trained) - logits(untrained)).abs().max() > 1e-3
    seeing = vision_parameters(untrained)
    assert all(torch.equal(one, seeing[name]) for name, one in vision_parameters(trained).items())


@pytest.fixture(scope="module")
def trained(bases, tmp_path_factory) -> Path:
    """A checkpoint of adapters, in a study's folders."""
    study = tmp_path_factory.mktemp("study")
    shutil.copytree(bases("qwen2_5_vl").parent, study, dirs_exist_ok=True)
    tiny_runs.run(study / "base", study / "runs/all/42", **SMALL)
    return study / "runs/all/42/checkpoint-4"


@pytest.mark.slow
def test_the_sum_of_base_and_adapter_is_what_was_trained(trained: Path) -> None:
    """By hand: W + alpha / rank B A, in the layers that have an adapter, and the base's elsewhere."""
    adapter = load_file(trained / "adapter_model.safetensors")
    summed, base = load_model(trained).state_dict(), load_model(trained.parents[3] / "base").state_dict()
    adapted = set()
    for name, first in adapter.items():
        layer, _, part = name.removeprefix("base_model.model.").partition(".lora_")
        if part == "A.weight":
            change = 4 / 2 * adapter[name.replace("lora_A", "lora_B")] @ first
            assert change.abs().max() > 0
            torch.testing.assert_close(summed[f"{layer}.weight"], base[f"{layer}.weight"] + change)
            adapted.add(f"{layer}.weight")
    assert len(adapted) == 14
    assert all(torch.equal(summed[name], base[name]) for name in base.keys() - adapted)


@pytest.mark.slow
def test_who_reads_files_is_given_an_ordinary_model_also_where_the_study_has_moved(trained, tmp_path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(trained.parents[3], moved)
    shutil.rmtree(moved / "runs/all/42/trainer", ignore_errors=True)
    checkpoint = moved / "runs/all/42/checkpoint-4"
    plain = plain_directory(checkpoint)
    assert plain == plain_directory(checkpoint) != checkpoint
    assert plain_directory(moved / "base") == moved / "base"
    wanted = load_model(trained).state_dict()
    for directory in (plain, checkpoint):
        state = load_model(directory).state_dict()
        assert all(torch.equal(state[name], wanted[name]) for name in wanted)
    write_export(tmp_path / "export", checkpoint, moved / "base", lambda weights: "card")
    names = {path.name for path in (tmp_path / "export").iterdir()}
    assert "model.safetensors" in names and not any("adapter" in name for name in names)
    config = read_json(moved / "runs/all/42/checkpoint-4/adapter_config.json")
    assert config["base_model_name_or_path"] == "../../../../base"
    shutil.rmtree(moved / "base")
    with pytest.raises(InputError, match="a PEFT adapter without its model"):
        load_model(checkpoint)


@pytest.mark.slow
def test_with_dropout_no_two_probabilities_agree_and_the_run_trains(bases, tmp_path) -> None:
    options = {**SMALL, "lora": {"rank": 2, "dropout": 0.5}, "steps": 2, "scored_steps": [2]}
    tiny_runs.run(bases("qwen2_5_vl"), tmp_path / "run", **options)
    config = read_json(tmp_path / "run/checkpoint-2/adapter_config.json")
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (2, 32.0, 0.5)


@pytest.mark.slow
def test_experts_that_are_adapters_are_merged(trained, tmp_path) -> None:
    study = trained.parents[3]
    runs = []
    for domain, weight in (("a", "1" * 64), ("b", "2" * 64)):
        folder = study / f"runs/single-{domain}/42"
        shutil.copytree(trained, folder / "checkpoint-4")
        run = {"base": "0" * 64, "cache_version": 2, "seed": 42, "settings": {}}
        run["stream"] = {"requested": {domain: 1.0}, "exhausted": None}
        run["checkpoints"] = {"4": {"step": 4, "path": "checkpoint-4", "weights": weight}}
        write_json(folder / "run.json", run)
        runs.append(folder / "run.json")
    write_json(tmp_path / "base.json", {"weights": "0" * 64})
    experts = experts_of(
        argparse.Namespace(base=study / "base", base_info=tmp_path / "base.json", experts=runs, step=None)
    )
    assert experts.by_domain["a"].weights == "1" * 64
    write_merged(tmp_path / "merged", experts, experts.coefficients({"a": 0.5, "b": 0.5}, alpha=1.0))
    merged, wanted = load_model(tmp_path / "merged").state_dict(), load_model(trained).state_dict()
    for name, tensor in merged.items():  # the two are one and the same
        torch.testing.assert_close(tensor, wanted[name], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_an_adapter_of_other_layers_is_no_resume_checkpoint(trained, bases) -> None:
    from peft import get_peft_model

    from modomodo.training.adapters import load_adapter

    model = load_model(bases("qwen2_5_vl"))
    other = get_peft_model(model, lora_config(model, Lora(rank=2, targets=["q_proj"]), with_vision=False))
    with pytest.raises(InputError, match="an adapter of other layers than the model's"):
        load_adapter(other, trained)


def test_checkpoints_that_are_merged_are_in_float32_or_adapters(study_data) -> None:
    study_data["strategies"]["screened"] = {
        "propose": "merge_screen",
        "group": "model",
        "learns_from": ["single"],
    }
    study_from(study_data, "study.yaml")
    study_data["model"]["dtype"] = "bfloat16"
    with pytest.raises(
        InputError, match="strategies.screened: 'merge_screen' merges checkpoints, and in bfloat16"
    ):
        study_from(study_data, "study.yaml")
    study_data["training"]["lora"] = {"rank": 4}
    study_from(study_data, "study.yaml")
