"""The verdict in words: the same sentences for the terminal, table2.md, the report and the explorer."""

import math
from collections.abc import Mapping, Sequence

import yaml

from modomodo.console import decimal, digits, with_error
from modomodo.reporting.templates import render_template
from modomodo.reporting.verdict import SEEDS_ENOUGH, Case, Verdict

NAMED = 6  # mixtures at most that are listed in a sentence
WEIGHED = 8  # domains at most whose weights are: the YAML has all


def words(verdict: Verdict) -> list[str]:
    """The verdict in sentences, the first of them the answer. Plain text: names are as the study wrote them."""
    parts = [_answer(verdict), *_comparisons(verdict), *_doubts(verdict), *_price(verdict)]
    return [" ".join(part.split()) for part in parts]


def headed(verdict: Verdict) -> list[int]:
    """Places of the sentences that stand under the answer where there is room for few: the lead over equal weights.

    Of a verdict without that lead, the first one; and that the mixture to use changed while it was trained.
    """
    equal = [i for i, lead in enumerate(verdict.leads) if lead.over.startswith("equal weights")]
    leads = [1 + (verdict.case == Case.TIED) + (equal or [0])[0]] if verdict.leads else []
    return leads + ([1 + len(_comparisons(verdict))] if verdict.online else [])


def untimed(verdict: Verdict) -> Verdict:
    """The same without the time that runs took, for pages whose bytes a study and its seeds decide."""
    return verdict.model_copy(update={"cost": None})


def as_yaml(verdict: Verdict) -> str:
    """The mixture as a strategy of a study, to be copied; empty where its weights are not known."""
    if not verdict.weights:
        return ""
    strategy = {
        "propose": "explicit",
        "group": "own",
        "label": "Chosen",
        "options": {"weights": verdict.weights},
    }
    text = yaml.safe_dump(
        {"strategies": {"chosen": strategy}}, sort_keys=False, allow_unicode=True, width=200
    )
    return f"# what the online run came to, from the start: not measured\n{text}" if verdict.online else text


def as_text(verdict: Verdict) -> str:
    """For the terminal."""
    answer, *why = words(verdict)
    text = "\n".join([answer, *(f"  {line}" for line in why)])
    return f"{text}\n\n{as_yaml(verdict)}" if verdict.weights else f"{text}\n"


def as_markdown(verdict: Verdict) -> str:
    """For table2.md and the report of a study of recorded runs."""
    return render_template("verdict.md", words=words(untimed(verdict)), yaml=as_yaml(verdict))


def _answer(verdict: Verdict) -> str:
    if verdict.case == Case.NOTHING:
        return f"No mixture has a score ({verdict.score}) yet."
    name = f"{verdict.choice}{_shares(verdict.weights, 'came to ' if verdict.online else '')}"
    assert verdict.value is not None
    number = with_error(verdict.value, math.nan if verdict.error is None else verdict.error)
    value, count = f"{verdict.score} {number}", verdict.mixtures
    if verdict.case == Case.ONE:
        return f"{name} is the only mixture with a score ({value}): train others to choose from."
    if verdict.case == Case.UNKNOWN:
        return (
            f"Use {name}: {value}, the best of {count} mixtures. How much of that is luck is not known: there are "
            "neither standard errors nor repeats."
        )
    if verdict.case == Case.BASE:
        return f"Keep the base model: it beats all {count} mixtures, the best of which is {name}: {value}."
    if verdict.case == Case.SAME:
        reason = "the simplest choice" if verdict.equal == "chosen" else "which is trained already"
        use = f"equal weights, {name}" if verdict.equal == "chosen" else name
        return (
            f"None of the {count} mixtures can be told apart from the best by {verdict.score}. Use {use}, {reason}: "
            f"{value}."
        )
    beyond = ", ahead of each other one by more than noise" if verdict.case == Case.CLEAR else ""
    return f"Use {name}: {value}, the best of {count} mixtures{beyond}."


def _shares(weights: Mapping[str, float], how: str = "") -> str:
    shown = sorted((-weight, domain) for domain, weight in weights.items() if weight > 0)
    text = ", ".join(f"{domain} {-weight:.2f}" for weight, domain in shown[:WEIGHED])
    if len(shown) > WEIGHED:
        text += f" and {len(shown) - WEIGHED} more"
    return f" ({how}{text})" if text else ""


def _comparisons(verdict: Verdict) -> list[str]:
    lines = []
    if verdict.case == Case.TIED:
        count = f"{len(verdict.ties)} others" if len(verdict.ties) > 1 else "1 other"
        among = ", equal weights among them," if verdict.equal == "tied" else ""
        lines.append(f"{count}{among} cannot be told apart from it: {_list(verdict.ties)}.")
    for lead in verdict.leads:
        shown = digits([lead.error or 0.0])
        text = f"{_signed(lead.gap, shown)} against {lead.over}"
        if lead.interval and lead.probability is not None:
            low, high = lead.interval
            text += (
                f": 95% interval {_signed(low, shown)} to {_signed(high, shown)}, "
                f"better with a probability of {_probability(lead.probability)}"
            )
        lines.append(f"{text}.")
    if any(lead.error for lead in verdict.leads):
        how = "paired question by question" if verdict.paired else "as if each had answered other questions"
        lines.append(
            f"Intervals and probabilities follow from the standard errors of the differences, {how}; that the best of "
            f"{verdict.mixtures} was picked is not in them."
            if verdict.mixtures > 1
            else f"Intervals and probabilities follow from the standard errors of the differences, {how}."
        )
    return lines


def _doubts(verdict: Verdict) -> list[str]:
    lines = []
    shown = digits([verdict.error or 0.0])
    if verdict.online:
        lines.append(
            "It was trained online: the weights are those that it came to. A run of these weights from the start is "
            "another one, and was not measured."
        )
    if verdict.luck is not None and round(verdict.luck, shown) > 0:
        lines.append(
            f"Chosen on one half of the questions, the best mixture scores {verdict.luck:.{shown}f} less on the other "
            "half: so much is the luck of the choice."
        )
    if verdict.surprise is not None:
        found = verdict.surprise
        gap = found.score - found.expected
        expects = (
            f"{found.surrogate}, fitted to all runs, expects {found.expected:.{shown}f} of {found.mixture}"
        )
        if round(gap, shown) > 0:
            lines.append(
                f"The best observed score is {gap:.{shown}f} above its expectation: {expects}. As far as the "
                "surrogate is right it was lucky by so much, and another training will score less."
            )
        else:
            lines.append(f"The best observed score is no luck by the surrogate: {expects}.")
    return lines


def _price(verdict: Verdict) -> list[str]:
    lines = []
    cost = verdict.cost
    if cost is not None:
        lines.append(f"Cost: {cost.runs} runs, {cost.said()} of training; predictions are not counted.")
    if not verdict.again:
        return lines
    named = ", ".join(_named(verdict, name) for name in verdict.again)
    if verdict.seeds_settle is False:
        lines.append(
            f"Training again would not make it surer: even {SEEDS_ENOUGH} more seeds of each of "
            f"{named} would not tell them apart at the present differences. More questions would."
        )
    elif cost is None:
        lines.append(f"To be surer, train again: {named}.")
    else:
        names = ", ".join(_named(verdict, name, f"seed {seed}") for name, seed in verdict.again.items())
        price = f"{cost.said(len(verdict.again))} of training, {cost.said(1)} each"
        lines.append(f"To be surer, train again (repeats in the study): {names}; {price}.")
    return lines


def _named(verdict: Verdict, mixture: str, more: str = "") -> str:
    """A mixture by its label, and behind it by the name that a study calls it by, where that is another."""
    label = verdict.called.get(mixture, mixture)
    behind = ", ".join(part for part in (mixture if mixture != label else "", more) if part)
    return f"{label} ({behind})" if behind else label


def _signed(value: float, places: int) -> str:
    return decimal(value, places, "+")


def _probability(value: float) -> str:
    """To two digits, and never certain."""
    return f"{value:.2f}" if 0.005 <= value < 0.995 else "more than 0.99" if value > 0.5 else "less than 0.01"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown
