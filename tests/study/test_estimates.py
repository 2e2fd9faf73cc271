"""What a run costs before any was measured: the formula by hand, what it needs of a model, and public runs."""

import json
from math import inf

import numpy
import pytest
from safetensors.numpy import save_file

from modomodo.config.gpus import GPUS, Peak
from modomodo.errors import InputError
from modomodo.mixtures.plan import plan
from modomodo.study import costs, costs_text, estimates
from modomodo.study.checks import study_from
from modomodo.study.estimates import ModelSize

SIZE = ModelSize(2e9, 0.0, 28, 28_672, "")
SLOW_MEMORY, SLOW_ARITHMETIC = Peak(inf, 1000 / estimates.MEMORY), Peak(1 / estimates.COMPUTE, inf)


def studied(study_data, costs=None, evaluation=None, **training):
    study_data["costs"] = costs or {}
    study_data["evaluation"] = evaluation or {}
    study_data["training"].update(training)
    return study_from(study_data, "study.yaml")


def priced(study, root):
    return costs.costs_of(study, plan(study), root)


def test_a_token_is_as_slow_as_memory_arithmetic_or_starting_the_layers():
    """Weights of 4 GB and 12 x 500 tokens' keys and values of 28,672 bytes, at 1 TB/s; 2 x 2e9 x 12 operations."""
    tokens = (12, 500, "vllm", 2)
    assert estimates.token_seconds(SIZE, SLOW_MEMORY, *tokens) == pytest.approx(
        (4e9 + 12 * 500 * 28_672) / 1e12
    )
    assert estimates.token_seconds(SIZE, SLOW_ARITHMETIC, *tokens) == pytest.approx(48e9 / 1e12)
    assert estimates.token_seconds(SIZE, Peak(inf, inf), *tokens) == pytest.approx(28 * 5e-5)
    assert estimates.token_seconds(SIZE, Peak(inf, inf), 12, 500, "transformers", 2) == pytest.approx(0.028)


def test_generation_by_hand(study_data):
    study = studied(study_data, train_batch_size=12, num_generations=6, gradient_accumulation_steps=1)
    # transformers reads 12 prompts of 100 tokens: 2 x 100 x 2e9 x 12 operations; 10 tokens of 12 completions
    seconds = estimates.generation_seconds(study, SIZE, SLOW_ARITHMETIC, 100, 10)
    assert seconds == pytest.approx((2 * 100 * 2e9 * 12 + 10 * 2 * 2e9 * 12) / 1e12)
    served = studied(study_data, gpus=4, vllm="server", gradient_accumulation_steps=2)
    # vLLM reads each of the two prompts once, and one GPU writes all completions.
    seconds = estimates.generation_seconds(served, SIZE, SLOW_ARITHMETIC, 100, 10)
    assert seconds == pytest.approx((2 * 100 * 2e9 * 2 + 10 * 2 * 2e9 * 12) / 1e12)
    twice = studied(study_data, steps=8, scored_steps=[2, 8], trl={"num_iterations": 2})
    assert estimates.generation_seconds(twice, SIZE, SLOW_ARITHMETIC, 100, 10) == pytest.approx(seconds / 2)


@pytest.mark.parametrize(
    "training, passes",
    [
        ({"gradient_checkpointing": False, "beta": 0.0}, 3),  # 6 operations for a parameter and token
        ({"gradient_checkpointing": False}, 4),  # with the reference's
        ({}, 5),
        ({"lora": {"rank": 4}}, 4),
        ({"gpus": 1, "vllm": "colocate"}, 6),  # vLLM's probabilities are corrected
        ({"gpus": 1, "vllm": "colocate", "trl": {"vllm_importance_sampling_correction": False}}, 5),
    ],
)
def test_passes_of_training_by_hand(study_data, training, passes):
    study = studied(
        study_data, train_batch_size=12, num_generations=6, gradient_accumulation_steps=1, **training
    )
    seconds = estimates.training_seconds(study.training, SIZE, SLOW_ARITHMETIC, 100, 10)
    assert seconds == pytest.approx(passes * 2 * 2e9 * 12 * 110 / 1e12)


def test_a_vision_tower_sees_four_patches_a_token_and_trains_where_it_is_free(study_data):
    size, plain = ModelSize(0.0, 1e9, 0, 0.0, ""), {"train_batch_size": 12, "num_generations": 6}
    frozen = studied(study_data, **plain, gradient_accumulation_steps=1).training
    free = frozen.model_copy(update={"freeze_vision": False})
    seconds = [estimates.training_seconds(one, size, SLOW_ARITHMETIC, 100, 10) for one in (frozen, free)]
    # Two prompts are seen once; or by all twelve completions, forward and backward.
    assert seconds == pytest.approx([2 * 4 * 1e9 * 100 * 2 / 1e12, 2 * 4 * 1e9 * 100 * 12 * 3 / 1e12])


def test_predictions_by_hand(study_data, tmp_path):
    evaluation = {"batch_size": 50, "max_completion_length": 10}
    study = studied(study_data, {"prompt_tokens": 100}, evaluation)
    seconds = estimates.prediction_seconds(study, SIZE, SLOW_ARITHMETIC, 200)
    assert seconds == pytest.approx(200 * 2 * 2e9 * 110 / 1e12)
    assert estimates.prediction_seconds(study, SIZE, SLOW_ARITHMETIC, None) is None
    assert estimates.questions_of(study, tmp_path) is None
    for name in study.benchmarks:
        study_data["benchmarks"][name]["expected"] = 30
    assert estimates.questions_of(study_from(study_data, "study.yaml"), tmp_path) == 60


def test_a_model_is_counted_in_its_folder(study_data, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    tensors = {"visual.patch": (4, 5), "model.visual.blocks.0": (10,), "model.layers.0.q": (7, 3)}
    save_file(
        {name: numpy.zeros(shape, "float32") for name, shape in tensors.items()}, base / "model.safetensors"
    )
    text = {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 8}
    (base / "config.json").write_text(json.dumps({"text_config": text}))
    size = estimates.size_of(studied(study_data), tmp_path)
    assert (size.parameters, size.vision, size.layers) == (21, 30, 3)
    assert size.cache == 2 * 2 * 3 * 2 * 2  # two bytes of keys and values, 3 layers, 2 heads of 8 / 4
    assert size.source == f"counted in {base}"
    # What the study says is divided as the folder is.
    said = estimates.size_of(studied(study_data, {"parameters": 510}), tmp_path)
    assert (said.parameters, said.vision, said.layers) == (210, 300, 3)


@pytest.mark.parametrize(
    "repo, parameters",
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", 3e9),
        ("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", 5e8),
        ("Qwen/Qwen3-0.6B", 6e8),
        ("google/gemma-3-4b-it", 4e9),
    ],
)
def test_the_size_of_a_hubs_model_is_read_from_its_name(study_data, tmp_path, repo, parameters):
    study_data["model"] = {"options": {"repo": repo, "revision": "0" * 40}}
    assert estimates.size_of(studied(study_data), tmp_path).parameters == parameters


def test_a_model_of_unknown_size_is_told(study_data, tmp_path):
    study_data["model"] = {"options": {"repo": "someone/qwen3-mine", "revision": "0" * 40}}
    study = studied(study_data, {"gpu": "H100"}, gpus=1)
    text = costs_text.render(study, priced(study, tmp_path))
    assert (
        "no estimate by formula: the model's size is not known before it is here: set costs.parameters"
        in text
    )
    study = studied(study_data, {"gpu": "H100"}, gpus=0)
    assert "names a GPU, but training.gpus is 0" in costs_text.render(study, priced(study, tmp_path))


def test_gpus_are_known_by_name_and_others_by_their_numbers(study_data):
    assert studied(study_data, {"gpu": "nvidia a100 80GB"}).costs.gpu == "A100"
    assert studied(study_data, {"gpu": {"tflops": 50, "bandwidth": 300}}).costs.gpu.bandwidth == 300
    with pytest.raises(InputError, match=r"costs.gpu: unknown GPU 'H10': did you mean 'H100'\?"):
        studied(study_data, {"gpu": "H10"})


def test_hours_and_money_by_formula_and_its_error_once_there_are_runs(study_data, tmp_path):
    for name in study_data["benchmarks"]:
        study_data["benchmarks"][name]["expected"] = 36
    own = {"gpu": "A100", "parameters": 2e9, "prompt_tokens": 500, "completion_tokens": 400}
    study = studied(
        study_data,
        {**own, "price": 2.5, "currency": "EUR"},
        {"gpus": 1},
        steps=9000,
        scored_steps=[2, 7, 9000],
        gpus=2,
    )
    found = priced(study, tmp_path)
    hours = sum(found.stage(name).seconds * found.stage(name).gpus for name in ("runs", "predictions")) / 3600
    text = costs_text.render(study, found)
    assert found.stage("runs").rate.formula and "by formula" in text
    assert f"time left: {hours:,.0f} GPU-hours, {hours * 2.5:,.0f} EUR at 2.5 a GPU-hour" in text
    assert "2 billion parameters (costs.parameters), 500 tokens a prompt and 400 a completion" in text
    # A run that takes twice as long as the formula says: then it counts, with the formula's error beside it.
    seconds = 2 * found.estimate.step * 9000
    home = tmp_path / "small/runs/single-boxes/42"
    home.mkdir(parents=True)
    (home / "run.json").write_text(json.dumps({"seconds": {"train": seconds}, "stream": {"steps": 9000}}))
    later = priced(study, tmp_path)
    assert later.stage("runs").rate == costs.Rate(pytest.approx(seconds), 1)
    assert "the formula says 0.50 of it" in costs_text.render(study, later)


@pytest.mark.parametrize(
    "size, generations, prompt, measured",
    [
        # R1-V's README: 100 steps in 30 minutes, Qwen2-VL-2B on CLEVR, as src/scripts/run_grpo_clevr.sh trains.
        (ModelSize(1.54e9, 0.67e9, 28, 28_672, ""), 8, 300, 18.0),
        # VLM-R1's issue 30: 25 to 30 s a step, Qwen2.5-VL-3B on RefCOCO, as its run_grpo_rec.sh trains.
        (ModelSize(3.09e9, 0.67e9, 36, 36_864, ""), 7, 500, 27.5),
    ],
    ids=["R1-V", "VLM-R1"],
)
def test_public_runs_on_eight_a100(study_data, size, generations, prompt, measured):
    """Two micro-batches of a group on each GPU, one after the other; completions of up to 256 tokens (TRL's default)."""
    study_data["model"] = {**study_data["model"], "dtype": "bfloat16"}
    study = studied(
        study_data,
        gpus=8,
        train_batch_size=8 * generations,
        num_generations=generations,
        gradient_accumulation_steps=1,
        gradient_checkpointing=False,
        freeze_vision=False,
    )
    half = estimates.generation_seconds(study, size, GPUS["A100"], prompt, 256)
    half += estimates.training_seconds(study.training, size, GPUS["A100"], prompt, 256)
    assert 0.8 < 2 * half / measured < 1.0
