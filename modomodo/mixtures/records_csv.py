"""Records from CSV files: the project's own, and tables that others recorded."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modomodo.errors import InputError, nearest
from modomodo.mixtures.csv_cells import read_cells
from modomodo.mixtures.mixture import round_weights
from modomodo.mixtures.records import (
    AGGREGATES,
    BASE,
    UNPARSED,
    AggregateSizes,
    Records,
    _checked,
    _with_aggregates,
    columns,
    count_column,
    score_column,
)

_NUMBER = re.compile(r"[+-]?\d*\.?\d+([eE][+-]?\d+)?")
FIDELITY = "fidelity"
MISSING = {"", "nan", "NaN", "NA", "N/A", "null", "None"}

# Weights of strangers' tables are rounded: a sum this near 1 is scaled, one further off is an error.
SUM_TOLERANCE = 0.01
ROUNDING = 1e-9  # of computed weights: three of 0.33 sum to 0.9900000000000001 or a little less


def read_records(
    path: str | Path,
    lower_is_better: bool | Collection[str] = False,
    aggregates: AggregateSizes | None = None,
    of_cheaper: bool = False,
) -> Records:
    """Records from a CSV of ours or a stranger's.

    Only the `w_` and `y_` columns are needed. Without a `mixture` column, rows of equal weights are runs of
    one mixture: it has the name of the first (`run`, `run_id` or `name`), or `mixture-0001`, … in file order. Without a
    `seed` column the runs of a mixture count from 0. What each benchmark
    counts in an aggregate is read where the file says it (`n_in_…`, `n_out_…`). Other columns are kept at the
    right of the frame. Empty scores are NaN; weights that sum to 1 within 0.01 are
    scaled to 1. Rows with something in the column `fidelity` are cheaper runs of that name (a smaller model, an earlier
    study): they become the records' fidelities. A folder that holds `ratios.csv` and `metrics.csv` is read by
    `read_ratios_and_metrics`.

    `lower_is_better` (all of them, or benchmark names) turns losses round: they are stored negated.
    `aggregates` fills in_score and out_score, by benchmark weights, where the file lacks them. `of_cheaper`: the file
    may hold runs of one fidelity alone, which are then its runs (merged.csv).

    Raises InputError naming file, line and column.
    """
    path = Path(path)
    if path.is_dir():
        return read_ratios_and_metrics(path / "ratios.csv", path / "metrics.csv", lower_is_better, aggregates)
    text = _read_text(path)
    domains = [name.removeprefix("w_") for name in text if name.startswith("w_")]
    benchmarks = [name.removeprefix("y_") for name in text if name.startswith("y_")]
    for prefix, meaning, found in (
        ("w_", "weight of a domain", domains),
        ("y_", "score of a benchmark", benchmarks),
    ):
        if not found:
            there = ", ".join(list(text)[:6]) + (", …" if len(text.columns) > 6 else "")
            raise InputError(
                f"{path}: no column '{prefix}…' ({meaning}) among {there}: name the columns {prefix}<name>"
            )
    return _from_text(path, text, domains, benchmarks, lower_is_better, aggregates, of_cheaper)


def read_ratios_and_metrics(
    ratios: str | Path,
    metrics: str | Path,
    lower_is_better: bool | Collection[str] = False,
    aggregates: AggregateSizes | None = None,
) -> Records:
    """Records from the two-file form of Olmix and RegMix: weights in one CSV, scores in the other.

    Rows are matched by the first column of `run`, `run_id`, `name`, `index` that both have, else by a first column
    without a name; every other named column is a domain or a metric, but `seed` and `step` of the metrics. Runs of
    equal weights are repeats of one mixture, called as the first of them, and so are the rows that the metrics have of
    one run. Otherwise as `read_records`.

    Raises InputError naming file, line and column, and for a run that only one file has.
    """
    keys = ("run", "run_id", "name", "index", "Unnamed: 0")
    left, right = _read_text(Path(ratios)), _read_text(Path(metrics))
    key = next((key for key in keys if key in left and key in right), None)
    if key is None:
        raise InputError(
            f"{ratios}, {metrics}: no common column to match rows by: give both 'run', 'run_id', 'name' or 'index'"
        )
    twice = left[key].duplicated()
    if twice.any():
        line = int(np.flatnonzero(twice)[0]) + 2
        raise InputError(f"{ratios}:{line}: {key}: '{left[key].iloc[line - 2]}' appears twice")
    for path, text, other, others in ((ratios, left, metrics, right), (metrics, right, ratios, left)):
        alone = ~text[key].isin(others[key])
        if alone.any():
            line = int(np.flatnonzero(alone)[0]) + 2
            raise InputError(f"{path}:{line}: {key}: '{text[key].iloc[line - 2]}' has no row in {other}")
    domains = [name for name in left if name not in keys and not name.startswith("Unnamed")]
    known = [name for name in ("seed", "step") if name in right]
    benchmarks = [name for name in right if name not in [*keys, *known] and not name.startswith("Unnamed")]
    _check_weights(Path(ratios), {f"w_{d}": _numbers(Path(ratios), left[d], d) for d in domains}, domains)
    for name in [*benchmarks, *known]:
        _numbers(Path(metrics), right[name], name)
    label = "name" if "name" in left and left["name"].is_unique else key
    weights = left[domains].rename(columns=lambda name: f"w_{name}").assign(key=left[key], run=left[label])
    scores = right[benchmarks].rename(columns=lambda name: f"y_{name}")
    scores = scores.assign(key=right[key], **{name: right[name] for name in known})
    # In the order of the ratios, the rows of one run in that of the metrics.
    text = weights.merge(scores, on="key", how="left", sort=False).drop(columns="key")
    return _from_text(Path(ratios), text, domains, benchmarks, lower_is_better, aggregates)


def _read_text(path: Path) -> pd.DataFrame:
    """The cells as text; header and shape checked. Row i of the frame is line i + 2 of the file."""
    header, rows = read_cells(path)
    return pd.DataFrame(rows, columns=header, dtype=str)


def _numbers(path: Path, cells: pd.Series, name: str) -> np.ndarray:
    """Floats, NaN for missing. Raises InputError naming file, line and column."""
    stripped = cells.str.strip()
    values = np.full(len(cells), math.nan)
    for i, cell in enumerate(stripped):
        if cell in MISSING:
            continue
        try:
            values[i] = float(cell)
        except ValueError:
            hint = "leave it empty if unknown"
            if _NUMBER.fullmatch(cell.replace(",", ".", 1)):
                hint = "write a point, not a comma"
            elif _NUMBER.fullmatch(cell.removesuffix("%").strip()):
                hint = "write it without %"
            raise InputError(f"{path}:{i + 2}: {name}: '{cell}' is not a number: {hint}") from None
        if not math.isfinite(values[i]):
            raise InputError(
                f"{path}:{i + 2}: {name}: '{cell}' is not a finite number: leave it empty if unknown"
            )
    return values


def _integers(path: Path, cells: pd.Series, name: str) -> np.ndarray:
    values = _numbers(path, cells, name)
    wrong = ~(values == np.round(values))
    if wrong.any():
        line = int(np.flatnonzero(wrong)[0]) + 2
        raise InputError(f"{path}:{line}: {name}: '{cells.iloc[line - 2]}' is not a whole number")
    return values.astype(int)


def _from_text(
    path: Path,
    text: pd.DataFrame,
    domains: list[str],
    benchmarks: list[str],
    lower_is_better: bool | Collection[str],
    aggregates: AggregateSizes | None,
    of_cheaper: bool = False,
) -> Records:
    turned = _turned(lower_is_better, benchmarks)
    data: dict[str, Any] = {}
    for domain in domains:
        data[f"w_{domain}"] = _numbers(path, text[f"w_{domain}"], f"w_{domain}")
    _check_weights(path, data, domains)
    for target in [*benchmarks, *AGGREGATES]:
        for name in (score_column(target), f"se_{target}"):
            data[name] = _numbers(path, text[name], name) if name in text else np.full(len(text), math.nan)
        if target in turned:
            data[score_column(target)] = -data[score_column(target)]
        if (data[f"se_{target}"] < 0).any():
            line = int(np.flatnonzero(data[f"se_{target}"] < 0)[0]) + 2
            raise InputError(f"{path}:{line}: se_{target}: a standard error is not negative")
    data["step"] = _integers(path, text["step"], "step") if "step" in text else np.zeros(len(text), int)
    runs = next((text[name] for name in ("run", "run_id", "name") if name in text), None)
    fidelities = text[FIDELITY].str.strip() if FIDELITY in text else pd.Series("", text.index)
    mixtures, copies = _names_by_weights(data, domains, runs, fidelities)
    if "mixture" in text:
        data["mixture"] = text["mixture"].str.strip()
        copies = _copies(data["mixture"].tolist(), data["step"].tolist(), fidelities)
    else:
        data["mixture"] = mixtures
    data["strategy"] = text["strategy"].str.strip() if "strategy" in text else ""
    if "seed" in text:
        data["seed"] = _integers(path, text["seed"], "seed")
    else:
        data["seed"] = copies
    frame = pd.DataFrame(data, index=text.index)
    names = columns(domains, benchmarks)
    counts = _counts(path, text, benchmarks)
    known = {*names, *(count_column(name, b) for name, sizes in counts.items() for b in sizes)}
    others = [name for name in text if name not in known and not name.startswith("Unnamed")]
    frame = pd.concat([frame[names], text[others]], axis=1)
    if UNPARSED in text:
        frame[UNPARSED] = _numbers(path, text[UNPARSED], UNPARSED)
    records = _with_aggregates(Records(frame, domains, benchmarks), {**counts, **(aggregates or {})})
    if not fidelities.any() or (of_cheaper and fidelities.nunique() == 1):
        return _checked(records, str(path))
    if fidelities.all():
        raise InputError(
            f"{path}: {FIDELITY}: every row is of a cheaper run: leave the cells of full runs empty"
        )
    parts = {
        name: _checked(replace(records, frame=rows), str(path))
        for name, rows in records.frame.groupby(fidelities, sort=False)
    }
    parts = {name: replace(part, frame=part.frame.reset_index(drop=True)) for name, part in parts.items()}
    return replace(parts.pop(""), fidelities=parts)


def _counts(path: Path, text: pd.DataFrame, benchmarks: list[str]) -> dict[str, dict[str, float]]:
    """What each benchmark counts in an aggregate, for those of which the table says it.

    Raises InputError for what is no positive number, and for one that is not the same in every row.
    """
    counts: dict[str, dict[str, float]] = {}
    for name in AGGREGATES:
        for benchmark in benchmarks:
            column = count_column(name, benchmark)
            if column not in text or text.empty:
                continue
            values = _numbers(path, text[column], column)
            wrong = ~((values > 0) & (values == values[0]))
            if wrong.any():
                line = int(np.flatnonzero(wrong)[0]) + 2
                raise InputError(
                    f"{path}:{line}: {column}: '{text[column].iloc[line - 2]}' is not the one positive number that "
                    "every row should have"
                )
            size = float(values[0])
            counts.setdefault(name, {})[benchmark] = int(size) if size.is_integer() else size
    return counts


def _turned(lower_is_better: bool | Collection[str], benchmarks: list[str]) -> set[str]:
    if lower_is_better is True:
        return {*benchmarks, *AGGREGATES}
    if lower_is_better is False:
        return set()
    known = [*benchmarks, *AGGREGATES]
    for name in lower_is_better:
        if name not in known:
            raise InputError(f"lower_is_better: unknown benchmark '{name}': {nearest(name, known)}")
    return set(lower_is_better)


def _check_weights(path: Path, data: dict[str, np.ndarray], domains: list[str]) -> None:
    """Check the weights and scale those off by rounding, in place."""
    matrix = np.column_stack([data[f"w_{domain}"] for domain in domains])
    for i, row in enumerate(matrix):
        if np.isnan(row).all():
            continue
        for domain, weight in zip(domains, row, strict=True):
            if math.isnan(weight):
                raise InputError(
                    f"{path}:{i + 2}: w_{domain}: empty, though other weights are given: write 0"
                )
            if weight < -ROUNDING:
                raise InputError(
                    f"{path}:{i + 2}: w_{domain}: the weight {weight:g} is negative: give a number from 0 to 1"
                )
        matrix[i] = row = np.maximum(row, 0.0)
        total = math.fsum(row)
        if abs(total - 1) > SUM_TOLERANCE + ROUNDING:
            hint = ": divide them by their sum" if total > 2 else ""
            hint = ": divide percentages by 100" if abs(total / 100 - 1) <= SUM_TOLERANCE else hint
            raise InputError(f"{path}:{i + 2}: w_{domains[0]}…: the weights sum to {total:g}, not 1{hint}")
        if abs(total - 1) > 1e-9:
            matrix[i] = row / total
    for j, domain in enumerate(domains):
        data[f"w_{domain}"] = matrix[:, j]


def _names_by_weights(
    data: dict[str, np.ndarray], domains: list[str], runs: pd.Series | None, fidelities: pd.Series
) -> tuple[list[str], list[int]]:
    """A name for each distinct mixture, and for each row how often it stood above at this step and fidelity.

    A mixture is called after its first run, where `runs` tell the mixtures apart.
    """
    matrix = np.column_stack([data[f"w_{domain}"] for domain in domains])
    keys = [
        None
        if np.isnan(row).all()
        else tuple(round_weights(dict(zip(domains, row.tolist(), strict=True))).values())
        for row in matrix
    ]
    mixtures = [key for key in dict.fromkeys(keys) if key is not None]
    first = ["" if runs is None else runs.iloc[keys.index(key)].strip() for key in mixtures]
    named = len(set(first)) == len(first) and BASE not in first
    names: dict[tuple[float, ...] | None, str] = {None: BASE}
    for number, (mixture, own) in enumerate(zip(mixtures, first, strict=True), 1):
        names[mixture] = own if named and own else f"mixture-{number:04d}"
    named_rows = [names[key] for key in keys]
    return named_rows, _copies(named_rows, data["step"].tolist(), fidelities)


def _copies(mixtures: Iterable[str], steps: Iterable[int], fidelities: Iterable[str]) -> list[int]:
    """For each row how often its mixture stood above at its step and fidelity: a seed, where a table has none."""
    seen: Counter[tuple[str, int, str]] = Counter()
    copies = []
    for key in zip(mixtures, steps, fidelities, strict=True):
        copies.append(seen[key])
        seen[key] += 1
    return copies
