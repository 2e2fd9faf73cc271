"""One training run, as its script hands it to the trainer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modomodo.config.loading import parse
from modomodo.config.schema import Training
from modomodo.data.examples import Example, read_examples
from modomodo.files import digest
from modomodo.mixtures.online import ROWS, LiveStream, OnlineOptions, as_stream, next_step, read_used
from modomodo.mixtures.stream import checkpoint_steps, domain_order, summary
from modomodo.mixtures.trained_runs import FINISHED
from modomodo.training.run_folder import checkpoints_left
from modomodo.training.settings import TrainSettings
from modomodo.training.trackers import NOWHERE, Tracking


@dataclass(frozen=True)
class TrainJob:
    """One training run.

    `rows` are the prompts in the order of the stream, each with the folder that its image paths start from.
    `last_step` is the step at which the stream ends. `checkpoint_steps` maps each scored step to the step at which its
    checkpoint is really taken. With `live` both are as the schedule has them, until it is known where the stream ends
    (`with_known_end`): it is decided while the run trains, from its rows and from `spare` ones, in the order that their
    domains' examples come in.

    Of a run in a race both go as far as this job trains it: it has been trained to step `since`, and where it `goes_on`
    it can be trained further from where this job ends.
    """

    base: Path
    rows: Sequence[tuple[Example, Path]]
    folder: Path
    settings: TrainSettings
    seed: int
    last_step: int
    checkpoint_steps: Mapping[int, int]
    tracking: Tracking = NOWHERE
    live: LiveStream | None = None
    spare: Sequence[tuple[Example, Path]] = ()
    since: int = 0
    goes_on: bool = False

    @property
    def finished(self) -> str:
        """The file that says that this part of the run is finished."""
        return f"finished-{max(self.checkpoint_steps)}.json" if self.goes_on else FINISHED

    @property
    def scored(self) -> dict[int, int]:
        """The `checkpoint_steps` that this job adds."""
        return {step: real for step, real in self.checkpoint_steps.items() if step > self.since}

    @property
    def left(self) -> list[int]:
        """Steps whose checkpoint is not there, of those that this job or the ones before it take."""
        return checkpoints_left(self.folder, self.checkpoint_steps)


def spare_rows(
    rows: list[tuple[Example, Path]], examples: list[Path], seed: int
) -> list[tuple[Example, Path]]:
    """The examples of the domains of a stream that are not in it, in the order in which they would come."""
    seen = {(example.dataset, example.id) for example, _ in rows}
    spare = []
    for domain in sorted({example.dataset for example, _ in rows}):
        path = next(path for path in examples if path.stem == domain)
        known = {row.id: row for row in read_examples(path)}
        order = domain_order(list(known), domain, seed)
        spare += [(known[one], path.parent) for one in order if (domain, one) not in seen]
    return spare


def live_stream(
    training: Training,
    rows: list[tuple[Example, Path]],
    seed: int,
    drawn: list[tuple[Example, Path]] | None,
    online: dict[str, Any] | None,
) -> LiveStream:
    """What the run's prompts are taken from; `drawn`: the rows that a stream proposes, whose domains stay."""
    orders: dict[str, list[str]] = {}
    for example, _ in rows:
        orders.setdefault(example.dataset, []).append(example.id)
    return LiveStream(
        orders=orders,
        prompts_per_step=training.prompts_per_step,
        generations=training.num_generations,
        steps=training.steps // training.iterations,
        seed=seed,
        slots=None if drawn is None else [example.dataset for example, _ in drawn],
        options=None if online is None else parse(online, OnlineOptions, "online"),
        iterations=training.iterations,
    )


def digest_of(rows: Sequence[tuple[Example, Path]]) -> str:
    """The rows of a training, in their order."""
    return digest([example.model_dump(mode="json") for example, _ in rows])


def decided(job: TrainJob) -> dict[str, Any]:
    """What else decides a run whose stream is not known before."""
    if job.live is None:
        return {}
    options = {"online": job.live.options.changed()} if job.live.options else {}
    return {"spare": digest_of(job.spare), **options}


def with_known_end(job: TrainJob) -> TrainJob:
    """The job as it is once an earlier part of the run, or an earlier try, has come to the end of its live stream."""
    if job.live is None or not (job.folder / ROWS).is_file():
        return job
    used = read_used(job.folder)
    if next_step(job.live, used)[0]:
        return job
    end = as_stream(job.live, used).steps
    ended = checkpoint_steps(list(job.checkpoint_steps), end)
    return replace(job, last_step=min(job.last_step, end), checkpoint_steps=ended)


def decided_stream(job: TrainJob, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of a stream that was decided while the run trained, with all prompts that were generated for.

    Of a part of a run, from the run's start to the end of that part.
    """
    assert job.live is not None
    # What was trained further since, as when a race gets a rung between, is no part of it.
    used = [row for row in read_used(job.folder) if row.step <= job.last_step]
    found = summary(as_stream(job.live, used), drawn["requested"], list(job.checkpoint_steps))
    found["steps"] = min(found["steps"], job.last_step)  # it may end between steps that share completions
    ended = found["steps"] < job.settings.training.steps and not next_step(job.live, used)[0]
    if ended and found["exhausted"] is None:
        found["exhausted"] = {**drawn["exhausted"], "step": found["steps"]}
    about = {key: drawn[key] for key in ("online", "mixture", "seed", "since", "until") if key in drawn}
    return {**found, "prompts_generated": len(used), **about}
