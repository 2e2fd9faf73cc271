"""The first page of the report: what was run, what won, how sure, what it cost, what differs from the paper.

Its text is `report/overview.rst.jinja`, reStructuredText as Snakemake's report wants it; here are its numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from modomodo.config.schema import Training
from modomodo.console import duration
from modomodo.mixtures.records import AGGREGATES, score_column
from modomodo.reporting.results import Results, title
from modomodo.reporting.settings import OverviewSettings
from modomodo.reporting.tables import BEYOND_NOISE, noise_report, within_noise
from modomodo.reporting.templates import render_template

# What the paper's study is, where a study can differ in more than a number (sections 3.1 and 3.2).
PAPER_MODEL = "Qwen/Qwen2-VL-2B-Instruct"
PAPER_DOMAINS, PAPER_BENCHMARKS = 5, 7
SHOWN = 8  # best mixtures listed
NARROW = "\u00a0"  # a space that no line ends at
Noise = Mapping[str, float | int | None]  # of one target, as `noise_report` gives it
PACKAGES = ("python", "torch", "transformers", "trl", "vllm")  # whose versions are shown


@dataclass(frozen=True)
class Gap:
    """By how much the best mixture is ahead of another one, and whether by more than noise."""

    to: str
    score: float
    beyond_noise: bool


@dataclass(frozen=True)
class Winner:
    """The best mixture by one aggregate, and the table of the best ones. `ties`: others within noise of it."""

    title: str
    strategy: str
    score: str
    gaps: Sequence[Gap]
    ties: int
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Cost:
    """What the runs took, and where. Durations as text."""

    runs: int
    total: str
    longest: str
    machines: Sequence[str]
    versions: Sequence[str]
    commits: Sequence[str]


def overview(
    settings: OverviewSettings, found: Results, runs: Sequence[Mapping[str, Any]], examples: Mapping[str, int]
) -> str:
    """The page. `runs` are the contents of every run.json, `examples` the number of examples of each dataset."""
    noise = noise_report(found.records, found.table)
    winners = (winner_of(found, target, noise) for target in reversed(AGGREGATES))
    return render_template(
        "overview.rst",
        settings=settings,
        sides={
            side: [name for name, group in settings.benchmarks if group == side] for side in ("in", "out")
        },
        examples=examples,
        strategies=[
            (group, label, function, str(count), ", ".join(learns_from) or "nothing")
            for group, label, function, count, learns_from in settings.strategies
        ],
        mixtures=sum(count for *_, count, _ in settings.strategies),
        winners=[winner for winner in winners if winner is not None],
        domains=found.records.domains,
        beyond_noise=BEYOND_NOISE,
        noise=[_noise_row(target, noise[target]) for target in found.targets()],
        seeds_known=noise["out_score"]["between_seeds"] is not None,
        cost=cost_of(runs) if runs else None,
        differences=differences(settings),
    )


def _noise_row(target: str, values: Noise) -> tuple[str, ...]:
    shown = ((values["between_mixtures"], 4), (values["between_seeds"], 4), (values["ratio"], 1))
    return title(target), *("unknown" if value is None else f"{value:.{digits}f}" for value, digits in shown)


def winner_of(found: Results, target: str, noise: Mapping[str, Noise]) -> Winner | None:
    """The best mixture by an aggregate; None where nothing has one."""
    column = score_column(target)
    table = found.mixtures[found.mixtures[column].notna()].sort_values(column, ascending=False, kind="stable")
    if table.empty:
        return None
    seeds = noise[target]["between_seeds"] or 0.0
    errors = table[f"se_{target}"].fillna(0.0).to_numpy(float)
    close = within_noise(table[column].to_numpy(float), errors, seeds)
    best = table.iloc[0]
    others = [("the base model", found.base)] if found.base is not None else []
    if places := found.places("all"):
        others.append(("equal weights (All)", found.mixtures.iloc[places[0]]))
    weights = [f"w_{domain}" for domain in found.records.domains]
    rows = [
        (
            row["strategy"],
            row["group"],
            *("" if math.isnan(row[name]) else f"{row[name]:.2f}" for name in weights),
            _score(row, target) + (f"{NARROW}≈" if near and place else ""),
        )
        for place, ((_, row), near) in enumerate(zip(table.head(SHOWN).iterrows(), close, strict=False))
    ]
    return Winner(
        title=title(target),
        strategy=best["strategy"],
        score=_score(best, target),
        gaps=[
            _gap(name, best, other, target, seeds)
            for name, other in others
            if other["mixture"] != best["mixture"] and math.isfinite(other[column])
        ],
        ties=int(close.sum()) - 1,
        rows=rows,
    )


def _gap(name: str, best: pd.Series, other: pd.Series, target: str, seeds: float) -> Gap:
    gap = best[score_column(target)] - other[score_column(target)]
    errors = (row[f"se_{target}"] for row in (best, other))
    spread = math.sqrt(sum(error**2 for error in errors if math.isfinite(error)) + 2 * seeds**2)
    return Gap(name, gap, bool(gap > BEYOND_NOISE * spread))


def cost_of(runs: Sequence[Mapping[str, Any]]) -> Cost:
    """What the runs took, by the contents of their run.json."""
    seconds = [sum(run["seconds"].values()) for run in runs]
    versions = runs[0].get("versions", {})
    return Cost(
        runs=len(runs),
        total=duration(sum(seconds)),
        longest=duration(max(seconds)),
        machines=sorted({_machine(run.get("hardware", {})) for run in runs}),
        versions=[f"{name} {versions[name]}" for name in PACKAGES if versions.get(name)],
        commits=sorted({str(run["commit"]) for run in runs if run.get("commit")}),
    )


def differences(settings: OverviewSettings) -> list[str]:
    """In what the study differs from the paper's, an item each."""
    items = []
    if settings.model != PAPER_MODEL:
        items.append(f"the base model is {settings.model}, not {PAPER_MODEL}")
    if len(settings.domains) != PAPER_DOMAINS or len(settings.benchmarks) != PAPER_BENCHMARKS:
        items.append(
            f"{len(settings.domains)} training domains and {len(settings.benchmarks)} benchmarks, not "
            f"{PAPER_DOMAINS} and {PAPER_BENCHMARKS}"
        )
    defaults = Training()
    for key, value in settings.training.changed().items():
        if key not in ("seed", "save_steps", "threads", "gpus", "vllm"):
            items.append(f"training.{key}: {value}, the paper's is {getattr(defaults, key)}")
    return items


def _score(row: pd.Series, target: str) -> str:
    score, error = row[score_column(target)], row[f"se_{target}"]
    return f"{score:.4f}" if math.isnan(error) else f"{score:.4f}{NARROW}±{NARROW}{error:.4f}"


def _machine(hardware: Mapping[str, Any]) -> str:
    gpus = hardware.get("gpus") or []
    return ", ".join(map(str, gpus)) if gpus else f"{hardware.get('cores', '?')} CPU cores, no GPU"
