"""What a study found, as people look at them: its records, and what each mixture and benchmark is called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from modomodo.mixtures.mixture import seed_kind
from modomodo.mixtures.records import (
    AGGREGATES,
    BASE,
    Records,
    aggregate_shares,
    last_step,
    score_column,
    trained,
)
from modomodo.mixtures.records_csv import read_records
from modomodo.reporting.settings import ExplorerSettings, FiguresSettings, Heading, OverviewSettings
from modomodo.reporting.tables import table2

TITLES = {"in_score": "In-Score", "out_score": "Out-Score"}
# Of domains and groups, in order: distinguishable for the colour-blind (Okabe and Ito, Color Universal Design, 2008).
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442"]


@dataclass(frozen=True)
class Results:
    """Records and Table 2 of one study.

    `table` has one row a mixture at its last step under the study's seed (columns as `tables.table2`), the base
    model first where it was scored. `sides`: benchmark → in or out, the score that it counts in.
    """

    records: Records
    table: pd.DataFrame
    sides: Mapping[str, str]

    @property
    def base(self) -> pd.Series | None:
        """The base model's row of the table."""
        rows = self.table[self.table["mixture"] == BASE]
        return None if rows.empty else rows.iloc[0]

    @property
    def mixtures(self) -> pd.DataFrame:
        """The table without the base model."""
        return self.table[self.table["mixture"] != BASE].reset_index(drop=True)

    @property
    def groups(self) -> list[str]:
        """Groups of strategies in table order, the base model's left out."""
        return list(dict.fromkeys(self.mixtures["group"]))

    def weights(self) -> np.ndarray:
        """[mixtures, domains], NaN where a mixture's weights are not known."""
        return self.mixtures[[f"w_{domain}" for domain in self.records.domains]].to_numpy(float)

    def places(self, kind: str) -> list[int]:
        """Rows of `mixtures` that are of a seed kind: 'single', 'exclude-one' or 'all'."""
        return [i for i, row in enumerate(self.weights()) if seed_kind(row) == kind]

    def targets(self) -> list[str]:
        """Benchmarks and aggregates in reading order, leaving out what was never scored.

        Those of the In-Score, the In-Score, those of the Out-Score, the Out-Score.
        """
        order = []
        for side in ("in", "out"):
            order += [name for name in self.records.benchmarks if self.sides[name] == side]
            order.append(f"{side}_score")
        return [name for name in order if self.table[score_column(name)].notna().any()]


def results_of(
    records: Records,
    headings: Sequence[Heading] = (),
    sides: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> Results:
    """What a study found, or of a table of records alone.

    Without `headings`, mixtures keep their own names and are grouped by the table's column `group`, or as
    'seed' (what `seed_kind` knows) and 'other'; without `sides`, a benchmark is 'in' where the
    In-Score is seen to be made of it.

    Raises InputError for a mixture of the headings without a record.
    """
    table = table2(records, headings, seed or 0) if headings else _plain_table(records)
    if sides is None:
        inside = records.aggregates.get("in_score")
        if inside is None and len(trained(records)):
            inside = aggregate_shares(trained(records), "in_score")
        sides = {name: "in" if name in (inside or {}) else "out" for name in records.benchmarks}
    return Results(records, table, sides)


def read_results(
    records: str | Path, settings: FiguresSettings | ExplorerSettings | OverviewSettings | None = None
) -> Results:
    """The records of a file as a study calls them; by their own names without one.

    Raises InputError naming file, line and column.
    """
    table = read_records(records)
    if settings is None:
        return results_of(table)
    return results_of(table, settings.headings, dict(settings.benchmarks), settings.seed)


def title(target: str) -> str:
    """How a target is written on a page."""
    return TITLES.get(target, target.replace("_", " "))


def _plain_table(records: Records) -> pd.DataFrame:
    """One row a mixture, from the run of its smallest seed, in the order of the records."""
    frame = last_step(records).frame
    frame = frame.sort_values("seed", kind="stable").drop_duplicates("mixture").sort_index()
    weights = [f"w_{domain}" for domain in records.domains]
    if "group" not in frame:
        kinds = [seed_kind(row) for row in frame[weights].to_numpy(float)]
        frame = frame.assign(group=["seed" if kind else "other" for kind in kinds])
    base = frame["mixture"] == BASE
    frame = frame.assign(
        group=frame["group"].where(~base, BASE), strategy=frame["mixture"].where(~base, "Base")
    )
    frame = pd.concat([frame[base], frame[~base]], ignore_index=True)
    targets = [*records.benchmarks, *AGGREGATES]
    errors = [f"se_{target}" for target in targets]
    return frame[["group", "strategy", "mixture", *weights, *map(score_column, targets), *errors]]
