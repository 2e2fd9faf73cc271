"""checkpoints + benchmarks → predictions, greedily.

Example:
    python scripts/predict.py --settings config/tiny.yaml --run results/tiny/runs/all/42/run.json \\
        --benchmarks results/tiny/examples/chart.jsonl --output /tmp/predictions/all/42/predictions.json

1. List what every checkpoint answers: STEP/BENCHMARK.jsonl next to the output, with a cache key each.
2. Load each checkpoint that has answers missing once, into transformers or vLLM (evaluation.engine), and write them.
   Predictions by these very weights, questions and settings are cached.
3. Write the list with its digests, then remove the weights that are not to stay (--keep).

Give `--base DIR --base-info FILE` in place of `--run` for the model before training (step 0).
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from modomodo import command_line, console
from modomodo.config.loading import load_plugins
from modomodo.errors import InputError
from modomodo.evaluation.benchmarks import Questions, load_benchmarks
from modomodo.evaluation.engines.start import start_engine
from modomodo.evaluation.predictions import (
    Checkpoint,
    PredictionEntry,
    PredictionFile,
    RunPredictions,
    list_predictions,
    read_checkpoints,
    read_predictions,
)
from modomodo.evaluation.settings import PredictSettings
from modomodo.files import read_json, write_json
from modomodo.mixtures.records import BASE
from modomodo.study.provenance import describe_part
from modomodo.training.run_folder import remove_weights, weights_removed


def main() -> None:
    arguments = parse_arguments()
    settings = command_line.settings(arguments.settings, PredictSettings, PredictSettings.of)
    load_plugins(settings.plugins)
    questions = load_benchmarks(arguments.benchmarks)
    checkpoints = find_checkpoints(arguments.run, arguments.base, arguments.base_info)
    run: dict = {"mixture": BASE, "seed": 0}
    if arguments.run:
        run = read_json(arguments.run, "mixture", "seed", "checkpoints")
    listed_in = arguments.output.parent
    folder = listed_in
    if arguments.run and any(".." in Path(kept["path"]).parts for kept in run["checkpoints"].values()):
        # Of a place in a race: they lie with those of the run that takes it.
        folder = listed_in.parents[1] / run["mixture"] / str(run["seed"])
    digests = {name: asked.digest for name, asked in questions.items()}
    files = list_predictions(checkpoints, digests, settings, folder)
    missing = [file for file in files if not file.is_cached()]
    if missing:
        check_weights(missing)
        predict(missing, [file for file in files if file not in missing], questions, settings)
        describe_part(folder / "run.json", settings, [file.name for file in missing], arguments.benchmarks)
    entries: dict[int, dict[str, PredictionEntry]] = {}
    for file in files:
        entries.setdefault(file.checkpoint.step, {})[file.benchmark] = file.entry(listed_in)
    listed = RunPredictions(
        mixture=run["mixture"],
        seed=run["seed"],
        settings=settings.changed(),
        predictions=entries,
    )
    write_json(arguments.output, listed.model_dump(mode="json"))
    if arguments.run and arguments.keep != "all":
        keep = {*arguments.keep.split(",")} & {str(checkpoint.step) for checkpoint in checkpoints}
        freed = remove_weights(arguments.run.parent, read_json(arguments.run, "checkpoints"), keep)
        print(f"{arguments.run.parent}: weights removed of the steps {', '.join(freed) or '(none)'}")


def parse_arguments() -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="run.json of a training run")
    source.add_argument("--base", type=Path, help="the base model's directory")
    parser.add_argument("--base-info", type=Path, help="with --base: its JSON with the digest of the weights")
    parser.add_argument("--benchmarks", type=Path, required=True, nargs="+", help="BENCHMARK.jsonl files")
    parser.add_argument(
        "--output", type=Path, required=True, help="predictions.json; the rest lies next to it"
    )
    parser.add_argument(
        "--keep",
        default="all",
        metavar="STEP,STEP",
        help="with --run: whose weights stay when all is predicted: all, none or checkpoint steps (all)",
    )
    return parser.parse_args()


def find_checkpoints(run: Path | None, base: Path | None, info: Path | None) -> list[Checkpoint]:
    """The models that answer. Raises InputError when one of a run is gone."""
    if run is None:
        if base is None or info is None:
            raise InputError("--base-info: needed with --base")
        return [Checkpoint(0, base, read_json(info, "weights")["weights"])]
    checkpoints = read_checkpoints(run)
    for checkpoint in checkpoints:
        if not checkpoint.directory.is_dir():
            raise InputError(f"{checkpoint.directory}: checkpoint is gone: delete {run} to train it again")
    return checkpoints


def check_weights(missing: Sequence[PredictionFile]) -> None:
    """Raises InputError when a checkpoint that is to answer has no weights any more."""
    for file in missing:
        directory = file.checkpoint.directory
        if weights_removed(directory):
            asked = {each.benchmark for each in missing if each.checkpoint.weights == file.checkpoint.weights}
            raise InputError(
                f"{directory}: its weights were removed once scored (training.keep_weights), and it has not answered "
                f"{', '.join(sorted(asked))}: delete {directory.parent} to train the run again"
            )


def predict(
    missing: Sequence[PredictionFile],
    cached: Sequence[PredictionFile],
    questions: Mapping[str, Questions],
    settings: PredictSettings,
) -> None:
    """Load each checkpoint once and write what it has not answered yet."""
    started = time.monotonic()
    written = {file.content: file for file in cached}
    asked = {name: questions[name] for name in sorted({file.benchmark for file in missing})}
    engine = start_engine(settings, missing[0].checkpoint.directory, asked.values())
    batches = dict(zip(asked, engine.prepare(list(asked.values()), settings), strict=True))
    contents = {file.content for file in missing} - set(written)
    steps = console.progress(range(sum(len(batches[name]) for _, name in contents)), "predict")
    loaded = ""
    for file in sorted(missing, key=lambda file: file.checkpoint.weights):
        if file.content in written:  # checkpoints past the end of a stream share their weights
            file.write(read_predictions(written[file.content].path))
            continue
        if file.checkpoint.weights != loaded:
            engine.load(file.checkpoint.directory)
            loaded = file.checkpoint.weights
        answers = engine.answer_all(batches[file.benchmark], lambda: next(steps))
        file.write(answers[example.id] for example in asked[file.benchmark].examples)
        written[file.content] = file
    print(
        f"{missing[0].path.parents[1]}: {len(missing)} predictions in {console.duration(time.monotonic() - started)}"
    )


if __name__ == "__main__":
    command_line.run(main)
