"""What a study still costs, before any of it is run: runs by stage, hours of GPUs, disk.

Durations are those that finished runs of this study measured; where there is none, the study's `costs`, and else a
formula (estimates.py). Results that exist are taken as done: whether one is out of date only Snakemake knows
(`snakemake -n`).
"""

import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from modomodo.config.schema import Study
from modomodo.console import HOUR
from modomodo.files import read_json
from modomodo.mixtures.mixture import Weights, read_mixture
from modomodo.mixtures.plan import Plan, race_options
from modomodo.mixtures.races import WHOLE, Stretch
from modomodo.mixtures.records import BASE
from modomodo.mixtures.stream import checkpoint_steps
from modomodo.study.budgets import BudgetCost, budgets_of
from modomodo.study.estimates import Estimate, estimate_of
from modomodo.study.outputs import (
    BASE_MODEL,
    PREDICTIONS,
    RUNS,
    STAGES,
    Output,
    Run,
    kept_weights,
    outputs_of,
)

# Share of races with 11 whole runs known in which early scores told nothing at some rung: 0 in 4 of 5 families of
# recorded tables, 0.012 in one (docs/research/halving.md).
UNINFORMED = 0.01


@dataclass(frozen=True)
class Rate:
    """Seconds that one unit of work takes, and the number of measurements behind it (0: assumed).

    `formula`: assumed by the formula, else by the study's `costs`.
    """

    seconds: float
    measured: int
    formula: bool = False

    def times(self, units: int) -> "Rate":
        """The rate of so many units together."""
        return replace(self, seconds=self.seconds * units)


@dataclass(frozen=True)
class StageCost:
    """One stage: how many results there are, and what the missing ones take."""

    stage: str
    total: int
    done: int
    rate: Rate | None = None  # of one result of usual length; None where unknown or seconds
    seconds: float | None = None  # of all missing ones, one after another; None where unknown
    gpus: int = 0  # that one of them holds; 0: a CPU

    @property
    def missing(self) -> int:
        """Results there are not yet."""
        return self.total - self.done


@dataclass(frozen=True)
class RaceCost:
    """What is left of a race: its trainings and its predictions.

    `least`: as many train on as its rungs say; `most`: all of them do, where early scores may turn out to tell nothing
    and it then lets all finish; `uninformed`: how probable that is.
    """

    name: str
    least: Sequence[StageCost]
    most: Sequence[StageCost]
    uninformed: float

    @property
    def expected(self) -> list[StageCost]:
        """What is to be expected of it."""
        return [
            replace(low, seconds=low.seconds + self.uninformed * (high.seconds - low.seconds))
            if low.seconds is not None and high.seconds is not None
            else low
            for low, high in zip(self.least, self.most, strict=True)
        ]


@dataclass(frozen=True)
class Costs:
    """What a study is, and what is left of it."""

    stages: Sequence[StageCost]
    rounds: Sequence[Mapping[str, int]]  # round → group of strategies → mixtures
    checkpoints: int  # missing ones that will be kept
    checkpoint_bytes: float | None
    resumes: int  # runs to come that races stop, and that keep what they can be trained further from
    resume_bytes: float | None
    chain: float | None  # seconds from first to last run if all of a round ran at once
    free_bytes: int
    estimate: Estimate | str | None  # by formula; what it lacks; None where no GPU is named
    generated: float | None = (
        None  # prompts generated for one that is trained on, in finished runs that count them
    )
    races: Sequence[RaceCost] = ()
    budgets: Sequence[BudgetCost] = ()
    places: int = 0  # of the runs, those in which one may be trained further

    def stage(self, name: str) -> StageCost:
        """One stage by name."""
        return next(cost for cost in self.stages if cost.stage == name)

    @property
    def disk(self) -> float | None:
        """Bytes of the checkpoints to come."""
        if self.checkpoint_bytes is None or self.resume_bytes is None:
            return None
        return self.checkpoints * self.checkpoint_bytes + self.resumes * self.resume_bytes


@dataclass(frozen=True)
class RunTimes:
    """What each job of a run takes. `steps`: that it trains; `checkpoints`: different ones that are scored then."""

    steps: Mapping[Run, int]
    checkpoints: Mapping[Run, int]
    training: Rate | None  # of an optimiser step
    prediction: Rate | None  # of a checkpoint on all benchmarks

    def train(self, run: Run) -> float | None:
        """Seconds of its training; None where unknown."""
        return None if self.training is None else self.training.seconds * self.steps[run]

    def predict(self, run: Run) -> float | None:
        """Seconds of its predictions, those of the base model included; None where unknown."""
        return None if self.prediction is None else self.prediction.seconds * self.checkpoints.get(run, 1)


def costs_of(study: Study, plan: Plan, root: Path = Path("results")) -> Costs:
    """Price a study by what lies under `root` and by its own `costs`."""
    results = outputs_of(study, plan, root)
    folder = root / study.name
    training = study.training
    steps = steps_of_runs(study, plan, folder)
    estimate = estimate_of(study, folder)
    known = estimate if isinstance(estimate, Estimate) else None
    stretches = {run: plan.stretches.get(run, WHOLE) for run in plan.jobs}
    scored = {run: scored_in(stretch, training.scored_steps) for run, stretch in stretches.items()}
    times = RunTimes(
        {run: stretches[run].of(last) for run, last in steps.items()},
        {run: len(set(checkpoint_steps(scored[run], last).values())) for run, last in steps.items() if last},
        training_rate(study, results) or _by_formula(known.step if known else None),
        prediction_rate(study, results) or _by_formula(known.prediction if known else None),
    )
    missing = [result for result in results if not result.path.exists()]
    spare = spare_places(plan, folder)
    untrained = [result.run for result in missing if result.stage == RUNS and result.run]
    unpredicted = [result.run for result in missing if result.stage == PREDICTIONS and result.run]
    races = races_of(study, plan, times, {RUNS: untrained, PREDICTIONS: unpredicted}, spare)
    untrained, unpredicted = ([run for run in runs if run not in spare] for runs in (untrained, unpredicted))
    base = _base_rate(folder)
    checkpoint = _checkpoint_bytes(study, plan, folder)
    each = {
        RUNS: times.training and times.training.times(training.steps),
        PREDICTIONS: times.prediction and times.prediction.times(len(training.scored_steps)),
        BASE_MODEL: base,
    }
    total = Counter(result.stage for result in results)
    undone = Counter(result.stage for result in missing)
    left = {
        RUNS: _sum(map(times.train, untrained)),
        PREDICTIONS: _sum(map(times.predict, unpredicted)),
        BASE_MODEL: base.times(undone[BASE_MODEL]).seconds if base else None,
    }
    gpus = {RUNS: training.gpus, PREDICTIONS: study.evaluation.gpus}
    return Costs(
        stages=[
            StageCost(
                name,
                total[name],
                total[name] - undone[name],
                each.get(name),
                left.get(name),
                gpus.get(name, 0),
            )
            for name in STAGES
        ],
        rounds=rounds_of(study, plan),
        checkpoints=sum(_checkpoints_kept(study, plan, run, steps[run], scored[run]) for run in untrained),
        checkpoint_bytes=checkpoint,
        resumes=_stopped_to_come(study, plan, untrained),
        resume_bytes=_resume_bytes(folder, checkpoint),
        chain=_chain(plan, times, untrained, unpredicted),
        free_bytes=shutil.disk_usage(
            next(p for p in (folder, *folder.absolute().parents) if p.exists())
        ).free,
        estimate=estimate,
        generated=prompts_generated(results),
        races=races,
        budgets=budgets_of(study, plan, folder),
        places=len(plan.places),
    )


def scored_in(stretch: Stretch, scored_steps: Sequence[int]) -> list[int]:
    """The scored steps of a part of a run."""
    return [
        step
        for step in scored_steps
        if step > stretch.since and (stretch.until is None or step <= stretch.until)
    ]


def spare_places(plan: Plan, folder: Path) -> set[Run]:
    """The jobs that may have nothing to do, as far as that is not known yet, and those that have nothing.

    Of a budget as many new mixtures count as it holds whole runs.
    """
    spare = {place.name for place in plan.places if place.spare}
    for name, budget in plan.budgets.items():
        spare |= set(plan.by_strategy[name][budget.runs :])
    files = {name: folder / f"mixtures/{name}.json" for name in spare}
    undecided = {name for name, path in files.items() if not path.exists()}
    proposed = [mixture for name in plan.budgets for mixture in plan.proposed(name)]
    written = [path for name in proposed if (path := folder / f"mixtures/{name}.json").exists()]
    idle = {path.stem for path in written if (found := read_mixture(path)).idle and found.name == path.stem}
    return {run for run in plan.jobs if run[0] in undecided | idle}


def races_of(
    study: Study, plan: Plan, times: RunTimes, missing: Mapping[str, Sequence[Run]], spare: Collection[Run]
) -> list[RaceCost]:
    """What is left of each race. `missing`: stage → jobs without a result."""
    seconds = {RUNS: times.train, PREDICTIONS: times.predict}
    gpus = {RUNS: study.training.gpus, PREDICTIONS: study.evaluation.gpus}
    races = []
    for name in plan.races:
        own = {*plan.by_strategy[name], *(place.name for place in plan.places if place.strategy == name)}
        left = {
            stage: [run for run in runs if run in plan.stretches and run[0] in own]
            for stage, runs in missing.items()
        }
        least, most = (
            [
                StageCost(
                    stage, len(runs), 0, None, _sum(map(seconds[stage], set(runs) - set(idle))), gpus[stage]
                )
                for stage, runs in left.items()
            ]
            for idle in (spare, ())
        )
        if any(left.values()):
            # Without whole runs that it learns from, the prior has early scores tell something.
            uninformed = UNINFORMED if plan.learns_from[name] else 0.0
            races.append(RaceCost(name, least, most, uninformed))
    return races


def _checkpoints_kept(study: Study, plan: Plan, run: Run, last: int, scored: Sequence[int]) -> int:
    """How many checkpoints of a run stay on disk once they have answered every benchmark."""
    kept = kept_weights(study, plan, run[0])
    return len(
        {real for step, real in checkpoint_steps(scored, last).items() if kept is None or step in kept}
    )


def rounds_of(study: Study, plan: Plan) -> list[Counter[str]]:
    """How many mixtures each group of strategies proposes, round by round."""
    rounds: list[Counter[str]] = [Counter() for _ in range(max(plan.rounds.values(), default=-1) + 1)]
    for strategy, mixtures in plan.by_strategy.items():
        rounds[plan.rounds[strategy]][study.strategies[strategy].group] += len(mixtures)
    return rounds


def steps_of_runs(study: Study, plan: Plan, folder: Path) -> dict[Run, int]:
    """Job → optimiser steps until its run's stream ends: as drawn, else as expected, else all of the study's.

    A domain of n examples and weight w is exhausted after about n / w prompts (section 3.1 of the paper).
    """
    weights = {**plan.weights, **_proposed_weights(plan, folder)}
    sizes = {
        name: _size(folder / f"examples/{name}.jsonl", entry.expected)
        for name, entry in study.domains.items()
    }
    steps = {}
    for mixture, seed in plan.jobs:
        summary = folder / f"streams/{mixture}/{seed}.summary.json"
        if summary.exists():
            steps[mixture, seed] = int(read_json(summary)["steps"])
        else:
            steps[mixture, seed] = expected_steps(study, weights.get(mixture, {}), sizes)
    return steps


def expected_steps(study: Study, weights: Weights, sizes: Mapping[str, int | None]) -> int:
    """Steps after which the first domain is expected to be exhausted, at most the study's."""
    training = study.training
    lasts = [training.steps]
    for domain, weight in weights.items():
        size = sizes.get(domain)
        if weight > 0 and size is not None:
            lasts.append(int(size / weight) // training.prompts_per_step * training.iterations)
    return max(1, min(lasts))


def training_rate(study: Study, results: Sequence[Output]) -> Rate | None:
    """Seconds an optimiser step, start of the job included: the median of the finished runs."""
    measured = []
    for run in _described(results, RUNS):
        stream = run["stream"]
        trained = Stretch(stream.get("since", 0), stream.get("until")).of(stream["steps"])
        if trained and run["seconds"]:  # not what only linked checkpoints that were there
            measured.append(sum(run["seconds"].values()) / trained)
    return _rate(measured, study.costs.training_hours, study.training.steps)


def prompts_generated(results: Sequence[Output]) -> float | None:
    """Prompts that completions were generated for, for one that was trained on; None where none counts them."""
    generated: dict[Run, tuple[int, int]] = {}
    for run in _described(results, RUNS):
        if "prompts_generated" in (stream := run["stream"]):
            # Each part of a run in a race counts from the run's start.
            of_run, counts = (run["mixture"], run["seed"]), (stream["prompts"], stream["prompts_generated"])
            generated[of_run] = max(counts, generated.get(of_run, counts))
    prompts = sum(trained for trained, _ in generated.values())
    return sum(count for _, count in generated.values()) / prompts if prompts else None


def prediction_rate(study: Study, results: Sequence[Output]) -> Rate | None:
    """Seconds a checkpoint and all benchmarks: the median of the finished predictions."""
    count = len(study.benchmarks)
    parts = [part for about in _described(results, PREDICTIONS) for part in about["parts"]]
    measured = [
        part["seconds"] * count / len(part["answered"]) for part in parts if len(part["answered"]) >= count
    ]
    return _rate(measured, study.costs.prediction_hours, len(study.training.scored_steps))


def _described(results: Sequence[Output], stage: str) -> list[dict[str, Any]]:
    """The run.json of the finished results of a stage."""
    paths = [
        result.path.with_name("run.json")
        for result in results
        if result.stage == stage and result.path.exists()
    ]
    return [read_json(path) for path in paths if path.exists()]


def _rate(measured: Sequence[float], hours: float | None, units: int) -> Rate | None:
    if measured:
        return Rate(median(measured), len(measured))
    return None if hours is None else Rate(hours * HOUR / units, 0)


def _by_formula(seconds: float | None) -> Rate | None:
    return None if seconds is None else Rate(seconds, 0, formula=True)


def _base_rate(folder: Path) -> Rate | None:
    path = folder / "base.json"
    seconds = read_json(path).get("seconds") if path.exists() else None
    return None if seconds is None else Rate(seconds, 1)


def _proposed_weights(plan: Plan, folder: Path) -> dict[str, Weights]:
    """The mixtures that were proposed from scores already."""
    unknown = [name for name in plan.mixture_files if name not in plan.weights]
    paths = {name: folder / f"mixtures/{name}.json" for name in unknown}
    return {name: read_mixture(path).weights for name, path in paths.items() if path.exists()}


def _size(examples: Path, expected: int | None) -> int | None:
    if not examples.exists():
        return expected
    with open(examples, "rb") as file:
        return sum(1 for _ in file)


def _checkpoint_bytes(study: Study, plan: Plan, folder: Path) -> float | None:
    """Bytes of one checkpoint, as found on disk, else by the study's `costs`."""
    for mixture, seed in plan.runs:
        for checkpoint in sorted((folder / f"runs/{mixture}/{seed}").glob("checkpoint-*")):
            if found := sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()):
                return float(found)
    return None if study.costs.checkpoint_gb is None else study.costs.checkpoint_gb * 1e9


def _stopped_to_come(study: Study, plan: Plan, untrained: Collection[Run]) -> int:
    """How many runs will be stopped by races, of those that have not come to their first rung."""
    stopped = 0
    for name in plan.races:
        options = race_options(study, name)
        if options is not None:
            first = [run for run in untrained if run[0] in plan.by_strategy[name] and run in plan.stretches]
            stopped += min(len(first), options.start - options.finish)
    return stopped


def _resume_bytes(folder: Path, checkpoint: float | None) -> float | None:
    """Bytes of a resume checkpoint, as found on disk, else by what a checkpoint takes.

    That is its weights and, in float32 as they are, AdamW's two moments of each: less where some are frozen.
    """
    for kept in sorted(folder.glob("runs/*/*/trainer/checkpoint-*/complete")):
        return float(sum(path.stat().st_size for path in kept.parent.rglob("*") if path.is_file()))
    return None if checkpoint is None else 3 * checkpoint


def _chain(plan: Plan, times: RunTimes, untrained: Sequence[Run], unpredicted: Sequence[Run]) -> float | None:
    """Seconds of the longest run of each round, one round after another; None where unknown.

    The rungs of a race follow each other too.
    """
    strategy_of = {mixture: name for name, mixtures in plan.by_strategy.items() for mixture in mixtures}
    strategy_of |= {place.name: place.strategy for place in plan.places}
    longest: dict[str, dict[int, float]] = {}
    for run in {*untrained, *unpredicted} - {(BASE, 0)}:
        seconds = _sum([times.train(run) if run in untrained else 0.0, times.predict(run)])
        if seconds is None:
            return None
        rungs = longest.setdefault(strategy_of[run[0]], {})
        since = plan.stretches.get(run, WHOLE).since
        rungs[since] = max(rungs.get(since, 0.0), seconds)
    rounds: dict[int, float] = {}
    for strategy, rungs in longest.items():
        place = plan.rounds[strategy]
        rounds[place] = max(rounds.get(place, 0.0), sum(rungs.values()))
    return sum(rounds.values())


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum; None when a part is unknown."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
