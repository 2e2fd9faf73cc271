"""records → mixtures: what to train next.

Example: from a table of runs made anywhere, with every strategy of a study of recorded runs; a folder of mixtures, the
comparison of surrogates, their calibration, how sure the optimum is and report.md:
    python scripts/propose.py --records runs.csv --config config/replay.yaml --output /tmp/next

RECORDS is a CSV with columns w_<domain> and y_<benchmark>, or a folder of ratios.csv and metrics.csv (Olmix,
RegMix). CONFIG names target, aggregates, direction and strategies; config/replay.yaml is one.

One strategy of a study that trains, as the rule calls it:
    python scripts/propose.py --settings config/tiny.yaml --strategy quadratic --records results/tiny/records.csv \\
        --output /tmp/quadratic-001.json /tmp/quadratic-002.json

The records are a table (--records), or the scores of runs and their mixtures (--scores, --mixtures), as the
rule passes them. Each mixture tells its strategy and round, the digest of the records used and what was
predicted; the note of why goes to the log. With a budget the outputs hold the places of stopped runs too
(next@race-01.json), and a mixture that is trained again is written with its own name and another seed.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.errors import InputError
from modomodo.evaluation.scores import read_scored
from modomodo.files import write_csv
from modomodo.mixtures.budget import Decision
from modomodo.mixtures.cheaper_runs import with_cheaper_runs
from modomodo.mixtures.mixture import Mixture, read_mixtures, write_mixture
from modomodo.mixtures.races import stopped_runs
from modomodo.mixtures.records import Records, empty, learnable, observed_digest
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.settings import ProposeSettings, RecordsSettings
from modomodo.mixtures.strategies.base import propose_named
from modomodo.mixtures.surrogates.base import objective
from modomodo.replay.config import load
from modomodo.replay.report import in_short, write
from modomodo.replay.run import read, run
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--config", metavar="JSON|CONFIG.yaml", help="a study of recorded runs; --output is then a folder"
    )
    parser.add_argument(
        "--settings", metavar="JSON|STUDY.yaml", help="a study that trains: its YAML file, or the rule's JSON"
    )
    parser.add_argument("--strategy", help="with --settings: the strategy's name in the study")
    parser.add_argument("--round", type=int, default=0, help="written into the mixtures (default 0)")
    parser.add_argument("--records", type=Path, help="records.csv; or:")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="scores of runs")
    parser.add_argument("--mixtures", type=Path, nargs="*", default=[], help="the mixtures of these runs")
    parser.add_argument(
        "--merged", type=Path, nargs="*", help="records of merged experts, for a strategy that screens"
    )
    parser.add_argument(
        "--records-settings",
        help="with --scores: domains and groups, JSON or the study (default: --settings)",
    )
    parser.add_argument(
        "--output", type=Path, nargs="+", required=True, help="MIXTURE.json, one for each mixture"
    )
    parser.add_argument(
        "--comparison",
        type=Path,
        nargs="?",
        help="with --settings: CSV of the surrogates tried, by left-out error",
    )
    arguments = parser.parse_args()
    if bool(arguments.config) == bool(arguments.settings):
        parser.error("give --config (recorded runs) or --settings with --strategy (a study that trains)")
    if arguments.config and len(arguments.output) != 1:
        parser.error("--config writes one folder: give one --output")
    if arguments.settings and not arguments.strategy:
        parser.error("--settings needs --strategy")
    if arguments.config:
        study = load(arguments.config)
        outcome = run(study, read(study, arguments.records))
        write(outcome, arguments.output[0])
        print(f"{in_short(outcome)}\nreport: {arguments.output[0] / 'report.md'}")
    else:
        propose_for_study(arguments)


def propose_for_study(arguments: argparse.Namespace) -> None:
    """Run one strategy of a study that trains, and write its mixtures."""
    settings = command_line.settings(
        arguments.settings, ProposeSettings, lambda study: ProposeSettings.of(study, arguments.strategy)
    )
    load_plugins(settings.plugins)
    name, strategy = arguments.strategy, settings.strategy
    given = read_given(arguments, settings.domains)
    stopped = stopped_runs(given) if settings.prices else {}
    records = learnable(given, strategy.scores)
    aimed_at = objective(records, strategy.target).benchmarks if strategy.cheaper_runs else ()
    records = with_cheaper_runs(records, name, strategy, aimed_at)
    merged = read_records(arguments.merged[0], of_cheaper=True) if arguments.merged else None
    proposals = propose_named(
        *(name, strategy, records, settings.domains),
        merged=merged,
        stopped=stopped,
        prices=settings.prices,
        seeds=settings.seeds,
    )
    if arguments.comparison:
        compared = [found.comparison for found in proposals.values() if found.comparison is not None]
        if not compared:
            raise InputError(f"--comparison: '{strategy.propose}' compares no surrogates")
        write_csv(arguments.comparison, compared[0])
    # By name: the files come in the study's order, the proposals in that of their domains' names.
    further = [path for path in arguments.output if settings.prices and "@" in path.stem]
    own = [path for path in arguments.output if path not in further]
    if sorted(path.stem for path in own) != sorted(proposals):
        raise InputError(
            f"--output: expected the files {', '.join(f'{mixture}.json' for mixture in proposals)}"
        )
    observed = observed_digest(records) if len(records) else None
    inputs = [arguments.records] if arguments.records else [*arguments.scores, *arguments.mixtures]
    inputs += [Path(other.records) for other in strategy.cheaper_runs]
    mixtures = read_mixtures(arguments.mixtures)
    for path in sorted(own):  # a mixture before it is repeated
        proposal = proposals[path.stem]
        if proposal.budget and proposal.budget.does == "repeat":
            mixture = again(proposal.budget, mixtures)
        else:
            mixture = Mixture(
                name=path.stem,
                weights={domain: proposal.weights.get(domain, 0.0) for domain in settings.domains},
                strategy=name,
                round=arguments.round,
                observed=observed,
                predicted=proposal.predicted,
                online=proposal.online,
                budget=proposal.budget,
            )
            mixtures[mixture.name] = mixture
        write_mixture(path, mixture)
        describe(path, settings, inputs)
        shares = ", ".join(f"{domain} {weight:.2f}" for domain, weight in mixture.weights.items() if weight)
        print(f"{path.stem}: {shares}" + (f" ({proposal.note})" if proposal.note else ""))
    if further:
        nobody = next(iter(mixtures.values()))
        decisions = [
            proposal.budget
            for proposal in proposals.values()
            if proposal.budget and proposal.budget.does == "further"
        ]
        for path, mixture in going_on(further, decisions, mixtures, nobody).items():
            write_mixture(path, mixture)
            describe(path, settings, inputs)


def again(decision: Decision, mixtures: Mapping[str, Mixture]) -> Mixture:
    """The mixture that a place of a budget repeats, under its own name. Raises InputError where its file is missing."""
    if decision.run is None or decision.run not in mixtures:
        raise InputError(f"--mixtures: {decision.run}.json is missing: it is to be trained again")
    return mixtures[decision.run].model_copy(update={"budget": decision})


def going_on(
    places: list[Path], decisions: list[Decision], mixtures: dict[str, Mixture], nobody: Mixture
) -> dict[Path, Mixture]:
    """Place → the mixture of a race whose stopped run takes it; of `nobody` under the place's own name."""
    found = {}
    for path in sorted(places):
        race = path.stem.partition("@")[2].rpartition("-")[0]
        took = next((one for one in decisions if one.run and mixtures[one.run].strategy == race), None)
        if took and took.run:
            decisions = [one for one in decisions if one is not took]
            found[path] = mixtures[took.run].model_copy(update={"budget": took})
        else:
            nothing = {"name": path.stem, "predicted": None, "budget": Decision(does="nothing")}
            found[path] = nobody.model_copy(update=nothing)
    return found


def read_given(arguments: argparse.Namespace, domains: list[str]) -> Records:
    """The records, from a table or from scores; none for a strategy that needs none."""
    if arguments.records:
        return read_records(arguments.records)
    if not arguments.scores:
        return empty(domains)
    text = arguments.records_settings or arguments.settings
    settings = command_line.settings(text, RecordsSettings, RecordsSettings.of)
    return read_scored(arguments.scores, arguments.mixtures, settings.domains, dict(settings.benchmarks))


if __name__ == "__main__":
    command_line.run(main)
