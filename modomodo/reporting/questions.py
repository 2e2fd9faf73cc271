"""What runs scored on each question, so that their differences can be judged question by question.

`scores/<mixture>/<seed>.csv` has one run, `question_scores.csv` all runs of a study, at their last steps: columns
benchmark, question, image, and one a run, called `<mixture>/<seed>`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from modomodo.data.examples import image_cluster
from modomodo.errors import InputError
from modomodo.files import write_csv
from modomodo.mixtures.uncertainty import Errors

KEYS = ["benchmark", "question", "image"]


class Question(Protocol):
    """What of an example is needed here."""

    id: str
    image: str


@dataclass(frozen=True)
class QuestionScores:
    """The table of all runs."""

    frame: pd.DataFrame

    @cached_property
    def benchmarks(self) -> dict[str, pd.DataFrame]:
        """Benchmark → its rows."""
        return {str(name): rows for name, rows in self.frame.groupby("benchmark", sort=False)}

    @cached_property
    def runs(self) -> dict[str, list[str]]:
        """Mixture → the columns of its runs."""
        found: dict[str, list[str]] = {}
        for column in self.frame.columns.drop(KEYS):
            found.setdefault(column.rpartition("/")[0], []).append(column)
        return found

    def knows(self, mixture: str, benchmarks: Iterable[str]) -> bool:
        """Whether a mixture answered all questions of some benchmarks."""
        columns = self.runs.get(mixture)
        return columns is not None and all(
            name in self.benchmarks and bool(self.benchmarks[name][columns].notna().all(axis=None))
            for name in benchmarks
        )

    def mean(self, mixture: str, benchmark: str) -> np.ndarray:
        """Its value of each question, [questions], averaged over its runs."""
        return self.benchmarks[benchmark][self.runs[mixture]].to_numpy(float).mean(axis=1)

    def errors(self, mixtures: Sequence[str], benchmarks: Sequence[str]) -> Errors | None:
        """Draws of the errors of runs' scores from images drawn with replacement, the same for all runs.

        `mixtures`: that of each run, those of several seeds in their order. None where a run is not in the table.
        """
        columns, taken = [], Counter[str]()
        for mixture in mixtures:
            runs = sorted(self.runs.get(mixture, []), key=lambda run: int(run.rpartition("/")[2]))
            if taken[mixture] >= len(runs) or not self.knows(mixture, benchmarks):
                return None
            columns.append(runs[taken[mixture]])
            taken[mixture] += 1
        parts = [
            (rows[columns].to_numpy(float), *pd.factorize(rows["image"]))
            for rows in map(self.benchmarks.__getitem__, benchmarks)
        ]

        def draw(random: np.random.Generator) -> np.ndarray:
            found = np.empty((len(columns), len(parts)))
            for place, (values, image, names) in enumerate(parts):
                times = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))[image]
                found[:, place] = times @ values / times.sum() - values.mean(axis=0)
            return found

        return draw

    def images(self, benchmark: str) -> list[str]:
        """The image of each question."""
        return self.benchmarks[benchmark]["image"].tolist()


def read_question_scores(path: Path) -> QuestionScores:
    """The table of a study. Raises InputError when it is missing or damaged."""
    return QuestionScores(_read(path))


def of_questions(benchmark: str, examples: Sequence[Question], values: Sequence[float]) -> pd.DataFrame:
    """The questions of a benchmark, with the value [0, 1] of each."""
    return pd.DataFrame(
        {
            "benchmark": benchmark,
            "question": [example.id for example in examples],
            "image": [image_cluster(example.image, example.id) for example in examples],
            "value": values,
        }
    )


def write_questions(path: Path, mixture: str, seed: int, answered: Sequence[pd.DataFrame]) -> None:
    """The table of one run."""
    table = pd.concat(answered, ignore_index=True) if answered else pd.DataFrame(columns=KEYS)
    write_csv(path, table.rename(columns={"value": f"{mixture}/{seed}"}))


def collect_questions(paths: Sequence[Path]) -> pd.DataFrame:
    """The table of all runs, from that of each; of a run that has several, as one in a race, the last counts.

    Raises InputError when a run was scored on other questions than the first.
    """
    frames = [_read(path) for path in paths]
    runs: dict[str, pd.DataFrame] = {}
    for path, frame in zip(paths, frames, strict=True):
        scored = frame.columns.drop(KEYS)
        if len(scored) and not frame[KEYS].equals(frames[0][KEYS]):
            raise InputError(f"{path}: other questions than in {paths[0]}: delete both and score again")
        runs |= {name: frame[[name]] for name in scored}
    return pd.concat([frames[0][KEYS], *runs.values()], axis=1)


def _read(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype={key: str for key in KEYS}, keep_default_na=False, na_values={})
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: score the run again") from None
    missing = [key for key in KEYS if key not in frame]
    if missing:
        raise InputError(f"{path}: no column '{missing[0]}': delete it and score again")
    return frame
