"""The surrogate that the pages show: fitted to every benchmark at once, and what each target is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from modomodo.mixtures.records import Records, score_column, trained
from modomodo.mixtures.surrogates.base import Objective, objective, observe, surrogates
from modomodo.mixtures.surrogates.gaussian_processes import ProcessPredictor
from modomodo.reporting.settings import check_exportable

SEED = 0


@dataclass(frozen=True)
class Surface:
    """A fitted surrogate by name; `shares`: target → what each of its benchmarks counts in it [benchmarks]."""

    name: str
    predictor: ProcessPredictor
    shares: Mapping[str, np.ndarray]

    def undetermined(self, target: str) -> str:
        """Why nothing is known of how far mixtures differ in a target; empty where something is."""
        return replace(self.predictor.observations, shares=self.shares[target]).undetermined


def fit(records: Records, surrogate: str) -> Surface:
    """Fit a surrogate whose formulas the explorer's page knows, to the full runs alone.

    Raises InputError for one that it does not know.
    """
    check_exportable(surrogate)
    # The page evaluates processes alone, not what cheaper runs add to them.
    records = replace(records, fidelities={})
    runs = trained(records)
    targets = [t for t in records.targets if runs.frame[score_column(t)].notna().any()]
    objectives = {name: objective(records, name) for name in targets}
    names = sorted({name for wanted in objectives.values() for name in wanted.benchmarks})
    even = Objective("all", tuple(names), np.full(len(names), 1 / len(names)))
    predictor = surrogates[surrogate](observe(records, even), SEED)
    assert isinstance(predictor, ProcessPredictor)
    shares = {}
    for scored, wanted in objectives.items():
        full = np.zeros(len(names))
        full[[names.index(name) for name in wanted.benchmarks]] = wanted.shares
        shares[scored] = full
    return Surface(surrogate, predictor, shares)
