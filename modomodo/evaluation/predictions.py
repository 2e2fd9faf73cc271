"""The prediction row: what a checkpoint answered to one question."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from modomodo.config.loading import parse
from modomodo.evaluation.settings import PredictSettings
from modomodo.files import FIX_LINE, digest, file_digest, read_json, read_jsonl
from modomodo.training.run_folder import FINISHED, weights_removed

RECIPE = 1  # raise when the same settings would give other predictions: all are then made anew


class Prediction(BaseModel):
    """A line of `predictions/<mixture>/<seed>/<step>/<benchmark>.jsonl`."""

    model_config = ConfigDict(extra="forbid")

    id: str
    completion: str = Field(description="The text as generated.")
    answer: str | None = Field(description="What the format's regular expression finds; null when it fails.")
    finish_reason: str = Field(description="'stop', or 'length' when the token limit cut it.")
    tokens: int = Field(ge=0, description="Length of the completion.")


def read_predictions(path: str | Path) -> Iterator[Prediction]:
    """Predictions in file order. Raises InputError naming file, line and field."""
    for number, row in read_jsonl(path):
        yield parse(row, Prediction, f"{path}:{number}", FIX_LINE)


def prediction_key(step: PredictSettings, benchmark: str, weights: str, questions: str) -> str:
    """Names all that decides the predictions of a benchmark. `weights`, `questions`: digests."""
    return digest([RECIPE, step.for_benchmark(benchmark).text(), weights, questions])


def is_made(path: Path, key: str) -> bool:
    """Whether predictions of this key lie at `path`, whole."""
    beside = path.with_suffix(".key")
    return path.is_file() and beside.is_file() and beside.read_text(encoding="utf-8").strip() == key


def runs_without_weights(
    results: Path, runs: Iterable[tuple[str, int]], benchmarks: Iterable[str], step: PredictSettings
) -> list[tuple[str, int, list[str]]]:
    """(mixture, seed, benchmarks) of runs that have yet to predict what they no longer have the weights for."""
    files = {name: results / "examples" / f"{name}.jsonl" for name in benchmarks}
    questions = {name: file_digest(path) if path.is_file() else "" for name, path in files.items()}
    found = []
    for mixture, seed in runs:
        folder = results / "runs" / mixture / str(seed)
        if not (folder / FINISHED).is_file():
            continue
        asked = set()
        for mark, entry in read_json(folder / FINISHED, "checkpoints")["checkpoints"].items():
            if not weights_removed(folder / entry["path"]):
                continue
            for name, digest_ in questions.items():
                path = results / "predictions" / mixture / str(seed) / mark / f"{name}.jsonl"
                if not is_made(path, prediction_key(step, name, entry["weights"], digest_)):
                    asked.add(name)
        if asked:
            found.append((mixture, seed, sorted(asked)))
    return found
