"""The verdict: which mixture to use, how sure that is, what it cost and what would make it surer.

`wording.py` has its words, which the terminal, table2.md, the report and the explorer all show.
Probabilities come from the standard errors of the differences alone (`differences.py`).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from statistics import NormalDist, median
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from modomodo.console import HOUR, duration
from modomodo.errors import InputError
from modomodo.mixtures.mixture import round_weights
from modomodo.mixtures.records import BASE, score_column, trained
from modomodo.reporting.differences import BEYOND_NOISE, Difference, cross_fitted
from modomodo.reporting.results import Results
from modomodo.reporting.settings import FALLBACK
from modomodo.reporting.training_logs import training_seconds

AGAIN = 3  # mixtures at most that are named to be trained again
SEED = 0  # of the surrogate
SEEDS_ENOUGH = 20  # further seeds of each of two mixtures, beyond which nobody repeats them


class Case(StrEnum):
    """How far the scores tell mixtures apart."""

    NOTHING = "nothing"  # no mixture has a score
    ONE = "one"  # one mixture alone has
    UNKNOWN = "unknown"  # nothing is known of the noise
    BASE = "base"  # the base model beats the best mixture
    SAME = "same"  # no mixture can be told apart from the best
    TIED = "tied"  # some cannot
    CLEAR = "clear"  # the best beats each of the others


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Lead(_Frozen):
    """By how much the chosen mixture is ahead of another; `error` is the difference's, None where not known."""

    over: str
    gap: float
    error: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of 95%."""
        if self.error is None:
            return None
        half = BEYOND_NOISE * self.error
        return self.gap - half, self.gap + half

    @property
    def probability(self) -> float | None:
        """That it is ahead, by a normal distribution."""
        return NormalDist(0, self.error).cdf(self.gap) if self.error else None


class Surprise(_Frozen):
    """The best mixture by its score, and what a surrogate that was fitted to all runs expects of it."""

    mixture: str
    score: float
    expected: float
    surrogate: str


class Cost(_Frozen):
    """What the runs took. Seconds of training, of all and of a usual one; `gpus` that one holds, 0: a CPU."""

    runs: int
    seconds: float
    each: float
    gpus: int

    def said(self, runs: int | None = None) -> str:
        """The time of all runs, or of so many usual ones, in words."""
        seconds = self.seconds if runs is None else runs * self.each
        hours = seconds * self.gpus / HOUR
        if not self.gpus:
            return duration(seconds)
        return f"{hours:,.0f} GPU-hours" if hours >= 100 else f"{hours:.2g} GPU-hours"


class Verdict(_Frozen):
    """What to use, by one score. Names are labels, as Table 2 has them; `again` has the mixtures' own.

    `weights`: domain → weight to two digits, empty where they are not known. `ties`: mixtures that cannot be told
    apart from the best one. `equal`: whether equal weights are the choice, or among the ties. `luck`: how much less
    the best mixture of half of the questions scores on the other half. `again`: mixture → the seed to train it with,
    `called`: mixture → its label.
    `seeds_settle`: whether further seeds can tell these apart, None where nothing is known of that. `online`: whether
    the choice changed its mixture while it trained, and the weights are those that it came to.
    """

    case: Case
    score: str
    mixtures: int = 0
    choice: str = ""
    equal: Literal["", "chosen", "tied"] = ""
    value: float | None = None
    error: float | None = None
    weights: dict[str, float] = {}
    leads: list[Lead] = []
    ties: list[str] = []
    paired: bool = False
    luck: float | None = None
    surprise: Surprise | None = None
    cost: Cost | None = None
    again: dict[str, int] = {}
    called: dict[str, str] = {}
    seeds_settle: bool | None = None
    online: bool = False


def read_verdict(path: Path) -> Verdict:
    """What `scripts/table.py` wrote. Raises InputError for a missing or damaged file."""
    try:
        return Verdict.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no verdict: {str(error).splitlines()[0]}: make the table again") from None


# --- from the results ------------------------------------------------------------------------------------------


def verdict_of(
    found: Results,
    surrogate: str = FALLBACK,
    runs: Sequence[Mapping[str, Any]] = (),
    doubts: bool = True,
) -> Verdict:
    """The verdict by `found.target`. `runs`: the contents of every run.json, where mixtures were trained here.

    Without `doubts` it leaves out luck and surprise, which take a second to compute.
    """
    column = score_column(found.target)
    ranked = found.mixtures[found.mixtures[column].notna()].sort_values(
        column, ascending=False, kind="stable"
    )
    title, cost = found.title(found.target), _cost(runs)
    if ranked.empty:
        return Verdict(case=Case.NOTHING, score=title, cost=cost)
    best = str(ranked["mixture"].iloc[0])
    behind = {
        str(name): found.differences.between(best, name, found.target) for name in ranked["mixture"].iloc[1:]
    }
    tied = [name for name, ahead in behind.items() if not ahead.beyond_noise]
    case = _case(found, best, behind, tied)
    uniform = {str(found.mixtures["mixture"].iloc[place]) for place in found.places("all")}
    equal = next((name for name in tied if name in uniform), None)
    choice = equal if equal and case == Case.SAME else best
    row = ranked.set_index("mixture").loc[choice]
    again = [best, *tied][:AGAIN] if case in (Case.TIED, Case.SAME, Case.UNKNOWN) else []
    others = [str(name) for name in ranked["mixture"]]
    crossed = cross_fitted(found.differences, found.target) if doubts else None
    return Verdict(
        case=case,
        score=title,
        mixtures=len(ranked),
        choice=_label(found, choice),
        equal="chosen" if choice in uniform else "tied" if equal else "",
        value=float(row[column]),
        error=_known(row[f"se_{found.target}"]),
        weights=_weights(found, row),
        leads=[
            _lead(found.differences.between(choice, name, found.target), over)
            for name, over in _compared_with(found, choice, others)
        ],
        ties=[_strategy(found, name) for name in tied] if case in (Case.TIED, Case.SAME) else [],
        paired=len(ranked) > 1 and found.differences.paired(best, others[1], found.target),
        luck=crossed.luck if crossed else None,
        surprise=_surprise(found, best, surrogate) if doubts else None,
        cost=cost,
        again={name: _next_seed(found, name) for name in again},
        called={name: _strategy(found, name) for name in again},
        seeds_settle=_seeds_settle(found, best, behind, again),
        online=choice in found.online,
    )


def _case(found: Results, best: str, behind: Mapping[str, Difference], tied: Sequence[str]) -> Case:
    if found.base is not None:
        ahead = found.differences.between(best, BASE, found.target)
        if ahead.gap < 0 and ahead.beyond_noise and ahead.standard_error > 0:
            return Case.BASE
    if not behind:
        return Case.ONE
    # Equal scores have no error either where nothing is known.
    if not any(ahead.standard_error > 0 for ahead in behind.values()):
        return Case.UNKNOWN
    if len(tied) == len(behind):
        return Case.SAME
    return Case.TIED if tied else Case.CLEAR


def _compared_with(found: Results, choice: str, ranked: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the choice is compared with, each once: mixture and what it is called. `ranked`: best first."""
    seen = {choice}
    candidates = [] if found.base is None else [(BASE, "the base model")]
    for kind, called in (("all", "equal weights"), ("single", "the best single domain")):
        known = {str(found.mixtures["mixture"].iloc[place]) for place in found.places(kind)}
        candidates += [(name, f"{called} ({_label(found, name)})") for name in ranked if name in known][:1]
    rest = [name for name in ranked if name != choice]
    called = "the next best" if choice == ranked[0] else "the best observed"
    candidates += [(name, f"{called} ({_label(found, name)})") for name in rest[:1]]
    for name, over in candidates:
        if name not in seen:
            seen.add(name)
            yield name, over


def _lead(ahead: Difference, over: str) -> Lead:
    # A standard error of 0 is none: without scores of the questions, errors or repeats.
    return Lead(over=over, gap=ahead.gap, error=_known(ahead.standard_error) or None)


def _surprise(found: Results, best: str, surrogate: str) -> Surprise | None:
    """What a surrogate expects of the best mixture; None where it predicts others no better than their mean does."""
    from modomodo.mixtures.surrogates.base import objective, observe, surrogates
    from modomodo.mixtures.surrogates.calibration import leave_one_mixture_out

    records = replace(found.records, fidelities={})
    rows = trained(records)
    if rows.frame["mixture"].nunique() < 3 or best not in set(rows.frame["mixture"]):
        return None
    wanted = objective(records, found.target)
    observations = observe(records, wanted)
    if (
        observations.undetermined
        or not leave_one_mixture_out(observations, surrogates[surrogate], SEED).beats_mean
    ):
        return None
    place = rows.frame["mixture"].tolist().index(best)
    weights = rows.frame[[f"w_{domain}" for domain in observations.domains]].to_numpy(float)[[place]]
    expected = float(surrogates[surrogate](observations, SEED).mean(weights)[0] @ wanted.shares)
    score = float(found.table.set_index("mixture")[score_column(found.target)][best])
    return Surprise(mixture=_label(found, best), score=score, expected=expected, surrogate=surrogate)


def _seeds_settle(
    found: Results, best: str, behind: Mapping[str, Difference], again: Sequence[str]
) -> bool | None:
    """Whether so many more seeds would tell the best from the others named, if their scores stayed as they are."""
    noise = found.differences.noise[found.target]
    rivals = [name for name in again if name != best]
    if not math.isfinite(noise) or not rivals:
        return None
    seeds = found.table.set_index("mixture")["seeds"]
    settled = []
    for name in rivals:
        now = noise**2 * (1 / seeds[best] + 1 / seeds[name])
        later = noise**2 * (1 / (seeds[best] + SEEDS_ENOUGH) + 1 / (seeds[name] + SEEDS_ENOUGH))
        error = math.sqrt(max(behind[name].standard_error ** 2 - now, 0.0) + later)
        settled.append(abs(behind[name].gap) > BEYOND_NOISE * error)
    return any(settled)


def _next_seed(found: Results, mixture: str) -> int:
    frame = found.records.frame
    return int(frame.loc[frame["mixture"] == mixture, "seed"].max()) + 1


def _weights(found: Results, row: "pd.Series") -> dict[str, float]:
    weights = {domain: float(row[f"w_{domain}"]) for domain in found.records.domains}
    return round_weights(weights, 2) if all(map(math.isfinite, weights.values())) else {}


def _label(found: Results, mixture: str) -> str:
    seeds = found.mixtures.set_index("mixture")["seeds"][mixture]
    return _strategy(found, mixture) + (f", mean of {seeds} seeds" if seeds > 1 else "")


def _strategy(found: Results, mixture: str) -> str:
    return str(found.mixtures.set_index("mixture")["strategy"][mixture])


def _cost(runs: Sequence[Mapping[str, Any]]) -> Cost | None:
    if not runs:
        return None
    seconds = [training_seconds(run) for run in runs]
    gpus = max(len(run.get("hardware", {}).get("gpus") or []) for run in runs)
    reached = [max(map(int, run.get("checkpoints", ())), default=0) for run in runs]
    usual = [
        time for time, step in zip(seconds, reached, strict=True) if step == max(reached)
    ]  # none that was stopped
    return Cost(runs=len(runs), seconds=sum(seconds), each=median(usual), gpus=gpus)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
