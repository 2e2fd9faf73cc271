"""predictions → scores of one run, and the records of many runs."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from modomodo.config.loading import parse
from modomodo.data.examples import Example, image_cluster
from modomodo.errors import InputError
from modomodo.evaluation.benchmarks import Questions
from modomodo.evaluation.predictions import Prediction
from modomodo.files import read_json
from modomodo.metrics.metric import Metric, Score, Summary, summarise
from modomodo.metrics.truths import unread_truths
from modomodo.mixtures.mixture import Mixture, Weights, read_mixtures
from modomodo.mixtures.records import (
    AGGREGATES,
    BASE,
    ONLINE,
    UNPARSED,
    Records,
    from_rows,
    mark_stopped,
)

Ask = Callable[[Sequence[str]], Mapping[str, str]]  # prompts → a judge's replies


class BenchmarkScore(BaseModel):
    """The score of one checkpoint on one benchmark."""

    model_config = ConfigDict(extra="forbid")

    metric: str
    version: int = Field(description="Version of the metric.")
    n: int = Field(ge=1, description="Questions.")
    score: float = Field(ge=0, le=1)
    standard_error: float = Field(ge=0)
    unparsed: int = Field(ge=0, description="Questions whose completion held no answer.")
    judge: str | None = Field(None, description="Model that read the answers, for a metric that asks one.")
    lmms_eval: str | None = Field(
        None, description="Task of lmms-eval whose code scored the answers, with its version and lmms-eval's."
    )


class RunScores(BaseModel):
    """`scores/<mixture>/<seed>.json`: step → benchmark → score."""

    model_config = ConfigDict(extra="forbid")

    mixture: str
    seed: int
    steps: dict[int, dict[str, BenchmarkScore]]


def score_answers(
    examples: Sequence[Example],
    predictions: Mapping[str, Prediction],
    metric: Metric,
    replies: Mapping[str, str] | None = None,
) -> list[Score]:
    """The metric's score of each example. `predictions`: example id → answer, `replies`: prompt → a judge's reply.

    Raises InputError for a metric that asks a judge about an answer of which there is no reply.
    """
    scores = []
    for example in examples:
        row = (predictions[example.id].completion, predictions[example.id].answer, example)
        prompt = metric.question(*row)
        scores.append(metric(*row, None if prompt is None or replies is None else replies[prompt]))
    return scores


def score_benchmark(
    examples: Sequence[Example],
    predictions: Mapping[str, Prediction],
    metric: Metric,
    where: str,
    ask: Ask | None = None,
) -> tuple[Summary, list[float]]:
    """The metric's mean over the examples, and its value of each; `ask` is for a metric that wants a judge's replies.

    Raises InputError for an example without a prediction.
    """
    for example in examples:
        if example.id not in predictions:
            raise InputError(f"{where}: no prediction for '{example.id}': delete the file and predict again")
    given = [(predictions[example.id], example) for example in examples]
    prompts = [metric.question(found.completion, found.answer, example) for found, example in given]
    asked = [prompt for prompt in prompts if prompt is not None]
    if asked and ask is None:
        raise InputError(f"metric '{metric.name}' asks a judge: name its model under judge.model")
    replies = ask(asked) if ask is not None and asked else {}
    scores = score_answers(examples, predictions, metric, replies)
    values = [score.value for score in scores]
    images = [image_cluster(example.image, example.id) for example in examples]
    return summarise(values, sum(not score.parsed for score in scores), images), values


# Share of a benchmark's questions without an answer from which on it is a warning.
MANY_UNPARSED = 0.2


def unparsed_warnings(run: RunScores) -> list[str]:
    """A warning for each benchmark of which a trained run leaves many questions without an answer at its last step.

    A base model may: the format is what training teaches first.
    """
    if run.mixture == BASE or not run.steps:
        return []
    return [
        f"{benchmark}: no answer was found for more than {MANY_UNPARSED:.0%} of the questions (unparsed in scores/, "
        f"metric {score.metric}): read some of its predictions"
        for benchmark, score in run.steps[max(run.steps)].items()
        if score.unparsed > MANY_UNPARSED * score.n
    ]


def truths_warnings(run: RunScores, asked: Iterable[tuple[Metric, Questions]]) -> list[str]:
    """A warning for each metric that does not give the true answers themselves 1; once, with the base's scores."""
    if run.mixture != BASE:
        return []
    return [
        text
        for metric, questions in asked
        for text in unread_truths(f"{questions.name}: the metric", metric, questions.examples)
    ]


def unparsed_share(scores: Mapping[str, BenchmarkScore]) -> float:
    """The share of the questions of all benchmarks for which no answer was found; NaN where none was asked."""
    questions = sum(score.n for score in scores.values())
    return sum(score.unparsed for score in scores.values()) / questions if questions else math.nan


def read_run_scores(path: str | Path) -> RunScores:
    """Raises InputError naming file and field."""
    return parse(read_json(path), RunScores, str(path))


def benchmarks_of(target: str, groups: Mapping[str, str]) -> list[str]:
    """The benchmarks that a target is the mean of: those of its group for an aggregate, else itself.

    `groups`: benchmark → "in" or "out", the aggregate that it is part of.
    """
    return [name for name in groups if f"{groups[name]}_score" == target] or [target]


def aggregate_sizes(groups: Mapping[str, str], questions: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Aggregate → benchmark → its number of questions, by which it is weighted (section 3.1 of the paper).

    A benchmark of which no number is known is left out, and so is an aggregate that no benchmark is part of.
    """
    return {
        target: {name: questions[name] for name in benchmarks_of(target, groups) if name in questions}
        for target in AGGREGATES
        if benchmarks_of(target, groups) != [target]
    }


def read_scored(
    scores: Sequence[Path],
    mixtures: Sequence[Path],
    domains: Sequence[str],
    groups: Mapping[str, str],
    online: Sequence[Path] = (),
) -> Records:
    """Records of the runs whose scores and mixtures lie in these files. `groups`: as for `collect`.

    `online`: run.json of the runs that changed their mixture while they trained.

    Raises InputError naming file and field, and as `collect` does.
    """
    found = read_mixtures(mixtures, domains)
    runs = [read_run_scores(path) for path in scores]
    described = [read_json(path, "mixture", "seed", "stream") for path in online]
    realised = {(run["mixture"], run["seed"]): run["stream"]["realised"] for run in described}
    return collect(runs, found, domains, groups, realised)


def collect(
    runs: Sequence[RunScores],
    mixtures: Mapping[str, Mixture],
    domains: Sequence[str],
    groups: Mapping[str, str],
    realised: Mapping[tuple[str, int], Weights] = {},
) -> Records:
    """Records of scored runs, with the share of unparsed answers. `groups`: benchmark → its aggregate, "in" or "out".

    `realised`: (mixture, seed) → the weights that an online run came to. Several scores of one run are of different
    steps: a run in a race has them from each rung.

    Raises InputError when two runs were scored on different numbers of questions.
    """
    sizes: dict[str, int] = {}
    rows, unparsed, online = [], [], []
    first = {(run.mixture, run.seed): place for place, run in reversed(list(enumerate(runs)))}
    for run in sorted(runs, key=lambda run: first[run.mixture, run.seed]):
        mixture = mixtures.get(run.mixture)
        if mixture is None and run.mixture != BASE:
            raise InputError(f"scores of '{run.mixture}' but no mixture of that name")
        for step, scores in sorted(run.steps.items()):
            unparsed.append(unparsed_share(scores))
            online.append(int(mixture is not None and mixture.online is not None))
            for benchmark, score in scores.items():
                if sizes.setdefault(benchmark, score.n) != score.n:
                    raise InputError(
                        f"scores of '{run.mixture}', step {step}: {benchmark} has {score.n} questions, in another "
                        f"run {sizes[benchmark]}: score both again"
                    )
            rows.append(
                {
                    "mixture": run.mixture,
                    "seed": run.seed,
                    "step": step,
                    "strategy": mixture.strategy if mixture else BASE,
                    "weights": realised.get((run.mixture, run.seed), mixture.weights) if mixture else {},
                    "scores": {name: score.score for name, score in scores.items()},
                    "standard_errors": {name: score.standard_error for name, score in scores.items()},
                }
            )
    more = {UNPARSED: unparsed} | ({ONLINE: online} if any(online) else {})
    return mark_stopped(from_rows(rows, domains, list(groups), aggregate_sizes(groups, sizes), more))
