"""The report: the verdict on a page that can be printed, the evidence behind it, and how all of it was made.

Its text is `report/report.html.jinja`, whose engine escapes what is written into it; here are its numbers.
"""

import base64
import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel

from modomodo.config.schema import Training
from modomodo.console import decimal, digits, duration, with_error
from modomodo.mixtures.records import AGGREGATES, score_column
from modomodo.mixtures.strategies import strategies as registered
from modomodo.reporting.differences import BEYOND_NOISE, near_best
from modomodo.reporting.figures import CAPTIONS
from modomodo.reporting.results import COLOURS, Results, title
from modomodo.reporting.settings import ProposedBy, ReportSettings, group_title
from modomodo.reporting.tables import came_to, noise_report
from modomodo.reporting.templates import FOLDER, render_template
from modomodo.reporting.training_logs import training_seconds
from modomodo.reporting.verdict import Lead, Verdict
from modomodo.reporting.winner import NARROW, winner_of
from modomodo.reporting.wording import as_yaml, words
from modomodo.warning_files import Warned

# What the paper's study is, where a study can differ in more than a number (sections 3.1 and 3.2).
PAPER_MODEL = "Qwen/Qwen2-VL-2B-Instruct"
PAPER_DOMAINS, PAPER_BENCHMARKS = 5, 7
PACKAGES = ("python", "torch", "transformers", "trl", "vllm")  # whose versions are shown
NOT_THE_PAPERS = {
    "seed",
    "save_steps",
    "keep_weights",
    "threads",
    "gpus",
    "vllm",
    "report_to",
}  # of a machine, a name
SUMMARY_FIGURES = ("out_score", "scores")  # which stands beside the verdict, where there is one


@dataclass(frozen=True)
class Figure:
    """A figure as the page holds it."""

    name: str
    title: str
    caption: str
    data: str


@dataclass(frozen=True)
class Explained:
    """A strategy function in words, and what this study asked of it: label, group, mixtures, its settings."""

    function: str
    text: str
    asked: Sequence[tuple[str, str, str, str]]


@dataclass(frozen=True)
class Machine:
    """What the runs were trained with, and how long each took, the longest first."""

    longest: str
    machines: Sequence[str]
    versions: Sequence[str]
    commits: Sequence[str]
    runs: Sequence[tuple[str, str, str]]  # the address of its page, label, time


def report(
    settings: ReportSettings,
    found: Results,
    verdict: Verdict,
    runs: Sequence[Mapping[str, Any]],
    figures: Sequence[Figure] = (),
    examples: Mapping[str, int] = {},
    warned: Sequence[Warned] = (),
    in_domain: pd.DataFrame | None = None,
) -> str:
    """The page. `runs`: the contents of every run.json, `examples`: of each dataset; `in_domain`: in_domain.csv."""
    noise = noise_report(found.records, found.table)
    winners = [winner for target in reversed(AGGREGATES) if (winner := winner_of(found, target)) is not None]
    best = next((winner for winner in winners if winner.title == title(found.target)), None)
    mixtures = {*found.mixtures["mixture"], *found.stopped.get("mixture", ())}
    return render_template(
        "report.html",
        settings=settings,
        words=words(verdict),
        verdict=verdict,
        about=chosen_by(verdict.choice, settings.strategies),
        plot=interval_plot(verdict.leads),
        yaml=as_yaml(verdict),
        best=best,
        others=[winner for winner in winners if winner is not best],
        domains=found.records.domains,
        colours=COLOURS,
        trained=bool(runs),
        summary=next((each for each in figures if each.name in SUMMARY_FIGURES), None),
        figures=[each for each in figures if each.name not in SUMMARY_FIGURES],
        table=table_of(found),
        targets=[found.title(target) for target in _main_first(found)],
        titles={name: found.title(name) for name in (*found.records.domains, *found.records.benchmarks)},
        sides={
            side: [name for name, group in settings.benchmarks if group == side] for side in ("in", "out")
        },
        examples=examples,
        warned=[str(warning) for warning in warned],
        in_domain=gains_of(in_domain),
        strategies=explained(settings.strategies, mixtures),
        mixtures=len(mixtures),
        count=int(found.mixtures["seeds"].sum()) + len(found.stopped),
        online=bool(found.online),
        beyond_noise=BEYOND_NOISE,
        paired=found.differences.questions is not None,
        noise=[_noise_row(found, target, noise[target]) for target in found.targets()],
        seeds_known=noise[found.target]["between_seeds"] is not None,
        repeated_online=bool((found.mixtures["seeds"] > 1).any()),
        stopped=came_to(found.stopped),
        machine=machine_of(runs, found) if runs else None,
        differences=differences(settings),
    )


def text_report(markdown: str, figures: Sequence[Figure] = ()) -> str:
    """The page of a report that is written already, as that of recorded runs; HTML in its text is shown as text."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = body.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )
    heading = next((line.strip("# ") for line in markdown.splitlines() if line.startswith("#")), "report")
    return render_template("text_report.html", title=heading, body=Markup(body), figures=figures)


# --- the verdict ------------------------------------------------------------------------------------------------


def interval_plot(leads: Sequence[Lead]) -> dict[str, Any] | None:
    """Where each lead and its interval lie on one axis, in parts of a hundred; None where no interval is known."""
    known = [(lead, lead.interval) for lead in leads if lead.interval is not None]
    if not known:
        return None
    ends = [0.0, *(end for _, interval in known for end in interval)]
    low, high = min(ends), max(ends)
    at = 100 / ((high - low) or 1.0)
    rows = [
        {
            "over": lead.over,
            "low": (interval[0] - low) * at,
            "gap": (lead.gap - low) * at,
            "high": (interval[1] - low) * at,
            "sure": interval[0] > 0 or interval[1] < 0,
        }
        for lead, interval in known
    ]
    shown = digits([lead.error or 0.0 for lead, _ in known])
    first, last = (decimal(end, shown, "+") if end else "0" for end in (low, high))
    return {"rows": rows, "zero": -low * at, "low": first, "high": last}


# --- the evidence -----------------------------------------------------------------------------------------------


def read_figures(files: Iterable[Path]) -> list[Figure]:
    """Figures, from their SVG files, in the order of the paper's, with their captions of report/."""
    found = {path.stem: path for path in files}
    order = [name for name in CAPTIONS if name in found] + sorted(found.keys() - CAPTIONS.keys())
    return [
        Figure(
            name=name,
            title=CAPTIONS.get(name, name.replace("_", " ")),
            caption=" ".join(caption.read_text(encoding="utf-8").split())
            if (caption := FOLDER / f"{name}.rst").is_file()
            else "",
            data="data:image/svg+xml;base64," + base64.b64encode(found[name].read_bytes()).decode(),
        )
        for name in order
    ]


def table_of(found: Results) -> list[dict[str, Any]]:
    """Table 2, a row a mixture: its label, group, seeds, weights, and each score with how it stands to the best."""
    cells: dict[str, list[tuple[str, str]]] = {}
    for target in _main_first(found):
        scores, errors = (
            found.table[name].to_numpy(float) for name in (score_column(target), f"se_{target}")
        )
        shown, near = digits(errors), near_best(found.differences.from_best(target))
        best = found.table[score_column(target)].max()
        cells[target] = [
            (
                "" if score != score else f"{score:.{shown}f}",
                "best" if score == best else "close" if close else "",
            )
            for score, close in zip(scores, near, strict=True)
        ]
    weights = [f"w_{domain}" for domain in found.records.domains]
    return [
        {
            "label": row["strategy"],
            "group": group_title(row["group"]),
            "seeds": int(row["seeds"]),
            "weights": ["" if row[name] != row[name] else f"{row[name]:.2f}" for name in weights],
            "cells": [cells[target][place] for target in cells],
        }
        for place, (_, row) in enumerate(found.table.iterrows())
    ]


def _main_first(found: Results) -> list[str]:
    """Targets as columns: the main one, the other aggregates, then the benchmarks."""
    order = found.targets()
    return sorted(
        order, key=lambda name: (name != found.target, name in found.records.benchmarks, order.index(name))
    )


def gains_of(in_domain: pd.DataFrame | None) -> list[tuple[str, ...]]:
    """What training on one domain alone gains on held-out questions of it: domain, questions, before, after, gain."""
    if in_domain is None:
        return []
    return [
        (
            row["domain"],
            f"{row['questions']:,}",
            with_error(row["base"], row["base_se"], NARROW),
            with_error(row["trained"], row["trained_se"], NARROW),
            with_error(row["gain"], row["gain_se"], NARROW, "+"),
        )
        for _, row in in_domain.iterrows()
    ]


def _noise_row(found: Results, target: str, values: Mapping[str, float | int | None]) -> tuple[str, ...]:
    between = [values[name] for name in ("between_mixtures", "between_seeds")]
    cells = [(value, digits([value or 0.0])) for value in between] + [(values["ratio"], 1)]
    return found.title(target), *(
        "unknown" if value is None else f"{value:.{places}f}" for value, places in cells
    )


# --- the method -------------------------------------------------------------------------------------------------


def explained(rows: Sequence[ProposedBy], trained: Collection[str]) -> list[Explained]:
    """Each strategy function once, in the words of its own description, in the order of the study.

    `trained`: the mixtures that were.
    """
    groups = {row.group for row in rows}
    return [
        Explained(
            function,
            _summary(function),
            [
                (row.label, group_title(row.group), _counted(row, trained), _asked(row, groups))
                for row in rows
                if row.propose == function
            ],
        )
        for function in dict.fromkeys(row.propose for row in rows)
    ]


def _counted(row: ProposedBy, trained: Collection[str]) -> str:
    """How many mixtures are of a strategy, and how many might have been where a budget decides."""
    count, most = sum(name in trained for name in row.mixtures), len(row.mixtures)
    if count == most:
        return f"{count} mixture{'s' * (count != 1)}"
    return f"{count or 'none'} of at most {most} new mixture{'s' * (most != 1)}"


def chosen_by(choice: str, rows: Sequence[ProposedBy]) -> tuple[str, str] | None:
    """The label of the strategy that the verdict's choice is of, and what it does in words; None of other names."""
    named = [
        row for row in rows if choice == row.label or choice.startswith((f"{row.label}:", f"{row.label},"))
    ]
    if not named:
        return None
    row = max(named, key=lambda each: len(each.label))
    asked = _asked(row, {each.group for each in rows})
    text = _summary(row.propose).rstrip(".")
    return row.label, f"{text}; {asked}." if asked else f"{text}."


def _summary(function: str) -> str:
    """The first paragraph of a registered strategy's description."""
    text = inspect.getdoc(registered[function]) or ""
    return " ".join(text.split("\n\n")[0].split())


def _asked(row: ProposedBy, groups: Iterable[str]) -> str:
    """What a study says of a strategy but its name, in words."""
    parts = [_option(name, value) for name, value in row.options.items()]
    if row.mean_of_steps:
        parts.append("scores averaged over the steps")
    if row.target != "out_score":
        parts.append(f"for {title(row.target)}")
    if row.without:
        parts.append(f"without {', '.join(row.without)}")
    if row.learns_from:
        learned = [group_title(name) if name in groups else name for name in row.learns_from]
        parts.append(f"learns from {', '.join(learned)}")
    return "; ".join(parts)


def _option(name: str, value: Any) -> str:
    if name == "rungs":
        return ", ".join(f"{in_words(count)} to step {step}" for step, count in value.items())
    return f"{name.replace('_', ' ')} {in_words(value)}"


def differences(settings: ReportSettings) -> list[tuple[str, str, str]]:
    """In what the study differs from the paper's: what, the study's, the paper's."""
    items = []
    if settings.model != PAPER_MODEL:
        items.append(("base model", settings.model, PAPER_MODEL))
    for what, names, papers in (
        ("training domains", settings.domains, PAPER_DOMAINS),
        ("benchmarks", settings.benchmarks, PAPER_BENCHMARKS),
    ):
        if len(names) != papers:
            items.append((what, str(len(names)), str(papers)))
    defaults = Training()
    return items + [
        (f"training.{key}", in_words(value), in_words(getattr(defaults, key)))
        for key, value in settings.training.changed().items()
        if key not in NOT_THE_PAPERS
    ]


def in_words(value: Any) -> str:
    """A setting as a reader would write it, and not as Python does."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(in_words, value)) or "none"
    if isinstance(value, Mapping):
        text = yaml.safe_dump(dict(value), default_flow_style=True, sort_keys=False, width=1000)
        return text.strip()[1:-1] or "none"
    return str(value)


def machine_of(runs: Sequence[Mapping[str, Any]], found: Results) -> Machine:
    """What the runs took one by one, and where, by the contents of their run.json."""
    named = pd.concat(
        [found.mixtures, found.stopped]
    )  # those that a race has stopped have no row, and no page
    labels = dict(zip(named["mixture"], named["strategy"], strict=True))
    ended = set(found.mixtures["mixture"])
    versions = runs[0].get("versions", {})
    timed = sorted(runs, key=training_seconds, reverse=True)
    return Machine(
        longest=duration(training_seconds(timed[0])),
        machines=sorted({_machine(run.get("hardware", {})) for run in runs}),
        versions=[f"{name} {versions[name]}" for name in PACKAGES if versions.get(name)],
        commits=sorted({str(run["commit"]) for run in runs if run.get("commit")}),
        runs=[
            (
                f"{run['mixture']}/{run['seed']}" if run["mixture"] in ended else "",
                f"{labels[run['mixture']]}, seed {run['seed']}",
                duration(training_seconds(run)),
            )
            for run in timed
        ],
    )


def _machine(hardware: Mapping[str, Any]) -> str:
    gpus = hardware.get("gpus") or []
    cores = hardware.get("cores")
    return ", ".join(map(str, gpus)) if gpus else f"{cores} CPU cores, no GPU" if cores else "no GPU"
