"""What a replay leaves: mixtures, Table 2, the CSV files behind the report, and the report."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from modomodo.console import digits, with_error
from modomodo.files import atomic_write, write_csv
from modomodo.mixtures.mixture import Mixture, round_weights, write_mixture
from modomodo.mixtures.records import (
    AGGREGATES,
    BASE,
    last_step,
    observed_digest,
    score_column,
    seed_noise,
    trained,
)
from modomodo.mixtures.strategies.base import Proposal
from modomodo.mixtures.surrogates.calibration import summary
from modomodo.replay.run import Outcome, results_in, surrogate_in
from modomodo.reporting.templates import render_template
from modomodo.reporting.verdict import Verdict, verdict_of
from modomodo.reporting.wording import as_markdown, as_text

NOT_TRIED = "not tried"  # a domain that no run gave weight
MarkdownTable = tuple[list[str], list[list[str]]]  # header, rows


def table2(outcome: Outcome) -> pd.DataFrame:
    """The recorded mixtures with their scores, then the proposed ones with what is expected of them.

    Columns as Table 2's, and predicted, predicted_standard_deviation (of the strategy's own target).
    """
    records = last_step(outcome.records)
    weights = [f"w_{domain}" for domain in records.domains]
    targets = [*records.benchmarks, *AGGREGATES]
    frame = records.frame.copy()
    frame["group"] = np.where(frame["mixture"] == BASE, BASE, "recorded")
    rows = []
    for mixture, (strategy, proposal) in outcome.proposals.items():
        predicted = proposal.predicted
        row: dict[str, str | float | None] = {
            "group": strategy.group,
            "strategy": strategy.label or mixture,
            "mixture": mixture,
            "predicted": predicted.mean if predicted else None,
            "predicted_standard_deviation": predicted.standard_deviation if predicted else None,
        }
        row.update({f"w_{domain}": weight for domain, weight in _rounded(outcome, proposal).items()})
        rows.append(row)
    names = ["group", "strategy", "mixture", *weights, *map(score_column, targets)]
    names += [f"se_{target}" for target in targets]
    whole = pd.concat([frame, pd.DataFrame(rows)], ignore_index=True)
    return whole[[*names, "predicted", "predicted_standard_deviation"]]


def write(outcome: Outcome, folder: Path) -> None:
    """mixtures/<mixture>.json, table2.csv, the CSVs behind the report, report.md, and verdict.txt."""
    digest = observed_digest(last_step(outcome.records))
    for mixture, (_, proposal) in outcome.proposals.items():
        strategy = mixture if proposal.suffix is None else mixture.removesuffix(f"-{proposal.suffix}")
        write_mixture(
            folder / "mixtures" / f"{mixture}.json",
            Mixture(
                name=mixture,
                weights={d: proposal.weights.get(d, 0.0) for d in outcome.records.domains},
                strategy=strategy,
                round=1,
                observed=digest,
                predicted=proposal.predicted,
            ),
        )
    write_csv(folder / "table2.csv", table2(outcome))
    write_csv(folder / "comparison.csv", outcome.chosen.comparison)
    write_csv(folder / "calibration.csv", summary(outcome.chosen.left))
    write_csv(folder / "left_out.csv", _left_out(outcome))
    write_csv(folder / "optimum_weights.csv", outcome.uncertainty.weights())
    write_csv(folder / "optimum_against.csv", outcome.uncertainty.over_baselines())
    write_csv(folder / "proposals_against.csv", outcome.uncertainty.proposals_over_reference())
    if outcome.front is not None:
        write_csv(folder / "pareto.csv", outcome.front)
    found = verdict(outcome)
    text = report(outcome, found)
    with atomic_write(folder / "verdict.txt") as file:
        file.write(as_text(found))
    with atomic_write(folder / "report.md") as file:
        file.write(text)


def in_short(outcome: Outcome) -> str:
    """The surrogate and the proposed mixtures, a line each."""
    lines = [outcome.chosen.reason]
    if not outcome.chosen.informed:
        lines.append("left-out mixtures are predicted no better than by their mean: no optimum is claimed")
    if untried := outcome.observations.untried:
        lines.append(f"no run has tried {', '.join(untried)}: nothing is known of a mixture with it")
    if why := outcome.observations.undetermined:
        lines.append(f"{why}: how far mixtures differ is not known")
    for mixture, (_, proposal) in outcome.proposals.items():
        shares = [f"{domain} {weight:.2f}" for domain, weight in proposal.weights.items() if weight > 0.005]
        lines.append(f"{mixture}: {', '.join(shares)}")
    return "\n".join(lines)


def verdict(outcome: Outcome) -> Verdict:
    """The best of the recorded mixtures, and how sure that is."""
    return verdict_of(results_in(outcome.study, outcome.records), surrogate_in(outcome.study))


def report(outcome: Outcome, found: Verdict) -> str:
    """Markdown: the verdict, what to train next, how sure it is, what the surrogate knows (report/replay.md.jinja)."""
    study, chosen = outcome.study, outcome.chosen
    runs = trained(last_step(outcome.records))
    noise = seed_noise(runs, study.target) if study.target in runs.targets else np.nan
    notes = [
        (strategy.label or strategy.propose, proposal.note)
        for strategy, proposal in outcome.proposals.values()
        if proposal.note
    ]
    worst = zip(outcome.observations.domains, outcome.worst, strict=True)
    return render_template(
        "replay.md",
        study=study,
        verdict=as_markdown(found),
        runs=len(runs),
        mixtures=runs.frame["mixture"].nunique(),
        domains=len(runs.domains),
        noise=f"{noise:.2g}" if np.isfinite(noise) else "",
        informed=chosen.informed,
        reason=chosen.reason,
        untried=", ".join(outcome.observations.untried),
        undetermined=outcome.observations.undetermined,
        proposed=_proposed(outcome),
        best=outcome.uncertainty.reference,
        notes=list(dict.fromkeys(notes)),
        halves=len(outcome.uncertainty.cross_fitted),
        optimum=_optimum(outcome),
        gains=_gains(outcome),
        worst=""
        if outcome.observations.undetermined
        else ", ".join(f"{domain} {weight:.2f}" for domain, weight in worst if weight >= 0.005),
        how=chosen.left.how,
        calibration=_calibration(summary(chosen.left)),
    )


def _proposed(outcome: Outcome) -> MarkdownTable:
    """Each proposed mixture: its weights, what its strategy predicts, and whether it beats the best observed one."""
    domains = outcome.records.domains
    rows = []
    for (mixture, (_, proposal)), against in zip(
        outcome.proposals.items(), outcome.uncertainty.proposals_over_reference().itertuples(), strict=True
    ):
        weights = _rounded(outcome, proposal)
        predicted = ""
        if proposal.predicted is not None:
            deviation = proposal.predicted.standard_deviation
            predicted = with_error(proposal.predicted.mean, math.nan if deviation is None else deviation)
        better = ""  # too few mixtures to split into halves tell nothing
        if np.isfinite(against.probability):
            better = f"{against.probability:.2f}" + (" ≈" if against.within_noise else "")
        rows.append([mixture, *(f"{weights[domain]:.3f}" for domain in domains), predicted, better])
    return ["mixture", *domains, "predicted", f"better than {outcome.uncertainty.reference}"], rows


def _optimum(outcome: Outcome) -> MarkdownTable:
    """Each domain's weight in the optimum, and how far the halves agree on it."""
    rows = [
        [row.domain, *[NOT_TRIED] * 3]
        if row.domain in outcome.observations.untried
        else [row.domain, f"{row.optimum:.2f}", f"{row.mean:.2f}", f"{row.low:.2f} to {row.high:.2f}"]
        for row in outcome.uncertainty.weights().itertuples()
    ]
    return ["domain", "optimum", "mean of the halves'", "5 % to 95 %"], rows


def _interval(value: float, low: float, high: float) -> tuple[str, str]:
    """A number and its interval, with as many decimals as the interval's width allows."""
    shown = digits([(high - low) / 4])
    return f"{value:.{shown}f}", f"{low:.{shown}f} to {high:.{shown}f}"


def _gains(outcome: Outcome) -> MarkdownTable:
    """What a half's optimum gains over the baselines, by the other half."""
    untried = ", ".join(outcome.observations.untried)
    rows = [
        [
            row.baseline,
            *_interval(row.gain, row.low, row.high),
            f"{row.probability:.2f}",
            "≈" if row.within_noise else "",
        ]
        if np.isfinite(row.probability)
        else [row.baseline, *["unknown"] * 3, f"no run has tried {untried}"]
        for row in outcome.uncertainty.over_baselines().itertuples()
    ]
    return ["a half's optimum against", "gain", "5 % to 95 %", "probability that it is better", ""], rows


def _calibration(table: pd.DataFrame) -> MarkdownTable:
    """How well left-out mixtures were predicted, a row a score."""
    rows = [
        [row["name"], str(row["runs"])]
        + [_known(row[key], ".3g") for key in ("spearman", "rmse", "rmse_constant")]
        + [_known(row[key], ".2f") for key in ("coverage_50", "coverage_80", "coverage_95")]
        for _, row in table.iterrows()
    ]
    head = ["score", "runs", "Spearman", "RMSE", "RMSE of the mean", "in 50 %", "in 80 %", "in 95 %"]
    return head, rows


def _known(value: float, digits: str) -> str:
    return f"{value:{digits}}" if np.isfinite(value) else "unknown"


def _rounded(outcome: Outcome, proposal: Proposal) -> dict[str, float]:
    return round_weights({d: proposal.weights.get(d, 0.0) for d in outcome.records.domains})


def _left_out(outcome: Outcome) -> pd.DataFrame:
    left = outcome.chosen.left
    parts = [
        pd.DataFrame(
            {
                "mixture": left.mixtures,
                "score": name,
                "actual": left.actual[:, column],
                "predicted": left.mean[:, column],
                "standard_deviation": left.deviation[:, column],
                "constant": left.constant[:, column],
            }
        )
        for column, name in enumerate(left.names)
    ]
    return pd.concat(parts, ignore_index=True)
