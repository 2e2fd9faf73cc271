"""vLLM for real, on the CPU: the same predictions as transformers', and GRPO with its completions.

Run by `make test-vllm` in an environment of its own (envs/vllm.sh), skipped in the ordinary one. What is particular
to the CPU are two things: vLLM packs weights for the CPU and drops the originals, so that TRL, which writes new weights
over them, finds nothing there. The programs below put plain matrices in the place of packed ones. And NCCL, by which TRL
sends weights to a server, wants GPUs: here they go by a file.
"""

import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml

from modomodo.evaluation.predictions import read_predictions
from modomodo.files import file_digest, read_json, read_jsonl, write_json
from modomodo.mixtures.mixture import Mixture, write_mixture
from modomodo.mixtures.online import read_used, trained_on

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="make test-vllm runs these"),
]

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "config/test.yaml"
CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
}

TOLERANCE = 0.02  # of log-probabilities; with another prompt than the trainer's they differ by 1

PLAIN_MATRICES = """
import torch
import vllm.model_executor.layers.utils as layers


def plain(layer, remove_weight=False):
    layer.cpu_linear = lambda x, weight, bias=None: torch.nn.functional.linear(x, layer.weight, bias)


layers.dispatch_cpu_unquantized_gemm = plain
"""

# A training run on the CPU by the settings of one on a GPU. Before each generation it notes whether vLLM has the
# trainer's weights; its reward notes the completions. Some of the questions teach nothing; a stream that is decided
# while it trains has two domains.
TRAINER = """
import functools, hashlib, json, os, sys
from dataclasses import replace
from pathlib import Path
import modomodo.command_line
from modomodo.config.schema import Training
from modomodo.data.examples import read_examples
from modomodo.study.checks import read_study
from modomodo.training.job import TrainJob, decided_stream, live_stream
from modomodo.training.rewards import rewards
from modomodo.training.settings import TrainSettings

base, examples, folder, stop_after = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
decides = json.loads(sys.argv[6])
online = decides.pop("online", None)
folder.mkdir(exist_ok=True)
notes = (folder / "notes.jsonl").open("a")


def note(**what):
    notes.write(json.dumps(what) + "\\n")
    notes.flush()


@rewards.register("letters")
def letters(prompts, completions, id, **columns):
    texts = [completion[-1]["content"] for completion in completions]
    note(ids=id, texts=texts)
    return [0.5 if name in flat else len(text) / 10 for name, text in zip(id, texts)]


import trl.generation.vllm_generation as theirs
from transformers import TrainerCallback

from modomodo.training import trainer, trl_arguments

# Unlike in a study: TRL then logs how far the log-probabilities of trainer and vLLM lie apart.
trl_arguments.OBJECTIVE["vllm_importance_sampling_correction"] = True
# To vLLM, the precision of a float32 model is bfloat16 unless it is told; TRL does not tell.
theirs.LLM = functools.partial(theirs.LLM, dtype="float32")


class Watched:
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        engine = self.vllm_generation
        there = engine.llm.llm_engine.model_executor.driver_worker.model_runner.model
        here, generate = self.model, engine.generate

        def watched(*arguments, **options):
            pairs = [
                (there.language_model.lm_head.weight, here.lm_head.weight),
                (there.language_model.model.layers[1].mlp.down_proj.weight,
                 here.model.language_model.layers[1].mlp.down_proj.weight),
                (there.visual.patch_embed.proj.weight, here.model.visual.patch_embed.proj.weight),
            ]
            equal = [bool((a.reshape(-1)[: b.numel()] == b.reshape(-1)).all()) for a, b in pairs]
            digest = hashlib.sha256(here.lm_head.weight.detach().numpy().tobytes()).hexdigest()
            note(step=self.state.global_step, equal=equal, head=digest)
            return generate(*arguments, **options)

        engine.generate = watched
        if stop_after:
            self.add_callback(Crash())


class Crash(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == stop_after:
            os._exit(9)


trainer.StreamTrainer = type("WatchedStream", (Watched, trainer.StreamTrainer), {})
trainer.LiveTrainer = type("WatchedLive", (Watched, trainer.LiveTrainer), {})
settings = Training(
    steps=6, scored_steps=[3, 6], gpus=1, vllm="colocate", learning_rate=1e-3, max_completion_length=12, save_steps=2,
    bf16=False, gradient_checkpointing=False, reward_weights={"letters": 1.0}, **decides,
)
rows = [(example, examples.parent) for example in read_examples(examples)][:12]
spare, live, flat = [], None, set()
if online or decides:
    others = [(example, examples.parent) for example in read_examples(examples.with_name("chart.jsonl"))]
    flat = {example.id for example, _ in (*rows[:2], rows[7], others[1])}
    drawn = [row for pair in zip(rows[:6], others[:6]) for row in pair]
    rows, spare = (rows + others, []) if online else (drawn, [*rows[6:], *others[6:]])
    live = live_stream(settings, [*rows, *spare], 7, None if online else rows, online)
job = TrainJob(
    base=base, rows=rows, folder=folder, seed=7, last_step=6, checkpoint_steps={3: 3, 6: 6}, live=live, spare=spare,
    settings=TrainSettings(
        training=settings, dtype="float32", prompts=read_study(sys.argv[5]).prompts,
        rewards={example.dataset: ["letters"] for example, _ in rows},
    ).model_copy(update={"training": settings.model_copy(update={"gpus": 0})}),  # which no study can ask for
)
trainer.train(job)
if live:
    drawn = {"requested": dict.fromkeys(live.orders, 0.5), "exhausted": None}
    (folder / "stream.json").write_text(json.dumps(decided_stream(job, drawn)))
"""


def program(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return str(path)


def run(
    *command: object,
    status: int = 0,
    environment: Mapping[str, str] = {},
    python: Path = Path(sys.executable),
) -> str:
    words = [str(python), *map(str, command)]
    surroundings = {**os.environ, **CPU, **environment}
    done = subprocess.run(words, cwd=ROOT, env=surroundings, capture_output=True, text=True)
    assert done.returncode == status, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """The test study's base model and questions, made as the rules make them."""
    folder = tmp_path_factory.mktemp("vllm")
    run(
        "scripts/base_model.py",
        "--settings",
        STUDY,
        "--output",
        folder / "base",
        "--info",
        folder / "base.json",
    )
    for name in ("science", "science_test", "chart"):
        run(
            "scripts/preprocess.py", "--settings", STUDY, "--name", name, "--output", folder / f"{name}.jsonl"
        )
    return folder


# --- training -----------------------------------------------------------------------------------------------------


def train(world: Path, name: str, stop_after: int = 0, status: int = 0, **decides: Any) -> Path:
    trainer = program(world, "trainer", PLAIN_MATRICES + TRAINER)
    folder = world / name
    words = [world / "base", world / "science.jsonl", folder, stop_after, STUDY, json.dumps(decides)]
    run(trainer, *words, status=status)
    return folder


@pytest.fixture(scope="module")
def trained(world: Path) -> Path:
    return train(world, "whole")


@pytest.fixture(scope="module")
def resumed(world: Path) -> Path:
    train(world, "crashed", stop_after=5, status=9)
    return train(world, "crashed")


def notes(folder: Path, key: str) -> list[dict]:
    return [row for _, row in read_jsonl(folder / "notes.jsonl") if key in row]


def test_before_every_generation_vllm_has_the_trainers_weights(trained):
    generations = notes(trained, "step")
    assert [row["step"] for row in generations] == list(range(6))
    assert all(row["equal"] == [True, True, True] for row in generations)
    assert len({row["head"] for row in generations}) > 4  # the first steps of the warm-up may change nothing


def test_trainer_and_vllm_agree_on_the_log_probabilities(trained):
    log = [row for _, row in read_jsonl(trained / "log.jsonl")]
    assert len(log) == 6
    for row in log:
        # vLLM never samples an image placeholder, to which the trainer gives some probability.
        assert row["sampling/sampling_logp_difference/mean"] < TOLERANCE, row
        assert abs(row["sampling/importance_sampling_ratio/mean"] - 1) < 5 * TOLERANCE


def test_the_completions_differ_and_move_the_weights(trained):
    texts = [row["texts"] for row in notes(trained, "texts")]
    assert all(len(set(group)) > 1 for group in texts)
    assert file_digest(trained / "checkpoint-3/model.safetensors") != file_digest(
        trained / "checkpoint-6/model.safetensors"
    )


def test_the_first_generation_after_a_resume_comes_from_the_restored_weights(trained, resumed):
    whole = {row["step"]: row for row in notes(trained, "step")}
    again = notes(resumed, "step")
    assert [row["step"] for row in again] == [
        0,
        1,
        2,
        3,
        4,
        4,
        5,
    ]  # the crash came after step 5, the save at 4
    assert all(row["equal"] == [True, True, True] for row in again)
    assert again[5]["head"] == whole[4]["head"] != whole[0]["head"]


def test_a_resumed_run_ends_with_the_same_bytes(trained, resumed):
    texts = [row["texts"] for row in notes(resumed, "texts")]
    expected = [row["texts"] for row in notes(trained, "texts")]
    assert texts == [*expected[:5], *expected[4:]]
    for file in ("log.jsonl", "checkpoint-3/model.safetensors", "checkpoint-6/model.safetensors"):
        assert file_digest(resumed / file) == file_digest(trained / file)


LIVE = {
    "replaced": {"dynamic_sampling": {"max_tries": 2}},
    "online": {"online": {"rule": "dump"}},
}


@pytest.fixture(scope="module", params=LIVE)
def decided(world: Path, request: pytest.FixtureRequest) -> tuple[str, Path, Path]:
    """A run that decides its prompts while it trains, and one that was killed and went on."""
    name, decides = request.param, LIVE[request.param]
    train(world, f"{name}-crashed", stop_after=3, status=9, **decides)
    return name, train(world, name, **decides), train(world, f"{name}-crashed", **decides)


def test_a_stream_decided_as_it_trains_goes_on_to_the_same_bytes(decided):
    _, whole, resumed = decided
    files = ("log.jsonl", "rows.jsonl", "stream.json", *(f"checkpoint-{n}/model.safetensors" for n in (3, 6)))
    for file in files:
        assert file_digest(resumed / file) == file_digest(whole / file), file


def test_what_vllm_wrote_is_what_is_trained_on_and_counted(decided):
    name, whole, _ = decided
    used, stream = read_used(whole), read_json(whole / "stream.json")
    log = [row for _, row in read_jsonl(whole / "log.jsonl")]
    assert len(log) == 6 and all(row["equal"] == [True, True, True] for row in notes(whole, "step"))
    for row in log:
        assert row["sampling/sampling_logp_difference/mean"] < TOLERANCE, row
        of_step = [one for one in used if one.step == row["step"]]
        last = trained_on(of_step)
        for domain in {one.domain for one in last}:
            flat = [not one.taught for one in last if one.domain == domain]
            assert row[f"frac_reward_zero_std/{domain}"] == sum(flat) / len(flat)
        if name != "online":
            assert row["prompts_generated"] == len(of_step)
    assert (stream["steps"], stream["prompts"], stream["prompts_generated"]) == (6, 12, len(used))
    assert any(one.attempt for one in used) == (name != "online")
    # The last completions that the reward saw at a step are of the prompts trained on, in the stream's order.
    shown = notes(whole, "texts")[-1]["ids"]
    assert list(dict.fromkeys(shown)) == [one.id for one in trained_on(used)[-2:]]


# --- training beside a server -------------------------------------------------------------------------------------

# vLLM's own command asks for a package of the name `vllm`, which the build for the CPU has not. As a plugin, plain
# matrices come to each of the server's processes.
PLUGIN = {
    "plain_matrices.py": PLAIN_MATRICES + "\n\ndef install():\n    pass\n",
    "vllm-{version}.dist-info/METADATA": "Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n",
    "vllm-{version}.dist-info/entry_points.txt": "[vllm.general_plugins]\nplain = plain_matrices:install\n",
}

# What `scripts/train.py` does for `vllm: server`: a launcher of the server and two trainers, which run this program
# again. Only the weights' way to the server is another one: TRL's is NCCL, which wants GPUs; here they lie in a file.
# The reward notes the completions, and at one step ends the launcher, as a power cut would.
SERVED = """
import json, os, sys, time
from pathlib import Path
from modomodo.config.schema import Training
from modomodo.study.checks import read_study
from modomodo.training import launch as launching

base, examples, folder, kill_at = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
online = json.loads(sys.argv[6])
settings = Training(
    steps=4, scored_steps=[4], gpus=3, vllm="server", learning_rate=3e-3, max_completion_length=12, save_steps=2,
    bf16=False, gradient_checkpointing=False, reward_weights={"letters": 1.0}, gradient_accumulation_steps=3,
)
if not launching.is_trainer():
    launching.launch([sys.executable, *sys.argv], settings, base, folder, ["0", "1", "2"])
    sys.exit()

import modomodo.command_line
import psutil
import safetensors.torch
import torch
import trl.generation.vllm_generation as theirs
from modomodo.training import trainer, trl_arguments
from modomodo.data.examples import read_examples
from modomodo.training.job import TrainJob, live_stream
from modomodo.training.rewards import rewards
from modomodo.training.settings import TrainSettings

rank = int(os.environ["RANK"])
notes = (folder / f"notes-{rank}.jsonl").open("a")


@rewards.register("letters")
def letters(prompts, completions, id, trainer_state, **columns):
    texts = [completion[-1]["content"] for completion in completions]
    notes.write(json.dumps({"step": trainer_state.global_step, "ids": id, "texts": texts}) + "\\n")
    notes.flush()
    if trainer_state.global_step == kill_at and rank == 0:
        launcher = psutil.Process(os.getppid())
        family = [process.pid for process in launcher.children(recursive=True)]
        (folder / "family.json").write_text(json.dumps(family))
        launcher.kill()
        time.sleep(600)
    return [len(text) / 10 for text in texts]


class ByFile(theirs.VLLMClient):
    def init_communicator(self, device):
        try:
            super().init_communicator(device)
        except NotImplementedError as refused:
            print(refused, flush=True)

    def update_named_params(self, metadata, named_params):
        weights = {name: weight.contiguous() for name, weight in named_params}
        safetensors.torch.save_file(weights, folder / "weights/model.safetensors")
        words = {"method": "reload_weights", "kwargs": {"weights_path": str(folder / "weights")}}
        answer = self.session.post(f"{self.base_url}/collective_rpc", json=words)
        assert answer.status_code == 200, answer.text


theirs.VLLMClient = ByFile
trl_arguments.OBJECTIVE["vllm_importance_sampling_correction"] = True  # for the log, as above
# Two trainers load their save to "cpu:0" and "cpu:1", for which torch has no word.
torch.serialization.register_package(0, lambda _: None, lambda obj, place: obj if "cpu:" in place else None)
(folder / "weights").mkdir(exist_ok=True)
rows = [(example, examples.parent) for example in read_examples(examples)][:8]
if online:
    rows += [(example, examples.parent) for example in read_examples(examples.with_name("chart.jsonl"))]
job = TrainJob(
    base=base, rows=rows, folder=folder, seed=7, last_step=4, checkpoint_steps={4: 4},
    live=live_stream(settings, rows, 7, None, online) if online else None,
    settings=TrainSettings(
        training=settings, dtype="float32", prompts=read_study(sys.argv[5]).prompts,
        rewards={example.dataset: ["letters"] for example, _ in rows},
    ),
)
trainer.train(job, launching.server_of_trainer())
"""


def serve(world: Path, name: str, online: dict[str, Any] | None = None) -> Path:
    """A run beside a server whose launcher was killed at step 3, and that went on from its save at step 2."""
    version = f"{importlib.metadata.version('vllm-cpu')}+cpu"
    for file, text in PLUGIN.items():
        path = world / "plugin" / file.format(version=version)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(version=version) if file.startswith("vllm") else text, encoding="utf-8")
    launcher = program(world, "served", SERVED)
    folder = world / name
    folder.mkdir()
    cpu = {"PYTHONPATH": f"{ROOT}:{world / 'plugin'}", "ACCELERATE_USE_CPU": "true"}
    for kill_at, status in ((3, -signal.SIGKILL), (-1, 0)):
        words = [world / "base", world / "science.jsonl", folder, kill_at, STUDY, json.dumps(online)]
        told = run(launcher, *words, status=status, environment=cpu)
        (folder / f"told-{kill_at}").write_text(told)
        if status:
            alive = [
                psutil.Process(pid) for pid in read_json(folder / "family.json") if psutil.pid_exists(pid)
            ]
            psutil.wait_procs(alive, timeout=20)
    return folder


@pytest.fixture(scope="module")
def served(world: Path) -> Path:
    """A run on a drawn stream."""
    return serve(world, "served")


def of_ranks(folder: Path) -> list[list[dict]]:
    """Each trainer's notes, in their order."""
    return [[row for _, row in read_jsonl(folder / f"notes-{rank}.jsonl")] for rank in (0, 1)]


def test_trainers_beside_a_server_train_on_its_completions(world, served):
    stream = [row["id"] for _, row in read_jsonl(world / "science.jsonl")]
    for rank, rows in enumerate(of_ranks(served)):
        assert [row["step"] for row in rows][:3] == [0, 1, 2] and [row["step"] for row in rows][-2:] == [2, 3]
        for row in rows:  # each rank has one group a step, of the stream's next question
            assert row["ids"] == [stream[2 * row["step"] + rank]] * 6
        assert any(len(set(row["texts"])) > 1 for row in rows)
    assert (served / "checkpoint-4/model.safetensors").exists()


def test_trainer_and_server_agree_on_the_log_probabilities(served):
    log = [row for _, row in read_jsonl(served / "log.jsonl")]
    assert len(log) == 4
    # The server computes in bfloat16, as it will on a GPU.
    assert all(row["sampling/sampling_logp_difference/mean"] < 2 * TOLERANCE for row in log), log


def test_a_killed_run_beside_a_server_is_answered_as_if_it_had_never_stopped(served):
    for rows in of_ranks(served):
        texts = [row["texts"] for row in rows]
        assert texts[-2] == texts[2] != texts[1]
    first = of_ranks(served)[0]  # the other trainer may have been killed before it could note step 3
    assert first[-1]["texts"] == first[3]["texts"]


def test_an_online_run_beside_a_server_goes_on_with_the_prompts_it_had_chosen(world):
    folder = serve(world, "served-online", {"rule": "dump"})
    used = read_used(folder)
    assert [row.step for row in used] == [1, 1, 2, 2, 3, 3, 4, 4] and len({row.domain for row in used}) == 2
    for rank, rows in enumerate(of_ranks(folder)):
        for row in rows:
            assert row["ids"] == [used[2 * row["step"] + rank].id] * 6
        texts = [row["texts"] for row in rows]
        assert texts[-2] == texts[2] != texts[1]
    log = [row for _, row in read_jsonl(folder / "log.jsonl")]
    assert len(log) == 4 and log[-1]["realised/science"] == sum(row.domain == "science" for row in used) / 8
    assert all(row["sampling/sampling_logp_difference/mean"] < 2 * TOLERANCE for row in log), log


def test_nothing_of_a_server_outlives_its_killed_launcher(served):
    family = read_json(served / "family.json")
    assert len(family) >= 5, "a server with its engine and its worker, two trainers"
    alive = [pid for pid in family if psutil.pid_exists(pid)]
    assert [pid for pid in alive if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE] == []


def test_weights_go_to_a_server_between_gpus_only(served):
    refused = "Weight synchronization runs on vLLM's NCCL weight-transfer engine, which needs a CUDA device, got 'cpu"
    assert refused in (served / "told--1").read_text()


# --- prediction ---------------------------------------------------------------------------------------------------

PREDICT = """
import runpy, sys
sys.argv = ["scripts/predict.py", *sys.argv[1:]]
runpy.run_path("scripts/predict.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def run_json(world: Path, trained: Path) -> Path:
    """What a training run says of its checkpoints: two, and a scored step past the end that shares the last."""
    (trained / "checkpoint-9").symlink_to("checkpoint-6")
    digests = {step: file_digest(trained / f"checkpoint-{step}/model.safetensors") for step in (3, 6, 9)}
    kept = {
        str(step): {"step": min(step, 6), "path": f"checkpoint-{step}", "weights": digest}
        for step, digest in digests.items()
    }
    write_json(trained / "run.json", {"mixture": "trained", "seed": 42, "checkpoints": kept})
    return trained / "run.json"


@pytest.fixture(scope="module")
def predicted(world: Path, run_json: Path) -> Path:
    return predict(world, "vllm", run_json, ["science_test", "chart"])


def predict(
    world: Path, engine: str, run_json: Path, benchmarks: list[str], folder: str | None = None
) -> Path:
    settings = study_settings(world, engine)
    output = world / (folder or f"by-{engine}") / "predictions.json"
    questions = [world / f"{name}.jsonl" for name in benchmarks]
    words = ["--settings", settings, "--run", run_json, "--benchmarks", *questions, "--output", output]
    if engine == "vllm":
        print(run(program(world, "predict", PLAIN_MATRICES + PREDICT), *words))
    else:  # as outside of tests, with the transformers of the ordinary environment, which is newer
        print(run("scripts/predict.py", *words, python=ROOT / ".venv/bin/python"))
    return output.parent


def study_settings(world: Path, engine: str) -> Path:
    data = yaml.safe_load(STUDY.read_text())
    data["evaluation"]["engine"] = engine
    path = world / f"{engine}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def answers(folder: Path) -> Iterator[tuple[str, list]]:
    for path in sorted(folder.glob("*/*.jsonl")):
        yield str(path.relative_to(folder)), list(read_predictions(path))


def test_vllm_predicts_what_transformers_predicts(world, run_json, predicted):
    other = predict(world, "transformers", run_json, ["science_test", "chart"])
    assert dict(answers(predicted)) == dict(answers(other))
    names = [name for name, _ in answers(predicted)]
    assert names == [f"{step}/{name}.jsonl" for step in (3, 6, 9) for name in ("chart", "science_test")]
    assert {p.finish_reason for _, ps in answers(predicted) for p in ps} == {"stop", "length"}


def test_each_checkpoint_answers_with_its_own_weights(predicted):
    by_mark = {name: [p.completion for p in ps] for name, ps in answers(predicted)}
    assert by_mark["3/chart.jsonl"] != by_mark["6/chart.jsonl"]
    assert by_mark["6/chart.jsonl"] == by_mark["9/chart.jsonl"]


def test_a_benchmark_added_later_predicts_only_itself(world, run_json, predicted):
    folder = predict(world, "vllm", run_json, ["chart"], folder="later")
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/chart.jsonl")}
    predict(world, "vllm", run_json, ["chart", "science_test"], folder="later")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/chart.jsonl")} == before
    parts = read_json(folder / "run.json")["parts"]
    assert [part["answered"] for part in parts] == [
        [f"{step}/{name}" for step in (3, 6, 9)] for name in ("chart", "science_test")
    ]
    for path in folder.glob("*/*.jsonl"):  # nor does it matter what was predicted together
        assert path.read_bytes() == (predicted / path.relative_to(folder)).read_bytes()


# --- merged experts -----------------------------------------------------------------------------------------------

MERGE = """
import runpy, sys
sys.argv = ["scripts/score_merges.py", *sys.argv[1:]]
runpy.run_path("scripts/score_merges.py", run_name="__main__")
"""

# A completion as a number: what two engines, or two merges, answer alike scores alike and nothing else does.
AS_A_NUMBER = """
import hashlib
from modomodo.metrics.metric import Score, metric


@metric("as_a_number", version=1, reads_completion=True)
def as_a_number(text, example):
    return Score(int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12)
"""


@pytest.fixture(scope="module")
def experts(world: Path, trained: Path) -> list[Path]:
    """The two checkpoints of the training, as if each domain alone had trained one."""
    runs = []
    for domain, step in (("detection", 3), ("science", 6)):
        folder = world / "experts" / domain
        folder.mkdir(parents=True)
        (folder / "checkpoint-9").symlink_to(trained / f"checkpoint-{step}")
        weights = file_digest(trained / f"checkpoint-{step}/model.safetensors")
        run_ = {
            "base": read_json(world / "base.json")["weights"],
            "cache_version": 1,
            "seed": 42,
            "settings": {},
            "stream": {"requested": {domain: 1.0}, "exhausted": None},
            "checkpoints": {"9": {"path": "checkpoint-9", "step": 9, "weights": weights}},
        }
        write_json(folder / "run.json", run_)
        runs.append(folder / "run.json")
    return runs


def merge(world: Path, engine: str, experts: list[Path]) -> pd.DataFrame:
    """merged.csv of the experts themselves and of two mixtures of them, by one engine."""
    plugin = world / "as_a_number.py"
    plugin.write_text(AS_A_NUMBER, encoding="utf-8")
    data = yaml.safe_load(STUDY.read_text())
    data["plugins"] = [str(plugin)]
    data["evaluation"]["engine"] = engine
    data["merging"] = {"alphas": [1.0, 1.5]}
    for benchmark in data["benchmarks"].values():
        benchmark["metric"] = "as_a_number"
    settings = world / f"merge-{engine}.yaml"
    settings.write_text(yaml.safe_dump(data, sort_keys=False))
    mixtures = []
    for name, science in (("only-detection", 0.0), ("only-science", 1.0), ("half", 0.5), ("most", 0.8)):
        mixtures.append(world / f"mixtures/{name}.json")
        weights = {"detection": 1 - science, "science": science}
        write_mixture(mixtures[-1], Mixture(name=name, weights=weights, strategy="given", round=0))
    output = world / f"merged-{engine}/merged.csv"
    words = ["--settings", settings, "--base", world / "base", "--base-info", world / "base.json"]
    words += ["--experts", *experts, "--mixtures", *mixtures, "--output", output]
    words += ["--benchmarks", *(world / f"{name}.jsonl" for name in data["benchmarks"])]
    if engine == "vllm":
        print(run(program(world, "merge", PLAIN_MATRICES + MERGE), *words))
    else:
        print(run("scripts/score_merges.py", *words, python=ROOT / ".venv/bin/python"))
    kept = {path.suffix for path in output.parent.rglob("*") if path.is_file()}
    assert ".safetensors" not in kept, "a merged model was left behind"
    return pd.read_csv(output).set_index("mixture")


def test_vllm_answers_for_merged_experts_as_transformers_does(world, trained, experts):
    scores = ["y_science_test", "y_chart"]
    merged = merge(world, "vllm", experts)
    assert len(merged) == 8 and len(merged[scores].drop_duplicates()) == 8, "not each with its own weights"
    pd.testing.assert_frame_equal(merged, merge(world, "transformers", experts))
