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
predicted; the note of why goes to the log.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.errors import InputError
from modomodo.evaluation.scores import collect, read_run_scores
from modomodo.files import write_csv
from modomodo.mixtures.mixture import Mixture, read_mixture, write_mixture
from modomodo.mixtures.records import Records, average_steps, empty, last_step, observed_digest
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.settings import ProposeSettings, RecordsSettings
from modomodo.mixtures.strategies.base import Request, propose, read_options
from modomodo.replay import config as replay_config
from modomodo.replay import report, run
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
        "--merged",
        type=Path,
        nargs="*",
        default=[],
        help="records of merged experts, for a strategy that screens",
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
    if arguments.config:
        if len(arguments.output) != 1:
            parser.error("--config writes one folder: give one --output")
        propose_from_table(arguments.config, arguments.records, arguments.output[0])
        return
    if not arguments.strategy:
        parser.error("--settings needs --strategy")
    step = command_line.settings(
        arguments.settings, ProposeSettings, lambda study: ProposeSettings.of(study, arguments.strategy)
    )
    load_plugins(step.plugins)
    strategy = step.strategy
    records = read(arguments, step.domains)
    seen = average_steps(records) if strategy.scores == "mean" else last_step(records)
    request = Request(
        records=seen,
        domains=[domain for domain in step.domains if domain not in strategy.without],
        count=strategy.count,
        seed=strategy.seed,
        target=strategy.target,
        options=read_options(strategy.propose, strategy.options, f"strategies.{arguments.strategy}.options"),
        merged=read_records(arguments.merged[0]) if arguments.merged else None,
    )
    try:
        proposals = propose(strategy.propose, request)
    except InputError as error:
        raise InputError(f"strategies.{arguments.strategy}: {error}") from None
    if arguments.comparison:
        compared = [p.comparison for p in proposals if p.comparison is not None]
        if not compared:
            raise InputError(f"--comparison: '{strategy.propose}' compares no surrogates")
        write_csv(arguments.comparison, compared[0])
    # By name: the files come in the study's order, the proposals in that of their domains' names.
    named = {"-".join(filter(None, [arguments.strategy, p.suffix])): p for p in proposals}
    if sorted(path.stem for path in arguments.output) != sorted(named):
        raise InputError(f"--output: expected the files {', '.join(f'{name}.json' for name in named)}")
    for path in arguments.output:
        proposal = named[path.stem]
        mixture = Mixture(
            name=path.stem,
            weights={domain: proposal.weights.get(domain, 0.0) for domain in step.domains},
            strategy=arguments.strategy,
            round=arguments.round,
            observed=observed_digest(seen) if len(seen) else None,
            predicted=proposal.predicted,
        )
        write_mixture(path, mixture)
        describe(path, step, learned_from(arguments))
        shares = ", ".join(f"{domain} {weight:.2f}" for domain, weight in mixture.weights.items() if weight)
        print(f"{mixture.name}: {shares}" + (f" ({proposal.note})" if proposal.note else ""))


def learned_from(arguments) -> list[Path]:
    """The files whose scores the strategy sees."""
    return [arguments.records] if arguments.records else [*arguments.scores, *arguments.mixtures]


def propose_from_table(config: str, table: Path | None, folder: Path) -> None:
    """Run a study of recorded runs, and say what it proposes."""
    study = replay_config.load(config)
    outcome = run.run(study, run.read(study, table))
    report.write(outcome, folder)
    print(f"{outcome.chosen.reason}")
    if not outcome.chosen.informed:
        print("nothing predicts left-out mixtures better than their mean: no optimum is claimed")
    for mixture, (_, proposal) in outcome.proposals.items():
        shares = ", ".join(
            f"{domain} {weight:.2f}" for domain, weight in proposal.weights.items() if weight > 0.005
        )
        print(f"{mixture}: {shares}")
    print(f"report: {folder / 'report.md'}")


def read(arguments, domains: list[str]) -> Records:
    """The records, from a table or from scores; none for a strategy that needs none."""
    if arguments.records:
        return read_records(arguments.records)
    if not arguments.scores:
        return empty(domains)
    text = arguments.records_settings or arguments.settings
    step = command_line.settings(text, RecordsSettings, RecordsSettings.of)
    mixtures = {
        mixture.name: mixture for mixture in (read_mixture(p, step.domains) for p in arguments.mixtures)
    }
    return collect(
        [read_run_scores(path) for path in arguments.scores], mixtures, step.domains, dict(step.benchmarks)
    )


if __name__ == "__main__":
    command_line.run(main)
