"""Experts and the sum of their weights, on checkpoints of a few numbers."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_families import make_model
from torch import nn

from modomodo.errors import InputError
from modomodo.files import read_json
from modomodo.merging.experts import read_experts
from modomodo.merging.names import is_put_together, live_names
from modomodo.merging.weights import linear, load_merged, merged_tensors, write_merged
from modomodo.study.checks import study_from
from modomodo.training.models import load_model

ROOT = Path(__file__).parents[2]

BASE = {
    "model.layers.0.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    "model.norm.weight": torch.tensor([1.0, 1.0]),
    "visual.patch.weight": torch.tensor([0.1, 0.7]),
}
MOVED = {
    "left": {**BASE, "model.layers.0.weight": torch.tensor([[2.0, 2.0], [3.0, 4.0]])},
    "right": {**BASE, "model.norm.weight": torch.tensor([1.0, 5.0])},
}


def checkpoint(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def expert(
    folder: Path, domain: str, tensors: dict, step: int = 40, exhausted: int | None = None, **changes
) -> Path:
    """A run.json with its checkpoint of step 40."""
    checkpoint(folder / domain / "checkpoint-40", tensors)
    run = {
        "base": "digest of the base",
        "cache_version": 1,
        "seed": 42,
        "settings": {"training": {"steps": 40}, "rewards": {domain: ["accuracy"]}},
        "stream": {
            "requested": {"left": 0.0, "right": 0.0, domain: 1.0},
            "exhausted": exhausted and {"domain": domain, "step": exhausted},
        },
        "checkpoints": {"40": {"path": "checkpoint-40", "step": step, "weights": f"digest of {domain}"}},
        **changes,
    }
    path = folder / domain / "run.json"
    path.write_text(json.dumps(run))
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "base", BASE)


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [expert(tmp_path, domain, tensors) for domain, tensors in MOVED.items()]


# --- coefficients -----------------------------------------------------------------------------------------------


def test_coefficients_are_the_weights_times_alpha(base, runs):
    experts = read_experts(base, "digest of the base", runs)
    assert experts.coefficients({"left": 0.25, "right": 0.75}, 2.0) == {"left": 0.5, "right": 1.5}
    assert experts.coefficients({"left": 0.0, "right": 1.0}, 1.0) == {"right": 1.0}
    assert (experts.step, experts.seed) == (40, 42)


def test_an_exhausted_expert_counts_by_its_own_prompts(base, tmp_path):
    # `left` lasts 10 steps. A mixture with a fifth of it lasts 40 and sees all of it; one with half lasts 20 and
    # sees all of it too, and half of what `right` saw in 40 steps is 10 of its steps.
    paths = [
        expert(tmp_path, "left", MOVED["left"], step=10, exhausted=10),
        expert(tmp_path, "right", MOVED["right"]),
    ]
    experts = read_experts(base, "digest of the base", paths)
    assert experts.coefficients({"left": 0.2, "right": 0.8}, 1.0) == pytest.approx(
        {"left": 0.8, "right": 0.8}
    )
    assert experts.coefficients({"left": 0.5, "right": 0.5}, 1.0) == pytest.approx(
        {"left": 1.0, "right": 0.25}
    )
    assert experts.coefficients({"left": 1.0, "right": 0.0}, 1.0) == pytest.approx({"left": 1.0})


# --- the sum ----------------------------------------------------------------------------------------------------


def test_the_sum_by_hand_with_frozen_tensors_untouched(base, runs):
    experts = read_experts(base, "digest of the base", runs)
    merged = dict(merged_tensors(experts, {"left": 0.5, "right": 1.5}))
    assert merged["model.layers.0.weight"].tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert merged["model.norm.weight"].tolist() == [1.0, 7.0]
    assert torch.equal(merged["visual.patch.weight"], BASE["visual.patch.weight"])


def test_one_expert_with_alpha_one_is_itself_to_the_last_bit(tmp_path):
    random = torch.Generator().manual_seed(0)
    start = {"model.norm.weight": torch.randn(1000, generator=random)}
    moved = {"model.norm.weight": torch.randn(1000, generator=random) * 1e-3}
    base = checkpoint(tmp_path / "base", start)
    experts = read_experts(base, "digest of the base", [expert(tmp_path, "left", moved)])
    merged = dict(merged_tensors(experts, {"left": 1.0}))
    assert torch.equal(merged["model.norm.weight"], moved["model.norm.weight"])


def test_a_tensor_that_no_expert_changed_is_the_bases_own():
    start = torch.ones(4)
    assert linear(start, lambda domain: start.clone(), {"left": 0.5, "right": 0.5}) is start


def test_a_checkpoint_is_written_in_shards_with_its_index(base, runs, tmp_path):
    experts = read_experts(base, "digest of the base", runs)
    write_merged(tmp_path / "merged", experts, {"left": 0.5}, shard_bytes=20)
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    index = json.loads((tmp_path / "merged/model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 32
    read = {}
    for file in set(index["weight_map"].values()):
        read |= load_file(tmp_path / "merged" / file)
    assert read.keys() == BASE.keys() and read["model.layers.0.weight"][0, 0] == 1.5
    # What was written in shards can be merged from again.
    again = dict(
        merged_tensors(read_experts(tmp_path / "merged", "digest of the base", runs), {"right": 1.0})
    )
    assert again["model.norm.weight"].tolist() == [1.0, 5.0]


def test_half_precision_sums_in_float32_and_comes_back_in_its_own(tmp_path):
    half = {name: tensor.bfloat16() for name, tensor in BASE.items()}
    base = checkpoint(tmp_path / "base", half)
    run = expert(tmp_path, "left", {**half, "model.norm.weight": torch.tensor([1.0078125, 1.0]).bfloat16()})
    merged = dict(merged_tensors(read_experts(base, "digest of the base", [run]), {"left": 4.0}))
    assert merged["model.norm.weight"].dtype == torch.bfloat16
    assert merged["model.norm.weight"].tolist() == [1.03125, 1.0]


# --- into a loaded model ------------------------------------------------------------------------------------------

NORM = "model.language_model.norm.weight"  # as it is loaded; in the file:
SAVED_NORM, SAVED_PATCH = "model.norm.weight", "visual.patch_embed.proj.weight"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_model("qwen2_vl", tmp_path_factory.mktemp("tiny") / "qwen2_vl")


@pytest.fixture
def tiny_experts(tiny, tmp_path):
    """Two experts of a real model: one has another norm, the other sees otherwise too."""
    weights = load_file(tiny / "model.safetensors")
    moved = {"words": {SAVED_NORM}, "eyes": {SAVED_NORM, SAVED_PATCH}}
    runs = []
    for domain, names in moved.items():
        tensors = {name: tensor + 1 if name in names else tensor for name, tensor in weights.items()}
        runs.append(expert(tmp_path, domain, tensors))
        shutil.copy(tiny / "config.json", runs[-1].parent / "checkpoint-40")
    return read_experts(tiny, "digest of the base", runs)


def test_a_loaded_model_gets_the_merged_weights_in_place(tiny, tiny_experts):
    model, before = load_model(tiny), load_model(tiny).state_dict()
    assert load_merged(model, tiny_experts, {"words": 0.5, "eyes": 1.0})
    for name, tensor in model.state_dict().items():
        moved = {NORM: 1.5, "model.visual.patch_embed.proj.weight": 1.0}.get(name, 0.0)
        torch.testing.assert_close(tensor, before[name] + moved)


def test_loading_reports_whether_images_are_seen_otherwise(tiny, tiny_experts):
    model = load_model(tiny)
    assert load_merged(model, tiny_experts, {"words": 1.0}) is False
    assert load_merged(model, tiny_experts, {"words": 0.5, "eyes": 1.0}) is True
    assert load_merged(model, tiny_experts, {"words": 1.0}) is True, "back to what it saw first"


def test_a_model_of_other_shapes_is_refused(tiny, tiny_experts):
    model = load_model(tiny)
    model.model.language_model.norm.weight = nn.Parameter(torch.zeros(3))
    with pytest.raises(InputError, match="'model.norm.weight' has no place in the model"):
        load_merged(model, tiny_experts, {"words": 1.0})


def test_a_parameter_that_no_file_holds_is_reported(tiny, tiny_experts):
    model = load_model(tiny)
    model.value_head = nn.Linear(2, 1, bias=False)
    with pytest.raises(InputError, match="no tensor for the model's 'value_head.weight'"):
        load_merged(model, tiny_experts, {"words": 1.0})


def test_a_tied_parameter_needs_no_tensor_of_its_own(tiny, tiny_experts):
    model = load_model(tiny)
    model.tied_norm = model.model.language_model.norm
    load_merged(model, tiny_experts, {"words": 1.0})
    assert torch.equal(model.tied_norm.weight, load_model(tiny).state_dict()[NORM] + 1)


# --- memory -----------------------------------------------------------------------------------------------------

# Merges twelve experts within a bound of memory beside the files, which are mapped.
WITHIN = """
import resource, sys
from pathlib import Path
import torch
from modomodo.merging.experts import Expert, Experts
from modomodo.merging.weights import merged_tensors

base, moved, room = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
domains = [f"d{i:02}" for i in range(12)]
experts = Experts(base, "", {name: Expert(name, moved, 1, False, "") for name in domains}, 1, 0)
merged = merged_tensors(experts, dict.fromkeys(domains, 1 / 12))
next(merged)  # files are open
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + room, used + room))
for name, tensor in merged:
    assert torch.isfinite(tensor).all()
    del tensor
"""


def test_a_few_tensors_are_in_memory_however_many_experts(tmp_path):
    tensors, count = 4, 2_000_000
    for name, seed in (("base", 0), ("moved", 1)):
        random = torch.Generator().manual_seed(seed)
        (tmp_path / name).mkdir()
        parts = {f"part{i}": torch.randn(count, generator=random) for i in range(3)}
        save_file(parts, tmp_path / name / "model.safetensors")

    def run(room):
        words = [str(tmp_path / "base"), str(tmp_path / "moved"), str(room)]
        environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
        return subprocess.run(
            [sys.executable, "-c", WITHIN, *words], env=environment, capture_output=True, text=True
        )

    enough = run((tensors + 1) * 4 * count)
    assert enough.returncode == 0, enough.stderr
    assert run(2 * 4 * count).returncode != 0  # the bound bites


# --- the study --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["method", "density", "seed"])
def test_the_keys_of_removed_methods_are_refused_with_what_to_do(study_data, key):
    merging = {"method": "ties", "density": 0.2, "seed": 1}
    with pytest.raises(InputError, match=rf"merging: {key}: .*TIES and DARE .*: remove the key"):
        study_from({**study_data, "merging": {key: merging[key]}}, "study.yaml")


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "another"}, "trained from another base than"),
        ({"seed": 43}, "seed differs from that of"),
        ({"settings": {"training": {"steps": 80}, "rewards": {}}}, "settings differs from that of"),
        (
            {"checkpoints": {"80": {"path": "checkpoint-80", "step": 80, "weights": "x"}}},
            "no checkpoint of step 40, it has 80",
        ),
        (
            {"stream": {"requested": {"left": 0.5, "right": 0.5}, "exhausted": None}},
            "an expert is a run of one domain",
        ),
        ({"stream": {"requested": {"left": 1.0}, "exhausted": None}}, "a second expert of 'left'"),
    ],
)
def test_experts_that_do_not_belong_together_are_refused(base, tmp_path, changes, message):
    paths = [expert(tmp_path, "left", MOVED["left"]), expert(tmp_path, "right", MOVED["right"], **changes)]
    with pytest.raises(InputError, match=message) as error:
        read_experts(base, "digest of the base", paths)
    assert str(paths[1]) in str(error.value)


def test_a_missing_expert_is_named(base, runs):
    experts = read_experts(base, "digest of the base", runs[:1])
    with pytest.raises(InputError, match="no expert of domain 'right': train the mixture"):
        experts.coefficients({"left": 0.5, "right": 0.5}, 1.0)
    with pytest.raises(InputError, match="no experts"):
        read_experts(base, "digest of the base", [])


def test_a_checkpoint_that_is_gone_is_named(base, runs):
    (runs[0].parent / "checkpoint-40").rename(runs[0].parent / "elsewhere")
    with pytest.raises(InputError, match="checkpoint is gone: delete"):
        read_experts(base, "digest of the base", runs)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_reported_with_file_and_tensor(base, tmp_path, value):
    broken = {**BASE, "model.norm.weight": torch.tensor([1.0, value])}
    paths = [expert(tmp_path, "left", MOVED["left"]), expert(tmp_path, "right", broken)]
    experts = read_experts(base, "digest of the base", paths)
    with pytest.raises(InputError, match="tensor 'model.norm.weight' holds NaN or infinite weights") as error:
        dict(merged_tensors(experts, {"left": 0.5, "right": 0.5}))
    assert str(paths[1].parent) in str(error.value)


def test_experts_of_other_shapes_or_tensors_are_refused(base, tmp_path):
    wide = {**BASE, "model.norm.weight": torch.ones(3)}
    less = {name: tensor for name, tensor in BASE.items() if name != "model.norm.weight"}
    for domain, tensors in (("left", wide), ("right", less)):
        experts = read_experts(base, "digest of the base", [expert(tmp_path, domain, tensors)])
        with pytest.raises(InputError, match="'model.norm.weight' has shape .* cannot be merged"):
            dict(merged_tensors(experts, {domain: 1.0}))


def test_a_base_of_newer_names_and_a_tied_output_layer_is_merged_as_any_other(tiny, tmp_path, runs):
    embeddings = {"model.embed_tokens.weight": torch.tensor([[5.0, 6.0]])}
    older = {"model.": "model.language_model.", "visual.": "model.visual."}
    newer = {
        prefix + name.removeprefix(old): tensor
        for name, tensor in (BASE | embeddings).items()
        for old, prefix in older.items()
        if name.startswith(old)
    }
    base = checkpoint(tmp_path / "newer", newer | {"lm_head.weight": torch.tensor([[5.0, 6.0]])})
    settings = read_json(tiny / "config.json") | {"tie_word_embeddings": True}
    for folder in (base, *(run.parent / "checkpoint-40" for run in runs)):
        (folder / "config.json").write_text(json.dumps(settings))
    for run in runs:  # the hub's file holds the tied layer twice, what was trained from it once
        folder = run.parent / "checkpoint-40"
        save_file(load_file(folder / "model.safetensors") | embeddings, folder / "model.safetensors")
    experts = read_experts(base, "digest of the base", runs)
    merged = dict(merged_tensors(experts, {"left": 0.5, "right": 0.5}))
    assert merged.keys() == newer.keys()
    assert merged["model.language_model.layers.0.weight"].tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert merged["model.language_model.norm.weight"].tolist() == [1.0, 3.0]


def test_a_file_that_is_cut_off_is_named(base, runs):
    experts = read_experts(base, "digest of the base", runs)
    weights = runs[0].parent / "checkpoint-40/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(
        InputError, match="left/checkpoint-40/model.safetensors: cannot be read: .*: delete it"
    ):
        dict(merged_tensors(experts, {"left": 1.0}))


def test_no_half_written_checkpoint_is_left(base, tmp_path):
    broken = {**BASE, "visual.patch.weight": torch.tensor([math.nan, 0.0])}
    experts = read_experts(base, "digest of the base", [expert(tmp_path, "left", broken)])
    with pytest.raises(InputError):
        write_merged(tmp_path / "merged", experts, {"left": 1.0})
    assert [path.name for path in tmp_path.iterdir() if "merged" in path.name] == []


def test_names_in_the_file_and_of_the_loaded_model(tiny):
    names = {
        "visual.blocks.0.norm1.weight": "model.visual.blocks.0.norm1.weight",
        "model.layers.0.mlp.up_proj.weight": "model.language_model.layers.0.mlp.up_proj.weight",
        "lm_head.weight": "lm_head.weight",
        "model.visual.patch_embed.proj.weight": "model.visual.patch_embed.proj.weight",
    }
    assert live_names(tiny, names) == names


def test_experts_of_a_layer_are_no_tensors_of_the_loaded_model(tmp_path):
    config = {"model_type": "qwen3_moe", "num_hidden_layers": 1, "hidden_size": 64, "num_experts": 2}
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 8, "moe_intermediate_size": 4}))
    names = [f"model.layers.0.mlp.experts.{i}.up_proj.weight" for i in range(2)]
    assert is_put_together(tmp_path, names)
    assert live_names(tmp_path, names) == {name: name for name in names}
    assert not is_put_together(tmp_path, ["model.norm.weight"])
