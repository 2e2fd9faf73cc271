"""Two training processes on the CPU, as the launcher starts them on two GPUs: the stream's order, the same bytes.

Everything is real but the devices: torch's processes meet over gloo instead of NCCL.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import PIL.Image
import pytest

from modomodo.errors import Interrupted
from modomodo.files import file_digest, read_jsonl
from modomodo.tiny.qwen2vl import make_model, make_processor
from modomodo.training.launch import trainer_specs
from modomodo.training.supervise import LaunchError, ProcessSpec, supervise

pytestmark = pytest.mark.slow

STEPS, GENERATIONS, PROMPTS = 6, 6, 2

# One trainer. Its reward writes down what it was shown, rank by rank; it is the number of letters, so that even an
# untrained model's completions differ.
TRAINER = """
import json, os, signal, sys, time
from pathlib import Path
import torch
import modomodo.command_line
from transformers import TrainerCallback
from modomodo.config.schema import Training
from modomodo.data.examples import Example
from modomodo.training import trainer
from modomodo.training.job import TrainJob
from modomodo.training.rewards import rewards
from modomodo.training.settings import TrainSettings

folder, accumulation, stop_after, signal_at = Path(sys.argv[1]), *map(int, sys.argv[2:])
rank = os.environ["RANK"]
shown, seen = (folder / f"shown-{rank}.jsonl").open("a"), []


@rewards.register("letters")
def letters(prompts, completions, id, **columns):
    texts = [completion[-1]["content"] for completion in completions]
    shown.write(json.dumps({"ids": id, "texts": texts}) + "\\n")
    shown.flush()
    seen.append(id)
    while len(seen) == signal_at and not signal.getsignal(signal.SIGTERM).__self__.received:
        time.sleep(0.02)
    return [len(text) / 10 for text in texts]


settings = Training(
    steps=6, scored_steps=[3, 6], train_batch_size=12, num_generations=6, gradient_accumulation_steps=accumulation, gpus=2,
    learning_rate=1e-3, max_completion_length=6, save_steps=2, bf16=False, gradient_checkpointing=False,
    reward_weights={"letters": 1.0},
)
if stop_after:
    class Crash(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == stop_after:
                os._exit(9)
    class Crashing(trainer.StreamTrainer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.add_callback(Crash())
    trainer.StreamTrainer = Crashing
examples = [Example.model_validate(row) for row in json.loads((folder.parent / "examples.json").read_text())]


def main():
    trainer.train(
        TrainJob(
            base=folder.parent / "base",
            rows=[(example, folder.parent) for example in examples],
            folder=folder,
            settings=TrainSettings(training=settings, dtype="float32", rewards={"colours": ["letters"]}),
            seed=7,
            last_step=6,
            checkpoint_steps={3: 3, 6: 6},
        )
    )
    # Who closes the group hangs or aborts now and then, which no single run shows: command_line.run must find it open.
    assert torch.distributed.is_initialized()


modomodo.command_line.run(main)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """An untrained base, twelve questions in the stream's order, the trainer's program."""
    folder = tmp_path_factory.mktemp("processes")
    processor = make_processor(["{question} Think."])
    make_model(processor.tokenizer, seed=0).save_pretrained(folder / "base")
    processor.save_pretrained(folder / "base")
    examples = []
    for number in range(STEPS * PROMPTS):
        PIL.Image.new("RGB", (32, 32), (20 * number, 100, 50)).save(folder / f"{number}.png")
        examples.append(
            {
                "id": f"q{number}",
                "dataset": "colours",
                "image": f"{number}.png",
                "question": "How high is the red bar?",
                "answer": "3",
                "answer_type": "number",
            }
        )
    (folder / "examples.json").write_text(json.dumps(examples))
    (folder / "trainer.py").write_text(TRAINER)
    return folder


def run(world: Path, name: str, accumulation: int = 1, stop_after: int = 0, signal_at: int = 0) -> Path:
    """Every process dies after step `stop_after`, or waits in step `signal_at` until it has got SIGTERM."""
    folder = world / name
    folder.mkdir(exist_ok=True)
    numbers = map(str, (accumulation, stop_after, signal_at))
    command = [sys.executable, str(world / "trainer.py"), str(folder), *numbers]
    specs = trainer_specs(command, [], 2, "", folder)
    cpu = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    supervise(
        [ProcessSpec(p.name, p.command, {**p.environment, **cpu}, folder / f"{p.name}.log") for p in specs]
    )
    return folder


@pytest.fixture(scope="module")
def whole(world) -> Path:
    return run(world, "whole")


def shown(folder: Path) -> list[tuple[list[str], list[str]]]:
    """(ids, completions) of each step, rank after rank."""
    ranks = [[row for _, row in read_jsonl(folder / f"shown-{rank}.jsonl")] for rank in (0, 1)]
    return [(a["ids"] + b["ids"], a["texts"] + b["texts"]) for a, b in zip(*ranks, strict=True)]


def digests(folder: Path) -> dict[str, str]:
    files = [folder / "log.jsonl", *folder.glob("checkpoint-*/*")]
    return {str(path.relative_to(folder)): file_digest(path) for path in files}


def test_the_ranks_together_see_the_stream_in_its_order_in_whole_groups(whole):
    expected = [
        [f"q{step * PROMPTS + prompt}" for prompt in range(PROMPTS) for _ in range(GENERATIONS)]
        for step in range(STEPS)
    ]
    assert [ids for ids, _ in shown(whole)] == expected


def test_the_ranks_do_not_sample_alike(whole):
    for _, texts in shown(whole):
        assert texts[:6] != texts[6:]
        assert len(set(texts)) > 2


def test_the_same_run_again_gives_the_same_bytes(world, whole):
    again = run(world, "again")
    assert digests(again) == digests(whole)
    assert len([name for name in digests(again) if name.endswith("safetensors")]) == 2


def test_training_changed_the_weights(whole):
    assert file_digest(whole / "checkpoint-3/model.safetensors") != file_digest(
        whole / "checkpoint-6/model.safetensors"
    )


def test_a_run_whose_process_crashed_goes_on_to_the_same_bytes(world, whole):
    with pytest.raises(LaunchError, match="ended with status 9"):
        run(world, "crashed", stop_after=5)
    resumed = world / "crashed"
    saves = sorted(path.parent.name for path in resumed.glob("trainer/checkpoint-*/complete"))
    assert saves == ["checkpoint-2", "checkpoint-4"]
    run(world, "crashed")
    assert digests(resumed) == digests(whole)


def test_a_run_that_is_told_to_stop_saves_and_goes_on_to_the_same_bytes(world, whole):
    shown_by_first = world / "told/shown-0.jsonl"

    def tell_in_the_third_step() -> None:
        while not shown_by_first.exists() or len(shown_by_first.read_bytes().splitlines()) < 3:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=tell_in_the_third_step, daemon=True).start()
    with pytest.raises(Interrupted, match="SIGTERM: the trainers have ended; run again to resume"):
        run(world, "told", signal_at=3)
    newest = max(
        int(path.parent.name.split("-")[1]) for path in world.glob("told/trainer/checkpoint-*/complete")
    )
    steps = len(shown_by_first.read_bytes().splitlines())
    assert newest == steps == 3  # both stopped after the step that was under way, and nothing of it is lost
    run(world, "told")
    assert digests(world / "told") == digests(whole)


def test_accumulation_keeps_the_order(world, whole):
    folder = run(world, "accumulated", accumulation=2)
    assert [ids for ids, _ in shown(folder)] == [ids for ids, _ in shown(whole)]


def test_a_rank_whose_rows_have_no_images_waits_for_nobody(world, tmp_path):
    """As TRL would: it gathers images for its log from the ranks that have some."""
    rows = json.loads((world / "examples.json").read_text())
    for row in rows[1::PROMPTS]:  # the second prompt of each step, which the second rank has
        row["image"] = ""
    (tmp_path / "examples.json").write_text(json.dumps(rows))
    for path in [world / "base", world / "trainer.py", *world.glob("*.png")]:
        (tmp_path / path.name).symlink_to(path)
    folder = run(tmp_path, "mixed")
    assert [{*ids} for ids, _ in shown(folder)] == [
        {f"q{2 * step}", f"q{2 * step + 1}"} for step in range(STEPS)
    ]
    assert (folder / "checkpoint-6/model.safetensors").is_file()


# --- prompts that are decided while the run trains --------------------------------------------------------------

# The same with prompts of two domains to choose from; the odd ones of one all earn the same and are replaced.
ONLINE = (
    TRAINER.replace(
        "return [len(text) / 10 for text in texts]", "return [earned(*one) for one in zip(id, texts)]"
    )
    .replace(
        'reward_weights={"letters": 1.0},',
        'reward_weights={"letters": 1.0}, dynamic_sampling={"max_tries": 1},',
    )
    .replace(
        "            checkpoint_steps={3: 3, 6: 6},\n",
        "            checkpoint_steps={3: 3, 6: 6},\n            live=live,\n",
    )
    .replace("trainer.StreamTrainer", "trainer.LiveTrainer")
    .replace('rewards={"colours": ["letters"]}', 'rewards={"colours": ["letters"], "shapes": ["letters"]}')
    .replace(
        "def main():",
        """places = [(Example.model_validate({**row.model_dump(), "id": f"{domain}-{row.id}", "dataset": domain}), folder)
          for domain in ("colours", "shapes") for row in examples]
examples = [row for row, _ in places]
live = live_stream(settings, places, 7, None, {"rule": "learnability"})


def earned(name, text):
    return 0.5 if name.startswith("shapes") and int(name[-1]) % 2 else len(text) / 10


def main():""",
    )
    .replace(
        "from modomodo.training.job import TrainJob",
        "from modomodo.training.job import TrainJob, live_stream",
    )
)


def test_processes_choose_and_replace_alike_and_go_on_to_the_same_bytes(world):
    (world / "trainer.py").write_text(ONLINE)
    whole = run(world, "online")
    rows = [row for _, row in read_jsonl(whole / "rows.jsonl")]
    trained_on = {row["position"]: row["id"] for row in rows}
    assert any(row["attempt"] for row in rows) and len(trained_on) == STEPS * PROMPTS
    # The reward is asked once for each try and once for what is trained on, which both processes take their part of.
    asked = [ids for ids, _ in shown(whole)]
    last = [ids for ids, following in zip(asked, [*asked[1:], []], strict=True) if ids != following]
    steps = [
        [f"{trained_on[2 * step + place]}" for place in (0, 1) for _ in range(GENERATIONS)]
        for step in range(STEPS)
    ]
    assert [ids for ids in last if ids in steps] == steps
    with pytest.raises(LaunchError, match="ended with status 9"):
        run(world, "online-crashed", stop_after=5)
    resumed = run(world, "online-crashed")
    assert digests(resumed) == digests(whole)
    assert (resumed / "rows.jsonl").read_bytes() == (whole / "rows.jsonl").read_bytes()
