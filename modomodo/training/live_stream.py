"""The prompts of a run whose stream is decided while it trains, for the trainer that asks for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from modomodo.config.schema import Training
from modomodo.errors import InputError
from modomodo.mixtures.online import LiveStream, Used, left, next_step, read_used, write_used
from modomodo.training.groups import Outcome, RewardColumns
from modomodo.training.job import TrainJob
from modomodo.training.reward_functions import for_the_answer


class LiveRows:
    """Gives out the rows of each step, replaces prompts that taught nothing, and notes what became of each.

    `dataset` has all rows of the domains, `places` says where: (domain, id) → row. Every process has one of its own,
    and as all are told the same outcomes of all groups, all give out the same.

    Raises InputError when not even one step can be filled.
    """

    def __init__(
        self,
        stream: LiveStream,
        dataset: Dataset,
        places: Mapping[tuple[str, str], int],
        columns: RewardColumns,
        max_tries: int = 0,
    ) -> None:
        self.stream = stream
        self.dataset = dataset
        self.places = places
        self.columns = columns
        self.max_tries = max_tries
        self.used: list[Used] = []
        self._step: list[Used] = []  # of the step at hand, replaced ones too
        self._shown: list[tuple[str, str]] = []  # (domain, id) at each of its places
        self._tries: list[int] = []
        self._left: dict[
            str, int
        ] = {}  # by domain, before the step at hand: counted once, since a run has many
        self._domains, exhausted = next_step(stream, [])
        if not self._domains:
            raise InputError(
                f"domain '{exhausted}' is exhausted before the first step: it needs more than "
                f"{len(stream.orders[str(exhausted)])} examples"
            )

    @property
    def over(self) -> bool:
        """Whether no step follows those that are noted."""
        return not self._domains

    @property
    def last_step(self) -> int:
        """The last optimiser step of the run: that of the stream's end once it has ended, else that of the schedule."""
        generating = len({row.step for row in self.used}) if self.over else self.stream.steps
        return generating * self.stream.iterations

    @property
    def domains(self) -> list[str]:
        """Of the prompts of the step at hand."""
        return [domain for domain, _ in self._shown]

    def resume(self, folder: Path) -> None:
        """Go on after what is noted in a checkpoint."""
        self.used = read_used(folder)
        self._domains, _ = next_step(self.stream, self.used)

    def save(self, folder: Path) -> None:
        """Note in a folder what was used until now."""
        write_used(folder, self.used)

    def begin(self) -> None:
        """Choose the prompts of the next step."""
        self._step, self._shown = [], []
        self._left = left(self.stream, self.used)
        self._tries = [0] * len(self._domains)
        for domain in self._domains:
            self._shown.append((domain, self._next_of(domain)))

    def _next_of(self, domain: str) -> str:
        order = self.stream.orders[domain]
        return order[len(order) - self._left[domain] + self._taken(domain)]

    def _taken(self, domain: str) -> int:
        """Examples of a domain that the step at hand has had, replaced ones too."""
        return self.domains.count(domain) + sum(row.domain == domain for row in self._step)

    def rows(self, first: int, count: int) -> list[dict[str, Any]]:
        """The rows of some completions of the step, those of a prompt one after the other."""
        groups = [number // self.stream.generations for number in range(first, first + count)]
        given = {group: self.dataset[self.places[self._shown[group]]] for group in set(groups)}
        return [dict(given[group]) for group in groups]

    def replace(self, outcomes: Sequence[Outcome]) -> list[int]:
        """Take the next example of its domain for each prompt whose answers all earned the same; gives their places."""
        replaced = []
        for place, outcome in enumerate(outcomes):
            domain = self._shown[place][0]
            if outcome.right_differs or self._tries[place] >= self.max_tries:
                continue
            if self._left[domain] <= self._taken(domain):
                continue  # no other example is left: the step keeps this one, and is the last
            following = self._next_of(domain)
            self._step.append(self._noted(place, outcome))
            self._shown[place] = (domain, following)
            self._tries[place] += 1
            replaced.append(place)
        return replaced

    def finish(self, outcomes: Sequence[Outcome]) -> int:
        """Note the step with what became of its prompts; returns how many were generated, replaced ones too."""
        self._step += [self._noted(place, outcome) for place, outcome in enumerate(outcomes)]
        self._step.sort(key=lambda row: (row.position, row.attempt))
        self.used += self._step
        self._domains, _ = next_step(self.stream, self.used)
        return len(self._step)

    def _noted(self, place: int, outcome: Outcome) -> Used:
        done = self.used[-1].position + 1 if self.used else 0
        domain, name = self._shown[place]
        return Used(
            step=done // self.stream.prompts_per_step * self.stream.iterations + 1,
            position=done + place,
            attempt=self._tries[place],
            domain=domain,
            id=name,
            taught=outcome.taught,
            advantage=outcome.advantage,
            success=outcome.success,
        )


def live_rows(job: TrainJob, dataset: Dataset, names: Sequence[str], weighed: Training) -> LiveRows:
    """What a trainer takes its rows from, of a job with a live stream."""
    assert job.live is not None
    places = {
        (example.dataset, example.id): place for place, (example, _) in enumerate([*job.rows, *job.spare])
    }
    columns = RewardColumns(
        names,
        [weighed.reward_weights[name] for name in names],
        weighed.num_generations,
        for_the_answer(job.settings),
        weighed.trl.get("multi_objective_aggregation") == "normalize_then_sum",
    )
    sampling = weighed.dynamic_sampling
    return LiveRows(job.live, dataset, places, columns, sampling.max_tries if sampling else 0)


def counted(job: TrainJob) -> Dataset:
    """As many rows as a live stream has prompts at most: TRL counts them, the trainer puts its own in their place."""
    assert job.live is not None
    return Dataset.from_dict({"position": range(job.live.steps * job.live.prompts_per_step)})
