"""Prompt groups: the completions of one prompt, which teach only where their rewards differ.

An advantage is what a reward is above the mean of its group, so a group whose rewards are all equal teaches nothing
(but for the KL term), and its domain counts less in what is learnt than in what is shown. The *realised* mixture is
each domain's share of the prompts, the *effective* one its share of the prompts that teach.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

PROMPTS = "prompts/"  # + domain: its prompts of a step, in the log
ZERO_STD = "frac_reward_zero_std/"  # + domain: the share of them whose completions all got the same reward


def teaching(
    rewards: np.ndarray, weights: Sequence[float], generations: int, each: bool = False
) -> list[bool]:
    """Whether each group's rewards differ, of [completions, functions], NaN where a function does not apply.

    They are summed by their weights; with `each` they count one by one, as TRL's `normalize_then_sum` takes them.
    Compared and not subtracted from a mean, which rounds: equal rewards are equal to the last bit.
    """
    known = ~np.isnan(rewards).all(axis=1)
    given = np.where(np.isnan(rewards), 0.0, rewards)
    values = given if each else (given * np.asarray(weights, dtype=given.dtype)).sum(axis=1, keepdims=True)
    return [
        bool(np.ptp(values[rows][known[rows]], axis=0).any()) if known[rows].any() else False
        for rows in _groups(len(rewards), generations)
    ]


class Outcome(NamedTuple):
    """What a group's rewards say: `taught` as `teaching`, `right_differs` the same of those for the answer alone.

    `advantage`: mean size of the advantages, as GRPO normalises them in a group; `success`: mean of the rewards for the
    answer, each in [0, 1].
    """

    taught: bool
    right_differs: bool
    advantage: float
    success: float


@dataclass(frozen=True)
class RewardColumns:
    """How a matrix of rewards [completions, functions] is read.

    `names` and `weights` of the functions as TRL sums them; `judged`: domain → its rewards for the answer, each with
    the factor that its values were multiplied by there.
    """

    names: Sequence[str]
    weights: Sequence[float]
    generations: int
    judged: Mapping[str, Mapping[str, float]]
    each: bool = False

    def outcomes(self, rewards: np.ndarray, domains: Sequence[str]) -> list[Outcome]:
        """Of each group, whose domain is given."""
        taught = teaching(rewards, self.weights, self.generations, self.each)
        found = []
        for teaches, domain, rows in zip(
            taught, domains, _groups(len(rewards), self.generations), strict=True
        ):
            group = rewards[rows].astype(float)
            columns = [self.names.index(name) for name in self.judged[domain]]
            weights = [self.weights[column] for column in columns]
            (differs,) = teaching(rewards[rows][:, columns], weights, self.generations, self.each)
            factors = np.array(list(self.judged[domain].values()))
            found.append(
                Outcome(
                    teaches,
                    differs,
                    _advantage(group, np.array(self.weights)),
                    _success(group[:, columns] / factors, np.array(weights)),
                )
            )
        return found


def _advantage(group: np.ndarray, weights: np.ndarray) -> float:
    known = ~np.isnan(group).all(axis=1)
    if known.sum() < 2:
        return 0.0
    summed = np.nansum(group[known] * weights, axis=1)
    if not np.ptp(summed):
        return 0.0
    return float(np.abs((summed - summed.mean()) / (summed.std(ddof=1) + 1e-4)).mean())


def _success(values: np.ndarray, weights: np.ndarray) -> float:
    """Mean of rewards [completions, functions], weighed by the size of their weights; 0 where none applies."""
    there = np.abs(weights) * ~np.isnan(values)
    known = there.sum(axis=1) > 0
    if not known.any():
        return 0.0
    means = (np.clip(np.nan_to_num(values), 0, 1) * there).sum(axis=1)[known] / there.sum(axis=1)[known]
    return float(means.mean())


def _groups(completions: int, generations: int) -> Iterator[slice]:
    return (slice(start, start + generations) for start in range(0, completions, generations))


def step_counts(domains: Sequence[str], taught: Sequence[bool]) -> dict[str, float]:
    """What the log says of a step: each domain's prompts, and the share of them that taught nothing."""
    prompts = Counter(domains)
    zero = Counter(domain for domain, teaches in zip(domains, taught, strict=True) if not teaches)
    return {
        **{f"{PROMPTS}{domain}": float(count) for domain, count in prompts.items()},
        **{f"{ZERO_STD}{domain}": zero[domain] / count for domain, count in prompts.items()},
    }


def with_shares(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of a log, each with the realised and the effective share of every domain until then."""
    prompts: Counter[str] = Counter()
    zero: Counter[str] = Counter()
    for row in rows:
        _count(row, prompts, zero)
        yield {
            **row,
            **{f"realised/{domain}": share for domain, share in _shares(prompts).items()},
            **{f"effective/{domain}": share for domain, share in _shares(prompts - zero).items()},
        }


def groups_of(log: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """What a run's log says of its groups, as run.json has it; nothing of a log that does not count them.

    `effective`: domain → its share of the prompts that taught, empty where none did; `frac_reward_zero_std`: domain →
    the share of its prompts that taught nothing.
    """
    prompts: Counter[str] = Counter()
    zero: Counter[str] = Counter()
    for row in log:
        _count(row, prompts, zero)
    if not prompts:
        return {}
    return {
        "effective": _shares(prompts - zero),
        "frac_reward_zero_std": {domain: zero[domain] / prompts[domain] for domain in sorted(prompts)},
    }


def _count(row: Mapping[str, Any], prompts: Counter[str], zero: Counter[str]) -> None:
    """Add what a row of a log says of each domain: its prompts, and those that taught nothing."""
    for key, count in row.items():
        if key.startswith(PROMPTS):
            domain = key.removeprefix(PROMPTS)
            prompts[domain] += round(count)
            zero[domain] += round(count * row.get(f"{ZERO_STD}{domain}", 0.0))


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {domain: counts[domain] / total for domain in sorted(counts)} if total else {}
