"""predictions → scores of one run: no model, no GPU, re-done at will.

Example:
    python scripts/score.py --settings config/tiny.yaml --benchmarks results/tiny/examples/*.jsonl \\
        --predictions results/tiny/predictions/all/42/predictions.json --output /tmp/scores/all/42.json

Each score carries its metric's name and version, the number of questions, the standard error and how many
completions held no answer. Mixture and seed are the two folders the predictions lie in. What a judge says, for
a metric that asks one, is kept beside the predictions (BENCHMARK.judge.jsonl) and not asked for again.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.config.schema import Judge
from modomodo.data.examples import read_examples
from modomodo.errors import InputError
from modomodo.evaluation.judge import replies
from modomodo.evaluation.metrics.metric import metrics
from modomodo.evaluation.predictions import read_predictions
from modomodo.evaluation.scores import Ask, BenchmarkScore, RunScores, score_benchmark
from modomodo.evaluation.settings import ScoreSettings
from modomodo.files import read_json, write_json
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.json of a run")
    parser.add_argument("--benchmarks", type=Path, required=True, nargs="+", help="BENCHMARK.jsonl files")
    parser.add_argument("--output", type=Path, required=True, help="the scores, as JSON")
    arguments = parser.parse_args()
    step = command_line.settings(arguments.settings, ScoreSettings, ScoreSettings.of)
    load_plugins(step.plugins)
    listed = read_json(arguments.predictions, "predictions")["predictions"]
    files = {path.stem: path for path in arguments.benchmarks}
    folder = arguments.predictions.parent
    steps: dict[int, dict[str, BenchmarkScore]] = {int(mark): {} for mark in listed}
    for name, metric_name in step.metrics.items():
        if name not in files:
            raise InputError(f"--benchmarks: no {name}.jsonl given, the study scores it by {metric_name}")
        metric = metrics[metric_name]
        examples = list(read_examples(files[name]))
        for mark, entries in listed.items():
            if name not in entries:
                raise InputError(
                    f"{arguments.predictions}: no predictions of '{name}': delete it and predict again"
                )
            path = folder / entries[name]["path"]
            predictions = {prediction.id: prediction for prediction in read_predictions(path)}
            ask = asking(step.judge, folder / f"{name}.judge.jsonl", f"{name} at step {mark}")
            summary = score_benchmark(examples, predictions, metric, str(path), ask)
            steps[int(mark)][name] = BenchmarkScore(
                metric=metric_name,
                version=metric.version,
                judge=step.judge.model if step.judge and metric.prompt else None,
                **summary._asdict(),
            )
    run = RunScores(mixture=folder.parent.name, seed=int(folder.name), steps=steps)
    write_json(arguments.output, run.model_dump(mode="json", exclude_none=True))
    describe(arguments.output, step, [arguments.predictions, *(files[name] for name in step.metrics)])


def asking(judge: Judge | None, kept: Path, label: str) -> Ask | None:
    """How a metric asks the study's judge, whose replies are kept in a file; None where there is no judge."""
    return None if judge is None else lambda prompts: replies(prompts, judge, kept, label)


if __name__ == "__main__":
    command_line.run(main)
