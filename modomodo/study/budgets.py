"""What a study's budgets of GPU-hours may cost, before it is decided what they are spent on."""

from dataclasses import dataclass
from pathlib import Path

from modomodo.config.schema import Study
from modomodo.mixtures.plan import Plan, race_options


@dataclass(frozen=True)
class BudgetCost:
    """GPU-hours that a strategy spends of its budget, by the study's `costs`, where that is not decided yet.

    `expected`: on whole new runs, as many as it holds.
    """

    name: str
    least: float
    expected: float
    most: float


def budgets_of(study: Study, plan: Plan, folder: Path) -> list[BudgetCost]:
    """What may be spent of each budget that is not decided yet."""
    found = []
    for name, budget in plan.budgets.items():
        proposed = plan.by_strategy[name]
        if (folder / f"mixtures/{proposed[0]}.json").exists():
            continue
        hours, prices = budget.hours, budget.prices
        shortest = [
            rung
            for place in plan.places
            if place.of and place.strategy == name
            for rung in _rungs(study, place.of)
        ]
        cheapest = min([prices.whole, *map(prices.further, shortest)])
        most = min(hours, len(proposed) * prices.whole)
        # What is left over holds no whole run, or there are no more places.
        least = min(len(proposed) * cheapest, max(cheapest, hours - prices.whole))
        expected = min(len(proposed), budget.runs) * prices.whole
        found.append(BudgetCost(name, least, expected, most))
    return found


def _rungs(study: Study, race: str) -> list[int]:
    """The steps at which a race stops runs."""
    options = race_options(study, race)
    return list(options.rungs)[:-1] if options else []
