"""Every result of a study by stage, and the file it will be: what status, costs and trace read."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from modomodo.config.schema import Study
from modomodo.mixtures.plan import Plan

EXAMPLES, BASE_MODEL, MIXTURES, STREAMS = "examples", "base model", "mixtures", "streams"
RUNS, PREDICTIONS, SCORES, TABLE = "runs", "predictions", "scores", "table"
STAGES = (EXAMPLES, BASE_MODEL, MIXTURES, STREAMS, RUNS, PREDICTIONS, SCORES, TABLE)

Run = tuple[str, int]  # mixture, or a place that one takes in a race, and seed


class Output(NamedTuple):
    """One result: its stage, its name there, the file that exists once it is complete, and the run it is of."""

    stage: str
    name: str
    path: Path
    run: Run | None = None


def outputs_of(study: Study, plan: Plan, root: Path = Path("results")) -> list[Output]:
    """All results of a study, in the order of its stages. Paths as the rules write them, under `root`."""
    return list(_outputs(study, plan, root / study.name))


def _outputs(study: Study, plan: Plan, folder: Path) -> Iterator[Output]:
    for dataset in study.datasets:
        yield Output(EXAMPLES, dataset, folder / f"examples/{dataset}.jsonl")
    yield Output(BASE_MODEL, "base", folder / "base.json")
    for mixture in plan.mixture_files:
        yield Output(MIXTURES, mixture, folder / f"mixtures/{mixture}.json")
    files = [
        (STREAMS, plan.jobs, "streams/{}.jsonl"),
        (RUNS, plan.jobs, "runs/{}/run.json"),
        (PREDICTIONS, plan.scored_jobs, "predictions/{}/predictions.json"),
        (SCORES, plan.scored_jobs, "scores/{}.json"),
    ]
    for stage, runs, pattern in files:
        for mixture, seed in runs:
            name = f"{mixture}/{seed}"
            yield Output(stage, name, folder / pattern.format(name), (mixture, seed))
    yield Output(TABLE, "table2", folder / "table2.csv")


def show_table2(study: str, root: Path = Path("results")) -> None:
    """Make results/table2.csv the table of this study, in one step."""
    part = root / study / "table2.csv.part"
    shutil.copyfile(root / study / "table2.csv", part)
    part.replace(root / "table2.csv")


def kept_weights(study: Study, plan: Plan, mixture: str) -> list[int] | None:
    """Checkpoint steps whose weights stay on disk once they have answered every benchmark; None: all.

    An expert's last stays in any case, since merging and the in-domain gains read it later.
    """
    keep = study.training.keep_weights
    if keep is None:
        return None
    last = study.training.scored_steps[-1:] if mixture in plan.experts.values() else []
    return sorted({*keep, *last})
