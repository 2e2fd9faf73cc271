"""A tiny model of each family: trained, resumed, asked and merged, with rows of none, one and two images mixed."""

import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import PIL.Image
import pytest
import torch
from tiny_families import FAMILIES, TEXT

from modomodo import plugins
from modomodo.config.schema import Evaluation, Templates, Training
from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.evaluation.engines import hf
from modomodo.evaluation.engines.base import BatchLimits
from modomodo.merging.weights import load_merged, write_merged
from modomodo.training import families, model_directory, stream_trainer, trainer
from modomodo.training.builders import model_builders, read_options
from modomodo.training.job import TrainJob
from modomodo.training.model_directory import check_kind, untried
from modomodo.training.models import load_model
from modomodo.training.processors import check_images, load_processor, tokenizer_of
from modomodo.training.rewards import reward, rewards
from modomodo.training.self_check import check_agreement
from modomodo.training.settings import TrainSettings
from modomodo.training.trainer import train
from modomodo.training.vision import cache_vision_features, freeze_vision, image_placeholder

VISION = [family for family in FAMILIES if family not in TEXT]
SEPARATE = Templates(box="", choice="", text="", number="")
Rows = list[tuple[Example, Path]]


class Killed(Exception):  # noqa: N818  (nothing is wrong)
    """As if a process had ended in the middle of a step."""


@pytest.fixture
def luck(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A reward that differs between completions; at its `killed`th call it ends the training."""
    monkeypatch.setattr(rewards, "_functions", dict(rewards._functions))
    state = SimpleNamespace(calls=0, killed=None)

    @reward("luck")
    def score(completion: str, truth: object, answer_type: str) -> float:
        return int(hashlib.md5(completion.encode()).hexdigest()[:4], 16) / 65535

    def counted(*given: object, **data: object) -> list[float | None]:
        state.calls += 1
        if state.calls == state.killed:
            raise Killed
        return score(*given, **data)

    counted.__name__ = "luck"
    rewards._functions["luck"] = counted
    yield state


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[str], Rows]:
    """Prompts of several lengths: of six, two have no image, and one has two where the family trains on two."""

    def make(family: str) -> Rows:
        sizes = [(32, 32), (40, 64), (64, 32)]
        for i, (size, colour) in enumerate(zip(sizes, ("red", "blue", "green"), strict=True)):
            PIL.Image.new("RGB", size, colour).save(tmp_path / f"{i}.png")
        made = []
        for i in range(6):
            shown = f"{i % 3}.png" if family in VISION and i % 3 != 1 else ""
            two = i == 3 and shown and families.family_of(family).images_per_row is None
            example = Example(
                id=str(i),
                dataset="d",
                image=shown,
                question="Which colour is the shape" + " a count of" * (i % 3) + " ?",
                answer="red",
                answer_type="text",
                meta={"images": ["1.png"]} if two else {},
            )
            made.append((example, tmp_path))
        return made

    return make


def job(base: Path, rows: Rows, folder: Path, steps: int = 3, **training: object) -> TrainJob:
    """Two prompts a step, in two micro-batches: one of them may have no image."""
    changes = {"steps": steps, "scored_steps": [*range(1, steps + 1)], "save_steps": 1, "learning_rate": 1e-2}
    changes |= {"train_batch_size": 4, "num_generations": 2, "gradient_accumulation_steps": 2}
    changes |= {"max_completion_length": 6, "bf16": False, "gradient_checkpointing": False}
    changes |= {"reward_weights": {"luck": 1.0}} | training
    settings = TrainSettings(
        training=Training(**changes), dtype="float32", prompts=SEPARATE, rewards={"d": ["luck"]}
    )
    folder.mkdir()
    return TrainJob(base, rows, folder, settings, 0, steps, {step: step for step in range(1, steps + 1)})


def weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_base_to_merge(family, tiny_family, rows, luck, tmp_path):
    base, asked = tiny_family(family), rows(family)
    train(job(base, asked, tmp_path / "whole"))
    broken = job(base, asked, tmp_path / "broken")
    luck.calls, luck.killed = 0, 3
    with pytest.raises(Killed):
        train(broken)
    luck.killed = None
    train(broken)
    whole, last = tmp_path / "whole", tmp_path / "whole/checkpoint-3"
    assert weights(last) == weights(tmp_path / "broken/checkpoint-3")
    assert (whole / "log.jsonl").read_bytes() == (tmp_path / "broken/log.jsonl").read_bytes()
    before, after = load_model(base), load_model(last)
    moved = {
        name for name, one in before.state_dict().items() if not torch.equal(one, after.state_dict()[name])
    }
    frozen = {
        name for name, one in before.named_parameters() if freeze_vision(before) and not one.requires_grad
    }
    assert moved and not moved & frozen and bool(frozen) == (family in VISION)
    for file in base.iterdir():  # what others read the checkpoint with
        assert (last / file.name).is_file()

    settings = Evaluation(max_completion_length=6, batch_size=4)
    answers = []
    for size, cache in ((4, True), (1, False)):
        engine = hf.TransformersEngine(load_processor(base), settings, "float32")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                hf, "caches_vision", lambda model, cache=cache: cache and image_placeholder(model) is not None
            )
            engine.load(base)
            batches = engine.batches(asked, SEPARATE, BatchLimits(size))
            engine.answer_all(batches)
            engine.load(last)  # of equal towers: features are taken from what is kept
            answers.append(engine.answer_all(batches))
    assert answers[0] == answers[1] and len(answers[0]) == len(asked)

    one, two = (SimpleNamespace(directory=whole / f"checkpoint-{step}") for step in (1, 3))
    experts = SimpleNamespace(base=base, by_domain={"one": one, "two": two})
    write_merged(tmp_path / "merged", experts, {"one": 0.3, "two": 0.7})
    live, written = load_model(base), load_model(tmp_path / "merged")
    assert load_merged(live, experts, {"one": 0.3, "two": 0.7}) is False
    assert all(torch.equal(one, live.state_dict()[name]) for name, one in written.state_dict().items())


@pytest.mark.parametrize("family", VISION)
def test_a_frozen_tower_looks_at_each_image_once_and_nothing_changes(family, tiny_family, rows):
    processor = load_processor(tiny_family(family))
    plain, *shared = (load_model(tiny_family(family)).eval() for _ in range(3))
    assert families.family_of(family).vision_cache, "which this test is the reason for"
    looked = []
    encode = shared[0].get_encoder(modality="image").forward

    @functools.wraps(encode)  # whose arguments are looked at
    def counted(*given, **named):
        answer = encode(*given, **named)
        looked.append(answer)
        return answer

    shared[0].get_encoder(modality="image").forward = counted
    cache_vision_features(shared)
    folder = rows(family)[0][1]
    one, two = (PIL.Image.open(folder / f"{i}.png") for i in (0, 2))

    def inputs(images):
        content = [{"type": "image"}, {"type": "text", "text": "Which colour ?"}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        return processor(
            text=[text] * len(images), images=[[i] for i in images], padding=True, return_tensors="pt"
        )

    with torch.inference_mode():
        for images, new in (([one, two, one], 1), ([two, one, two], 0), ([one], 0), ([two], 1)):
            before = len(looked)
            for model in shared:
                given = {k: v for k, v in inputs(images).items() if k != "batch_num_images"}
                torch.testing.assert_close(model(**given).logits, plain(**given).logits)
            assert len(looked) - before == new


# --- the self-check -----------------------------------------------------------------------------------------


def right_padding(processor):
    tokenizer_of(processor).padding_side = "right"


def second_beginning(processor):
    from tokenizers.processors import TemplateProcessing

    tokenizer = tokenizer_of(processor)
    bos = [(tokenizer.bos_token, tokenizer.bos_token_id)]
    twice = TemplateProcessing(single=f"{tokenizer.bos_token} $A", special_tokens=bos)
    tokenizer.backend_tokenizer.post_processor = twice


@pytest.mark.parametrize(
    ("family", "spoil"),
    [("qwen2_vl", right_padding), ("gemma3", right_padding), ("gemma3", second_beginning)],
)
def test_a_training_that_sees_other_prompts_than_its_rollouts_stops(
    family, spoil, tiny_family, rows, luck, tmp_path, monkeypatch
):
    def load(path):
        processor = load_processor(path)
        spoil(processor)
        return processor

    monkeypatch.setattr(trainer, "load_processor", load)
    asked = [row for row in rows(family) if row[0].image][1:3]  # of two lengths
    with pytest.raises(InputError, match=f"self-check: .* differ by .* for one token: {family}'s processor"):
        train(job(tiny_family(family), asked, tmp_path / "run", 1))
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_the_check_leaves_no_trace(tiny_family, rows, luck, tmp_path, monkeypatch):
    """Neither in random numbers nor in what is kept of images: without a reference nothing else looks at them again."""
    base, asked = tiny_family("qwen2_vl"), rows("qwen2_vl")
    checked = []
    monkeypatch.setattr(
        stream_trainer, "check_agreement", lambda *given: checked.append(given) or check_agreement(*given)
    )
    train(job(base, asked, tmp_path / "with", 2, beta=0.0, temperature=0.7))
    monkeypatch.setattr(stream_trainer.StreamTrainer, "_check", lambda *given: None)
    train(job(base, asked, tmp_path / "without", 2, beta=0.0, temperature=0.7))
    assert len(checked) == 1, "once a training"
    for name in ("log.jsonl", "checkpoint-2/model.safetensors"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()


def test_images_are_checked_when_they_first_come(tiny_family, rows, luck, tmp_path, monkeypatch):
    asked = rows("qwen2_vl")
    texts, shown = ([row for row in asked if bool(row[0].image) == there] for there in (False, True))
    steps = []
    monkeypatch.setattr(
        stream_trainer.StreamTrainer, "_check", lambda self, *given: steps.append(self.state.global_step)
    )
    train(job(tiny_family("qwen2_vl"), texts + shown, tmp_path / "texts_first", 3))
    train(job(tiny_family("qwen2_vl"), shown + texts, tmp_path / "images_first", 3))
    assert steps == [0, 1, 0], "after so many steps each"


def test_the_tolerance():
    rolled = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]])
    whole = torch.ones(2, 2)
    check_agreement(rolled, rolled + 9e-4, whole, True, "k")
    check_agreement(
        rolled, rolled + torch.tensor([[0.0, 0.0], [0.0, 5.0]]), torch.tensor([[1, 1], [1, 0]]), True, "k"
    )
    check_agreement(rolled, rolled, torch.zeros(2, 2), True, "k")
    with pytest.raises(InputError, match="differ by 0.002 for one token: k's"):
        check_agreement(rolled, rolled + torch.tensor([[0.0, 2e-3], [0.0, 0.0]]), whole, True, "k")
    with pytest.raises(InputError, match="differ by nan"):
        check_agreement(rolled, rolled * torch.nan, whole, True, "k")
    check_agreement(rolled, rolled + torch.tensor([[0.1, 0.0], [0.0, 0.0]]), whole, False, "k")  # bfloat16
    with pytest.raises(InputError, match="differ by 0.15 in the mean"):
        check_agreement(rolled, rolled + 0.15, whole, False, "k")


# --- what a model cannot take -------------------------------------------------------------------------------


def test_images_that_a_model_cannot_take_are_named_before_it_is_loaded(tiny_family, rows):
    shown = [example for example, _ in rows("qwen2_vl")]
    alone = [example for example in shown if not example.image]
    check_images(tiny_family("llama"), alone)
    with pytest.raises(InputError, match=r"example '0' of d has an image, but llama \(.*\) is text-only"):
        check_images(tiny_family("llama"), shown)
    check_images(tiny_family("llava_onevision"), shown)
    with pytest.raises(
        InputError, match="example '3' of d has 2 images, but TRL trains llava_onevision on 1 a row"
    ):
        check_images(tiny_family("llava_onevision"), shown, Training())
    server = Training(vllm="server", gpus=3, train_batch_size=12)
    check_images(tiny_family("gemma3"), alone, server)
    check_images(tiny_family("qwen2_vl"), shown, server)
    with pytest.raises(InputError, match="training.vllm: TRL's server does not understand gemma3's images"):
        check_images(tiny_family("gemma3"), shown, server)


@pytest.mark.parametrize("family", ["gemma3", "llama"])
def test_a_text_begins_once(family, tiny_family):
    processor = load_processor(tiny_family(family))
    content = "Which colour ?" if family in TEXT else [{"type": "text", "text": "Which colour ?"}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
    tokenizer = tokenizer_of(processor)
    tokens = processor(text=[text])["input_ids"][0]
    assert tokens[0] == tokenizer.bos_token_id and list(tokens).count(tokenizer.bos_token_id) == 1


def test_the_placeholder_is_that_of_the_model(tiny_family):
    processor = load_processor(tiny_family("gemma3"))
    ids = processor.tokenizer.convert_tokens_to_ids
    assert image_placeholder(load_model(tiny_family("gemma3"))) == ids("<image_soft_token>")
    assert image_placeholder(load_model(tiny_family("llama"))) is None


def test_a_directory_without_a_chat_template_is_named(tiny_family, tmp_path):
    import shutil

    shutil.copytree(tiny_family("llama"), tmp_path / "model")
    (tmp_path / "model/chat_template.jinja").unlink()
    with pytest.raises(InputError, match="its chat template: .*: take a model that was trained to chat"):
        load_processor(tmp_path / "model")


def test_a_package_that_a_processor_needs_is_named(tiny_family, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "num2words" else found(name)
    )
    with pytest.raises(InputError, match=r"smolvlm needs the package num2words: add it to envs/own.txt"):
        load_processor(tiny_family("smolvlm"))


# --- which models there are ---------------------------------------------------------------------------------


def test_the_table_is_of_the_families_that_are_tried():
    assert families.FAMILIES.keys() == FAMILIES.keys()


def test_a_family_without_an_entry_is_said_and_an_entry_of_a_plugins_is_enough(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "mistral"}')
    check_kind(tmp_path)
    assert [text.partition(" is no family")[0] for text in untried(tmp_path)] == ["mistral"]
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))
    monkeypatch.setattr(model_directory, "FAMILIES", families.FAMILIES)
    plugins.family("mistral", boxes="0-1")
    assert untried(tmp_path) == []


def test_a_folder_of_this_machine_is_taken_as_it_is(tiny_family, tmp_path):
    options = read_options("folder", {"path": str(tiny_family("qwen3"))})
    model_builders["folder"](tmp_path / "base", options, Templates(), 1)
    assert (tmp_path / "base/config.json").samefile(tiny_family("qwen3") / "config.json")
    for given, message in (
        ({"path": str(tmp_path / "nowhere")}, "not a model directory"),
        ({"folder": "x"}, "model builder 'folder': .*folder"),
        ({}, "path"),
    ):
        with pytest.raises(InputError, match=message):
            read_options("folder", given)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(InputError, match="model_type 'clip' is not supported: tested are gemma3, idefics3"):
        read_options("folder", {"path": str(tmp_path)})


def test_a_torchvision_that_fails_is_hidden_from_transformers(tmp_path):
    """In processes of their own: one that is imported stays imported."""
    package = tmp_path / "torchvision/__init__.py"
    package.parent.mkdir()
    code = "from modomodo import console, environment; import sys\n"
    code += "with console.imports(): import transformers.models.qwen2_vl.processing_qwen2_vl as made\n"
    code += "print(sys.modules.get('torchvision'), made.Qwen2VLProcessor.__name__)"
    for source in ("RuntimeError('operator torchvision::nms does not exist')", "ImportError('libcudart')"):
        package.write_text(f"raise {source}")
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"},
            capture_output=True,
            text=True,
        )
        assert run.stdout.strip() == "None Qwen2VLProcessor", run.stderr[-2000:]


# --- what vLLM is handed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["qwen2_vl", "internvl", "gemma3", "smolvlm"])
def test_a_colocated_vllm_gets_prompts_as_the_template_wrote_them(family, tiny_family, rows):
    """Which it expands as the processor does: the very tokens that training has."""
    processor = load_processor(tiny_family(family))
    folder = rows(family)[0][1]
    content = [
        {"type": "image", "image": PIL.Image.open(folder / "0.png")},
        {"type": "text", "text": "Which ?"},
    ]
    prompts = [[{"role": "user", "content": content}], [{"role": "user", "content": "Which colour ?"}]]
    blocks = [[{"role": "user", "content": [{"type": "text", "text": "Which colour ?"}]}]]
    texts = processor.apply_chat_template([prompts[0], *blocks], tokenize=False, add_generation_prompt=True)
    model = load_model(tiny_family(family))
    fake = SimpleNamespace(model=model, processing_class=processor)
    expanded = processor(text=texts, images=[[content[0]["image"]], []])["input_ids"]
    written = stream_trainer.StreamTrainer._tokens_as_written(fake, prompts, expanded)
    assert written == [processor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert written[0] != expanded[0]
    assert list(written[1]) == list(expanded[1])


def test_vllm_adds_no_second_beginning_and_no_picture(tiny_family, rows):
    from modomodo.evaluation.engines.vllm import prompt_inputs

    image = PIL.Image.new("RGB", (2, 3))
    llama = load_processor(tiny_family("llama"))
    text = "<|begin_of_text|>Which ?"
    ((given,), nbytes) = prompt_inputs(llama, [text], [[]])
    assert given == {"prompt_token_ids": llama(text, add_special_tokens=False)["input_ids"]} and nbytes == 0
    qwen = load_processor(tiny_family("qwen2_vl"))
    (with_image, without), nbytes = prompt_inputs(qwen, ["a", "b"], [[image], []])
    assert with_image == {"prompt": "a", "multi_modal_data": {"image": [image]}} and nbytes == 18
    assert without == {"prompt": "b"}
