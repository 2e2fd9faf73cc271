"""The runs of a study, a page each in one file: what was asked for, what happened, and what the model now says.

`study/evidence.py` reads the files; here is what the page says of them. Its text is in `report/runs.html.jinja`, whose
engine escapes every text; no time that was measured is on it, so that a study and its seeds decide its bytes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modomodo.config.schema import Training
from modomodo.console import digits, with_error
from modomodo.data.conventions import Corners
from modomodo.mixtures.records import BASE, score_column
from modomodo.reporting.results import COLOURS, Results
from modomodo.reporting.samples import Change, change
from modomodo.reporting.settings import group_title
from modomodo.reporting.tables import came_to
from modomodo.reporting.templates import render_template, script_digest
from modomodo.reporting.training_logs import rewards_by_domain, smooth
from modomodo.standard_errors import paired_error

POINTS = 80  # of a curve at most
TEACHING = "frac_reward_zero_std"  # TRL's share of groups whose completions all got the same reward
SERIES = {  # columns of log.jsonl that have a curve, and what it is called
    "kl": "KL to the base model",
    "completions/mean_length": "length of completions (tokens)",
    "entropy": "entropy of the next token",
}


@dataclass(frozen=True)
class Share:
    """A domain in a run: its weight, its share of the prompts, and of the prompts that taught something."""

    domain: str
    weight: float
    realised: float
    effective: float | None


@dataclass(frozen=True)
class Curve:
    """A line over the steps, as a page draws it: in a box of 100 by 100, y downwards."""

    title: str
    points: str
    low: str
    high: str
    first: str
    last: str


@dataclass(frozen=True)
class Score:
    """A benchmark or an aggregate in a run: its score at each step, and what training changed at the last one."""

    target: str
    title: str
    value: float
    base: str
    steps: list[str]
    change: str
    questions: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def aggregate(self) -> bool:
        return not self.questions


@dataclass(frozen=True)
class Picture:
    """A thumbnail by its number on the page; boxes are parts of a thousand of its sides."""

    number: int
    truth: Sequence[Corners] = ()
    answered: Sequence[Corners] = ()


@dataclass(frozen=True)
class Asked:
    """A question as pages show it, which all runs share."""

    question: str
    truth: str


@dataclass(frozen=True)
class Sample:
    """What a run answered to a question, by its number on the page, and the base model before it."""

    number: int
    pictures: Sequence[Picture]
    completion: str
    answer: str | None
    value: float
    change: Change
    cut: bool = False  # by the limit of tokens
    base_answer: str | None = None
    base_completion: str = ""
    base_value: float | None = None


@dataclass(frozen=True)
class RunPage:
    """All that the page of one run says."""

    mixture: str
    seed: int
    label: str
    group: str
    score: Score
    steps: Sequence[int]
    scores: Sequence[Score]
    samples: Mapping[str, Sequence[Sample]]
    shares: Sequence[Share] = ()
    curves: Sequence[Curve] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    online: bool = False  # its mixture changed while it trained: the weights are where it began

    @property
    def name(self) -> str:
        """`all/42`: its anchor."""
        return f"{self.mixture}/{self.seed}"

    @property
    def weights(self) -> dict[str, float]:
        """Domain → what the run is known by: its weight, or the share of the prompts that an online run came to."""
        return {share.domain: share.realised if self.online else share.weight for share in self.shares}


def render_runs(
    study: str, found: Results, pages: Sequence[RunPage], questions: Sequence[Asked], pictures: Sequence[str]
) -> str:
    """The file. `questions` and `pictures`, thumbnails as data URLs, by their numbers."""
    ranked = sorted(pages, key=lambda page: (-page.score.value, page.name))
    return render_template(
        "runs.html",
        study=study,
        target=found.title(found.target),
        pages=ranked,
        questions=questions,
        pictures=list(pictures),
        titles={name: found.title(name) for name in found.records.benchmarks},
        domains=found.records.domains,
        colours=COLOURS,
        script=script_digest("runs.js"),
        stopped=came_to(found.stopped),
    )


# --- what happened in training ----------------------------------------------------------------------------------


def shares_of(run: Mapping[str, Any], domains: Sequence[str]) -> list[Share]:
    """The domains of a run, by its run.json, in the study's order; `effective` where its log counts groups."""
    stream = run["stream"]
    weights = stream["requested"]
    effective = stream.get("effective")
    return [
        Share(
            domain,
            weights.get(domain, 0.0),
            stream["realised"].get(domain, 0.0),
            None if effective is None else effective.get(domain, 0.0),
        )
        for domain in domains
        if weights.get(domain, 0.0) > 0 or stream["realised"].get(domain, 0.0) > 0
    ]


def curves_of(run: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """What happened step by step, from a run's run.json and the lines of its log.jsonl."""
    settings = run["settings"]
    rewards = rewards_by_domain(
        lines,
        settings["rewards"],
        settings["training"].get("reward_weights", {}),
        settings.get("reward_weights", {}),
    )
    curves = [_curve(f"reward: {domain}", values, (0.0, 1.0)) for domain, values in rewards.items()]
    named = {column: _column(lines, column) for column in SERIES}
    curves += [
        _curve(SERIES[column], values) for column, values in named.items() if np.isfinite(values).any()
    ]
    idle = _column(lines, TEACHING)
    if np.isfinite(idle).any():
        curves.append(_curve("share of prompts that teach", 1 - idle, (0.0, 1.0)))
    return curves


def work_of(run: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What a run cost, but for time, which differs between two equal runs."""
    stream, training = run["stream"], run["settings"]["training"]
    each = training.get("num_generations", Training.model_fields["num_generations"].default)
    generated = stream.get("prompts_generated", stream["prompts"])
    replaced = f", {generated - stream['prompts']:,} replaced" if generated > stream["prompts"] else ""
    facts = {
        "steps": f"{stream['steps']:,}",
        "prompts": f"{stream['prompts']:,}{replaced}",
        "completions": f"{generated * each:,} ({each} for each prompt)",
    }
    tokens = [line["num_tokens"] for line in lines if line.get("num_tokens") is not None]
    if tokens:
        facts["tokens"] = f"{tokens[-1]:,.0f}"
    if stream.get("exhausted"):
        facts["ended early"] = f"the examples of {stream['exhausted']['domain']} were exhausted"
    return facts


def _column(lines: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    values = [line.get(name) for line in lines]
    return np.array([math.nan if value is None else float(value) for value in values])


def _curve(called: str, values: np.ndarray, limits: tuple[float, float] | None = None) -> Curve:
    """A smoothed line; `limits` of its axis, or else those of the line."""
    line = smooth(values, max(1, len(values) // 10))
    known = np.flatnonzero(np.isfinite(line))
    low, high = limits or (min(0.0, float(np.nanmin(line))), float(np.nanmax(line)))
    if known.size > POINTS:
        known = known[np.linspace(0, known.size - 1, POINTS).round().astype(int)]
    across = 100 / max(1, len(values) - 1)
    down = 100 / ((high - low) or 1.0)
    points = " ".join(f"{place * across:.1f},{(high - line[place]) * down:.1f}" for place in known)
    shown = 0 if high >= 100 else 2 if high >= 0.1 else 4
    ends = [f"{number:.{shown}f}" for number in (low, high, line[known[0]], line[known[-1]])]
    return Curve(called, points, *ends)


# --- what it scored ---------------------------------------------------------------------------------------------


def scores_of(found: Results, mixture: str, seed: int) -> tuple[list[int], list[Score]]:
    """The scored steps of a run, and each benchmark and aggregate at them, in reading order."""
    frame = found.records.frame
    own = frame[(frame["mixture"] == mixture) & (frame["seed"] == seed)].sort_values("step")
    rows = [
        _score(found, target, f"{mixture}/{seed}", own)
        for target in found.targets()
        if score_column(target) in own
    ]
    return own["step"].astype(int).tolist(), rows


def _score(found: Results, target: str, run: str, own: Any) -> Score:
    column, error = score_column(target), f"se_{target}"
    shown = digits(own[error])
    base = found.base
    gap = "" if base is None or run.startswith(f"{BASE}/") else own[column].iloc[-1] - base[column]
    moved = _moved(found, target, run)
    changes = changes_of(found, target, run)
    return Score(
        target=target,
        title=found.title(target),
        value=float(own[column].iloc[-1]),
        base="" if base is None or math.isnan(base[column]) else f"{base[column]:.{shown}f}",
        steps=[f"{value:.{shown}f}" for value in own[column]],
        change="" if gap == "" else with_error(float(gap), moved, "\u00a0", "+"),
        questions=len(changes) if changes else 0,
        right=changes.count(Change.RIGHT),
        wrong=changes.count(Change.WRONG),
    )


def _moved(found: Results, target: str, run: str) -> float:
    """The standard error of the change from the base model, question by question; NaN where that is not known."""
    asked, shares = found.differences.questions, found.differences.shares.get(target)
    base = f"{BASE}/0"
    if asked is None or not shares or run == base:
        return math.nan
    variance = 0.0
    for name, share in shares.items():
        rows = asked.benchmarks.get(name)
        if rows is None or run not in rows or base not in rows:
            return math.nan
        error = paired_error(rows[run].tolist(), rows[base].tolist(), rows["image"].tolist())
        variance += (share * error) ** 2
    return math.sqrt(variance)


def changes_of(found: Results, benchmark: str, run: str) -> list[Change]:
    """What training made of each question of a benchmark; empty for an aggregate and where it is not known."""
    asked = found.differences.questions
    rows = asked.benchmarks.get(benchmark) if asked else None
    if rows is None or run not in rows:
        return []
    before = rows[f"{BASE}/0"].tolist() if f"{BASE}/0" in rows else [None] * len(rows)
    return [change(value, base) for value, base in zip(rows[run].tolist(), before, strict=True)]


def called(found: Results, mixture: str) -> tuple[str, str]:
    """What Table 2 calls a mixture, and its group."""
    row = found.table.set_index("mixture").loc[mixture]
    if mixture == BASE:
        return "Base model", ""
    return str(row["strategy"]), group_title(str(row["group"]))
