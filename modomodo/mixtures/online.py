"""Streams that are decided while a run trains: prompts drawn again, and domains chosen by what was learnt so far.

A drawn stream (stream.py) is known before training. Here each step's prompts follow from the seed and from what is
noted of all prompts before it (`Used`), by pure functions: a run that is resumed reads its notes and goes on alike, and
so does each of several processes. Every domain's examples come in the order that a drawn stream has them in, and the
random number that chooses the domain of a place is the one that a drawn stream has there.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from modomodo.config.schema import Settings
from modomodo.files import read_jsonl, write_jsonl
from modomodo.mixtures.stream import Draw, Stream

ROWS = "rows.jsonl"  # beside a run's log, and in its resume checkpoints

# Options that one of the rules has and the others do not.
_OF_RULE = {
    "window": ("dump", "learnability"),
    "temperature": ("dump",),
    "exploration": ("dump",),
    "target": ("thompson",),
    "discount": ("thompson",),
}


class OnlineOptions(Settings):
    """Options of `online`."""

    rule: Literal["dump", "learnability", "thompson"] = Field(
        description="What a domain's next share follows: 'dump', the size of its advantages and how rarely it was "
        "seen; 'learnability', the share of its prompts that teach; 'thompson', how near its success rate is to "
        "`target`."
    )
    window: int = Field(
        50,
        ge=1,
        description="Of 'dump' and 'learnability': latest prompts of a domain that count (50 of 6 completions are "
        "DUMP's 300).",
    )
    temperature: float = Field(
        0.1, gt=0, description="Of 'dump': of the softmax; the larger, the more even the shares."
    )
    exploration: float = Field(
        1.0, ge=0, description="Of 'dump': factor of the confidence bound, which favours domains seen rarely."
    )
    target: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Of 'thompson': the success rate that teaches most; 0.5 has the greatest variance.",
    )
    discount: float = Field(
        0.98,
        gt=0,
        le=1,
        description="Of 'thompson': factor by which what was seen counts less with every later prompt; 1: all alike.",
    )

    @model_validator(mode="after")
    def _are_of_the_rule(self) -> Self:
        for name in sorted(self.model_fields_set - {"rule"}):
            if self.rule not in _OF_RULE[name]:
                raise ValueError(f"{name}: has no effect with rule {self.rule}: remove it")
        return self


class Used(NamedTuple):
    """A line of `runs/<mixture>/<seed>/rows.jsonl`: a prompt that completions were generated for, in order.

    Of several tries at one position the last one was trained on.
    """

    step: int  # first optimiser step that learns from it, from 1
    position: int  # place in the stream, from 0
    attempt: int  # 0, or how often the prompt of this position had been replaced
    domain: str
    id: str
    taught: bool  # whether its completions' rewards differ
    advantage: float  # mean size of its completions' advantages
    success: float  # mean in [0, 1] of its completions' rewards for the answer


@dataclass(frozen=True)
class LiveStream:
    """What the prompts of a run are taken from.

    `orders`: domain → its examples in the order they are seen in. `steps` are those that generate. `slots`: the domain
    of each position of a drawn stream whose prompts may be replaced; None where `options` choose the domains.
    """

    orders: Mapping[str, Sequence[str]]
    prompts_per_step: int
    generations: int
    steps: int
    seed: int
    slots: Sequence[str] | None = None
    options: OnlineOptions | None = None
    iterations: int = 1


def left(stream: LiveStream, used: Iterable[Used]) -> dict[str, int]:
    """Domain → how many of its examples were not seen yet."""
    seen = Counter(row.domain for row in used)
    return {domain: len(order) - seen[domain] for domain, order in stream.orders.items()}


def next_step(stream: LiveStream, used: Sequence[Used]) -> tuple[list[str], str | None]:
    """The domain of each prompt of the next step, and none when the stream has ended.

    It ends after its steps, and as drawn streams do as soon as a domain is exhausted (section 3.1 of the paper), which
    is then named.
    """
    done = 0 if not used else used[-1].position + 1
    places = range(done, done + stream.prompts_per_step)
    if done >= stream.steps * stream.prompts_per_step:
        return [], None
    rest = left(stream, used)
    for domain in sorted(rest):
        if not rest[domain]:
            return [], domain
    domains = stream.slots[places.start : places.stop] if stream.slots else _chosen(stream, used, places)
    for number, domain in enumerate(domains, 1):
        rest[domain] -= 1
        if not rest[domain] and number < stream.prompts_per_step:
            return [], domain  # a step must be whole
    return (list(domains), None) if len(domains) == stream.prompts_per_step else ([], None)


def _chosen(stream: LiveStream, used: Sequence[Used], places: range) -> list[str]:
    options, domains = stream.options, sorted(stream.orders)
    assert options is not None
    if options.rule == "thompson":
        rates = {name: posterior(used, name, options.discount, stream.generations) for name in domains}
        return [
            _nearest(rates, options.target, np.random.default_rng([stream.seed, 1, place]))
            for place in places
        ]
    seen = {domain: [row for row in used if row.domain == domain] for domain in domains}
    shares = next_shares(seen, options, stream.generations)
    edges = np.cumsum([shares[domain] for domain in domains])
    uniform = np.random.default_rng([stream.seed, 0]).random(places.stop)[places.start :]
    chosen = np.minimum(np.searchsorted(edges / edges[-1], uniform, side="right"), len(domains) - 1)
    return [domains[i] for i in chosen]


def next_shares(
    seen: Mapping[str, Sequence[Used]], options: OnlineOptions, generations: int
) -> dict[str, float]:
    """Domain → the probability that a prompt of the next step is of it. `seen`: its prompts until now.

    `dump`: softmax of (mean size of the advantages in the window + √(2 ln(n + 1) / (n_d + 1))) / temperature, of n and
    n_d completions (Wang et al. 2025, arXiv:2504.09710, Algorithm 1; their code has the same formula).

    `learnability`: in proportion to the share of prompts in the window whose rewards differ, each domain with one
    more that did and one that did not. For one question sampling for learnability takes p (1 - p), the variance of its
    success (Foster et al. 2025, arXiv:2502.12272); a domain's mean of it shows in how many of its groups differ.
    """
    latest = {domain: rows[-options.window :] for domain, rows in seen.items()}
    if options.rule == "learnability":
        teach = {d: (sum(row.taught for row in rows) + 1) / (len(rows) + 2) for d, rows in latest.items()}
        return {domain: value / math.fsum(teach.values()) for domain, value in teach.items()}
    total = generations * sum(map(len, seen.values()))
    bounds = {}
    for domain, rows in latest.items():
        mean = math.fsum(row.advantage for row in rows) / max(1, len(rows))
        rarely = math.sqrt(2 * math.log(total + 1) / (generations * len(seen[domain]) + 1))
        bounds[domain] = (mean + options.exploration * rarely) / options.temperature
    most = max(bounds.values())
    raised = {domain: math.exp(bound - most) for domain, bound in bounds.items()}
    return {domain: value / math.fsum(raised.values()) for domain, value in raised.items()}


def posterior(used: Sequence[Used], domain: str, discount: float, generations: int) -> tuple[float, float]:
    """The Beta distribution of a domain's success rate after all prompts until now, with a uniform prior.

    Successes and failures of its completions count the less the more prompts, of whichever domain, came after them: as
    the model changes, a domain that was not seen for long is as good as unknown again. MoPPS chooses single prompts so
    (Qu et al. 2025, arXiv:2507.04632), from posteriors that fade as those of discounted Thompson sampling do (Raj and
    Kalyani 2017, arXiv:1707.09727). Domains as arms, and fractions of a success, are ours.
    """
    alpha = beta = 1.0
    for age, row in enumerate(reversed(used)):
        if row.domain == domain:
            alpha += discount**age * generations * row.success
            beta += discount**age * generations * (1 - row.success)
    return alpha, beta


def _nearest(rates: Mapping[str, tuple[float, float]], target: float, random: np.random.Generator) -> str:
    """The domain whose success rate, sampled from its Beta distribution, is nearest to the target."""
    distance = {domain: abs(random.beta(*rate) - target) for domain, rate in sorted(rates.items())}
    return min(distance, key=lambda domain: (distance[domain], domain))


def trained_on(used: Iterable[Used]) -> list[Used]:
    """The prompts that were trained on, by position: the last try of each."""
    last = {row.position: row for row in used}
    return [last[position] for position in sorted(last)]


def as_stream(live: LiveStream, used: Sequence[Used]) -> Stream:
    """What was trained on, as a drawn stream is described; with the domain whose examples ran out."""
    draws = [Draw(row.step, row.position, row.domain, row.id) for row in trained_on(used)]
    return Stream(draws, live.prompts_per_step, next_step(live, used)[1], live.iterations)


def read_used(folder: Path) -> list[Used]:
    """What a run noted of its prompts in a folder. Raises InputError naming file and line."""
    return [Used(**row) for _, row in read_jsonl(folder / ROWS)]


def write_used(folder: Path, used: Iterable[Used]) -> None:
    """Note what became of a run's prompts in a folder."""
    write_jsonl(folder / ROWS, (row._asdict() for row in used))
