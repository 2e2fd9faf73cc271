"""experts + mixtures → merged.csv: what merging says of each mixture, without training it.

Example:
    python scripts/score_merges.py --settings config/tiny.yaml --base results/tiny/base \\
        --base-info results/tiny/base.json --experts results/tiny/runs/single-*/42/run.json \\
        --mixtures results/tiny/mixtures/*.json --benchmarks results/tiny/examples/*.jsonl --output /tmp/merged.csv

1. Check that the experts, runs of one domain each, share base, settings, seed and step. Let each answer, and the base:
   a warning names those that lost what the base could do.
2. Give the model the merged weights of one mixture after another, for each alpha of the study; nothing is written.
3. Let it answer the benchmarks and score the answers. What was scored before is read back (`merged/scored/` next to
   the output), so an interrupted job goes on.
4. Write records of fidelity `merged`: as records.csv, with the columns fidelity, alpha, questions, experts and
   forgot.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.evaluation.benchmarks import load_benchmarks
from modomodo.merging.arguments import add_experts, experts_of
from modomodo.merging.screening import MergeScorer, log_regressions, merged_records
from modomodo.merging.settings import MergeSettings
from modomodo.mixtures.mixture import read_mixtures
from modomodo.mixtures.records import write_records
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    add_experts(parser)
    parser.add_argument("--mixtures", type=Path, required=True, nargs="+", help="MIXTURE.json files")
    parser.add_argument("--benchmarks", type=Path, required=True, nargs="+", help="BENCHMARK.jsonl files")
    parser.add_argument("--output", type=Path, required=True, help="the records, as CSV")
    arguments = parser.parse_args()
    settings = command_line.settings(arguments.settings, MergeSettings, MergeSettings.of)
    load_plugins(settings.plugins)
    experts = experts_of(arguments)
    mixtures = list(read_mixtures(arguments.mixtures, settings.domains).values())
    for mixture in mixtures:
        experts.coefficients(mixture.weights, 1.0)  # reports a missing expert before hours of answers
    groups = dict(settings.benchmarks)
    questions = load_benchmarks(arguments.benchmarks, groups)
    scorer = MergeScorer(experts, questions, settings, arguments.output.parent / "merged/scored")
    forgot = log_regressions(scorer)
    merges = scorer.score_mixtures(mixtures, "merge")
    write_records(arguments.output, merged_records(merges, experts, settings.domains, groups, forgot))
    described = [arguments.base_info, *arguments.experts, *arguments.mixtures, *arguments.benchmarks]
    describe(arguments.output, settings, described)


if __name__ == "__main__":
    command_line.run(main)
