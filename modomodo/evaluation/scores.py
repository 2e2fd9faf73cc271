"""predictions → scores of one run, and the records that many runs' scores make."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from modomodo.config.loading import parse
from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.evaluation.metrics.metric import Metric, Summary, summarise
from modomodo.evaluation.predictions import Prediction
from modomodo.files import read_json
from modomodo.mixtures.mixture import Mixture
from modomodo.mixtures.records import BASE, Records, from_rows

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


class RunScores(BaseModel):
    """`scores/<mixture>/<seed>.json`: step → benchmark → score."""

    model_config = ConfigDict(extra="forbid")

    mixture: str
    seed: int
    steps: dict[int, dict[str, BenchmarkScore]]


def score_benchmark(
    examples: Sequence[Example],
    predictions: Mapping[str, Prediction],
    metric: Metric,
    where: str,
    ask: Ask | None = None,
) -> Summary:
    """The metric's mean over the examples; `ask` is for a metric that wants a judge's replies.

    Raises InputError for an example without a prediction.
    """
    rows = []
    for example in examples:
        if example.id not in predictions:
            raise InputError(f"{where}: no prediction for '{example.id}': delete the file and predict again")
        prediction = predictions[example.id]
        rows.append((prediction.completion, prediction.answer, example))
    prompts = [metric.question(*row) for row in rows]
    asked = [prompt for prompt in prompts if prompt is not None]
    if asked and ask is None:
        raise InputError(f"metric '{metric.name}' asks a judge: name its model under judge.model")
    replies = ask(asked) if ask is not None and asked else {}
    scores = [
        metric(*row, None if prompt is None else replies[prompt])
        for row, prompt in zip(rows, prompts, strict=True)
    ]
    return summarise([score.value for score in scores], sum(not score.parsed for score in scores))


def read_run_scores(path: str | Path) -> RunScores:
    """Raises InputError naming file and field."""
    return parse(read_json(path), RunScores, str(path))


def collect(
    runs: Sequence[RunScores],
    mixtures: Mapping[str, Mixture],
    domains: Sequence[str],
    groups: Mapping[str, str],
) -> Records:
    """Records of scored runs. `groups`: benchmark → the aggregate it is part of, "in" or "out".

    In- and Out-Score weigh their benchmarks by the number of questions (section 3.1 of the paper).
    Raises InputError when two runs were scored on different numbers of questions.
    """
    sizes: dict[str, int] = {}
    rows = []
    for run in runs:
        mixture = mixtures.get(run.mixture)
        if mixture is None and run.mixture != BASE:
            raise InputError(f"scores of '{run.mixture}' but no mixture of that name")
        for step, scores in sorted(run.steps.items()):
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
                    "weights": mixture.weights if mixture else {},
                    "scores": {name: score.score for name, score in scores.items()},
                    "standard_errors": {name: score.standard_error for name, score in scores.items()},
                }
            )
    aggregates = {
        f"{group}_score": {name: sizes[name] for name in groups if groups[name] == group and name in sizes}
        for group in ("in", "out")
    }
    return from_rows(rows, domains, list(groups), aggregates)
