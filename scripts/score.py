"""predictions → scores of one run: no model, no GPU, re-done at will.

Example:
    python scripts/score.py --settings config/tiny.yaml --benchmarks results/tiny/examples/*.jsonl \\
        --predictions results/tiny/predictions/all/42/predictions.json --output /tmp/scores/all/42.json

Each score carries its metric's name and version, the number of questions, the standard error and how many
completions held no answer. The CSV of the same name has the value of every question at the last step. What a judge
replies, for a metric that asks one, is stored next to the predictions (BENCHMARK.judge.jsonl) and not asked for again.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.config.schema import Judge, written
from modomodo.errors import InputError
from modomodo.evaluation.benchmarks import load_benchmarks
from modomodo.evaluation.predictions import read_predictions, read_run_predictions
from modomodo.evaluation.scores import Ask, BenchmarkScore, RunScores, score_benchmark, unparsed_warnings
from modomodo.evaluation.settings import ScoreSettings
from modomodo.files import write_json
from modomodo.metrics.judge import replies
from modomodo.metrics.metric import called
from modomodo.reporting.questions import of_questions, write_questions
from modomodo.study.provenance import describe
from modomodo.warning_files import warn


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.json of a run")
    parser.add_argument("--benchmarks", type=Path, required=True, nargs="+", help="BENCHMARK.jsonl files")
    parser.add_argument("--output", type=Path, required=True, help="the scores, as JSON")
    arguments = parser.parse_args()
    settings = command_line.settings(arguments.settings, ScoreSettings, ScoreSettings.of)
    load_plugins(settings.plugins)
    listed = read_run_predictions(arguments.predictions)
    questions = load_benchmarks(arguments.benchmarks, settings.metrics)
    folder = arguments.predictions.parent
    last = max(listed.predictions)
    answered = []
    steps: dict[int, dict[str, BenchmarkScore]] = {step: {} for step in listed.predictions}
    for name, call in settings.metrics.items():
        metric = called(call)
        for step, entries in listed.predictions.items():
            if name not in entries:
                raise InputError(
                    f"{arguments.predictions}: no predictions of '{name}': delete it and predict again"
                )
            path = folder / entries[name].path
            predictions = {prediction.id: prediction for prediction in read_predictions(path)}
            ask = asking(settings.judge, folder / f"{name}.judge.jsonl", f"{name} at step {step}")
            summary, values = score_benchmark(questions[name].examples, predictions, metric, str(path), ask)
            steps[step][name] = BenchmarkScore(
                metric=written(call),
                version=metric.version,
                judge=settings.judge.model if settings.judge and metric.prompt else None,
                **summary._asdict(),
            )
            if step == last:
                answered.append(of_questions(name, questions[name].examples, values))
    run = RunScores(mixture=listed.mixture, seed=listed.seed, steps=steps)
    write_questions(arguments.output.with_suffix(".csv"), listed.mixture, listed.seed, answered)
    warn(arguments.output, unparsed_warnings(run))
    write_json(arguments.output, run.model_dump(mode="json", exclude_none=True))
    describe(arguments.output, settings, [arguments.predictions, *(each.path for each in questions.values())])


def asking(judge: Judge | None, kept: Path, label: str) -> Ask | None:
    """How a metric asks the study's judge, whose replies are kept in a file; None where there is no judge."""
    return None if judge is None else lambda prompts: replies(prompts, judge, kept, label)


if __name__ == "__main__":
    command_line.run(main)
