"""Every result of a study by stage, and the file it will be: what status, costs and provenance look at."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from modomodo.config.schema import Study
from modomodo.mixtures.plan import Plan

EXAMPLES, BASE_MODEL, MIXTURES, STREAMS = "examples", "base model", "mixtures", "streams"
RUNS, PREDICTIONS, SCORES, TABLE = "runs", "predictions", "scores", "table"
STAGES = (EXAMPLES, BASE_MODEL, MIXTURES, STREAMS, RUNS, PREDICTIONS, SCORES, TABLE)


class Output(NamedTuple):
    """One result: its stage, what it is called there, and the file that stands for it once it is whole."""

    stage: str
    name: str
    path: Path


def outputs_of(study: Study, plan: Plan, root: Path = Path("results")) -> list[Output]:
    """All results of a study, in the order of its stages. Paths as the rules write them, under `root`."""
    return [Output(stage, name, root / study.name / path) for stage, name, path in _results(study, plan)]


def _results(study: Study, plan: Plan) -> Iterator[tuple[str, str, str]]:
    for dataset in study.datasets:
        yield EXAMPLES, dataset, f"examples/{dataset}.jsonl"
    yield BASE_MODEL, "base", "base.json"
    for mixture in plan.mixtures:
        yield MIXTURES, mixture, f"mixtures/{mixture}.json"
    for mixture, seed in plan.runs:
        yield STREAMS, f"{mixture}/{seed}", f"streams/{mixture}/{seed}.jsonl"
    for mixture, seed in plan.runs:
        yield RUNS, f"{mixture}/{seed}", f"runs/{mixture}/{seed}/run.json"
    for mixture, seed in plan.scored:
        yield PREDICTIONS, f"{mixture}/{seed}", f"predictions/{mixture}/{seed}/predictions.json"
    for mixture, seed in plan.scored:
        yield SCORES, f"{mixture}/{seed}", f"scores/{mixture}/{seed}.json"
    yield TABLE, "table2", "table2.csv"
