"""Whether a run could learn, and whether it did: what its log and its weights say, as warnings."""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modomodo.data.examples import Example
from modomodo.training.rewards import columns, rewards

# Steps with a domain from which on one and the same value of a reward is no accident.
ENOUGH_STEPS = 10
# Share of the prompts whose completions all got the same reward, from which on a run is as good as without rewards.
NEARLY_ALL = 0.9


def unfit_rewards(domain_rewards: Mapping[str, Sequence[str]], examples: Iterable[Example]) -> list[str]:
    """A warning for each reward that does not apply to the answers of its domain, before anything is trained.

    A reward is asked about the true answer of one example for each type of answer.
    """
    seen: dict[str, dict[str, Example]] = {}
    for example in examples:
        seen.setdefault(example.dataset, {}).setdefault(example.answer_type, example)
    return [
        f"{domain}: the reward '{name}' does not apply to its answers ({', '.join(sorted(seen[domain]))}) and teaches "
        "nothing there: name another one"
        for domain, names in domain_rewards.items()
        for name in names
        if domain in seen and not any(_applies(name, example) for example in seen[domain].values())
    ]


def _applies(name: str, example: Example) -> bool:
    answer = example.answer if isinstance(example.answer, str) else json.dumps(example.answer)
    completion = [{"role": "assistant", "content": f"<think>\n</think>\n<answer>{answer}</answer>"}]
    row = {column: [value] for column, value in columns(example).items()}
    # One that needs more than an example (a trainer's state, a network) can only be judged by the run's log.
    with contextlib.suppress(Exception):
        return rewards[name](prompts=[[]], completions=[completion], **row) != [None]
    return True


def lessons(
    log: Sequence[Mapping[str, Any]],
    domain_rewards: Mapping[str, Sequence[str]],
    base: str,
    checkpoints: Iterable[str],
) -> list[str]:
    """Warnings on a run that learnt nothing. `log`: a row a step; `base`, `checkpoints`: digests of the weights."""
    texts = []
    equal = [row["frac_reward_zero_std"] for row in log if "frac_reward_zero_std" in row]
    share = sum(equal) / len(equal) if equal else 0.0
    unchanged = {base} == set(checkpoints) or (log and all(row.get("grad_norm") == 0 for row in log))
    if unchanged:
        reason = ": all completions of a prompt always got the same reward" if share == 1 else ""
        texts.append(f"nothing was learnt: the weights are still the base model's{reason}")
    elif share >= NEARLY_ALL:
        texts.append(
            f"hardly anything could be learnt: for at least {NEARLY_ALL:.0%} of the prompts all completions got the "
            "same reward"
        )
    for domain, names in domain_rewards.items():
        for name in names:
            values = [row[key] for row in log if (key := f"rewards/{domain}/{name}") in row]
            if (name, set(values)) == ("format", {1.0}):
                continue  # a base model that always keeps the format is as good as it can be
            if len(values) >= ENOUGH_STEPS and len(set(values)) == 1:
                texts.append(
                    f"{domain}: the reward '{name}' was {values[0]:g} for every completion and taught nothing there"
                )
    return texts
