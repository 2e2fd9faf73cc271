"""The first page of the report: what was run, what won, how sure, what it cost, what differs from the paper.

reStructuredText, as Snakemake's report wants it.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from modomodo.config.schema import Training
from modomodo.console import duration
from modomodo.mixtures.records import AGGREGATES, score_column
from modomodo.reporting.results import Results, title
from modomodo.reporting.settings import OverviewSettings
from modomodo.reporting.tables import BEYOND_NOISE, noise_report, within_noise

# What the paper's study is, where a study can differ in more than a number (sections 3.1 and 3.2).
PAPER_MODEL = "Qwen/Qwen2-VL-2B-Instruct"
PAPER_DOMAINS, PAPER_BENCHMARKS = 5, 7
SHOWN = 8  # best mixtures listed
NARROW = "\u00a0"  # a space that no line ends at


def overview(
    step: OverviewSettings, found: Results, runs: Sequence[Mapping[str, Any]], examples: Mapping[str, int]
) -> str:
    """The page. `runs` are the contents of every run.json, `examples` the number of examples of each dataset."""
    parts = [
        _heading(f"Study {step.study}", "="),
        _literal(step.notes),
        _heading("What was run"),
        *_what_was_run(step, found, examples),
        _heading("What won"),
        *(line for target in reversed(AGGREGATES) for line in _what_won(found, target)),
        _heading("How sure"),
        *_how_sure(found),
        _heading("What it cost"),
        *_cost(runs),
        _heading("What differs from the paper"),
        *_differences(step),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what_was_run(step: OverviewSettings, found: Results, examples: Mapping[str, int]) -> Iterable[str]:
    training = step.training
    yield (
        f"Every run starts from the same base model ({_literal(step.model)}) and is trained by GRPO with verifiable "
        f"rewards for up to {training.steps} steps of {training.prompts_per_step} prompts with "
        f"{training.num_generations} completions each, learning rate {training.learning_rate:g}, KL coefficient "
        f"{training.beta:g}. Prompts are drawn ahead of training in two stages: a domain by the mixture's weights, "
        "then one of its examples not seen before; when a domain runs out, the run ends. Checkpoints at steps "
        f"{', '.join(map(str, training.scored_steps))} answer the benchmarks greedily; tables and figures show "
        "the last."
    )

    def sizes(names: Iterable[str]) -> str:
        return ", ".join(
            f"{_literal(name)} ({examples[name]:,})" if name in examples else _literal(name) for name in names
        )

    yield f"Training domains (examples): {sizes(step.domains)}."
    for side in ("in", "out"):
        names = [name for name, group in step.benchmarks if group == side]
        yield f"Benchmarks of the {side.capitalize()}-Score (questions): {sizes(names)}."
    rows = [
        (group, label, function, str(count), ", ".join(learned) or "nothing")
        for group, label, function, count, learned in step.strategies
    ]
    yield _table(("group", "strategy", "function", "mixtures", "learns from"), rows)
    mixtures = sum(count for *_, count, _ in step.strategies)
    repeats = step.runs - mixtures
    yield (
        f"Together {mixtures} mixtures in {step.runs} runs"
        + (f", {repeats} of them the same mixture again with another seed." if repeats else ".")
    )


def _what_won(found: Results, target: str) -> Iterable[str]:
    column = score_column(target)
    table = found.mixtures[found.mixtures[column].notna()].sort_values(column, ascending=False, kind="stable")
    if table.empty:
        return
    noise = noise_report(found.records, found.table)[target]["between_seeds"] or 0.0
    errors = table[f"se_{target}"].fillna(0.0).to_numpy(float)
    close = within_noise(table[column].to_numpy(float), errors, noise)
    best = table.iloc[0]
    text = f"**{title(target)}**: {_literal(best['strategy'])} scored {_score(best, target)}"
    against = []
    if found.base is not None and math.isfinite(found.base[column]):
        against.append(("the base model", found.base))
    if places := found.places("all"):
        against.append(("equal weights (All)", found.mixtures.iloc[places[0]]))
    for name, other in against:
        if other["mixture"] == best["mixture"] or not math.isfinite(other[column]):
            continue
        gap = best[column] - other[column]
        spread = math.sqrt(
            sum(row[f"se_{target}"] ** 2 for row in (best, other) if math.isfinite(row[f"se_{target}"]))
            + 2 * noise**2
        )
        sure = "beyond" if gap > BEYOND_NOISE * spread else "within"
        text += f"; {gap:+.4f} to {name} ({sure} noise)"
    yield f"{text}. {int(close.sum()) - 1} other mixtures cannot be told apart from it."
    weights = [f"w_{domain}" for domain in found.records.domains]
    rows = [
        (
            row["strategy"],
            row["group"],
            *("" if math.isnan(row[name]) else f"{row[name]:.2f}" for name in weights),
            _score(row, target) + ("" if not near or i == 0 else f"{NARROW}≈"),
        )
        for i, ((_, row), near) in enumerate(zip(table.head(SHOWN).iterrows(), close, strict=False))
    ]
    yield _table(("mixture", "group", *found.records.domains, title(target)), rows)


def _how_sure(found: Results) -> Iterable[str]:
    yield (
        "Each score has the standard error of its questions. ≈ marks what does not differ from the best by more than "
        f"{BEYOND_NOISE} standard errors of the difference, seeds included where known; all mixtures answer the same "
        "questions, so it marks rather too many. The best of many is also partly the luckiest: its true score is "
        "likely a little lower."
    )
    report = noise_report(found.records, found.table)
    rows = [
        (
            title(target),
            _four(values["between_mixtures"]),
            _four(values["between_seeds"]),
            _ratio(values["ratio"]),
        )
        for target in found.targets()
        if (values := report[target])
    ]
    yield _table(("score", "deviation between mixtures", "between seeds of one", "ratio"), rows)
    if report["out_score"]["between_seeds"] is None:
        yield "No mixture was repeated with another seed, so the noise between seeds is unknown."
    yield "Whether the surrogate's predictions can be trusted is judged by the figure *calibration*."


def _cost(runs: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if not runs:
        yield "Nothing was trained here: the records come from elsewhere."
        return
    seconds = [sum(run["seconds"].values()) for run in runs]
    hardware = sorted({_machine(run.get("hardware", {})) for run in runs})
    versions = runs[0].get("versions", {})
    yield (
        f"{len(runs)} runs took {duration(sum(seconds))} of training, one after another; the longest "
        f"{duration(max(seconds))}. Machine: {'; '.join(hardware)}. Predicting and scoring come on top: the page "
        "*Statistics* shows every rule's times."
    )
    names = ("python", "torch", "transformers", "trl", "vllm")
    yield "Versions: " + ", ".join(f"{name} {versions[name]}" for name in names if name in versions) + "."
    commits = sorted({str(run["commit"]) for run in runs if run.get("commit")})
    if commits:
        yield f"Code: commit {', '.join(commits)}."


def _differences(step: OverviewSettings) -> Iterable[str]:
    items = []
    if step.model != PAPER_MODEL:
        items.append(f"the base model is {_literal(step.model)}, not {PAPER_MODEL}")
    if len(step.domains) != PAPER_DOMAINS or len(step.benchmarks) != PAPER_BENCHMARKS:
        items.append(
            f"{len(step.domains)} training domains and {len(step.benchmarks)} benchmarks, not {PAPER_DOMAINS} "
            f"and {PAPER_BENCHMARKS}"
        )
    defaults = Training()
    for key, value in step.training.changed().items():
        if key not in ("seed", "save_steps", "threads", "gpus", "vllm"):
            paper = _literal(str(getattr(defaults, key)))
            items.append(f"training.{_literal(key)}: {_literal(str(value))}, the paper's is {paper}")
    if items:
        yield "The study's own values:"
        yield "\n".join(f"- {item}" for item in items)
    else:
        yield "Model, numbers of datasets and training settings are the paper's."
    yield "What the paper leaves open, and how it is decided for every study, is listed in docs/fidelity.md."


def _heading(text: str, line: str = "-") -> str:
    return f"{text}\n{line * max(len(text), 4)}"


def _literal(text: str) -> str:
    """Text that neither reStructuredText nor Jinja, which reads the page first, takes for markup."""
    return re.sub(r"([\\`*_|])", r"\\\1", text.replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #"))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [head, *rows]:
        for place, cell in enumerate(row):
            lines.append(f"   {'* -' if place == 0 else '  -'} {_literal(cell)}".rstrip())
    return "\n".join(lines)


def _score(row: pd.Series, target: str) -> str:
    score, error = row[score_column(target)], row[f"se_{target}"]
    return f"{score:.4f}" if math.isnan(error) else f"{score:.4f}{NARROW}±{NARROW}{error:.4f}"


def _four(value: float | int | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _ratio(value: float | int | None) -> str:
    return "unknown" if value is None else f"{value:.1f}"


def _machine(hardware: Mapping[str, Any]) -> str:
    gpus = hardware.get("gpus") or []
    return ", ".join(map(str, gpus)) if gpus else f"{hardware.get('cores', '?')} CPU cores, no GPU"
