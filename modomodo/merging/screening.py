"""Mixtures scored without training: merged experts answer the questions, and only the best candidates all of them.

One model is loaded and given the merged weights of one mixture after another; questions are prepared once. The
questions of every benchmark are cut into portions, so that many mixtures answer the first and only the best of
them the rest (successive halving; Jamieson and Talwalkar 2016, arXiv 1502.07943).
"""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modomodo.config.schema import written
from modomodo.console import progress
from modomodo.errors import InputError
from modomodo.evaluation.benchmarks import Questions
from modomodo.evaluation.engines.start import start_engine
from modomodo.evaluation.predictions import CACHE_VERSION as PREDICTION_VERSION
from modomodo.evaluation.scores import aggregate_sizes, benchmarks_of, score_answers
from modomodo.files import digest, read_json, write_json
from modomodo.merging.experts import Experts
from modomodo.merging.forgetting import Regression, find_regressions, format_regressions
from modomodo.merging.settings import CACHE_VERSION, MergeSettings, ScreenSettings
from modomodo.metrics.metric import called, summarise
from modomodo.mixtures.acquisition import sample_mixtures
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.mixture import Mixture, Weights, round_weights
from modomodo.mixtures.records import Records, from_rows
from modomodo.mixtures.strategies.search import CANDIDATE, MergeScreenOptions
from modomodo.mixtures.surrogates.base import objective, observe
from modomodo.mixtures.surrogates.merged import choose_alpha, fit_at, fit_surface

if TYPE_CHECKING:
    from modomodo.evaluation.engines.base import Engine, LazyBatches


FIDELITY = "merged"


@dataclass(frozen=True)
class Merge:
    """Scores of merged experts: one row of the records."""

    mixture: str
    strategy: str
    weights: Mapping[str, float]
    alpha: float
    questions: float  # share of all
    values: Mapping[str, Sequence[float]]  # benchmark → the value of each question asked


def portions(count: int, shares: Sequence[float]) -> list[np.ndarray]:
    """Places of `count` questions, cut so that the first k portions hold the share `shares[k - 1]` of them.

    Drawn once for all mixtures; each portion keeps the file's order. The last share is 1.
    """
    order = np.random.default_rng(0).permutation(count)
    ends = [max(1, math.ceil(share * count - 1e-9)) for share in shares]
    return [np.sort(part) for part in np.split(order, ends[:-1])]


class MergeScorer:
    """Scores mixtures by merged experts and caches the scores in a folder.

    Raises InputError for a metric that asks a judge.
    """

    def __init__(
        self,
        experts: Experts,
        benchmarks: Mapping[str, Questions],
        settings: MergeSettings,
        folder: Path,
        shares: Sequence[float] = (1.0,),
    ) -> None:
        """`shares`: of the questions, where the portions end; the last is 1."""
        self.experts = experts
        self.benchmarks = benchmarks
        self.settings = settings
        self.folder = folder
        self.shares = list(shares)
        self.asked = 0  # questions answered by this process
        for name in benchmarks:
            if called(settings.metrics[name]).prompt is not None:
                raise InputError(
                    f"benchmark '{name}': metric '{written(settings.metrics[name])}' asks a judge, which merged "
                    "experts are scored without: name a metric that asks none"
                )
        cut = {name: portions(len(asked), shares) for name, asked in benchmarks.items()}
        self._portions = [
            {name: asked.part(cut[name][portion]) for name, asked in benchmarks.items()}
            for portion in range(len(shares))
        ]
        self._fingerprint = {
            "cache_version": [CACHE_VERSION, PREDICTION_VERSION],
            "settings": settings.answering().changed(),
            "questions": {name: asked.digest for name, asked in benchmarks.items()},
            "metrics": {
                name: [settings.metrics[name], called(settings.metrics[name]).version] for name in benchmarks
            },
            "shares": self.shares,
        }
        self._started: tuple[Engine, list[dict[str, LazyBatches]]] | None = None

    def values(self, weights: Mapping[str, float], alpha: float, portion: int = 0) -> dict[str, list[float]]:
        """Benchmark → the value of each question of one portion."""
        coefficients = self.experts.coefficients(weights, alpha)
        parts = {domain: self.experts.by_domain[domain].weights for domain in coefficients}
        rounded = {domain: round(value, 9) for domain, value in coefficients.items()}
        key = digest([self._fingerprint, self.experts.base_weights, parts, rounded, portion])
        path = self.folder / f"{key}.json"
        if not path.is_file():
            write_json(path, self._ask(coefficients, portion))
        return read_json(path)

    def score(self, weights: Mapping[str, float], alpha: float) -> dict[str, list[float]]:
        """Benchmark → the value of each question, portion after portion."""
        values: dict[str, list[float]] = {name: [] for name in self.benchmarks}
        for portion in range(len(self.shares)):
            for name, more in self.values(weights, alpha, portion).items():
                values[name] += more
        return values

    def score_mixtures(self, mixtures: Sequence[Mixture], label: str) -> list[Merge]:
        """Mixtures on all questions, at each α of the settings. `label`: of the progress shown."""
        asked = [(mixture, alpha) for mixture in mixtures for alpha in self.settings.alphas]
        return [
            Merge(m.name, m.strategy, m.weights, alpha, 1.0, self.score(m.weights, alpha))
            for m, alpha in progress(asked, label, len(asked))
        ]

    def _ask(self, coefficients: Mapping[str, float], portion: int) -> dict[str, list[float]]:
        engine, batches = self._start()
        self._load(engine, coefficients)
        values = {}
        for name, asked in self._portions[portion].items():
            answers = engine.answer_all(batches[portion][name])
            scores = score_answers(asked.examples, answers, called(self.settings.metrics[name]))
            values[name] = [score.value for score in scores]
            self.asked += len(asked)
        return values

    def _load(self, engine: "Engine", coefficients: Mapping[str, float]) -> None:
        """In place with transformers; vLLM reads the merge from a directory that is gone afterwards."""
        from modomodo.evaluation.engines.hf import TransformersEngine
        from modomodo.merging.weights import load_merged, write_merged

        if isinstance(engine, TransformersEngine):
            assert engine.model is not None
            sees_otherwise = load_merged(engine.model, self.experts, coefficients)
            if sees_otherwise:
                engine.clear_cache()
            if sees_otherwise is not None:
                return
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            write_merged(Path(folder) / "merged", self.experts, coefficients)
            engine.load(Path(folder) / "merged", checked=True)  # tensor by tensor, as they were summed

    def _start(self) -> "tuple[Engine, list[dict[str, LazyBatches]]]":
        """The engine, with the base loaded, and the batches of each portion."""
        if self._started is None:
            settings = self.settings.answering()
            engine = start_engine(settings, self.experts.base, self.benchmarks.values())
            # vLLM reads its processor from the first directory that it is given: one that stays.
            engine.load(self.experts.base)
            parts = [part for portion in self._portions for part in portion.values()]
            prepared = iter(engine.prepare(parts, settings))
            batches = [{name: next(prepared) for name in portion} for portion in self._portions]
            self._started = (engine, batches)
        return self._started


def log_regressions(scorer: MergeScorer) -> list[Regression]:
    """Regressions of the experts that a scorer merges, each scored by itself like the base; a warning for each."""
    experts = {domain: scorer.score({domain: 1.0}, 1.0) for domain in scorer.experts.by_domain}
    found = find_regressions(scorer.score({}, 1.0), experts)
    for regression in found:
        print(f"warning: {regression}", flush=True)
    return found


def successive_halving(
    scorer: MergeScorer,
    mixtures: Sequence[Mapping[str, float]],
    alpha: float,
    value: Callable[[Sequence[Mapping[str, float]], Mapping[str, np.ndarray]], np.ndarray],
    fewest: int,
    each: Callable[[Sequence[int]], Any] = iter,
) -> list[Merge]:
    """The candidates' scores, all on the first portion and ever fewer on more; the finalists on every question.

    Of n mixtures those of greatest `value` (weights, {benchmark: mean scores [n]} → [n]) go on, as many as make
    each round cost about the same, and no fewer than `fewest`. Candidates are named candidate-0001, … in their order;
    ties go to the first. `each` may show progress.
    """
    alive = list(range(len(mixtures)))
    values: list[dict[str, list[float]]] = [{name: [] for name in scorer.benchmarks} for _ in mixtures]
    reached = [0.0] * len(mixtures)
    for portion, share in enumerate(scorer.shares):
        for i in each(alive):
            for name, more in scorer.values(mixtures[i], alpha, portion).items():
                values[i][name] += more
            reached[i] = share
        if portion + 1 < len(scorer.shares):
            means = {name: np.array([np.mean(values[i][name]) for i in alive]) for name in scorer.benchmarks}
            order = np.argsort(-value([mixtures[i] for i in alive], means), kind="stable")
            keep = max(fewest, math.ceil(len(mixtures) * scorer.shares[0] / scorer.shares[portion + 1]))
            alive = sorted(alive[i] for i in order[:keep])
    return [
        Merge(f"{CANDIDATE}-{i + 1:04d}", CANDIDATE, mixtures[i], alpha, reached[i], values[i])
        for i in range(len(mixtures))
    ]


def draw_candidates(
    domains: Sequence[str],
    constraints: Constraints,
    count: int,
    seed: int,
    trained: Sequence[Mapping[str, float]],
) -> list[Weights]:
    """`count` different mixtures that were not trained; fewer where the constraints leave little room."""
    random = np.random.default_rng(seed)
    taken = {tuple(round_weights(weights).get(domain, 0.0) for domain in domains) for weights in trained}
    drawn: list[Weights] = []
    for row in random.permutation(sample_mixtures(domains, constraints, 2 * count + len(taken), random)):
        weights = round_weights(dict(zip(domains, row.tolist(), strict=True)))
        if tuple(weights.values()) not in taken:
            taken.add(tuple(weights.values()))
            drawn.append(weights)
    return drawn[:count]


def screen(
    scorer: MergeScorer,
    records: Records,
    trained: Sequence[Mixture],
    settings: ScreenSettings,
    options: MergeScreenOptions,
) -> list[Merge]:
    """Merges of the mixtures that were trained, at each α, and of the candidates at the α that fits best.

    `records` are the scores of the trained mixtures. Candidates keep to the strategy's constraints.
    """
    known = scorer.score_mixtures(trained, "merge trained mixtures")
    groups = dict(settings.benchmarks)
    goal = objective(records, settings.strategy.target)
    observations = observe(
        records, goal, merged_records(known, scorer.experts, settings.domains, groups)
    ).final()
    assert observations.merged is not None
    alpha = choose_alpha(observations).alpha
    predictor = fit_at(observations, fit_surface(observations, alpha), alpha)
    usable = sorted(domain for domain in settings.domains if domain not in settings.strategy.without)
    drawn = draw_candidates(
        usable, options.constraints, options.candidates, settings.strategy.seed, [m.weights for m in trained]
    )
    sizes = {name: len(asked) for name, asked in scorer.benchmarks.items()}

    def value(weights: Sequence[Mapping[str, float]], means: Mapping[str, np.ndarray]) -> np.ndarray:
        points = np.array([[each.get(domain, 0.0) for domain in observations.domains] for each in weights])
        scores = [means[name] if name in means else _aggregate(name, means) for name in goal.benchmarks]
        return predictor.mean_given(points, np.column_stack(scores)) @ goal.shares

    def _aggregate(target: str, means: Mapping[str, np.ndarray]) -> np.ndarray:
        chosen = benchmarks_of(target, groups)
        return np.average([means[name] for name in chosen], axis=0, weights=[sizes[name] for name in chosen])

    fewest = 2 * settings.strategy.count
    return known + successive_halving(
        scorer, drawn, alpha, value, fewest, lambda alive: progress(alive, "merge candidates", len(alive))
    )


def merged_records(
    merges: Sequence[Merge],
    experts: Experts,
    domains: Sequence[str],
    groups: Mapping[str, str],
    forgot: Sequence[Regression] = (),
) -> Records:
    """Records of fidelity `merged`: a row a merge, called `<mixture>@<alpha>`, aggregates as in `records.csv`.

    After the usual columns: fidelity, alpha, questions (the share that was asked), experts (their digest) and
    forgot (which of the experts lost what; the same in every row).
    """
    sizes = {name: max(len(merge.values[name]) for merge in merges) for name in groups}
    rows = []
    for merge in merges:
        scores = {name: summarise(list(merge.values[name]), 0) for name in groups}
        rows.append(
            {
                "mixture": f"{merge.mixture}@{merge.alpha:g}",
                "seed": experts.seed,
                "step": experts.step,
                "strategy": merge.strategy,
                "weights": merge.weights,
                "scores": {name: score.score for name, score in scores.items()},
                "standard_errors": {name: score.standard_error for name, score in scores.items()},
            }
        )
    records = from_rows(rows, domains, list(groups), aggregate_sizes(groups, sizes))
    records.frame["fidelity"] = FIDELITY
    records.frame["alpha"] = [merge.alpha for merge in merges]
    records.frame["questions"] = [merge.questions for merge in merges]
    records.frame["experts"] = experts.digest
    records.frame["forgot"] = format_regressions(forgot)
    return records
