"""The stream: which example is trained on when, drawn ahead of training.

Two-stage draw without replacement (section 3.1 of the paper): sample a domain by its weight, then an
example of it not seen before; when every example of a domain has been seen, the stream ends. With exact
shares the first stage leaves nothing to chance but the order: every window holds each domain's share.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from modomodo.errors import InputError

CACHE_VERSION = 1  # raise when the same settings would draw another stream: every run is then trained again


class Draw(NamedTuple):
    """A line of `streams/<mixture>/<seed>.jsonl`: one prompt, in training order."""

    step: int  # first optimiser step that learns from it, from 1
    position: int  # place in the whole stream, from 0
    domain: str
    id: str


@dataclass(frozen=True)
class Stream:
    """The prompts of one run, in complete steps."""

    draws: list[Draw]
    prompts_per_step: int
    exhausted: str | None  # the domain whose examples ran out and ended the stream early
    iterations: int = 1  # optimiser steps that learn from the same prompts

    @property
    def steps(self) -> int:
        """Optimiser steps the stream lasts."""
        return len(self.draws) // self.prompts_per_step * self.iterations


def draw_stream(
    weights: Mapping[str, float],
    ids: Mapping[str, Sequence[str]],
    steps: int,
    prompts_per_step: int,
    seed: int,
    window: int | None = None,
    iterations: int = 1,
) -> Stream:
    """Draw up to `steps` steps of `prompts_per_step` prompts, of which `iterations` learn from the same ones.

    Domains are sampled by their weight, or with `window` dealt out in exact shares of every so many prompts.

    Domains are taken by name, so their order changes nothing. Mixtures share their random numbers under one seed
    (the t-th uniform number and each domain's order of examples are the same), so that two runs differ by their
    mixture more than by the luck of the draw.

    Raises InputError when a domain with weight has no example or not even one step can be filled.
    """
    domains = sorted(domain for domain, weight in weights.items() if weight > 0)
    for domain in domains:
        if not ids.get(domain):
            raise InputError(f"domain '{domain}' has weight {weights[domain]:g} but no examples")
    needed = steps // iterations * prompts_per_step
    shares = [weights[domain] for domain in domains]
    choices = (
        _domain_choices(shares, needed, seed)
        if window is None
        else exact_choices(shares, needed, seed, window)
    )
    unseen = {domain: iter(domain_order(ids[domain], domain, seed)) for domain in domains}
    left = {domain: len(ids[domain]) for domain in domains}
    draws: list[Draw] = []
    exhausted = None
    for position, choice in enumerate(choices):
        domain = domains[choice]
        step = position // prompts_per_step * iterations + 1
        draws.append(Draw(step, position, domain, next(unseen[domain])))
        left[domain] -= 1
        if left[domain] == 0:
            exhausted = domain if len(draws) < needed else None
            break
    complete = len(draws) // prompts_per_step * prompts_per_step
    if not complete:
        raise InputError(
            f"domain '{exhausted}' is exhausted before the first step: it needs more than "
            f"{len(ids[str(exhausted)])} examples"
        )
    return Stream(draws[:complete], prompts_per_step, exhausted, iterations)


def checkpoint_steps(scored_steps: Sequence[int], last_step: int) -> dict[int, int]:
    """Scored step → the step that its checkpoint is of: the last one when the stream ends before."""
    return {step: min(step, last_step) for step in scored_steps}


def summary(stream: Stream, weights: Mapping[str, float], scored_steps: Sequence[int]) -> dict:
    """Requested and realised shares, the domain that was exhausted and when, and the steps of checkpoints."""
    counts = Counter(draw.domain for draw in stream.draws)
    return {
        "steps": stream.steps,
        "prompts": len(stream.draws),
        "requested": {domain: float(weight) for domain, weight in weights.items()},
        "realised": {domain: counts[domain] / len(stream.draws) for domain in weights},
        "exhausted": {"domain": stream.exhausted, "step": stream.steps} if stream.exhausted else None,
        "checkpoint_steps": {
            str(scored): step for scored, step in checkpoint_steps(scored_steps, stream.steps).items()
        },
    }


def of_stretch(whole: Mapping[str, Any], mixture: str, since: int, until: int | None) -> dict:
    """The summary of a stream of which a job trains a part: the steps after `since`, to `until` or to its end."""
    return {**whole, "mixture": mixture, "since": since, "until": until}


def untaken(weights: Mapping[str, float], since: int, until: int | None) -> dict:
    """The summary of the stream of a place in a race that no run takes."""
    return {
        **{"steps": 0, "prompts": 0, "requested": dict(weights), "realised": dict.fromkeys(weights, 0.0)},
        **{"exhausted": None, "checkpoint_steps": {}, "since": since, "until": until},
    }


def check_enough(sizes: Mapping[str, int], steps: int, prompts_per_step: int, iterations: int = 1) -> None:
    """Raises InputError when no mixture could ever reach the last step."""
    total = sum(sizes.values())
    needed = steps // iterations * prompts_per_step
    if total < needed:
        raise InputError(
            f"training.steps: {steps} steps need {needed} prompts, but all domains together hold {total} examples: "
            f"lower the steps to {total // prompts_per_step * iterations} or add data"
        )


def _domain_choices(weights: Sequence[float], count: int, seed: int) -> np.ndarray:
    """`count` indices into `weights`, drawn with those probabilities."""
    edges = np.cumsum(weights) / np.sum(weights)
    uniform = np.random.default_rng([seed, 0]).random(count)
    return np.minimum(np.searchsorted(edges, uniform, side="right"), len(edges) - 1)


def exact_choices(weights: Sequence[float], count: int, seed: int, window: int) -> np.ndarray:
    """`count` indices into `weights`, in windows that hold the shares as exactly as a number of prompts can.

    The method of largest remainders: a domain gets the integer part of what it is owed, and the domains with the
    largest remainders one more. What a window owes is carried to the next, so that at the end of every window a
    domain is less than one prompt from its share of all prompts until then, or, with three domains and more,
    in rare cases a little more. Chance decides the order within a window, and between equal remainders.
    """
    shares = np.array(weights) / np.sum(weights)
    random = np.random.default_rng([seed, 0])
    given = np.zeros(len(shares))
    parts: list[np.ndarray] = []
    for start in range(0, count, window):
        end = min(start + window, count)
        owed = np.maximum(shares * end - given, 0.0)
        whole = np.floor(owed + 1e-9)
        # What was dealt too early is owed by nobody: the whole parts may then exceed the window.
        rest = owed - whole
        order = np.lexsort((random.random(len(shares)), -np.round(rest, 9)))
        missing = int(end - start - whole.sum())
        if missing >= 0:
            whole[order[:missing]] += 1
        else:
            able = [i for i in order[::-1] if whole[i] > 0]
            whole[able[:-missing]] -= 1
        given += whole
        parts.append(random.permutation(np.repeat(np.arange(len(shares)), whole.astype(int))))
    return np.concatenate(parts)


def domain_order(ids: Sequence[str], domain: str, seed: int) -> list[str]:
    """The order in which a domain's examples are seen, the same whatever else is in the mixture."""
    key = int.from_bytes(hashlib.sha256(domain.encode()).digest()[:8], "big")
    order = np.random.default_rng([seed, key]).permutation(len(ids))
    return [ids[index] for index in order]
