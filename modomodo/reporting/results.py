"""What a study found, as people look at them: its records, and what each mixture and benchmark is called."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from modomodo.errors import InputError, nearest
from modomodo.mixtures.mixture import seed_kind
from modomodo.mixtures.records import (
    AGGREGATES,
    BASE,
    Records,
    aggregate_shares,
    finished,
    is_online,
    last_step,
    score_column,
    trained,
)
from modomodo.mixtures.records_csv import read_records
from modomodo.reporting.differences import Differences
from modomodo.reporting.questions import QuestionScores, read_question_scores
from modomodo.reporting.settings import (
    ExplorerSettings,
    ExportSettings,
    FiguresSettings,
    Heading,
    ReportSettings,
    RunPagesSettings,
)
from modomodo.reporting.tables import mixture_means, stopped_mixtures, table2

TITLES = {"in_score": "In-Score", "out_score": "Out-Score"}
# Of domains and groups, in order: distinguishable for the colour-blind (Okabe and Ito, Color Universal Design, 2008).
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442"]


@dataclass(frozen=True)
class Results:
    """Records and Table 2 of one study.

    `table` has one row a mixture at its last step, the mean over its seeds (columns as `tables.table2`), the base
    model first where it was scored. `sides`: benchmark → in or out, the score that it counts in. `target`: the score
    that mixtures are compared by. `losses`: scores of which lower is better; they are stored negated. `stopped`:
    mixtures that are in neither, as a race has stopped them early (columns as `tables.stopped_mixtures`).
    """

    records: Records
    table: pd.DataFrame
    sides: Mapping[str, str]
    differences: Differences
    target: str = "out_score"
    losses: frozenset[str] = frozenset()
    stopped: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def base(self) -> pd.Series | None:
        """The base model's row of the table."""
        rows = self.table[self.table["mixture"] == BASE]
        return None if rows.empty else rows.iloc[0]

    @property
    def mixtures(self) -> pd.DataFrame:
        """The table without the base model."""
        return self.table[self.table["mixture"] != BASE].reset_index(drop=True)

    def best(self) -> pd.Series | None:
        """The row of `mixtures` with the best score of the target; None where none has a score."""
        scores = self.mixtures[score_column(self.target)]
        return None if scores.isna().all() else self.mixtures.loc[scores.idxmax()]

    @property
    def groups(self) -> list[str]:
        """Groups of strategies in table order, the base model's left out."""
        return list(dict.fromkeys(self.mixtures["group"]))

    def weights(self) -> np.ndarray:
        """[mixtures, domains], NaN where a mixture's weights are not known or changed while its runs trained."""
        weights = self.mixtures[[f"w_{domain}" for domain in self.records.domains]].to_numpy(float)
        return np.where(self.mixtures["mixture"].isin(self.online).to_numpy()[:, None], np.nan, weights)

    @property
    def online(self) -> set[str]:
        """Mixtures that changed while their runs trained."""
        frame = self.records.frame
        return set(frame.loc[is_online(frame), "mixture"])

    def places(self, kind: str) -> list[int]:
        """Rows of `mixtures` that are of a seed kind: 'single', 'exclude-one' or 'all'."""
        return [i for i, row in enumerate(self.weights()) if seed_kind(row) == kind]

    def known(self) -> np.ndarray:
        """Which rows of `mixtures` have a score of the target [mixtures]."""
        return self.mixtures[score_column(self.target)].notna().to_numpy()

    def targets(self) -> list[str]:
        """Benchmarks and aggregates in reading order, leaving out what was never scored.

        Those of the In-Score, the In-Score, those of the Out-Score, the Out-Score, aggregates of other names.
        """
        order = []
        for side in ("in", "out"):
            order += [name for name in self.records.benchmarks if self.sides[name] == side]
            order.append(f"{side}_score")
        order += [name for name in self.records.targets if name not in order]
        return [name for name in order if self.table[score_column(name)].notna().any()]

    def title(self, target: str) -> str:
        """How a target is written on a page; of a loss, that it is shown negated."""
        return f"−{title(target)}" if target in self.losses else title(target)

    def label(self) -> str:
        """The target on an axis."""
        hint = " (negated loss)" if self.target in self.losses else ""
        return self.title(self.target) + hint


def results_of(
    records: Records,
    headings: Sequence[Heading] = (),
    sides: Mapping[str, str] | None = None,
    target: str | None = None,
    losses: Iterable[str] = (),
    questions: QuestionScores | None = None,
) -> Results:
    """What a study found, or of a table of records alone.

    Without `headings`, mixtures keep their own names and are grouped by the table's column `group`, or as
    'seed' (what `seed_kind` knows) and 'other'; without `sides`, a benchmark is 'in' where the
    In-Score is seen to be made of it.

    Without `target`, mixtures are compared by the Out-Score, or the first score that the table has. Mixtures whose
    every run a race has stopped are left out: their scores are of an earlier step.

    Raises InputError for a mixture of the headings without a record, and for a target that was never scored.
    """
    table = table2(records, headings) if headings else _plain_table(records)
    stopped = stopped_mixtures(records, headings)
    records = finished(records)
    if sides is None:
        inside = records.aggregates.get("in_score")
        if inside is None and len(trained(records)):
            inside = aggregate_shares(trained(records), "in_score")
        sides = {name: "in" if name in (inside or {}) else "out" for name in records.benchmarks}
    scored = [name for name in records.targets if table[score_column(name)].notna().any()]
    if target is None:
        target = scored[0] if scored else "out_score"
    elif target not in scored:
        raise InputError(f"no row has a score of the target '{target}': {nearest(target, scored)}")
    differences = Differences.of(records, table, questions)
    return Results(records, table, sides, differences, target, frozenset(losses), stopped)


def read_results(
    records: str | Path,
    settings: FiguresSettings
    | ExplorerSettings
    | ReportSettings
    | ExportSettings
    | RunPagesSettings
    | None = None,
    target: str | None = None,
    questions: Path | None = None,
) -> Results:
    """The records of a file as a study calls them; by their own names without one, compared by `target`.

    `questions`: question_scores.csv. Raises InputError naming file, line and column.
    """
    table = read_records(records)
    answered = read_question_scores(questions) if questions else None
    if settings is None:
        return results_of(table, target=target, questions=answered)
    return results_of(table, settings.headings, dict(settings.benchmarks), target, questions=answered)


def title(target: str) -> str:
    """How a target is written on a page."""
    return TITLES.get(target, target.replace("_", " "))


def _plain_table(records: Records) -> pd.DataFrame:
    """One row a mixture, the mean over its seeds, in the order of the records."""
    runs = last_step(records)
    frame = mixture_means(runs)
    weights = [f"w_{domain}" for domain in records.domains]
    if "group" in runs.frame:
        first = runs.frame.drop_duplicates("mixture").set_index("mixture")
        frame = frame.assign(group=frame["mixture"].map(first["group"]))
    else:
        kinds = [seed_kind(row) for row in frame[weights].to_numpy(float)]
        frame = frame.assign(group=["seed" if kind else "other" for kind in kinds])
    base = frame["mixture"] == BASE
    changing = frame["mixture"].isin(runs.frame.loc[is_online(runs.frame), "mixture"])
    names = frame["mixture"].where(~changing, frame["mixture"] + " (online)")
    frame = frame.assign(group=frame["group"].where(~base, BASE), strategy=names.where(~base, "Base"))
    frame = pd.concat([frame[base], frame[~base]], ignore_index=True)
    targets = [*records.benchmarks, *AGGREGATES]
    targets += [name for name in records.targets if name not in targets]
    errors = [f"se_{target}" for target in targets]
    return frame[["group", "strategy", "mixture", *weights, *map(score_column, targets), *errors, "seeds"]]
