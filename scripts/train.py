"""base + stream → scored checkpoints: train one mixture by GRPO with verifiable rewards.

Example:
    python scripts/train.py --settings config/tiny.yaml --base results/tiny/base --base-info results/tiny/base.json \\
        --stream results/tiny/streams/all/42.jsonl --examples results/tiny/examples/*.jsonl \\
        --mixture all --seed 42 --output /tmp/runs/all/42/run.json

1. Read the stream's rows. If this very run was finished before, return it.
2. Check every image and number before anything slow; an interrupted run resumes from its last checkpoint.
3. Train with TRL's GRPO on the stream in its order; on several GPUs as several processes of this script, with a
   vLLM server where the settings ask for one (docs/gpus.md).
4. Keep the checkpoints of the scored steps, the log and, last, run.json with the provenance.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from modomodo import command_line, console
from modomodo.config.loading import load_plugins
from modomodo.data.examples import Example, check_image, read_examples
from modomodo.errors import InputError
from modomodo.files import digest, file_digest, read_json, read_jsonl, write_json
from modomodo.training import launch as launching
from modomodo.training.gpus import acquire_gpus
from modomodo.training.groups import groups_of
from modomodo.training.job import (
    TrainJob,
    decided,
    decided_stream,
    digest_of,
    live_stream,
    spare_rows,
    with_known_end,
)
from modomodo.training.lessons import lessons, unfit_rewards
from modomodo.training.model_directory import untried
from modomodo.training.run_folder import (
    CACHE_VERSION,
    alone_in,
    close_run,
    link_shared_checkpoints,
    open_run,
    trained_to,
    weights_digest,
)
from modomodo.training.settings import TrainSettings
from modomodo.training.supervise import LaunchError
from modomodo.training.trackers import Tracking
from modomodo.training.vllm_environment import check_vllm, enter_vllm_environment
from modomodo.warning_files import warn


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--base", type=Path, required=True, help="the base model's directory")
    parser.add_argument(
        "--base-info", type=Path, required=True, help="its JSON, with the digest of the weights"
    )
    parser.add_argument(
        "--stream", type=Path, required=True, help="the stream; its .summary.json lies in the same folder"
    )
    parser.add_argument("--examples", type=Path, required=True, nargs="+", help="DOMAIN.jsonl files")
    parser.add_argument("--mixture", default="unnamed", help="the mixture's name, for run.json (%(default)s)")
    parser.add_argument("--seed", type=int, required=True, help="seed of the training")
    parser.add_argument(
        "--report-to", nargs="*", default=[], help="trackers that show the run, e.g. tensorboard (none)"
    )
    parser.add_argument("--group", default="", help="the study's name, under which trackers show the run")
    parser.add_argument("--save-steps", type=int, default=100, help="steps between resume checkpoints (100)")
    parser.add_argument("--output", type=Path, required=True, help="run.json; the rest lies in its folder")
    arguments = parser.parse_args()
    settings = command_line.settings(arguments.settings, TrainSettings, TrainSettings.of)
    load_plugins(settings.plugins)
    summary = arguments.stream.with_suffix(".summary.json")
    drawn = read_json(summary, "steps", "checkpoint_steps", "requested")
    if not drawn["checkpoint_steps"]:  # a place in a race that no run takes
        idle = {"mixture": arguments.mixture, "seed": arguments.seed, "checkpoints": {}, "seconds": {}}
        write_json(arguments.output, {**idle, "stream": drawn})
        return
    job = read_job(arguments, settings, drawn)
    if launching.is_trainer():
        train_here(with_known_end(job))
        return
    with alone_in(job.folder):
        run = trained_run(arguments, settings, job, drawn)
        write_json(arguments.output, seen_from(arguments.output.parent, job.folder, run))


def trained_run(
    arguments: argparse.Namespace, settings: TrainSettings, job: TrainJob, drawn: dict[str, Any]
) -> dict[str, Any]:
    """The description of the run, trained now if it was not."""
    summary = arguments.stream.with_suffix(".summary.json")
    fingerprint = decides(job, settings, arguments.base_info, drawn)
    run = open_run(job.folder, digest(fingerprint), job.scored)
    if run is None:
        for example, folder in (*job.rows, *job.spare):
            check_image(example, folder)
        inputs = [arguments.base_info, arguments.stream, summary, *arguments.examples]
        unfit = untried(job.base) + unfit_rewards(settings.rewards, (example for example, _ in job.rows))
        warn(arguments.output, unfit)  # before the hours that it may be wrong for
        job = with_known_end(job)  # of work that is the run's own
        trained, stream = train_and_describe(job, drawn)
        # A run in a race may have been trained further than this part of it goes.
        log = [row for _, row in read_jsonl(job.folder / "log.jsonl") if row["step"] <= job.last_step]
        run = {
            "mixture": drawn.get("mixture", arguments.mixture),
            **trained,
            "stream": {**stream, **groups_of(log)},
            "inputs": {str(path): file_digest(path) for path in inputs},
            **fingerprint,
        }
        learnt = lessons(
            log,
            settings.rewards,
            fingerprint["base"],
            (kept["weights"] for kept in run["checkpoints"].values()),
        )
        warn(arguments.output, learnt, said=unfit)
        close_run(job.folder, run, job.finished)
    return run


def decides(job: TrainJob, settings: TrainSettings, base_info: Path, drawn: dict) -> dict:
    """All that decides the result of a run, the same for each of its parts."""
    whole = (
        {step: step for step in job.settings.training.scored_steps} if job.live else drawn["checkpoint_steps"]
    )
    return {
        "cache_version": CACHE_VERSION,
        "settings": settings.changed(),
        "seed": job.seed,
        "base": read_json(base_info, "weights")["weights"],
        "rows": digest_of(job.rows),
        "checkpoint_steps": {str(step): real for step, real in whole.items()},
        **decided(job),
    }


def seen_from(folder: Path, home: Path, run: dict) -> dict:
    """The run.json of a run whose work lies in `home`, with paths as they are from `folder`."""
    if folder == home:
        return run
    checkpoints = {
        step: {**kept, "path": os.path.relpath(home / kept["path"], folder)}
        for step, kept in run["checkpoints"].items()
    }
    return {**run, "checkpoints": checkpoints}


def read_job(arguments: argparse.Namespace, settings: TrainSettings, drawn: dict) -> TrainJob:
    """What is trained, by the command's arguments and the stream's summary. Raises InputError naming file and line.

    A place in a race is a part of the run that takes it, and is trained in that run's folder; a place of a budget that
    repeats a mixture is that mixture's run under another seed.
    """
    mixture, until = drawn.get("mixture", arguments.mixture), drawn.get("until")
    seed = drawn.get("seed", arguments.seed)
    folder = arguments.output.parent
    if mixture != arguments.mixture:
        folder = folder.parents[1] / mixture / str(seed)
    training = settings.training.model_copy(update={"save_steps": arguments.save_steps})
    rows = read_rows(arguments.stream, arguments.examples)
    steps = {int(step): real for step, real in drawn["checkpoint_steps"].items()}
    job = TrainJob(
        base=arguments.base,
        rows=rows,
        folder=folder,
        settings=settings.model_copy(update={"training": training}),
        seed=seed,
        last_step=min(drawn["steps"], until or drawn["steps"]),
        checkpoint_steps={step: real for step, real in steps.items() if step <= (until or step)},
        tracking=Tracking(arguments.report_to, arguments.group, mixture, seed, drawn["requested"]),
        since=drawn.get("since", 0),
        goes_on=until is not None,
    )
    online = drawn.get("online")
    if online is None and training.dynamic_sampling is None:
        return job
    spare = [] if online else spare_rows(rows, arguments.examples, seed)
    return replace(
        job,
        last_step=until or training.steps,
        checkpoint_steps={step: step for step in training.scored_steps if step <= (until or step)},
        spare=spare,
        live=live_stream(training, [*rows, *spare], seed, None if online else rows, online),
    )


def read_rows(stream: Path, examples: list[Path]) -> list[tuple[Example, Path]]:
    """(example, folder of its image) in the stream's order. Raises InputError naming file and line."""
    files = {path.stem: path for path in examples}
    known: dict[str, dict[str, Example]] = {}
    rows = []
    for number, draw in read_jsonl(stream):
        domain, id_ = draw["domain"], draw["id"]
        if domain not in files:
            raise InputError(f"{stream}:{number}: domain '{domain}' has no --examples {domain}.jsonl")
        if domain not in known:
            known[domain] = {row.id: row for row in read_examples(files[domain])}
        if id_ not in known[domain]:
            raise InputError(f"{stream}:{number}: {files[domain]} has no example '{id_}': delete the stream")
        rows.append((known[domain][id_], files[domain].parent))
    return rows


def train_and_describe(job: TrainJob, drawn: dict) -> tuple[dict, dict]:
    """Train, in this process or in several; then the checkpoints, where they were made and how long it took.

    And the summary of its stream: as `drawn`, or as it was decided.
    """
    from modomodo.study.provenance import provenance

    training = job.settings.training
    if training.vllm != "off":
        enter_vllm_environment()
        check_vllm("training.vllm", "off", training.gpus, for_training=True)
    gpus = acquire_gpus(training.gpus, "training.gpus")
    started = time.monotonic()
    if not job.left and job.last_step <= trained_to(job.folder):
        # A part of a run whose stream had ended before, or that has been trained further already.
        link_shared_checkpoints(job.folder, job.checkpoint_steps)
        seconds = {}
    elif training.processes > 1 or training.vllm == "server" or training.accelerate:
        if training.vllm == "server":
            from modomodo.training.models import check_model

            check_model(job.base)  # the server takes it first, and vLLM checks less
        try:
            launching.launch([sys.executable, *sys.argv], training, job.base, job.folder, gpus)
        except LaunchError as error:
            sys.exit(f"error: {error}")
        seconds = {"train": time.monotonic() - started}
    else:
        seconds = train_here(job)
    stream, scored = drawn, job.scored
    if job.live:
        stream = decided_stream(job, drawn)
        ends = stream["checkpoint_steps"]
        scored = {step: ends[str(step)] for step in scored}
    checkpoints = {
        str(step): {
            "step": real,
            "path": f"checkpoint-{step}",
            "weights": weights_digest(job.folder / f"checkpoint-{step}"),
        }
        for step, real in scored.items()
    }
    return {"checkpoints": checkpoints, **provenance(), "seconds": seconds}, stream


def train_here(job: TrainJob) -> dict[str, float]:
    """Train in this process, alone or as one of several. Returns durations in seconds."""
    started = time.monotonic()
    with console.imports():  # torch and TRL: seconds that a finished run need not wait
        from modomodo.training.trainer import train

    imported = time.monotonic() - started
    return {"import": imported, **train(job, launching.server_of_trainer())}


if __name__ == "__main__":
    command_line.run(main)
