"""What checkpoints answered: the rows of a benchmark's predictions, the list of them, and which of them are cached.

predictions/<mixture>/<seed>/predictions.json             RunPredictions, written last
<step>/<benchmark>.jsonl     a Prediction a line
<step>/<benchmark>.key       the cache key of these lines, written after them
"""

import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from modomodo.config.loading import parse
from modomodo.evaluation.settings import PredictSettings
from modomodo.files import FIX_LINE, digest, file_digest, read_json, read_jsonl, write_jsonl
from modomodo.training.run_folder import finished_parts, weights_removed

CACHE_VERSION = 2  # raise when the same settings would give other predictions: all are then predicted again


class Prediction(BaseModel):
    """What a checkpoint answered to one question."""

    model_config = ConfigDict(extra="forbid")

    id: str
    completion: str = Field(description="The text as generated.")
    answer: str | None = Field(description="What the format's regular expression finds; null when it fails.")
    finish_reason: str = Field(description="'stop', or 'length' when the token limit cut it.")
    tokens: int = Field(ge=0, description="Length of the completion.")


class PredictionEntry(BaseModel):
    """One checkpoint's predictions on one benchmark, as predictions.json lists them."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(description="Relative to the list.")
    key: str = Field(description="Cache key: a digest of the weights, the questions and the settings.")
    sha256: str


class RunPredictions(BaseModel):
    """`predictions.json`: checkpoint step → benchmark → where its predictions lie."""

    model_config = ConfigDict(extra="forbid")

    mixture: str
    seed: int
    settings: dict[str, Any] = Field(description="PredictSettings, as far as they differ from the defaults.")
    predictions: dict[int, dict[str, PredictionEntry]]


@dataclass(frozen=True)
class Checkpoint:
    """A model that answers; `step` is the scored step whose name it has, 0 for the base model."""

    step: int
    directory: Path
    weights: str  # their digest; checkpoints past the end of a stream share theirs


@dataclass(frozen=True)
class PredictionFile:
    """Where the predictions of a checkpoint on a benchmark lie, or will."""

    checkpoint: Checkpoint
    benchmark: str
    path: Path
    key: str

    @property
    def name(self) -> str:
        """`<step>/<benchmark>`, as descriptions call it."""
        return f"{self.checkpoint.step}/{self.benchmark}"

    @property
    def content(self) -> tuple[str, str]:
        """(weights, benchmark): files that agree in both hold the same lines."""
        return self.checkpoint.weights, self.benchmark

    def is_cached(self) -> bool:
        """Whether complete predictions of this key are there."""
        stored = self.path.with_suffix(".key")
        return self.path.is_file() and stored.is_file() and stored.read_text("utf-8").strip() == self.key

    def write(self, predictions: Iterable[Prediction]) -> None:
        """Write the predictions, then the key that says they are complete."""
        stored = self.path.with_suffix(".key")
        stored.unlink(missing_ok=True)  # of other predictions than those to come
        write_jsonl(self.path, (prediction.model_dump() for prediction in predictions))
        stored.write_text(self.key + "\n", encoding="utf-8")

    def entry(self, folder: Path) -> PredictionEntry:
        """The file, once it is written, as a predictions.json in `folder` lists it."""
        return PredictionEntry(
            path=os.path.relpath(self.path, folder), key=self.key, sha256=file_digest(self.path)
        )


def read_predictions(path: str | Path, ids: Container[str] | None = None) -> Iterator[Prediction]:
    """Predictions in file order, of some examples or of all. Raises InputError naming file, line and field."""
    for number, row in read_jsonl(path):
        if ids is None or str(row.get("id")) in ids:
            yield parse(row, Prediction, f"{path}:{number}", FIX_LINE)


def read_run_predictions(path: str | Path) -> RunPredictions:
    """Raises InputError naming file and field."""
    return parse(read_json(path), RunPredictions, str(path), "delete it and predict again")


def read_checkpoints(run: Path) -> list[Checkpoint]:
    """The scored checkpoints of a run.json, which need not be there any more."""
    listed = read_json(run, "checkpoints")["checkpoints"]
    return [
        Checkpoint(int(step), run.parent / entry["path"], entry["weights"]) for step, entry in listed.items()
    ]


def prediction_key(settings: PredictSettings, benchmark: str, weights: str, questions: str) -> str:
    """The cache key of the predictions of a benchmark. `weights`, `questions`: digests."""
    return digest([CACHE_VERSION, settings.for_benchmark(benchmark).text(), weights, questions])


def list_predictions(
    checkpoints: Sequence[Checkpoint],
    questions: Mapping[str, str],
    settings: PredictSettings,
    folder: Path,
) -> list[PredictionFile]:
    """Every checkpoint's predictions on every benchmark. `questions`: benchmark → digest of its file."""
    return [
        PredictionFile(
            checkpoint,
            name,
            folder / f"{checkpoint.step}/{name}.jsonl",
            prediction_key(settings, name, checkpoint.weights, asked),
        )
        for checkpoint in checkpoints
        for name, asked in questions.items()
    ]


def runs_without_weights(
    results: Path, runs: Iterable[tuple[str, int]], benchmarks: Iterable[str], settings: PredictSettings
) -> list[tuple[str, int, list[str]]]:
    """(mixture, seed, benchmarks) of runs that have yet to predict what they no longer have the weights for.

    Where a place of a budget points to another run, which it repeats, also the place, with no benchmarks.
    """
    files = {name: results / "examples" / f"{name}.jsonl" for name in benchmarks}
    questions = {name: file_digest(path) if path.is_file() else "" for name, path in files.items()}
    found = []
    for job in runs:
        written = results / "runs" / job[0] / str(job[1]) / "run.json"
        about = read_json(written, "mixture", "seed") if written.is_file() else {}
        mixture, seed = about.get("mixture", job[0]), about.get("seed", job[1])
        parts = finished_parts(results / f"runs/{mixture}/{seed}")
        kept = [checkpoint for part in parts for checkpoint in read_checkpoints(part)]
        gone = [each for each in kept if weights_removed(each.directory)]
        listed = list_predictions(gone, questions, settings, results / f"predictions/{mixture}/{seed}")
        asked = {file.benchmark for file in listed if not file.is_cached()}
        if asked:
            found.append((mixture, seed, sorted(asked)))
            found += [(*job, [])] if job != (mixture, seed) else []
    return found
