"""predictions → scores of one run: no model, no GPU, re-done at will.

Example:
    python scripts/score.py --settings config/tiny.yaml --benchmarks results/tiny/examples/*.jsonl \\
        --predictions results/tiny/predictions/all/42/predictions.json --output /tmp/scores/all/42.json

Each score carries its metric's name and version, the number of questions, the standard error and how many
completions held no answer. The CSV of the same name has the value of every question at the last step. What a judge
replies, for a metric that asks one, is stored next to the predictions (BENCHMARK.judge.jsonl) and not asked for again.
Benchmarks that are tasks of lmms-eval are scored by its own code, in its own environment (make lmms).
"""

from collections.abc import Sequence
from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.config.schema import Judge, written
from modomodo.data.examples import Example
from modomodo.data.lmms_eval.environment import RELEASE, enter_lmms_environment
from modomodo.data.lmms_eval.environment import VERSION as LMMS_VERSION
from modomodo.errors import InputError
from modomodo.evaluation.benchmarks import Questions, load_benchmarks
from modomodo.evaluation.predictions import read_predictions, read_run_predictions
from modomodo.evaluation.scores import (
    Ask,
    BenchmarkScore,
    RunScores,
    score_benchmark,
    truths_warnings,
    unparsed_warnings,
)
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
    if settings.lmms_eval:
        enter_lmms_environment()
    load_plugins(settings.plugins)
    listed = read_run_predictions(arguments.predictions)
    questions = load_benchmarks(arguments.benchmarks, settings.metrics)
    last = max(listed.predictions, default=0)  # a place in a race that no run takes has none
    answered = []
    steps: dict[int, dict[str, BenchmarkScore]] = {step: {} for step in listed.predictions}
    for name in settings.metrics:
        for step, entries in listed.predictions.items():
            if name not in entries:
                raise InputError(
                    f"{arguments.predictions}: no predictions of '{name}': delete it and predict again"
                )
            path = arguments.predictions.parent / entries[name].path
            steps[step][name], examples, values = scored(questions[name], path, step, settings)
            if step == last:
                answered.append(of_questions(name, examples, values))
    run = RunScores(mixture=listed.mixture, seed=listed.seed, steps=steps)
    write_questions(arguments.output.with_suffix(".csv"), listed.mixture, listed.seed, answered)
    ours = [
        (called(call), questions[name])
        for name, call in settings.metrics.items()
        if name not in settings.lmms_eval
    ]
    warn(arguments.output, [*unparsed_warnings(run), *truths_warnings(run, ours)])
    write_json(arguments.output, run.model_dump(mode="json", exclude_none=True))
    describe(arguments.output, settings, [arguments.predictions, *(each.path for each in questions.values())])


def scored(
    asked: Questions, path: Path, step: int, settings: ScoreSettings
) -> tuple[BenchmarkScore, Sequence[Example], Sequence[float]]:
    """The score of one checkpoint's predictions on one benchmark, and the value of each question that it counts."""
    predictions = {prediction.id: prediction for prediction in read_predictions(path)}
    call = settings.metrics[asked.name]
    if (
        asked.name in settings.lmms_eval
    ):  # imported here: a study without such a benchmark does not wait for it
        from modomodo.data.readers.lmms_eval import kept_rows
        from modomodo.evaluation.lmms_scores import score_task

        entry = settings.lmms_eval[asked.name]
        rows = kept_rows(entry.task, entry.edition)
        found = score_task(entry.task, str(call), rows, asked.examples, predictions)
        score = BenchmarkScore(
            metric=str(call),
            version=LMMS_VERSION,
            lmms_eval=f"{entry.task} {found.task_version} of lmms-eval {RELEASE}",
            **found.summary._asdict(),
        )
        return score, found.questions, found.values
    metric = called(call)
    kept = path.parents[1] / f"{asked.name}.judge.jsonl"
    ask = asking(settings.judge, kept, f"{asked.name} at step {step}")
    summary, values = score_benchmark(asked.examples, predictions, metric, str(path), ask)
    score = BenchmarkScore(
        metric=written(call),
        version=metric.version,
        judge=settings.judge.model if settings.judge and metric.prompt else None,
        **summary._asdict(),
    )
    return score, asked.examples, values


def asking(judge: Judge | None, kept: Path, label: str) -> Ask | None:
    """How a metric asks the study's judge, whose replies are kept in a file; None where there is no judge."""
    return None if judge is None else lambda prompts: replies(prompts, judge, kept, label)


if __name__ == "__main__":
    command_line.run(main)
