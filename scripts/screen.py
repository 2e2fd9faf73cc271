"""experts + trained runs → merged/STRATEGY.csv: hundreds of candidates scored by merging, the best of them in full.

Example:
    python scripts/screen.py --settings config/merge-study.yaml --strategy merge_screen --base results/tiny/base \\
        --base-info results/tiny/base.json --experts results/tiny/runs/single-*/42/run.json \\
        --scores results/tiny/scores/*/42.json --mixtures results/tiny/mixtures/*.json \\
        --benchmarks results/tiny/examples/*.jsonl --output /tmp/merged/merge_screen.csv

1. Let each expert answer, and the base: a warning names those that lost what the base could do.
2. Merge and score the mixtures that were trained, for each alpha of the study.
3. Choose the alpha that predicts each of them best from the others, and calibrate on them.
4. Draw candidates that keep to the strategy's constraints. All are scored on a part of the questions; those that
   are expected to be best answer more, the finalists every question.
5. Write records of fidelity `merged`: the trained mixtures, and the candidates (strategy `candidate`) with the
   share of the questions they were asked. scripts/propose.py chooses from the finalists.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins, parse
from modomodo.evaluation.benchmarks import load_benchmarks
from modomodo.evaluation.scores import read_scored
from modomodo.merging.arguments import add_experts, experts_of
from modomodo.merging.screening import MergeScorer, log_regressions, merged_records, screen
from modomodo.merging.settings import ScreenSettings
from modomodo.mixtures.mixture import read_mixtures
from modomodo.mixtures.records import one_step, write_records
from modomodo.mixtures.strategies.search import MergeScreenOptions
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    add_experts(parser)
    parser.add_argument("--strategy", default="", help="with a study's YAML: the strategy's name in it")
    parser.add_argument("--scores", type=Path, required=True, nargs="+", help="scores of the trained runs")
    parser.add_argument("--mixtures", type=Path, required=True, nargs="+", help="their mixtures")
    parser.add_argument("--benchmarks", type=Path, required=True, nargs="+", help="BENCHMARK.jsonl files")
    parser.add_argument("--output", type=Path, required=True, help="the records, as CSV")
    arguments = parser.parse_args()
    settings = command_line.settings(
        arguments.settings, ScreenSettings, lambda study: ScreenSettings.of(study, arguments.strategy)
    )
    load_plugins(settings.plugins)
    options = parse(settings.strategy.options, MergeScreenOptions, "options")
    groups = dict(settings.benchmarks)
    records = read_scored(arguments.scores, arguments.mixtures, settings.domains, groups)
    records = one_step(records, settings.strategy.scores)
    mixtures = list(read_mixtures(arguments.mixtures, settings.domains).values())
    experts = experts_of(arguments)
    questions = load_benchmarks(arguments.benchmarks, groups)
    scorer = MergeScorer(experts, questions, settings, arguments.output.parent / "scored", options.questions)
    forgot = log_regressions(scorer)
    merges = screen(scorer, records, mixtures, settings, options)
    write_records(arguments.output, merged_records(merges, experts, settings.domains, groups, forgot))
    described = [arguments.base_info, *arguments.experts, *arguments.scores, *arguments.mixtures]
    describe(arguments.output, settings, [*described, *arguments.benchmarks])
    print(f"{arguments.output}: {len(merges)} merges, {scorer.asked} questions answered now")


if __name__ == "__main__":
    command_line.run(main)
