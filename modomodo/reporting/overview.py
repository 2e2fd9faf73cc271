"""The first page of the report: the verdict, what was run, what won, how sure, at what cost, what is not the paper's.

Its text is `report/overview.rst.jinja`, reStructuredText as Snakemake's report wants it; here are its numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from modomodo.config.schema import Training
from modomodo.console import digits, duration, with_error
from modomodo.mixtures.records import AGGREGATES, BASE, score_column
from modomodo.reporting.differences import (
    BEYOND_NOISE,
    SPLITS,
    CrossFitted,
    Difference,
    cross_fitted,
    near_best,
)
from modomodo.reporting.figures import drawable
from modomodo.reporting.results import Results, title
from modomodo.reporting.settings import OverviewSettings
from modomodo.reporting.tables import group_title, noise_report
from modomodo.reporting.templates import render_template
from modomodo.reporting.verdict import Verdict
from modomodo.reporting.wording import as_yaml, words
from modomodo.warning_files import Warned

# What the paper's study is, where a study can differ in more than a number (sections 3.1 and 3.2).
PAPER_MODEL = "Qwen/Qwen2-VL-2B-Instruct"
PAPER_DOMAINS, PAPER_BENCHMARKS = 5, 7
SHOWN = 8  # best mixtures listed
NARROW = "\u00a0"  # a space that no line ends at
Noise = Mapping[str, float | int | None]  # of one target, as `noise_report` gives it
PACKAGES = ("python", "torch", "transformers", "trl", "vllm")  # whose versions are shown


@dataclass(frozen=True)
class Winner:
    """The best mixture by one aggregate, and the table of the best ones.

    `digits`: decimals that its score is worth. `leads`: how far it is ahead of others, by their names. `ties`: others
    that cannot be told apart from it. `elsewhere`: what the best mixture of half of the questions scores on the other
    half.
    """

    title: str
    strategy: str
    score: str
    digits: int
    leads: Mapping[str, Difference]
    ties: int
    elsewhere: CrossFitted | None
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
    settings: OverviewSettings,
    found: Results,
    verdict: Verdict,
    runs: Sequence[Mapping[str, Any]],
    examples: Mapping[str, int],
    warned: Sequence[Warned] = (),
) -> str:
    """The page. `runs` are the contents of every run.json, `examples` the number of examples of each dataset."""
    noise = noise_report(found.records, found.table)
    winners = (winner_of(found, target) for target in reversed(AGGREGATES))
    groups = {group for group, *_ in settings.strategies}
    return render_template(
        "overview.rst",
        settings=settings,
        words=words(verdict),
        judged=verdict.score,
        yaml=as_yaml(verdict),
        warned=[str(warning) for warning in warned],
        sides={
            side: [name for name, group in settings.benchmarks if group == side] for side in ("in", "out")
        },
        examples=examples,
        strategies=[
            (
                group_title(group),
                label,
                function,
                str(count),
                ", ".join(group_title(name) if name in groups else name for name in learns_from) or "nothing",
            )
            for group, label, function, count, learns_from in settings.strategies
        ],
        mixtures=sum(count for *_, count, _ in settings.strategies),
        winners=[winner for winner in winners if winner is not None],
        domains=found.records.domains,
        beyond_noise=BEYOND_NOISE,
        splits=SPLITS,
        paired=found.differences.questions is not None,
        noise=[_noise_row(target, noise[target]) for target in found.targets()],
        seeds_known=noise["out_score"]["between_seeds"] is not None,
        calibration="calibration" in drawable(list(found.weights()), scored=found.known()),
        cost=cost_of(runs) if runs else None,
        differences=differences(settings),
    )


def _noise_row(target: str, values: Noise) -> tuple[str, ...]:
    between = [values[name] for name in ("between_mixtures", "between_seeds")]
    shown = digits([value for value in between if value is not None])
    cells = [(value, shown) for value in between] + [(values["ratio"], 1)]
    return title(target), *("unknown" if value is None else f"{value:.{places}f}" for value, places in cells)


def winner_of(found: Results, target: str) -> Winner | None:
    """The best mixture by an aggregate; None where nothing has one."""
    column = score_column(target)
    table = found.mixtures[found.mixtures[column].notna()].sort_values(column, ascending=False, kind="stable")
    if table.empty:
        return None
    best = table.iloc[0]
    compared = [found.differences.between(best["mixture"], name, target) for name in table["mixture"]]
    close = near_best(compared)
    others = {name: label for name, label in _others(found).items() if name != best["mixture"]}
    elsewhere = cross_fitted(found.differences, target, tuple(others))
    weights = [f"w_{domain}" for domain in found.records.domains]
    rows = [
        (
            row["strategy"],
            group_title(row["group"]),
            *("" if math.isnan(row[name]) else f"{row[name]:.2f}" for name in weights),
            _score(row, target) + (f"{NARROW}≈" if near and place else ""),
            with_error(-ahead.gap, ahead.standard_error, NARROW) if place else "",
        )
        for place, ((_, row), near, ahead) in enumerate(
            zip(table.head(SHOWN).iterrows(), close, compared, strict=False)
        )
    ]
    leads = {
        label: found.differences.between(best["mixture"], name, target) for name, label in others.items()
    }
    return Winner(
        title=title(target),
        strategy=best["strategy"],
        score=_score(best, target),
        digits=digits([best[f"se_{target}"]]),
        leads={label: lead for label, lead in leads.items() if math.isfinite(lead.gap)},
        ties=int(close.sum()) - 1,
        elsewhere=replace(elsewhere, leads={others[name]: lead for name, lead in elsewhere.leads.items()})
        if elsewhere
        else None,
        rows=rows,
    )


def _others(found: Results) -> dict[str, str]:
    """What a winner is compared with: mixture → what it is called."""
    others = {} if found.base is None else {BASE: "the base model"}
    if places := found.places("all"):
        row = found.mixtures.iloc[places[0]]
        seeds = f", mean of {row['seeds']} seeds" if row["seeds"] > 1 else ""
        others[row["mixture"]] = f"equal weights (All{seeds})"
    return others


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
        if key not in ("seed", "save_steps", "threads", "gpus", "vllm", "report_to"):
            items.append(f"training.{key}: {value}, the paper's is {getattr(defaults, key)}")
    return items


def _score(row: pd.Series, target: str) -> str:
    return with_error(row[score_column(target)], row[f"se_{target}"], NARROW)


def _machine(hardware: Mapping[str, Any]) -> str:
    gpus = hardware.get("gpus") or []
    return ", ".join(map(str, gpus)) if gpus else f"{hardware.get('cores', '?')} CPU cores, no GPU"
