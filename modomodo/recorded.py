"""A study of runs that others made: a table of mixtures and scores in, the next mixtures and how sure they are out.

Nothing is trained. The same strategies as in a study that trains learn from the recorded rows; beside their
mixtures lie the comparison of surrogates, the calibration of the one chosen, and how sure the optimum is.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from modomodo.certainty import Certainty, best_observed, halves
from modomodo.errors import InputError, nearest
from modomodo.files import write_csv, write_whole
from modomodo.mixtures import Constraints, Mixture, check_names, round_weights, write_mixture
from modomodo.proposals import candidates, pareto_front
from modomodo.records import (
    AGGREGATES,
    BASE,
    Records,
    average_steps,
    last_step,
    observed_digest,
    read_records,
    score_column,
    seed_noise,
    trained,
)
from modomodo.strategies import (
    Proposal,
    Request,
    SearchOptions,
    declaration,
    propose,
    read_options,
    strategies,
)
from modomodo.study import Name, Settings, Strategy, load_plugins, parse, read_yaml
from modomodo.surrogates import Objective, Observations, objective, observe, surrogates
from modomodo.surrogates.calibration import Chosen, choose, is_large, refit, summary

POOL = 4000  # mixtures among which the best, the worst and the front are looked for
LARGE_POOL = 1000  # and of them those among which a half of a large table looks for its best
RIVALS = 5  # observed mixtures that the proposed one is compared with


class Table(Settings):
    """Where the recorded runs are and what their columns mean."""

    path: str | None = Field(
        None,
        description="records.csv (columns w_<domain>, y_<benchmark>), or a folder of ratios.csv and metrics.csv.",
    )
    lower_is_better: bool | list[str] = Field(
        False, description="Scores that are losses: all, or the names of some."
    )
    aggregates: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Weighted means by name: {out_score: {benchmark: weight}}."
    )


class RecordedStrategy(Strategy):
    """A strategy on recorded runs; `learns_from` names values of the column `strategy`, none means all rows."""

    group: str = Field("model", description="Heading it stands under in Table 2.")


class Recorded(Settings):
    """The whole of a study of recorded runs."""

    name: Name = Field(description="Names the folder of its results: results/<name>/.")
    plugins: list[str] = Field([], description="Python files that register own strategies or surrogates.")
    records: Table = Field(description="The recorded runs.")
    target: str = Field("out_score", description="What to make large: an aggregate or a benchmark.")
    seed: int = Field(0, ge=0, description="Seed of the halves and of the comparison of surrogates.")
    replicates: int = Field(
        50, ge=2, description="Refits on halves of the mixtures, for how sure the optimum is."
    )
    constraints: Constraints = Field(
        default_factory=Constraints, description="What the optimum that is judged must keep to."
    )
    strategies: dict[Name, RecordedStrategy] = Field(min_length=1, description="Strategies by name.")

    @model_validator(mode="after")
    def _targets(self) -> "Recorded":
        # A strategy without a target of its own has the study's.
        for name, strategy in self.strategies.items():
            if "target" not in strategy.model_fields_set:
                self.strategies[name] = strategy.model_copy(update={"target": self.target})
        return self


@dataclass(frozen=True)
class Outcome:
    """What a recorded study says."""

    study: Recorded
    records: Records
    proposals: dict[str, tuple[RecordedStrategy, Proposal]]  # mixture → its strategy and proposal
    chosen: Chosen
    observations: Observations
    aim: Objective
    certainty: Certainty
    worst: np.ndarray
    front: pd.DataFrame | None


def load(text: str) -> Recorded:
    """A study of recorded runs from its YAML file, or from JSON as a rule passes it. Raises InputError."""
    if text.lstrip().startswith("{"):
        try:
            data, where = json.loads(text), "--config"
        except json.JSONDecodeError as error:
            raise InputError(f"--config: not valid JSON: {error.msg} at character {error.pos}") from None
    else:
        data, where = read_yaml(text), text
    return recorded_from(data, where)


def recorded_from(data: Any, where: str) -> Recorded:
    """A study of recorded runs from plain data, with every name in it checked. Raises InputError."""
    study = parse(data, Recorded, where)
    load_plugins(study.plugins)
    _check(study, where)
    return study


def tables_of(study: Recorded) -> list[Path]:
    """The files that the records are read from. Raises InputError when the study names none."""
    if not study.records.path:
        raise InputError("records.path: missing: name the table")
    path = Path(study.records.path)
    return [path / "ratios.csv", path / "metrics.csv"] if path.is_dir() else [path]


def _check(study: Recorded, where: str) -> None:
    """Raises InputError for a strategy, option or surrogate that does not exist."""
    for name, strategy in study.strategies.items():
        key = f"{where}: strategies.{name}"
        try:
            strategies[strategy.propose]
            options = read_options(strategy.propose, strategy.options, f"strategies.{name}.options")
            if isinstance(options, SearchOptions):
                surrogates[options.surrogate]
        except InputError as error:
            text = str(error)
            raise InputError(
                f"{where}: {text}" if text.startswith("strategies.") else f"{key}: {text}"
            ) from None


def read(study: Recorded, path: Path | None = None) -> Records:
    """The table of the study, or another one in its place. Raises InputError naming file, line and column."""
    source = path or (Path(study.records.path) if study.records.path else None)
    if source is None:
        raise InputError("records.path: missing: name the table, or give it with --records")
    lower = study.records.lower_is_better
    known = {name: sizes for name, sizes in study.records.aggregates.items() if name in AGGREGATES}
    # A loss named among the aggregates is turned round with its benchmarks.
    turned: bool | Collection[str] = lower if isinstance(lower, bool) else list(lower)
    return read_records(source, turned, known)


def _check_targets(study: Recorded, records: Records) -> None:
    """Raises InputError for a target that the table does not have, with how to define it."""
    whole = [name for name in AGGREGATES if records.frame[name].notna().any()]
    known = [*records.benchmarks, *study.records.aggregates, *whole]
    wanted = {"target": study.target}
    wanted |= {f"strategies.{name}.target": strategy.target for name, strategy in study.strategies.items()}
    for key, target in wanted.items():
        if target not in known:
            parts = ", ".join(f"{benchmark}: 1" for benchmark in records.benchmarks)
            raise InputError(
                f"{key}: the records have no '{target}': {nearest(target, known)}; to aim at a weighted mean, say of "
                f"what: records: {{aggregates: {{{target}: {{{parts}}}}}}}"
            )


def run(study: Recorded, records: Records) -> Outcome:
    """Every strategy's mixtures, and how far they can be trusted. Raises InputError."""
    aggregates = study.records.aggregates
    seen = last_step(records)
    _check_targets(study, seen)
    aim = objective(seen, study.target, aggregates)
    observations = observe(seen, aim)
    chosen = choose(observations, study.seed)
    proposals: dict[str, tuple[RecordedStrategy, Proposal]] = {}
    for name, strategy in study.strategies.items():
        request = Request(
            records=learned(average_steps(records) if strategy.scores == "mean" else seen, name, strategy),
            domains=[domain for domain in records.domains if domain not in strategy.without],
            count=strategy.count,
            seed=strategy.seed,
            target=strategy.target,
            options=read_options(strategy.propose, strategy.options, f"strategies.{name}.options"),
            aggregates=aggregates,
        )
        try:
            found = propose(strategy.propose, request)
        except InputError as error:
            raise InputError(f"strategies.{name}: {error}") from None
        for proposal in found:
            mixture = "-".join(filter(None, [name, proposal.suffix]))
            proposals[mixture] = (strategy, proposal)
    check_names(study.constraints, records.domains)
    random = np.random.default_rng(study.seed)
    pool = candidates(observations.domains, study.constraints, POOL, random, observations.weights)
    mean = chosen.mean(pool) @ aim.shares
    rivals = {"uniform": np.full(len(observations.domains), 1 / len(observations.domains))}
    for mixture, weights, _ in best_observed(observations, aim.shares)[:RIVALS]:
        rivals[mixture] = weights
    certainty = halves(
        observations,
        refit(chosen, observations),
        aim.shares,
        pool[:: POOL // LARGE_POOL] if is_large(observations) else pool,
        pool[int(mean.argmax())],
        rivals,
        study.seed,
        study.replicates,
        chosen.informed,
        {
            mixture: np.array([proposal.weights.get(domain, 0.0) for domain in observations.domains])
            for mixture, (_, proposal) in proposals.items()
        },
    )
    return Outcome(
        study,
        records,
        proposals,
        chosen,
        observations,
        aim,
        certainty,
        pool[int(mean.argmin())],
        _front(study, seen, aggregates, pool),
    )


def learned(records: Records, name: str, strategy: Strategy) -> Records:
    """The rows that a strategy learns from. Raises InputError for a name that no row has."""
    for other in strategy.learns_from:
        if other not in set(records.frame["strategy"]):
            known = sorted(set(records.frame["strategy"]) - {""})
            raise InputError(
                f"strategies.{name}.learns_from: no row of the records has the strategy '{other}': "
                + nearest(other, known)
            )
    if not strategy.learns_from or not declaration(strategy.propose).learns:
        return records
    kept = records.frame["strategy"].isin(strategy.learns_from)
    return replace(records, frame=records.frame[kept].reset_index(drop=True))


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
    """mixtures/<mixture>.json, table2.csv, the CSVs behind the report, and report.md."""
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
    write_csv(folder / "optimum_weights.csv", outcome.certainty.weights())
    write_csv(folder / "optimum_against.csv", outcome.certainty.against())
    write_csv(folder / "proposals_against.csv", outcome.certainty.others_against())
    if outcome.front is not None:
        write_csv(folder / "pareto.csv", outcome.front)
    with write_whole(folder / "report.md") as file:
        file.write(report(outcome))


def report(outcome: Outcome) -> str:
    """Markdown: what to train next, how sure it is, and what the surrogate knows."""
    study, chosen, certainty = outcome.study, outcome.chosen, outcome.certainty
    runs = trained(last_step(outcome.records))
    noise = seed_noise(runs, study.target) if study.target in runs.targets else np.nan
    lines = [f"# {study.name}: what to train next", ""]
    lines.append(
        f"{len(runs)} runs of {runs.frame['mixture'].nunique()} mixtures over {len(runs.domains)} domains; "
        f"target `{study.target}`, higher is better"
        + (" (losses are shown negated)" if study.records.lower_is_better else "")
        + "."
    )
    spread = f"{noise:.4g}" if np.isfinite(noise) else "unknown, no mixture was run twice: repeat one or two"
    lines += [f"Standard deviation between runs of one mixture: {spread}.", ""]
    if chosen.informed:
        lines += [f"Surrogate: {chosen.reason()}.", ""]
    else:
        lines += [
            f"**Nothing predicts left-out mixtures better than the mean of the others does** ({chosen.reason()}). "
            "No optimum is claimed: where `surrogate: auto` was asked, the mixtures below explore what was not yet "
            "seen. What follows from the fit is shown for completeness.",
            "",
        ]
    lines += ["## Proposed mixtures", ""]
    compared = certainty.others_against()
    head = ["mixture", *outcome.records.domains, "predicted", f"better than {certainty.rival}"]
    rows = []
    for (mixture, (_, proposal)), against in zip(
        outcome.proposals.items(), compared.itertuples(), strict=True
    ):
        weights = _rounded(outcome, proposal)
        text = ""
        if proposal.predicted is not None:
            deviation = proposal.predicted.standard_deviation
            text = f"{proposal.predicted.mean:.4g}" + (f" ± {deviation:.2g}" if deviation is not None else "")
        sure = f"{against.probability:.2f}" + (" ≈" if against.within_noise else "")
        rows.append([mixture, *(f"{weights[d]:.3f}" for d in outcome.records.domains), text, sure])
    lines += [*_markdown(head, rows), ""]
    lines += [
        f"Better than: the probability that a mixture beats `{certainty.rival}`, the best observed one; ≈ marks a "
        "difference within noise. `predicted` and its deviation are the strategy's own.",
        "",
    ]
    notes = dict.fromkeys(
        f"- {strategy.label or strategy.propose}: {proposal.note}"
        for strategy, proposal in outcome.proposals.values()
        if proposal.note
    )
    lines += [*notes, "", "## How sure the optimum is", ""]
    if not chosen.informed:
        lines += [
            "**The surrogate knows nothing of mixtures it has not seen: these probabilities mean nothing.**",
            "",
        ]
    lines.append(
        f"{len(certainty.gains)} fits to random halves of the mixtures. Each half says where the best of some thousand "
        "mixtures lies, and the other half what that one gains; ≈ marks a difference within noise."
        if len(certainty.gains)
        else "Fewer than four mixtures have no two halves: nothing can be said."
    )
    lines.append("")
    lines += _markdown(
        ["domain", "optimum", "mean of the halves'", "5 % to 95 %"],
        [
            [row.domain, f"{row.proposed:.3f}", f"{row.mean:.3f}", f"{row.low:.3f} to {row.high:.3f}"]
            for row in certainty.weights().itertuples()
        ],
    )
    lines.append("")
    lines += _markdown(
        ["a half's optimum against", "gain", "5 % to 95 %", "probability that it is better", ""],
        [
            [
                row.rival,
                f"{row.gain:.4g}",
                f"{row.low:.4g} to {row.high:.4g}",
                f"{row.probability:.2f}",
                "≈" if row.within_noise else "",
            ]
            for row in certainty.against().itertuples()
        ],
    )
    low = ", ".join(
        f"{d} {w:.2f}" for d, w in zip(outcome.observations.domains, outcome.worst, strict=True) if w >= 0.005
    )
    lines += ["", f"Worst predicted mixture, a check if it is trained: {low}.", "", "## Calibration", ""]
    lines.append(
        f"Each mixture predicted {chosen.left.how}; coverage is the share of runs inside the interval."
    )
    lines.append("")
    table = summary(chosen.left)
    lines += _markdown(
        ["score", "runs", "Spearman", "RMSE", "RMSE of the mean", "in 50 %", "in 80 %", "in 95 %"],
        [
            [row["name"], str(row["runs"])]
            + [f"{row[key]:.3g}" for key in ("spearman", "rmse", "rmse_constant")]
            + [f"{row[key]:.2f}" for key in ("coverage_50", "coverage_80", "coverage_95")]
            for _, row in table.iterrows()
        ],
    )
    return "\n".join(lines) + "\n"


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


def _front(
    study: Recorded, records: Records, aggregates: Mapping[str, Mapping[str, float]], pool: np.ndarray
) -> pd.DataFrame | None:
    """The front of expected In- against Out-Score, where the table has both."""
    values = []
    for target in AGGREGATES:
        if target not in aggregates and records.frame[target].isna().all():
            return None
        aim = objective(records, target, aggregates)
        values.append(choose(observe(records, aim), study.seed).mean(pool) @ aim.shares)
    rows = pareto_front(np.column_stack(values))
    frame = pd.DataFrame(pool[rows], columns=[f"w_{domain}" for domain in sorted(records.domains)]).round(6)
    return frame.assign(in_score=values[0][rows], out_score=values[1][rows])


def _markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]
