"""Loading a Qwen2-VL directory, with and without torchvision, and the hub's refusals."""

import json
import shutil
from pathlib import Path

import PIL.Image
import pytest
import torch
from transformers import Qwen2VLProcessor

from modomodo.errors import InputError
from modomodo.tiny.qwen2vl import make_model, make_processor
from modomodo.training import models, processors, vision


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    processor = make_processor(["{question} Think."])
    make_model(processor.tokenizer, seed=0).save_pretrained(path)
    processor.save_pretrained(path)
    return path


def test_processor_round_trips(directory, tmp_path):
    first = processors.load_processor(directory)
    first.save_pretrained(tmp_path)
    second = processors.load_processor(str(directory))
    image = PIL.Image.new("RGB", (32, 32), (200, 10, 10))
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How high is the red bar?"}]}
    ]
    batches = []
    for processor in (first, second):
        text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        batches.append(processor(text=[text], images=[image], return_tensors="pt"))
    assert batches[0].keys() == batches[1].keys()
    for key, value in batches[0].items():
        assert torch.equal(value, batches[1][key])
    assert (batches[0]["input_ids"] == first.image_token_id).sum() == 16


def test_directory_is_an_ordinary_qwen2vl_for_others(directory):
    read = {path.name: json.loads(path.read_text()) for path in directory.glob("*.json")}
    assert read["config.json"]["model_type"] == "qwen2_vl"
    assert read["config.json"]["vision_config"]["spatial_merge_size"] == 2
    for name in ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"):
        assert read[name]["processor_class"] == "Qwen2VLProcessor"
    assert read["video_preprocessor_config.json"]["merge_size"] == 2
    assert (directory / "chat_template.jinja").exists()
    assert (directory / "model.safetensors").exists()


def test_model_loads_in_the_dtype_asked_for(directory):
    assert models.load_model(directory, "bfloat16").dtype == torch.bfloat16
    model = models.load_model(directory, torch.float32)
    frozen = vision.freeze_vision(model)
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert frozen > 0
    assert learning and not any("visual" in name for name in learning)


def test_processor_without_torchvision(directory, monkeypatch):
    monkeypatch.setattr(processors, "torchvision_works", lambda: False)
    processor = processors.load_processor(directory)
    assert isinstance(processor, Qwen2VLProcessor)
    assert processor.image_processor.patch_size == 4


def test_missing_and_damaged_directories_are_reported(directory, tmp_path):
    with pytest.raises(InputError, match="no config.json"):
        models.load_model(tmp_path)
    with pytest.raises(InputError, match="no config.json"):
        processors.load_processor(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text((directory / "config.json").read_text())
    with pytest.raises(InputError, match="cannot be loaded"):
        models.load_model(tmp_path)
    with pytest.raises(InputError, match="no torch data type"):
        models.load_model(directory, "float33")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "repo: missing"),
        ({"repo": "a/b", "revision": "main"}, "40-digit"),
        ({"repo": "a/b", "revison": "x"}, "unknown option 'revison'"),
    ],
)
def test_hub_options(options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        models.download(tmp_path / "model", options)


def test_hub_without_network_leaves_nothing(tmp_path, monkeypatch):
    import huggingface_hub

    def refuse(*args, **kwargs):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match="check the network"):
        models.download(tmp_path / "model", {"repo": "a/b", "revision": "0" * 40})
    assert list(tmp_path.iterdir()) == []


def test_hub_keeps_the_weights_and_refuses_a_directory_without(tmp_path, monkeypatch):
    import huggingface_hub

    def give(repo, revision, local_dir, allow_patterns):
        (Path(local_dir) / "model.safetensors").write_text(revision)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    models.download(tmp_path / "model", {"repo": "a/b", "revision": "1" * 40})
    assert (tmp_path / "model" / "model.safetensors").read_text() == "1" * 40
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **kwargs: None)
    with pytest.raises(InputError, match="no safetensors"):
        models.download(tmp_path / "model", {"repo": "a/b", "revision": "1" * 40})
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_a_frozen_tower_encodes_each_image_once_and_answers_as_before(directory):
    """A step of GRPO: images of two prompts, three times each, asked for again by the reference in another order."""
    models_ = [models.load_model(directory) for _ in range(2)]
    plain = models.load_model(directory).model.visual
    for model in models_:
        vision.freeze_vision(model)
    encoded: list[int] = []
    tower = models_[0].model.visual
    encode = tower.forward

    def counted(hidden_states, grid_thw, **kwargs):
        encoded.append(len(grid_thw))
        return encode(hidden_states, grid_thw=grid_thw, **kwargs)

    tower.forward = counted
    vision.cache_vision_features(models_)
    assert models_[1].model.visual is tower
    torch.manual_seed(0)
    one, two, other = (torch.randn(64, 96) for _ in range(3))
    small = torch.randn(16, 96)
    grid = {64: [1, 8, 8], 16: [1, 4, 4]}

    def ask(model, images):
        return model.model.visual(torch.cat(images), grid_thw=torch.tensor([grid[len(i)] for i in images]))

    for images, new in (([one, one, one, two, two, two], 2), ([two, one, two], 0), ([other, one, small], 2)):
        before = len(encoded)
        for model in models_:
            answer = ask(model, images)
            expected = plain(torch.cat(images), grid_thw=torch.tensor([grid[len(i)] for i in images]))
            torch.testing.assert_close(answer.pooler_output, expected.pooler_output)
            torch.testing.assert_close(answer.last_hidden_state, expected.last_hidden_state)
            answer.pooler_output = None  # as Qwen2-VL does, which must harm no later answer
        assert encoded[before:] == ([new] if new else [])


def test_a_tokenizer_pads_on_the_left_with_what_training_pads_with(directory, tmp_path):
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(settings | {"padding_side": "right", "pad_token": None})
    )
    tokenizer = processors.load_processor(tmp_path).tokenizer
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", "<|im_end|>")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": None}))
    with pytest.raises(InputError, match="eos_token: missing: name the token that ends a turn"):
        processors.load_processor(tmp_path)
