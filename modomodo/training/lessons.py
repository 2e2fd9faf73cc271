"""Whether a run could learn, and whether it did: what its log and its weights say, as warnings."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modomodo.config.schema import Call, name_and_options
from modomodo.data.examples import Example
from modomodo.metrics.metric import called, metrics, references
from modomodo.metrics.truths import completion_of_truth, unread_truths
from modomodo.training.groups import PROMPTS, groups_of
from modomodo.training.rewards import columns, reward_of, rewards

# Kind of completion that `reward_functions.Watch` logs → the share of them from which on it is a warning, and which.
# Measured over the last quarter of the steps with a domain: a run begins with answers that are wrong or out of form.
WATCHED = {
    "format_alone": (0.9, "earned the format and nothing for the answer"),
    "answer_before_thought": (0.2, "answered before the end of the thinking"),
    "tags_repeated": (0.2, "repeated a tag of the format"),
}
# Steps with a domain from which on one and the same value of a reward is no accident.
ENOUGH_STEPS = 10
# Share of the prompts whose completions all got the same reward, from which on a run is as good as without rewards.
NEARLY_ALL = 0.9


def unfit_rewards(domain_rewards: Mapping[str, Sequence[Call]], examples: Iterable[Example]) -> list[str]:
    """A warning for each reward that does not fit the answers of its domain, before anything is trained.

    A reward is asked about the true answer of one example for each type of answer; a metric, of all.
    Raises InputError for a true answer that a metric cannot read.
    """
    seen: dict[str, dict[str, Example]] = {}
    for example in examples:
        seen.setdefault(example.dataset, {})[example.id] = example
    texts = []
    for domain, calls in domain_rewards.items():
        if domain not in seen:
            continue
        kinds = {example.answer_type: example for example in reversed(seen[domain].values())}
        for call in calls:
            name, _ = name_and_options(call)
            if not any(_applies(call, example) for example in kinds.values()):
                texts.append(
                    f"{domain}: the reward '{name}' does not apply to its answers ({', '.join(sorted(kinds))}) and "
                    "teaches nothing there: name another one"
                )
            elif not rewards.is_own(name):
                texts += unread_truths(f"{domain}: the reward", called(call), seen[domain].values())
            else:
                texts += _first_alone(domain, call, seen[domain].values())
    return texts


def _first_alone(domain: str, call: Call, examples: Iterable[Example]) -> list[str]:
    """A warning for a reward of one true answer, where examples accept several of which it gives some less."""
    several = (one for one in examples if isinstance(one.answer, str) and len(references(one)) > 1)
    example = next(several, None)
    if example is None:
        return []
    first, *others = (example.model_copy(update={"answer": answer}) for answer in references(example))
    earned = _earned(call, example, first)
    less = next((one.answer for one in others if (_earned(call, example, one) or 0) < (earned or 0)), None)
    if less is None:
        return []
    name, _ = name_and_options(call)
    return [
        f"{domain}: the reward '{name}' knows the first of several accepted answers alone, '{str(less)[:80]}' of "
        f"example '{example.id}' earns less: name a metric, e.g. exact_match"
    ]


def _applies(call: Call, example: Example) -> bool:
    name, _ = name_and_options(call)
    if not rewards.is_own(name):
        return example.answer_type in metrics[name].answers
    return _earned(call, example, example) is not None


def _earned(call: Call, example: Example, answered: Example) -> float | None:
    """What a reward gives the true answer of one example to another."""
    completion = [{"role": "assistant", "content": completion_of_truth(answered)}]
    row = {column: [value] for column, value in columns(example).items()}
    # One that needs more than an example (a trainer's state, a network) can only be judged by the run's log.
    with contextlib.suppress(Exception):
        return reward_of(call)(prompts=[[]], completions=[completion], **row)[0]
    return 1.0


def lessons(
    log: Sequence[Mapping[str, Any]],
    domain_rewards: Mapping[str, Sequence[Call]],
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
    zero = groups_of(log).get("frac_reward_zero_std", {}) if share < NEARLY_ALL else {}
    for domain, calls in domain_rewards.items():
        texts += _seen_by_the_watch(log, domain)
        seen = sum(f"{PROMPTS}{domain}" in row for row in log)
        if zero.get(domain, 0.0) >= NEARLY_ALL and seen >= ENOUGH_STEPS:
            texts.append(
                f"{domain}: for {zero[domain]:.0%} of its prompts all completions got the same reward: its share of "
                "what was learnt is far below its weight (stream.effective in run.json)"
            )
        for name, _ in map(name_and_options, calls):
            values = [row[key] for row in log if (key := f"rewards/{domain}/{name}") in row]
            if (name, set(values)) == ("format", {1.0}):
                continue  # a base model that always keeps the format is as good as it can be
            if len(values) >= ENOUGH_STEPS and len(set(values)) == 1:
                texts.append(
                    f"{domain}: the reward '{name}' was {values[0]:g} for every completion and taught nothing there"
                )
    return texts


def _seen_by_the_watch(log: Sequence[Mapping[str, Any]], domain: str) -> list[str]:
    """A warning for each kind of completion that had more than its share at the end of a run."""
    texts = []
    for kind, (most, said) in WATCHED.items():
        shares = [row[key] for row in log if (key := f"watch/{domain}/{kind}") in row]
        last = shares[-(len(shares) // 4) :]
        if len(shares) >= ENOUGH_STEPS and sum(last) > most * len(last):
            texts.append(
                f"{domain}: in the last quarter of the steps more than {most:.0%} of the completions {said}: "
                "read some of its predictions"
            )
    return texts
