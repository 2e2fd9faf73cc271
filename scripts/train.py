"""base + stream → scored checkpoints: train one mixture by GRPO with verifiable rewards.

Example:
    python scripts/train.py --settings config/tiny.yaml --base results/tiny/base --base-info results/tiny/base.json \\
        --stream results/tiny/streams/all/42.jsonl --examples results/tiny/examples/*.jsonl \\
        --mixture all --seed 42 --output /tmp/runs/all/42/run.json

1. Check every row, image and number, before anything slow.
2. If this very run was finished before, hand it back; if it was interrupted, go on from its last save.
3. Train with TRL's GRPO on the stream in its order; on several GPUs as several processes of this script, beside a
   vLLM server where the settings want one (docs/gpus.md).
4. Keep the checkpoints of the scored steps, the log and, last, run.json with the provenance.
"""

import sys
import time
from pathlib import Path

from modomodo import command_line, console
from modomodo.config.loading import load_plugins
from modomodo.data.examples import Example, check_image, read_examples
from modomodo.errors import InputError
from modomodo.files import digest, read_json, read_jsonl, write_json
from modomodo.training import launch as launching
from modomodo.training.gpus import acquire_gpus
from modomodo.training.run_folder import RECIPE, close_run, open_run, weights_digest
from modomodo.training.settings import TrainSettings
from modomodo.training.supervise import LaunchError
from modomodo.training.vllm_environment import check_vllm, enter_vllm_environment


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--base", type=Path, required=True, help="the base model's directory")
    parser.add_argument(
        "--base-info", type=Path, required=True, help="its JSON, with the digest of the weights"
    )
    parser.add_argument(
        "--stream", type=Path, required=True, help="the stream; its .summary.json lies beside it"
    )
    parser.add_argument("--examples", type=Path, required=True, nargs="+", help="DOMAIN.jsonl files")
    parser.add_argument("--mixture", required=True, help="the mixture's name, for run.json")
    parser.add_argument("--seed", type=int, required=True, help="seed of the training")
    parser.add_argument(
        "--save-steps", type=int, default=100, help="steps between saves to resume from (100)"
    )
    parser.add_argument("--output", type=Path, required=True, help="run.json; the rest lies beside it")
    arguments = parser.parse_args()
    step = command_line.settings(arguments.settings, TrainSettings, TrainSettings.of)
    load_plugins(step.plugins)
    rows = read_rows(arguments.stream, arguments.examples)
    drawn = read_json(arguments.stream.with_suffix(".summary.json"), "steps", "checkpoint_steps")
    base = read_json(arguments.base_info, "weights")
    decides = {
        "recipe": RECIPE,
        "settings": step.changed(),
        "seed": arguments.seed,
        "base": base["weights"],
        "rows": digest([example.model_dump(mode="json") for example, _ in rows]),
        "checkpoint_steps": drawn["checkpoint_steps"],
    }
    folder = arguments.output.parent
    if launching.is_trainer():
        train_here(arguments, step, rows, drawn)
        return
    run = open_run(folder, digest(decides))
    if run is None:
        run = train_and_describe(arguments, step, rows, drawn, decides)
        close_run(folder, run)
    write_json(arguments.output, run)


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
        check_image(known[domain][id_], files[domain].parent)
        rows.append((known[domain][id_], files[domain].parent))
    return rows


def train_here(arguments, step: TrainSettings, rows: list, drawn: dict) -> dict[str, float]:
    """Train in this process, alone or as one of several. Returns durations in seconds."""
    started = time.monotonic()
    with console.imports():  # torch and TRL: seconds that a finished run need not wait
        from modomodo.training.trainer import train

    imported = time.monotonic() - started
    durations = train(
        base=arguments.base,
        rows=rows,
        folder=arguments.output.parent,
        settings=step.training.model_copy(update={"save_steps": arguments.save_steps}),
        dtype=step.dtype,
        templates=step.prompts,
        own_templates=step.own_prompts,
        domain_rewards=step.rewards,
        seed=arguments.seed,
        last_step=drawn["steps"],
        marks={int(mark): real for mark, real in drawn["checkpoint_steps"].items()},
        server=launching.server_of_trainer(),
    )
    return {"import": imported, **durations}


def train_and_describe(arguments, step: TrainSettings, rows: list, drawn: dict, decides: dict) -> dict:
    """Train, then say what was made, from what, where and how long it took."""
    from modomodo.study.provenance import provenance

    folder = arguments.output.parent
    if step.training.vllm != "off":
        enter_vllm_environment()
        check_vllm("training.vllm", "off", step.training.gpus, for_training=True)
    gpus = acquire_gpus(step.training.gpus, "training.gpus")
    started = time.monotonic()
    if step.training.processes > 1 or step.training.vllm == "server":
        try:
            launching.launch([sys.executable, *sys.argv], step.training, arguments.base, folder, gpus)
        except LaunchError as error:
            sys.exit(f"error: {error}")
        seconds = {"train": time.monotonic() - started}
    else:
        seconds = train_here(arguments, step, rows, drawn)
    marks = {int(mark): real for mark, real in drawn["checkpoint_steps"].items()}
    checkpoints = {
        str(mark): {
            "step": real,
            "path": f"checkpoint-{mark}",
            "weights": weights_digest(folder / f"checkpoint-{mark}"),
        }
        for mark, real in marks.items()
    }
    return {
        "mixture": arguments.mixture,
        "checkpoints": checkpoints,
        "stream": drawn,
        **decides,
        **provenance(),
        "seconds": seconds,
    }


if __name__ == "__main__":
    command_line.run(main)
