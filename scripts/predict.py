"""checkpoints + benchmarks → predictions, greedily.

Example:
    python scripts/predict.py --settings config/tiny.yaml --run results/tiny/runs/all/42/run.json \\
        --benchmarks results/tiny/examples/chart.jsonl --output /tmp/predictions/all/42/predictions.json

Each checkpoint is loaded once, into transformers or vLLM (evaluation.engine), and answers every benchmark that
has no prediction by these very weights, questions and settings yet: STEP/BENCHMARK.jsonl beside the output, which
lists them with their digests.
Give `--base DIR --base-info FILE` in place of `--run` for the model before training (step 0).
"""

import time
from collections.abc import Iterator
from pathlib import Path

from modomodo import command_line, console
from modomodo.config.loading import load_plugins
from modomodo.data.examples import Example, check_image, read_examples
from modomodo.errors import InputError
from modomodo.evaluation.engines.start import ready_to_answer
from modomodo.evaluation.predictions import Prediction, is_made, prediction_key
from modomodo.evaluation.settings import PredictSettings
from modomodo.files import file_digest, read_json, write_json, write_jsonl
from modomodo.study.provenance import describe_part
from modomodo.training.run_folder import remove_weights, weights_removed


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="run.json of a training run")
    source.add_argument("--base", type=Path, help="the base model's directory")
    parser.add_argument("--base-info", type=Path, help="with --base: its JSON with the digest of the weights")
    parser.add_argument("--benchmarks", type=Path, required=True, nargs="+", help="BENCHMARK.jsonl files")
    parser.add_argument(
        "--output", type=Path, required=True, help="predictions.json; the rest lies beside it"
    )
    parser.add_argument(
        "--keep",
        default="all",
        metavar="MARK,MARK",
        help="with --run: whose weights stay when all is predicted: all, none or marks (all)",
    )
    arguments = parser.parse_args()
    step = command_line.settings(arguments.settings, PredictSettings, PredictSettings.of)
    load_plugins(step.plugins)
    rows = {path.stem: read_rows(path) for path in arguments.benchmarks}
    questions = {path.stem: file_digest(path) for path in arguments.benchmarks}
    checkpoints = find_checkpoints(arguments.run, arguments.base, arguments.base_info)
    folder = arguments.output.parent

    made: dict[tuple[str, str], Path] = {}  # (weights, benchmark) → predictions already at hand
    missing: dict[str, list[tuple[str, str, str]]] = {}  # weights → (mark, benchmark, key)
    listed: dict[str, dict] = {}
    for mark, (_, weights) in checkpoints.items():
        for name in rows:
            key = prediction_key(step, name, weights, questions[name])
            listed.setdefault(mark, {})[name] = {"path": f"{mark}/{name}.jsonl", "key": key}
            if is_made(folder / mark / f"{name}.jsonl", key):
                made[weights, name] = folder / mark / f"{name}.jsonl"
            else:
                missing.setdefault(weights, []).append((mark, name, key))
    check_weights(checkpoints, missing)
    if missing:
        predict_missing(checkpoints, missing, made, rows, step, folder)
        answered = [f"{mark}/{name}" for names in missing.values() for mark, name, _ in names]
        describe_part(folder / "run.json", step, answered, arguments.benchmarks)
    for mark, names in listed.items():
        for name, entry in names.items():
            entry["sha256"] = file_digest(folder / mark / f"{name}.jsonl")
    write_json(arguments.output, {"settings": step.changed(), "predictions": listed})
    if arguments.run and arguments.keep != "all":
        keep = [] if arguments.keep == "none" else arguments.keep.split(",")
        freed = remove_weights(arguments.run.parent, read_json(arguments.run, "checkpoints"), keep)
        print(f"{arguments.run.parent}: weights removed of the marks {', '.join(freed) or '(none)'}")


def read_rows(path: Path) -> list[tuple[Example, Path]]:
    """(example, folder of its image). Raises InputError for a damaged row or a benchmark without rows."""
    rows = [(example, path.parent) for example in read_examples(path)]
    if not rows:
        raise InputError(
            f"{path}: benchmark without rows: look at its options and .rejected.jsonl, then delete the file"
        )
    return rows


def find_checkpoints(run: Path | None, base: Path | None, info: Path | None) -> dict[str, tuple[Path, str]]:
    """Mark → (directory, digest of the weights)."""
    if run is None:
        if base is None or info is None:
            raise InputError("--base-info: needed with --base")
        return {"0": (base, read_json(info, "weights")["weights"])}
    kept = read_json(run, "checkpoints")["checkpoints"]
    for entry in kept.values():
        if not (run.parent / entry["path"]).is_dir():
            raise InputError(
                f"{run.parent / entry['path']}: checkpoint is gone: delete {run} to train it anew"
            )
    return {mark: (run.parent / entry["path"], entry["weights"]) for mark, entry in kept.items()}


def check_weights(
    checkpoints: dict[str, tuple[Path, str]], missing: dict[str, list[tuple[str, str, str]]]
) -> None:
    """Raises InputError when a checkpoint that is to answer has no weights any more."""
    for directory, weights in checkpoints.values():
        if weights in missing and weights_removed(directory):
            asked = ", ".join(sorted({name for _, name, _ in missing[weights]}))
            raise InputError(
                f"{directory}: its weights were removed once scored (training.keep_weights), and it has not answered "
                f"{asked}: delete {directory.parent} to train the run again"
            )


def predict_missing(
    checkpoints: dict[str, tuple[Path, str]],
    missing: dict[str, list[tuple[str, str, str]]],
    made: dict[tuple[str, str], Path],
    rows: dict[str, list[tuple[Example, Path]]],
    step: PredictSettings,
    folder: Path,
) -> None:
    """Load each checkpoint once and write what it has not answered yet."""
    started = time.monotonic()
    ready_to_answer(step.evaluation)
    wanted = sorted({name for names in missing.values() for _, name, _ in names})
    for name in wanted:
        for example, image_folder in rows[name]:
            check_image(example, image_folder)
    with console.imports():  # here, since a job that finds all its predictions made should take no seconds
        import torch

        from modomodo.evaluation.engines.base import KEPT_BYTES
        from modomodo.evaluation.engines.start import start_engine
    directory_of = {weights: directory for directory, weights in checkpoints.values()}
    torch.set_num_threads(step.evaluation.threads)
    asked = [row for name in wanted for row in rows[name]]
    engine = start_engine(step.evaluation, step.dtype, next(iter(directory_of.values())), asked)
    kept = KEPT_BYTES // len(wanted)
    batches = {
        name: engine.batches(rows[name], step.for_benchmark(name).prompts, step.evaluation.batch_size, kept)
        for name in wanted
    }

    def answered() -> Iterator[None]:
        for weights in sorted(missing):
            engine.load(directory_of[weights])
            for mark, name, key in missing[weights]:
                path = folder / mark / f"{name}.jsonl"
                path.with_suffix(".key").unlink(missing_ok=True)  # of other predictions than those to come
                if (weights, name) in made:  # marks past the end of a stream share their weights
                    predictions = made[weights, name].read_text(encoding="utf-8")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(predictions, encoding="utf-8")
                    yield from [None] * len(batches[name])
                else:
                    answers: dict[str, Prediction] = {}
                    for batch in batches[name]:
                        answers |= engine.answer(batch)
                        yield
                    write_jsonl(path, (answers[example.id].model_dump() for example, _ in rows[name]))
                    made[weights, name] = path
                path.with_suffix(".key").write_text(key + "\n", encoding="utf-8")

    total = sum(len(batches[name]) for names in missing.values() for _, name, _ in names)
    for _ in console.progress(answered(), "predict", total):
        pass
    print(f"{folder}: {sum(map(len, missing.values()))} predictions in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    command_line.run(main)
