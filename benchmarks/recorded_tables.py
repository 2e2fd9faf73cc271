"""Recorded tables, as the replay needs them: a row a mixture, standardised scores, and families of tables.

A table has a column `w_<domain>` a domain and `y_<metric>` a metric, `se_<metric>` where known. A table in another form
is brought into this one first, a file a task and a model: where one file holds several tasks or sizes, as in

    task,run,w_a,w_b,…,step,performance

`frame[frame.task == "gsm8k"].rename(columns={"performance": "y_gsm8k", "run": "mixture"})` is such a table. What else
differed between its runs counts as noise here.
"""

import glob
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from noise_ceiling import Ceiling, ceiling_of

from modomodo.errors import InputError, nearest
from modomodo.mixtures.records import last_step
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.surrogates.base import Objective, Observations, mixture_folds, observe

FEWEST = 5  # unseen mixtures that a ranking is judged on, at least


@dataclass(frozen=True)
class Table:
    """A recorded table: a row a mixture, with standardised scores (NaN where unknown)."""

    name: str
    family: str
    runs: Observations
    composite: np.ndarray  # [mixtures], NaN where a score is missing
    ceiling: Ceiling

    @property
    def complete(self) -> np.ndarray:
        """The rows that have every score."""
        return np.flatnonzero(np.isfinite(self.composite))

    def replayable(self, count: int, option: str) -> bool:
        """Whether enough mixtures with every score are sure to be left after `count`; says so if not."""
        if count <= len(self.complete) - FEWEST:
            return True
        print(
            f"{option} {count}: '{self.name}' has {len(self.complete)} mixtures with every score, {FEWEST} of which "
            "must stay unseen: left out",
            file=sys.stderr,
        )
        return False


def read_table(
    path: Path, lower_is_better: bool | Collection[str] = False, anonymous: bool = False, family: str = ""
) -> Table:
    """A table as the replay needs it, in a family (by default its own); what is left out is said on stderr.

    `anonymous` takes the metrics' names away, so that no surrogate can use that one is called like a domain.

    Raises InputError for a damaged table, and for one in which too little varies.
    """
    records = last_step(read_records(path, lower_is_better=lower_is_better))
    metrics = tuple(sorted(records.benchmarks))
    single = observe(records, Objective("composite", metrics, np.full(len(metrics), 1 / len(metrics))))
    folds = mixture_folds(single.weights)
    runs = _one_row_a_mixture(single, folds)
    if len(runs) < len(records):
        print(f"{path}: {len(records)} rows, {len(runs)} mixtures with scores", file=sys.stderr)
    useful = _useful(path, runs)
    scores = runs.scores[:, useful]
    complete = np.isfinite(scores).all(axis=1)
    if complete.sum() < 2 * FEWEST:
        gaps = np.isnan(scores).sum(axis=0)
        worst = int(gaps.argmax())
        hint = f": y_{metrics[useful[worst]]} lacks {gaps[worst]}, fill or remove it" if gaps.any() else ""
        raise InputError(
            f"{path}: {complete.sum()} mixtures have every score, {2 * FEWEST} are the fewest to replay{hint}"
        )
    center, scale = np.nanmean(scores, axis=0), np.nanstd(scores, axis=0)
    names = tuple(f"metric{i:03d}" if anonymous else metrics[column] for i, column in enumerate(useful))
    runs = replace(
        runs,
        scores=(scores - center) / scale,
        errors=runs.errors[:, useful] / scale,
        benchmarks=names,
        shares=np.full(len(names), 1 / len(names)),
    )
    ceiling = ceiling_of((single.scores[:, useful] - center) / scale, folds, runs.scores, runs.errors)
    runs = runs.rows(np.isfinite(runs.scores).any(axis=1))
    return Table(path.stem, family or path.stem, runs, runs.scores.mean(axis=1), ceiling)


def _useful(path: Path, runs: Observations) -> list[int]:
    """The columns that are known of half of the mixtures and vary; which are not is said on stderr."""
    useful = []
    for column, metric in enumerate(runs.benchmarks):
        values = runs.scores[np.isfinite(runs.scores[:, column]), column]
        if 2 * len(values) < len(runs):
            reason = f"known of {len(values)} of {len(runs)} mixtures"
        elif np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
            reason = "constant"
        else:
            useful.append(column)
            continue
        print(f"{path}: y_{metric}: {reason}: left out", file=sys.stderr)
    if not useful:
        raise InputError(f"{path}: no column 'y_…' varies over the mixtures: nothing to rank")
    return useful


def _one_row_a_mixture(runs: Observations, folds: np.ndarray) -> Observations:
    """Rows of equal weights, those of one fold [runs], become one, with the means of their known scores."""
    if folds.max() + 1 == len(runs):
        return runs

    def means(values: np.ndarray) -> np.ndarray:
        return pd.DataFrame(values).groupby(folds).mean().to_numpy()

    known = pd.DataFrame(runs.scores).groupby(folds).count().to_numpy()
    errors = np.sqrt(means(runs.errors**2) / np.maximum(known, 1))
    first = np.unique(folds, return_index=True)[1]
    return replace(runs.rows(first), scores=means(runs.scores), errors=errors)


# --- families -------------------------------------------------------------------------------------------------


def family_files(words: Sequence[str]) -> tuple[str, list[Path]]:
    """`NAME=FILE FILE …`, as the words of one --family: the name and its files. A file may be a pattern.

    Raises InputError for a missing name, and for a pattern that no file matches.
    """
    name, mark, first = words[0].partition("=")
    if not (name and mark and first):
        raise InputError(f"--family {words[0]}: expected NAME=FILE, and further files after it")
    files: list[Path] = []
    for word in (first, *words[1:]):
        # Behind `NAME=` the shell leaves a pattern as it is.
        found = sorted(glob.glob(word)) if glob.has_magic(word) else [word]
        if not found:
            raise InputError(f"--family {name}: no file matches '{word}'")
        files += map(Path, found)
    return name, files


def read_families(
    families: dict[str, list[Path]],
    lower_is_better: Collection[str] | None = (),
    losses: Sequence[str] = (),
    anonymous: bool = False,
) -> list[Table]:
    """Every table, under a name of its own.

    The metrics of the families `lower_is_better` (None: of all) are losses, in others only those called `losses`.

    Raises InputError for an unknown family, and for a loss that no table has.
    """
    for name in lower_is_better or ():
        if name not in families:
            raise InputError(f"--lower-is-better: no family '{name}': {nearest(name, list(families))}")
    tables: list[Table] = []
    found: set[str] = set()
    for family, paths in families.items():
        all_losses = lower_is_better is None or family in lower_is_better
        for path in paths:
            own = [name for name in losses if name in read_records(path).benchmarks]
            found.update(own)
            table = read_table(path, all_losses or own, anonymous, family)
            names = [other.name for other in tables]
            tables.append(replace(table, name=str(path)) if table.name in names else table)
    for name in losses:
        if name not in found:
            raise InputError(f"--losses {name}: no table has a column 'y_{name}'")
    return tables
