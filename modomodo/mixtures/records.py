"""The scores table: one row a (mixture, seed, step), weights in, scores out. The surrogates' only input.

Columns of `records.csv`: mixture, seed, step, strategy, `w_<domain>`, `y_<benchmark>` (higher is better),
`se_<benchmark>`, in_score, out_score, se_in_score, se_out_score, and what each benchmark counts in these two,
`n_in_<benchmark>` and `n_out_<benchmark>`: its questions; `unparsed`, the share of all questions without an answer,
where scores were collected; `online`, 1 of a run that changed its mixture while it trained, whose weights are those
realised, where there is such a run; `stopped`, 1 of a run that ended before the others, where a race stopped some: its
last score is of an earlier step, and is left out wherever last or averaged scores are asked for. The base model's row
is the mixture `base` at step 0 with empty weights: it stays in the table and is skipped by fitting (`trained`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modomodo.errors import InputError, nearest
from modomodo.files import digest, write_csv

if TYPE_CHECKING:
    import pandas as pd  # half a second that the plan of a study has no use for

BASE = "base"
AGGREGATES = ("in_score", "out_score")
UNPARSED = "unparsed"
ONLINE = "online"
STOPPED = "stopped"
KEYS = ["mixture", "seed", "step"]

# Aggregate name → benchmark → its weight (a test's size, or any positive number).
AggregateSizes = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Records:
    """The table and the names of its domains and benchmarks, in column order.

    `frame` has the columns above but the last (NaN where nothing is known) and after them whatever else the file
    held. `aggregates` says what each benchmark counts in an aggregate, where that is known. `fidelities` are records of
    cheaper runs (a smaller model, an earlier study) by name: surrogates learn from them, nothing else counts them.
    `cost` is that of one of these runs, in full runs, where it is known.
    """

    frame: "pd.DataFrame"
    domains: list[str]
    benchmarks: list[str]
    aggregates: AggregateSizes = field(default_factory=dict)
    fidelities: Mapping[str, "Records"] = field(default_factory=dict)
    cost: float | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def targets(self) -> list[str]:
        """What a strategy may optimise: the aggregates, those of a table's own names too, and every benchmark."""
        own = [name for name in self.aggregates if name not in AGGREGATES]
        return ["out_score", "in_score", *own, *self.benchmarks]


class _NoRecords(Records):
    """No runs. The table, with columns and no row, is built only if somebody looks at it."""

    def __init__(self, domains: Sequence[str], benchmarks: Sequence[str]) -> None:
        vars(self).update(domains=list(domains), benchmarks=list(benchmarks), aggregates={}, fidelities={})

    @cached_property
    def frame(self) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame(columns=columns(self.domains, self.benchmarks))


def columns(domains: Sequence[str], benchmarks: Sequence[str]) -> list[str]:
    """The columns of a table of records, in order."""
    return [
        *KEYS,
        "strategy",
        *(f"w_{domain}" for domain in domains),
        *(f"y_{benchmark}" for benchmark in benchmarks),
        *(f"se_{benchmark}" for benchmark in benchmarks),
        *AGGREGATES,
        *(f"se_{aggregate}" for aggregate in AGGREGATES),
    ]


def score_column(target: str) -> str:
    """The column of a target: in_score and out_score stand under their own names, all others under `y_<target>`."""
    return target if target in AGGREGATES else f"y_{target}"


def count_column(aggregate: str, benchmark: str) -> str:
    """The column of what a benchmark counts in in_score or out_score."""
    return f"n_{aggregate.removesuffix('_score')}_{benchmark}"


def aggregate(
    scores: Mapping[str, float],
    standard_errors: Mapping[str, float],
    sizes: Mapping[str, float],
) -> tuple[float, float]:
    """The mean score weighted by benchmark size, and its standard error (benchmarks independent).

    The paper's In- and Out-Score. NaN when the score (the standard error) of a benchmark in `sizes` is
    unknown: a mean over fewer benchmarks would be another quantity.

    Raises InputError for a benchmark without a score.
    """
    total = math.fsum(sizes.values())
    if not sizes or total <= 0:
        raise InputError("aggregate: no benchmark with a positive size")
    for benchmark in sizes:
        if benchmark not in scores:
            raise InputError(f"aggregate: no score of '{benchmark}': {nearest(benchmark, scores)}")
    shares = {benchmark: size / total for benchmark, size in sizes.items()}
    score = math.fsum(share * scores[benchmark] for benchmark, share in shares.items())
    variance = math.fsum((share * standard_errors.get(b, math.nan)) ** 2 for b, share in shares.items())
    return score, math.sqrt(variance)


def from_rows(
    rows: Iterable[Mapping[str, Any]],
    domains: Sequence[str],
    benchmarks: Sequence[str],
    aggregates: AggregateSizes | None = None,
    more: Mapping[str, Sequence[Any]] = {},
) -> Records:
    """Records from scored runs.

    Each row has "mixture", "seed", "step", and optionally "strategy", "weights" ({} for the base model),
    "scores" and "standard_errors" by benchmark; `aggregates` ({"in_score": {benchmark: size}, …}) adds In-
    and Out-Score, `more` further columns.

    Raises InputError for an unknown domain or benchmark and for a (mixture, seed, step) that appears twice.
    """
    import pandas as pd

    table = []
    for row in rows:
        where = f"records: {row['mixture']}, seed {row['seed']}, step {row['step']}"
        weights, scores = row.get("weights", {}), row.get("scores", {})
        errors = row.get("standard_errors", {})
        for kind, given, known in (
            ("domain", weights, domains),
            ("benchmark", scores, benchmarks),
            ("benchmark", errors, benchmarks),
        ):
            for name in given:
                if name not in known:
                    raise InputError(f"{where}: unknown {kind} '{name}': {nearest(name, known)}")
        flat = {key: row[key] for key in KEYS} | {"strategy": row.get("strategy", "")}
        flat |= {f"w_{d}": weights.get(d, 0.0) if weights else math.nan for d in domains}
        flat |= {f"y_{b}": scores.get(b, math.nan) for b in benchmarks}
        flat |= {f"se_{b}": errors.get(b, math.nan) for b in benchmarks}
        table.append(flat)
    frame = pd.DataFrame(table).reindex(columns=columns(domains, benchmarks))
    found = _with_aggregates(Records(frame, list(domains), list(benchmarks)), aggregates or {})
    return _checked(replace(found, frame=found.frame.assign(**more)), "records")


def empty(domains: Sequence[str], benchmarks: Sequence[str] = ()) -> Records:
    """No runs yet: what a strategy sees that learns from none."""
    return _NoRecords(domains, benchmarks)


def write_records(path: str | Path, records: Records) -> None:
    """Write `records.csv`: rows in the order given, empty cells for what is unknown."""
    counts = {
        count_column(name, benchmark): size
        for name in AGGREGATES
        for benchmark, size in records.aggregates.get(name, {}).items()
    }
    write_csv(path, records.frame.assign(**counts))


def trained(records: Records) -> Records:
    """The runs of a mixture: without the base model's row, and without runs that changed theirs while they trained.

    Of an online run the realised weights are known, but a run of these weights from first to last is another one.
    """
    weights = records.frame[[f"w_{domain}" for domain in records.domains]]
    kept = weights.notna().all(axis=1).to_numpy() & ~is_online(records.frame)
    return _with_frame(records, records.frame[kept].reset_index(drop=True))


def is_online(frame: "pd.DataFrame") -> np.ndarray:
    """Which rows are of runs that changed their mixture while they trained, [rows]."""
    return _marked(frame, ONLINE)


def is_stopped(frame: "pd.DataFrame") -> np.ndarray:
    """Which rows are of a run that was stopped, [rows]."""
    return _marked(frame, STOPPED)


def _marked(frame: "pd.DataFrame", column: str) -> np.ndarray:
    """Which rows have a number above 0 there; anything else is a word of whoever else has a column of that name."""
    if column not in frame:
        return np.zeros(len(frame), dtype=bool)
    import pandas as pd

    return (pd.to_numeric(frame[column], errors="coerce") > 0).to_numpy()


def mark_stopped(records: Records) -> Records:
    """With the column `stopped` where some runs did not come to the last step that others were scored at."""
    runs = trained(records).frame
    if runs.empty:
        return records
    reached = records.frame.groupby(["mixture", "seed"])["step"].transform("max")
    stopped = (reached < runs["step"].max()) & (records.frame["mixture"] != BASE)
    return (
        _with_frame(records, records.frame.assign(**{STOPPED: stopped.astype(int)}))
        if stopped.any()
        else records
    )


def finished(records: Records) -> Records:
    """Without the runs that were stopped."""
    if STOPPED not in records.frame:
        return records
    frame = records.frame[~is_stopped(records.frame)].drop(columns=STOPPED)
    return _with_frame(records, frame.reset_index(drop=True))


def learnable(records: Records, scores: str) -> Records:
    """What a strategy learns from: finished runs as `one_step`, and the scores at each step where runs were stopped.

    Those, of all runs, are a fidelity: cheaper runs, of which surrogates find out what they tell of the last step.
    """
    found, reached = one_step(records, scores), last_of_each(records)
    early = {}
    for step in sorted(set(reached.frame["step"][is_stopped(reached.frame)])):
        rows = records.frame[records.frame["step"] == step].drop(columns=STOPPED).reset_index(drop=True)
        early[f"step {step}"] = replace(_with_frame(records, rows), fidelities={})
    return replace(found, fidelities={**found.fidelities, **early}) if early else found


def in_order(records: Records) -> Records:
    """Rows by mixture, seed and step: sums over them then end in the same digit, however a file was sorted."""
    return _with_frame(records, records.frame.sort_values(KEYS, kind="stable").reset_index(drop=True))


def average_steps(records: Records) -> Records:
    """One row a (mixture, seed): scores averaged over its scored steps, at the last of them.

    The standard errors are averaged too, not divided: the same run answers the same questions at each step,
    so the errors hardly cancel.
    """
    return _averaged(finished(records), ["mixture", "seed"])


def last_step(records: Records) -> Records:
    """One row a (mixture, seed): that of its greatest step. None of a run that was stopped before the last."""
    return last_of_each(finished(records))


def last_of_each(records: Records) -> Records:
    """One row a (mixture, seed): that of the greatest step that it came to."""
    frame = records.frame.sort_values("step", kind="stable").drop_duplicates(["mixture", "seed"], keep="last")
    return _with_frame(records, frame.sort_index().reset_index(drop=True))


def one_step(records: Records, scores: str) -> Records:
    """One row a (mixture, seed): "last", that of the last step; "mean", the average over the scored steps."""
    return average_steps(records) if scores == "mean" else last_step(records)


def average_seeds(records: Records) -> Records:
    """One row a (mixture, step): scores averaged over seeds, under the smallest seed.

    The standard errors are averaged too, not divided: all runs answer the same questions.
    """
    return _averaged(records, ["mixture", "step"])


def weights_matrix(records: Records, domains: Sequence[str]) -> np.ndarray:
    """Weights [runs, domains], columns in the order of `domains`; NaN in the base model's row.

    Raises InputError for a domain the table does not have.
    """
    for domain in domains:
        if domain not in records.domains:
            raise InputError(f"records: no domain '{domain}': {nearest(domain, records.domains)}")
    return records.frame[[f"w_{domain}" for domain in domains]].to_numpy(float)


def target_values(records: Records, target: str) -> np.ndarray:
    """Scores [runs] of an aggregate or a benchmark; NaN where unknown.

    Raises InputError for a target the table does not have.
    """
    if target not in records.targets:
        raise InputError(f"records: no target '{target}': {nearest(target, records.targets)}")
    return records.frame[score_column(target)].to_numpy(float)


def aggregate_shares(records: Records, target: str) -> dict[str, float] | None:
    """How a target is made of benchmarks, {benchmark: share} with sum 1, read off the table itself.

    A benchmark is made of itself. In- and Out-Score are fixed means of benchmark scores, so the shares solve
    a linear system; None when the rows do not determine them, or no such mean gives the column.
    """
    if target in records.benchmarks:
        return {target: 1.0}
    from scipy.optimize import nnls

    order = sorted(records.benchmarks)
    scores = records.frame[[f"y_{benchmark}" for benchmark in order]].to_numpy(float)
    values = target_values(records, target)
    known = np.isfinite(values)
    # A benchmark that is missing in some row cannot be part of a mean that is known there.
    candidates = [i for i in range(len(order)) if known.any() and np.isfinite(scores[known, i]).all()]
    design = scores[np.ix_(known, candidates)]
    if not candidates or np.linalg.matrix_rank(design, tol=1e-6) < len(candidates):
        return None
    shares, _ = nnls(design, values[known])
    if np.abs(design @ shares - values[known]).max() > 1e-6 or abs(shares.sum() - 1) > 1e-4:
        return None
    return {
        order[i]: float(share / shares.sum())
        for i, share in zip(candidates, shares, strict=True)
        if share > 1e-9
    }


def seed_noise(records: Records, target: str) -> float:
    """Standard deviation of a target between runs of one mixture that differ in the seed, pooled.

    NaN when no mixture was run twice. Steps are kept apart.
    """
    import pandas as pd

    frame = pd.DataFrame({"value": target_values(records, target)})
    frame[["mixture", "step"]] = records.frame[["mixture", "step"]].to_numpy()
    groups = frame.dropna().groupby(["mixture", "step"])["value"]
    freedom = (groups.size() - 1).sum()
    if freedom < 1:
        return math.nan
    squares = (groups.var(ddof=1).fillna(0.0) * (groups.size() - 1)).sum()
    return float(math.sqrt(squares / freedom))


def observed_digest(records: Records) -> str:
    """Twelve digits that name the content and that of fidelities, whatever the order of rows and columns."""
    names = sorted(columns(records.domains, records.benchmarks))
    rows = [
        [None if isinstance(value, float) and math.isnan(value) else value for value in row]
        for row in records.frame.sort_values(KEYS)[names].astype(object).itertuples(index=False)
    ]
    content: dict[str, Any] = {"columns": names, "rows": rows}
    if records.fidelities:
        content["fidelities"] = {name: observed_digest(cheap) for name, cheap in records.fidelities.items()}
    return digest(content)


def _with_frame(records: Records, frame: "pd.DataFrame") -> Records:
    # `replace` would call the initialiser of a subclass, which takes no frame.
    return Records(
        frame, records.domains, records.benchmarks, records.aggregates, records.fidelities, records.cost
    )


def _averaged(records: Records, keys: list[str]) -> Records:
    import pandas as pd

    scores = [score_column(target) for target in records.targets]
    errors = [f"se_{target}" for target in records.targets]
    other = next(key for key in KEYS if key not in keys)
    rows = []
    for _, group in records.frame.groupby(keys, sort=False):
        row = group.iloc[0].to_dict()
        row[other] = group[other].max() if other == "step" else group[other].min()
        # A score that one of the rows lacks is unknown: a mean over fewer would not compare with the others.
        row |= {name: float(group[name].mean(skipna=False)) for name in [*scores, *errors]}
        rows.append(row)
    names = dict.fromkeys([*columns(records.domains, records.benchmarks), *scores, *errors])
    return _with_frame(records, pd.DataFrame(rows, columns=records.frame.columns)[list(names)])


def _with_aggregates(records: Records, aggregates: AggregateSizes) -> Records:
    """The aggregates where the table lacks them, and from then on what they are made of."""
    frame = records.frame.copy()
    for name, sizes in aggregates.items():
        column = score_column(name)
        if name in records.benchmarks:
            raise InputError(f"aggregates: {name}: the table has a benchmark of this name: choose another")
        if column not in frame:
            frame = frame.assign(**{column: math.nan, f"se_{name}": math.nan})
        for benchmark in sizes:
            if benchmark not in records.benchmarks:
                raise InputError(
                    f"aggregates: {name}: unknown benchmark '{benchmark}': {nearest(benchmark, records.benchmarks)}"
                )
        pairs = [
            aggregate({b: row[f"y_{b}"] for b in sizes}, {b: row[f"se_{b}"] for b in sizes}, sizes)
            for _, row in frame.iterrows()
        ]
        known = frame[column].notna().to_numpy()
        frame[column] = np.where(known, frame[column].to_numpy(float), [score for score, _ in pairs])
        frame[f"se_{name}"] = np.where(
            known, frame[f"se_{name}"].to_numpy(float), [error for _, error in pairs]
        )
    return replace(records, frame=frame, aggregates={**records.aggregates, **aggregates})


def _checked(records: Records, where: str) -> Records:
    """Each run once, each mixture with one set of weights; online runs of one have each their own."""
    frame = records.frame
    twice = frame.duplicated(KEYS)
    if twice.any():
        row = frame[twice].iloc[0]
        line = int(frame.index[twice][0]) + 2
        raise InputError(
            f"{where}:{line}: mixture: '{row['mixture']}' with seed {row['seed']} and step {row['step']} appears "
            "twice: give its runs different seeds"
        )
    weights = [f"w_{domain}" for domain in records.domains]
    spread = (
        frame[~is_online(frame)].groupby("mixture")[weights].agg(lambda column: column.max() - column.min())
    )
    for name, row in spread.iterrows():
        if (row > 1e-5).any():
            column = str(row.idxmax())
            raise InputError(
                f"{where}: mixture '{name}' stands with different weights ({column}): give them two names"
            )
    return records
