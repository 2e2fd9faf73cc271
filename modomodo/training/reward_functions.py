"""The rewards of all domains as the functions that TRL calls, and a watch on how completions earn them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modomodo.config.schema import Call, name_and_options
from modomodo.errors import InputError
from modomodo.metrics.judge import Replies
from modomodo.metrics.metric import Ask, metrics
from modomodo.metrics.weights import reward_weight
from modomodo.training.rewards import Reward, completion_text, reward_of, rewards
from modomodo.training.settings import TrainSettings

LogMetric = Callable[[str, float], None]
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def reward_functions(settings: TrainSettings, folder: Path) -> list[Callable]:
    """One function a reward in TRL's signature, by name, given only to the domains that name it.

    Other rows get None, which TRL leaves out of the sum. Means by domain go to the log, and what `Watch` sees. A
    judge's replies are kept in the folder. Raises InputError for an unknown reward or option.
    """
    ask = None
    if settings.judge is not None:
        # Each process asks about its own completions, the same ones in a run that is resumed.
        ask = Replies(settings.judge, folder / f"judge.{os.environ.get('RANK', '0')}.jsonl")
    calls = _calls(settings.rewards)
    for name in calls:
        rewards.check(name)
    weights = _weights(settings)
    watch = Watch(settings.rewards, last=max(calls))
    return [
        _for_domains(name, of_domain, _shares(weights[name]), ask, watch)
        for name, of_domain in sorted(calls.items())
    ]


def summed_weights(settings: TrainSettings) -> dict[str, float]:
    """What each reward weighs in TRL's sum: the most that a domain gives it."""
    return {name: max(weights.values(), key=abs) for name, weights in _weights(settings).items()}


def for_the_answer(settings: TrainSettings) -> dict[str, dict[str, float]]:
    """Domain → its rewards that are about the answer and not its form, each with its weight as a share of TRL's.

    All of them where a domain has none such. One of weight 0 is left out: it teaches nothing.
    """
    weights = _weights(settings)
    shares = {name: _shares(of_domain) for name, of_domain in weights.items()}
    found = {}
    for domain, calls in settings.rewards.items():
        names = [name for call in calls if weights[name := name_and_options(call)[0]][domain]]
        about = [name for name in names if not _is_form(name)] or names
        found[domain] = {name: shares[name][domain] for name in about}
    return found


def _calls(domain_rewards: Mapping[str, Sequence[Call]]) -> dict[str, dict[str, Call]]:
    """Reward → domain → how it is called there."""
    calls: dict[str, dict[str, Call]] = {}
    for domain, wanted in domain_rewards.items():
        for call in wanted:
            calls.setdefault(name_and_options(call)[0], {})[domain] = call
    return calls


def _weights(settings: TrainSettings) -> dict[str, dict[str, float]]:
    """Reward → domain → its weight there. Raises InputError for one that has none."""
    weights: dict[str, dict[str, float]] = {}
    for name, of_domain in _calls(settings.rewards).items():
        for domain in of_domain:
            weight = reward_weight(
                name, settings.training.reward_weights, settings.reward_weights.get(domain, {})
            )
            if weight is None:
                raise InputError(f"training.reward_weights: no weight for '{name}'")
            weights.setdefault(name, {})[domain] = weight
    return weights


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Domain → its weight as a share of the one in TRL's sum, exactly 1 where they are the same."""
    most = max(weights.values(), key=abs)
    return {domain: weight / most if most else 1.0 for domain, weight in weights.items()}


def _for_domains(
    name: str, calls: Mapping[str, Call], shares: Mapping[str, float], ask: Ask | None, watch: "Watch"
) -> Callable:
    functions = {domain: reward_of(call, ask=ask) for domain, call in calls.items()}

    def applied(dataset: list[str], log_metric: LogMetric, **batch: Any) -> list[float | None]:
        given: list[float | None] = [None] * len(dataset)
        for same in _alike(calls):
            rows = [row for row, domain in enumerate(dataset) if domain in same]
            if rows:
                values = _of_rows(functions[same[0]], rows, dataset=dataset, log_metric=log_metric, **batch)
                for row, value in zip(rows, values, strict=True):
                    given[row] = value
        for value, domain in zip(given, dataset, strict=True):
            if value is not None:  # one by one, so that TRL's mean over all processes weighs them alike
                log_metric(f"rewards/{domain}/{name}", value)
        watch.see(name, given, dataset, batch["completions"], log_metric)
        return [
            None if value is None else value * shares[domain]
            for value, domain in zip(given, dataset, strict=True)
        ]

    applied.__name__ = name  # TRL logs a reward under its function's name
    return applied


def _alike(calls: Mapping[str, Call]) -> list[list[str]]:
    """The domains, those together that call a reward with the same options."""
    groups: list[list[str]] = []
    for domain, call in calls.items():
        for group in groups:
            if calls[group[0]] == call:
                group.append(domain)
                break
        else:
            groups.append([domain])
    return groups


def _of_rows(reward: Reward, rows: Sequence[int], **batch: Any) -> list[float | None]:
    """The reward of some rows of a batch: what has a value a row is cut down to them."""
    size = len(batch["dataset"])
    cut = {
        name: [value[row] for row in rows] if isinstance(value, list) and len(value) == size else value
        for name, value in batch.items()
    }
    return reward(**cut)


class Watch:
    """Logs, by domain, the share of completions that look as if they earned rewards without what these are for.

    Watched are the domains with the reward `format`:

    - `watch/<domain>/format_alone`: the format is kept, and no reward that is about the answer is above 0;
    - `watch/<domain>/answer_before_thought`: an `<answer>` stands before the last `</think>`;
    - `watch/<domain>/tags_repeated`: a tag of the format occurs twice.

    TRL calls one reward after the other with the same completions; with the `last` one all is known.
    """

    def __init__(self, domain_rewards: Mapping[str, Sequence[Call]], last: str) -> None:
        named = {
            domain: {name_and_options(call)[0] for call in calls} for domain, calls in domain_rewards.items()
        }
        self.about_answer = {
            domain: {name for name in names if not _is_form(name)}
            for domain, names in named.items()
            if "format" in names
        }
        self.last = last
        self.seen: dict[str, list[float | None]] = {}

    def see(
        self,
        name: str,
        values: list[float | None],
        dataset: Sequence[str],
        completions: Sequence[Any],
        log_metric: LogMetric,
    ) -> None:
        """Take note of a reward's values for the completions of a step; log when it is the last reward."""
        self.seen[name] = values
        if name != self.last:
            return
        for row, domain in enumerate(dataset):
            if domain in self.about_answer:
                for what, found in self._found(row, domain, completion_text(completions[row])).items():
                    log_metric(f"watch/{domain}/{what}", float(found))
        self.seen = {}

    def _found(self, row: int, domain: str, text: str) -> dict[str, bool]:
        found = {
            "answer_before_thought": "</think>" in text.partition("<answer>")[2],
            "tags_repeated": any(text.count(tag) > 1 for tag in _TAGS),
        }
        about_answer = [self.seen[name][row] for name in self.about_answer[domain]]
        if any(value is not None for value in about_answer):
            earned = any(value is not None and value > 0 for value in about_answer)
            found["format_alone"] = bool(self.seen["format"][row]) and not earned
        return found


def _is_form(name: str) -> bool:
    """Whether a reward says nothing of whether the answer is right."""
    return name == "format" or (not rewards.is_own(name) and metrics[name].form)
