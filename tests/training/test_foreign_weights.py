"""Weights that are not the model's: named before anything is trained, answered or merged."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from modomodo.errors import InputError
from modomodo.tiny.qwen2vl import make_model, make_processor
from modomodo.training import models, processors

Tensors = dict[str, torch.Tensor]
DOWN = "model.layers.0.mlp.down_proj.weight"  # as Qwen2-VL is saved, and as it is loaded:
LIVE_DOWN = "model.language_model.layers.0.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    processor = make_processor(["{question} Think."])
    make_model(processor.tokenizer, seed=0).save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture
def changed(directory: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the model's directory with other tensors, and other keys in config.json."""

    def make(change: Callable[[Tensors], Tensors] = lambda tensors: tensors, **config: object) -> Path:
        copy = tmp_path / "model"
        shutil.copytree(directory, copy)
        tensors = change(load_file(directory / "model.safetensors"))
        save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
        settings = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(settings | config))
        return copy

    return make


def without(*names: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name not in names}


def with_value(value: float) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        tensors[DOWN][3, 1] = value
        return tensors

    return change


def new_name(name: str) -> str:
    if name.startswith("visual."):
        return f"model.{name}"
    return name.replace("model.", "model.language_model.", 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without(DOWN), f"missing: {LIVE_DOWN}: give"),
        (without("lm_head.weight"), "missing: lm_head.weight: give"),
        (lambda t: t | {"value_head.weight": torch.zeros(3)}, "unknown: value_head.weight: give"),
        (
            lambda t: t | {DOWN: torch.zeros(7, 5)},
            rf"of another shape: {LIVE_DOWN} \[7, 5\] for \[\d+, \d+\]: give",
        ),
        (
            lambda t: {f"base_model.model.{name}": tensor for name, tensor in t.items()},
            r"missing: .* and \d+ more; unknown: base_model.model.lm_head.weight, .*: its tensors are wrapped by PEFT",
        ),
        (lambda t: {}, "missing: "),
        (with_value(float("nan")), f"NaN or infinite weights: tensors: {LIVE_DOWN}: "),
        (with_value(float("-inf")), f"NaN or infinite weights: tensors: {LIVE_DOWN}: "),
    ],
)
def test_tensors_that_do_not_match_are_named(
    change: Callable[[Tensors], Tensors], message: str, changed: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match=message):
        models.load_model(changed(change))


def test_names_old_and_new_and_tied_weights_fill_the_same_model(
    directory: Path, changed: Callable[..., Path], tmp_path: Path
) -> None:
    live = models.load_model(directory).state_dict()
    renamed = models.load_model(changed(lambda t: {new_name(name): tensor for name, tensor in t.items()}))
    assert all(torch.equal(live[name], tensor) for name, tensor in renamed.state_dict().items())
    shutil.rmtree(tmp_path / "model")
    tied = models.load_model(changed(without("lm_head.weight"), tie_word_embeddings=True))
    assert tied.lm_head.weight.data_ptr() == tied.model.language_model.embed_tokens.weight.data_ptr()
    assert torch.equal(tied.lm_head.weight, live["model.language_model.embed_tokens.weight"])


def test_a_file_that_is_cut_off_is_an_error(changed: Callable[..., Path]) -> None:
    weights = changed() / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="model: its model cannot be loaded: "):
        models.load_model(weights.parent)


@pytest.mark.parametrize("kind", ["clip", "vit", "t5", "no_such", ""])
def test_an_unsupported_kind_is_named_with_those_that_are(kind: str, changed: Callable[..., Path]) -> None:
    path = changed(model_type=kind)
    for load in (models.load_model, processors.load_processor):
        with pytest.raises(
            InputError, match=f"model_type '{kind}' is not supported: tested are gemma3, idefics3"
        ):
            load(path)


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_weights_of_another_family_than_config_json_names(kind: str, changed: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="its (weights do not match its config.json|model cannot be loaded)"):
        models.load_model(changed(model_type=kind))


def test_an_adapter_alone_is_named(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "base"}')
    save_file({"base_model.model.x": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    for load in (models.load_model, processors.load_processor):
        with pytest.raises(InputError, match="a PEFT adapter without its model: .*merge_and_unload"):
            load(tmp_path)


def test_the_hub_gives_no_other_family_and_nothing_for_a_local_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked = []

    def give(repo: str, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        asked.append(allow_patterns)
        (Path(local_dir) / "config.json").write_text('{"model_type": "clip"}')

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    with pytest.raises(InputError, match="^a/b: config.json: model_type 'clip' is not supported"):
        models.download(tmp_path / "model", {"repo": "a/b", "revision": "1" * 40})
    assert asked == [["config.json"]] and list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="is a local path, not an owner/name of the hub"):
        models.download(tmp_path / "model", {"repo": str(tmp_path), "revision": "1" * 40})
    assert len(asked) == 1


def test_a_full_disk_while_downloading_is_no_fault_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def fill(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fill)
    with pytest.raises(InputError, match="the disk is full"):
        models.download(tmp_path / "model", {"repo": "a/b", "revision": "1" * 40})
