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
import sys
import time
from dataclasses import replace
from pathlib import Path

from modomodo import command_line, console
from modomodo.config.loading import load_plugins
from modomodo.data.examples import Example, check_image, read_examples
from modomodo.errors import InputError
from modomodo.files import digest, file_digest, read_json, read_jsonl, write_json
from modomodo.training import launch as launching
from modomodo.training.gpus import acquire_gpus
from modomodo.training.groups import groups_of
from modomodo.training.job import TrainJob, decided, decided_stream, digest_of, live_stream, spare_rows
from modomodo.training.lessons import lessons, unfit_rewards
from modomodo.training.model_directory import untried
from modomodo.training.run_folder import CACHE_VERSION, close_run, open_run, weights_digest
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
    job = read_job(arguments, settings)
    if launching.is_trainer():
        train_here(job)
        return
    fingerprint = {
        "cache_version": CACHE_VERSION,
        "settings": settings.changed(),
        "seed": job.seed,
        "base": read_json(arguments.base_info, "weights")["weights"],
        "rows": digest_of(job.rows),
        "checkpoint_steps": {str(step): real for step, real in job.checkpoint_steps.items()},
        **decided(job),
    }
    run = open_run(job.folder, digest(fingerprint))
    if run is None:
        for example, folder in (*job.rows, *job.spare):
            check_image(example, folder)
        drawn = arguments.stream.with_suffix(".summary.json")
        inputs = [arguments.base_info, arguments.stream, drawn, *arguments.examples]
        unfit = untried(job.base) + unfit_rewards(settings.rewards, (example for example, _ in job.rows))
        warn(arguments.output, unfit)  # before the hours that it may be wrong for
        trained, stream = train_and_describe(job, read_json(drawn))
        log = [row for _, row in read_jsonl(job.folder / "log.jsonl")]
        run = {
            "mixture": arguments.mixture,
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
        close_run(job.folder, run)
    write_json(arguments.output, run)


def read_job(arguments: argparse.Namespace, settings: TrainSettings) -> TrainJob:
    """What is trained, by the command's arguments. Raises InputError naming file and line."""
    drawn = read_json(arguments.stream.with_suffix(".summary.json"), "steps", "checkpoint_steps", "requested")
    training = settings.training.model_copy(update={"save_steps": arguments.save_steps})
    rows = read_rows(arguments.stream, arguments.examples)
    job = TrainJob(
        base=arguments.base,
        rows=rows,
        folder=arguments.output.parent,
        settings=settings.model_copy(update={"training": training}),
        seed=arguments.seed,
        last_step=drawn["steps"],
        checkpoint_steps={int(step): real for step, real in drawn["checkpoint_steps"].items()},
        tracking=Tracking(
            arguments.report_to, arguments.group, arguments.mixture, arguments.seed, drawn["requested"]
        ),
    )
    online = drawn.get("online")
    if online is None and training.dynamic_sampling is None:
        return job
    spare = [] if online else spare_rows(rows, arguments.examples, arguments.seed)
    return replace(
        job,
        last_step=training.steps,
        checkpoint_steps={step: step for step in training.scored_steps},
        spare=spare,
        live=live_stream(training, [*rows, *spare], arguments.seed, None if online else rows, online),
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
    if training.processes > 1 or training.vllm == "server" or training.accelerate:
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
    stream = drawn if job.live is None else decided_stream(job, drawn)
    checkpoints = {
        str(step): {
            "step": real,
            "path": f"checkpoint-{step}",
            "weights": weights_digest(job.folder / f"checkpoint-{step}"),
        }
        for step, real in stream["checkpoint_steps"].items()
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
