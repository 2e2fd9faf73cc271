"""The steps of a study in a few long-lived processes: a run of seconds need not wait for its imports.

Each step is the very script of the rules, with its files in a folder like results/<study>/. What is done is not done
again, so what was stopped goes on.
"""

import multiprocessing
import os
import runpy
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modomodo import console
from modomodo.config.schema import Study
from modomodo.data.settings import ExamplesSettings
from modomodo.evaluation.settings import PredictSettings, ScoreSettings
from modomodo.files import write_json
from modomodo.mixtures.plan import Plan, plan
from modomodo.mixtures.records import BASE
from modomodo.mixtures.settings import ProposeSettings, StreamSettings
from modomodo.study.outputs import kept_weights
from modomodo.training.settings import BaseModelSettings, TrainSettings

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class World:
    """One base model, or one other setting of the training on it, with its files."""

    study: Study
    folder: Path
    base: Path  # holds base/ and base.json, examples/

    def plan(self) -> Plan:
        """Only the strategies that learn from nothing: the others are not this study's question."""
        kept = {name: s for name, s in self.study.strategies.items() if not s.learns_from}
        return plan(self.study.model_copy(update={"strategies": kept}))


def call(script: str, *arguments: object) -> None:
    """Run a script of the pipeline in this process, its output to the log beside its --output."""
    words = [str(word) for word in arguments]
    output = Path(words[words.index("--output") + 1])
    output.parent.mkdir(parents=True, exist_ok=True)
    before = sys.argv
    try:
        sys.argv = [script, *words]
        with open(output.parent / f".{output.name}.log", "a", encoding="utf-8") as log, redirect_stdout(log):
            runpy.run_path(str(ROOT / f"scripts/{script}.py"), run_name="step")["main"]()
    finally:
        sys.argv = before


def needed(path: Path, *inputs: Path) -> bool:
    """Whether a file is missing or older than what it is made from."""
    return not path.exists() or any(path.stat().st_mtime < each.stat().st_mtime for each in inputs)


# --- the steps of one world ------------------------------------------------------------------------------------------


def make_base(world: World) -> None:
    """Examples and base model."""
    make_examples(world, [*world.study.domains, *world.study.benchmarks])
    if needed(world.base / "base.json"):
        call(
            "base_model",
            *("--settings", BaseModelSettings.of(world.study).text()),
            *("--output", world.base / "base", "--info", world.base / "base.json"),
        )


def make_examples(world: World, names: Iterable[str]) -> None:
    """Of domains and benchmarks."""
    for name in names:
        output = world.base / f"examples/{name}.jsonl"
        if needed(output):
            step = ExamplesSettings.of(world.study, name)
            call("preprocess", "--settings", step.text(), "--name", name, "--output", output)


def make_mixtures(world: World) -> None:
    """The mixtures of every strategy."""
    for strategy, mixtures in world.plan().by_strategy.items():
        outputs = [world.folder / f"mixtures/{mixture}.json" for mixture in mixtures]
        if any(map(needed, outputs)):
            step = ProposeSettings.of(world.study, strategy)
            call("propose", "--settings", step.text(), "--strategy", strategy, "--output", *outputs)


@contextmanager
def counted(world: World, work: str, name: str) -> Iterator[None]:
    """Write down the CPU seconds and the seconds by the clock of what is inside."""
    started, began = time.process_time(), time.monotonic()
    yield
    spent = {work: time.process_time() - started, "wall": time.monotonic() - began}
    write_json(world.folder / f"costs/{work}-{name}.json", spent)


def run_mixture(world: World, mixture: str, seed: int) -> None:
    """Stream, training, predictions and scores of one mixture."""
    study, folder = world.study, world.folder
    planned = plan(study)
    chosen = folder / f"mixtures/{mixture}.json"
    stream = folder / f"streams/{mixture}/{seed}.jsonl"
    run = folder / f"runs/{mixture}/{seed}/run.json"
    domains = planned.support[mixture]
    examples = [world.base / f"examples/{domain}.jsonl" for domain in domains]
    if needed(stream, chosen):
        call(
            "draw_stream",
            *("--settings", StreamSettings.of(study).text(), "--mixture", chosen, "--examples", *examples),
            *("--seed", seed, "--output", stream),
        )
    if needed(run, stream):
        train = (
            *("--settings", TrainSettings.of(study, list(domains)).text()),
            *("--base", world.base / "base", "--base-info", world.base / "base.json", "--stream", stream),
            *("--examples", *examples, "--mixture", mixture, "--seed", seed),
            *("--save-steps", study.training.save_steps, "--output", run),
        )
        with counted(world, "train", f"{mixture}-{seed}"):
            call("train", *train)
    kept = kept_weights(study, planned, mixture)
    keep = "all" if kept is None else ",".join(map(str, kept)) or "none"
    with_run = ("--run", run, "--keep", keep)
    answer(world, mixture, seed, run, with_run)


def answer_base(world: World) -> None:
    """Predictions and scores of the base model."""
    info = world.base / "base.json"
    answer(world, BASE, 0, info, ("--base", world.base / "base", "--base-info", info))


def answer(world: World, mixture: str, seed: int, made: Path, model: Sequence[object]) -> None:
    """Predictions and scores of what `model`, as options of predict.py, names and `made` describes."""
    answers = world.folder / f"predictions/{mixture}/{seed}/predictions.json"
    scores = world.folder / f"scores/{mixture}/{seed}.json"
    if needed(answers, made):
        with counted(world, "predict", f"{mixture}-{seed}"):
            call(
                "predict",
                *("--settings", PredictSettings.of(world.study).text(), *model),
                *("--benchmarks", *tests(world), "--output", answers),
            )
    if needed(scores, answers):
        call(
            "score",
            *("--settings", ScoreSettings.of(world.study).text(), "--predictions", answers),
            *("--benchmarks", *tests(world), "--output", scores),
        )


def tests(world: World) -> list[Path]:
    """The benchmarks' files."""
    return [world.base / f"examples/{name}.jsonl" for name in world.study.benchmarks]


def begin() -> None:
    """A worker: one thread, and no life of its own when the study is killed."""
    os.environ["OMP_NUM_THREADS"] = "1"

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def worker_pool(number: int) -> ProcessPoolExecutor:
    """So many processes that stay."""
    return ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("spawn"), initializer=begin)


def wait(done: Iterable[Any], label: str, total: int) -> None:
    for _ in console.progress(done, label, total):
        pass
