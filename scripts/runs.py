"""records.csv, predictions, run.json of the runs → runs.html: a page for each run, in one file that works from disk.

Example:
    python scripts/runs.py --settings config/tiny.yaml --records results/tiny/records.csv \\
        --questions results/tiny/question_scores.csv --runs results/tiny/runs/*/*/run.json \\
        --predictions results/tiny/predictions/*/*/predictions.json \\
        --benchmarks results/tiny/examples/{chart,general,infographic,math,*_test}.jsonl --output /tmp/runs.html

Weights asked for and realised, rewards while training, scores, and answers to a dozen questions of each benchmark:
what the training made right, what it made wrong, and the first others. /tmp/runs.html#all/42 is the page of one run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.data.examples import find_examples
from modomodo.files import atomic_write, read_json
from modomodo.mixtures.plan import plan
from modomodo.mixtures.trained_runs import runs_so_far
from modomodo.reporting.results import read_results
from modomodo.reporting.run_pages import render_runs
from modomodo.reporting.settings import RunPagesSettings
from modomodo.study.evidence import Evidence


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--records", type=Path, required=True, help="records.csv")
    command_line.add_questions(parser)
    parser.add_argument(
        "--runs", type=Path, nargs="*", default=[], help="run.json of the runs, each with its log.jsonl"
    )
    parser.add_argument(
        "--predictions", type=Path, nargs="+", required=True, help="predictions.json of the scored runs"
    )
    parser.add_argument(
        "--scores", type=Path, nargs="*", default=[], help="scores of the runs, for their warnings"
    )
    parser.add_argument("--benchmarks", type=Path, nargs="+", required=True, help="BENCHMARK.jsonl files")
    parser.add_argument("--output", type=Path, required=True, help="RUNS.html")
    arguments = parser.parse_args()
    settings = command_line.settings(
        arguments.settings,
        RunPagesSettings,
        lambda study: RunPagesSettings.of(study, plan(study, arguments.settings)),
    )
    load_plugins(settings.plugins)
    found = read_results(arguments.records, settings, questions=arguments.questions)
    # Of a run in a race the last of several; none of a run that it stopped.
    ended = {f"{row.mixture}/{row.seed}" for row in found.records.frame.itertuples()}
    evidence = Evidence(
        found=found,
        benchmarks=find_examples(arguments.benchmarks, dict(settings.benchmarks), "--benchmarks"),
        predictions={run: path for path in arguments.predictions if (run := _run(path)) in ended},
        runs={_name(run): path for path, run in runs_so_far(arguments.runs, "mixture", "seed").items()},
        scores={_run(path): path for path in arguments.scores},
        folder=arguments.output.parent,
    )
    pages = evidence.pages()
    with atomic_write(arguments.output) as file:
        file.write(
            render_runs(settings.study, evidence.found, pages, evidence.questions, evidence.pictures.encoded)
        )


def _run(path: Path) -> str:
    """`all/42`: the run that a predictions.json or a score is of."""
    return _name(read_json(path, "mixture", "seed"))


def _name(written: Mapping[str, Any]) -> str:
    return f"{written['mixture']}/{written['seed']}"


if __name__ == "__main__":
    command_line.run(main)
