"""Mixtures scored without training: merged experts answer the questions, few mixtures at a time all of them.

One model is loaded and given the merged weights of one mixture after another; questions are made ready once. The
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

from modomodo.console import imports, progress
from modomodo.data.examples import Example, check_image, read_examples
from modomodo.errors import InputError
from modomodo.evaluation.engines.start import ready_to_answer
from modomodo.evaluation.metrics.metric import metrics, summarise
from modomodo.evaluation.predictions import RECIPE as PREDICTION_RECIPE
from modomodo.evaluation.predictions import Prediction
from modomodo.files import digest, file_digest, read_json, write_json
from modomodo.merging.experts import Experts
from modomodo.merging.forgetting import Loss, listed, losses
from modomodo.merging.settings import RECIPE, MergeSettings, ScreenSettings
from modomodo.mixtures.acquisition import candidates
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.mixture import Mixture, Weights, round_weights
from modomodo.mixtures.records import Records, from_rows
from modomodo.mixtures.strategies.search import CANDIDATE, MergeScreenOptions
from modomodo.mixtures.surrogates.base import objective, observe
from modomodo.mixtures.surrogates.merged import Surface, choose_alpha, fit_at

if TYPE_CHECKING:
    from modomodo.evaluation.engines.base import Engine, LazyBatches


def report_regressions(scorer: "MergeScorer") -> list[Loss]:
    """Those of the experts that a scorer merges, each asked by itself, and the base; a line of the log each."""
    alone = {
        domain: scorer.whole(domain, "", {domain: 1.0}, 1.0).values for domain in scorer.experts.by_domain
    }
    found = losses(scorer.whole("base", "", {}, 1.0).values, alone)
    for loss in found:
        print(f"warning: {loss}", flush=True)
    return found


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
    """Places of `count` questions, cut so that the first k parts hold the share `shares[k - 1]` of them.

    Drawn once for all mixtures; each part keeps the file's order. The last share is 1.
    """
    order = np.random.default_rng(0).permutation(count)
    ends = [max(1, math.ceil(share * count - 1e-9)) for share in shares]
    return [np.sort(part) for part in np.split(order, ends[:-1])]


def benchmark_rows(paths: Sequence[Path], names: Sequence[str]) -> dict[str, tuple[Path, list[Example]]]:
    """Name → (file, its examples). Raises InputError for a benchmark without a file or without rows."""
    files = {path.stem: path for path in paths}
    found = {}
    for name in names:
        if name not in files:
            raise InputError(f"--benchmarks: no {name}.jsonl given, the study has a benchmark of that name")
        found[name] = (files[name], list(read_examples(files[name])))
        if not found[name][1]:
            raise InputError(f"{files[name]}: benchmark without rows")
    return found


class MergeScorer:
    """Gives mixtures to merged experts and keeps what they score in a folder, to be read back.

    Raises InputError for a metric that asks a judge.
    """

    def __init__(
        self,
        experts: Experts,
        benchmarks: Mapping[str, tuple[Path, Sequence[Example]]],
        step: MergeSettings,
        folder: Path,
        shares: Sequence[float] = (1.0,),
    ) -> None:
        """`benchmarks`: name → (file, its examples). `shares`: ends of the portions, the last of them 1."""
        self.experts = experts
        self.benchmarks = benchmarks
        self.step = step
        self.folder = folder
        self.shares = list(shares)
        self.asked = 0  # questions answered by this process
        for name in benchmarks:
            if metrics[step.metrics[name]].prompt is not None:
                raise InputError(
                    f"benchmark '{name}': metric '{step.metrics[name]}' asks a judge, which merged experts are scored "
                    "without: name a metric that asks none"
                )
        self._portions = {name: portions(len(rows), shares) for name, (_, rows) in benchmarks.items()}
        self._decides = {
            "recipe": [RECIPE, PREDICTION_RECIPE],
            "settings": step.answering().changed(),
            "questions": {name: file_digest(path) for name, (path, _) in benchmarks.items()},
            "metrics": {
                name: [step.metrics[name], metrics[step.metrics[name]].version] for name in benchmarks
            },
            "shares": self.shares,
        }
        self._ready: tuple[Engine, dict[str, list[LazyBatches]]] | None = None

    def values(self, weights: Mapping[str, float], alpha: float, portion: int = 0) -> dict[str, list[float]]:
        """Benchmark → the value of each question of one portion."""
        coefficients = self.experts.coefficients(weights, alpha)
        parts = {domain: self.experts.by_domain[domain].weights for domain in coefficients}
        rounded = {domain: round(value, 9) for domain, value in coefficients.items()}
        key = digest([self._decides, self.experts.base_weights, parts, rounded, portion])
        path = self.folder / f"{key}.json"
        if not path.is_file():
            write_json(path, self._ask(coefficients, portion))
        return read_json(path)

    def whole(self, mixture: str, strategy: str, weights: Mapping[str, float], alpha: float) -> Merge:
        """A mixture's scores on all questions."""
        values: dict[str, list[float]] = {name: [] for name in self.benchmarks}
        for portion in range(len(self.shares)):
            for name, more in self.values(weights, alpha, portion).items():
                values[name] += more
        return Merge(mixture, strategy, weights, alpha, 1.0, values)

    def _ask(self, coefficients: Mapping[str, float], portion: int) -> dict[str, list[float]]:
        engine, batches = self._prepared()
        self._load(engine, coefficients)
        values = {}
        for name, (_, rows) in self.benchmarks.items():
            asked = [rows[i] for i in self._portions[name][portion]]
            answers: dict[str, Prediction] = {}
            if asked:
                for batch in batches[name][portion]:
                    answers |= engine.answer(batch)
            metric = metrics[self.step.metrics[name]]
            values[name] = [
                metric(answers[row.id].completion, answers[row.id].answer, row).value for row in asked
            ]
            self.asked += len(asked)
        return values

    def _load(self, engine: "Engine", coefficients: Mapping[str, float]) -> None:
        """In place where the weights are at hand; vLLM takes them from a directory that is gone afterwards."""
        from modomodo.evaluation.engines.hf import TransformersEngine
        from modomodo.merging.weights import load_merged, write_merged

        if isinstance(engine, TransformersEngine):
            assert engine.model is not None
            if load_merged(engine.model, self.experts, coefficients):
                engine.look_again()
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            write_merged(Path(folder) / "merged", self.experts, coefficients)
            engine.load(Path(folder) / "merged")

    def _prepared(self) -> "tuple[Engine, dict[str, list[LazyBatches]]]":
        if self._ready is None:
            evaluation = self.step.evaluation
            ready_to_answer(evaluation)
            asked = [(row, path.parent) for path, rows in self.benchmarks.values() for row in rows]
            for row, folder in asked:
                check_image(row, folder)
            with imports():
                import torch

                from modomodo.evaluation.engines.base import KEPT_BYTES
                from modomodo.evaluation.engines.start import start_engine
            torch.set_num_threads(evaluation.threads)
            engine = start_engine(evaluation, self.step.dtype, self.experts.base, asked)
            # vLLM reads its processor from the first directory that it is given: one that stays.
            engine.load(self.experts.base)
            kept = KEPT_BYTES // (len(self.benchmarks) * len(self.shares))
            answering = self.step.answering()
            batches = {}
            for name, (path, rows) in self.benchmarks.items():
                prompts = answering.for_benchmark(name).prompts
                parts = [[(rows[i], path.parent) for i in part] for part in self._portions[name]]
                batches[name] = [engine.batches(part, prompts, evaluation.batch_size, kept) for part in parts]
            self._ready = (engine, batches)
        return self._ready


def halve(
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
    for row in random.permutation(candidates(domains, constraints, 2 * count + len(taken), random)):
        weights = round_weights(dict(zip(domains, row.tolist(), strict=True)))
        if tuple(weights.values()) not in taken:
            taken.add(tuple(weights.values()))
            drawn.append(weights)
    return drawn[:count]


def screen(
    scorer: MergeScorer,
    records: Records,
    trained: Sequence[Mixture],
    step: ScreenSettings,
    options: MergeScreenOptions,
) -> list[Merge]:
    """Merges of the mixtures that were trained, at each α, and of the candidates at the α that fits best.

    `records` are the scores of the trained mixtures. Candidates keep to the strategy's constraints.
    """
    asked = [(mixture, alpha) for mixture in trained for alpha in step.alphas]
    known = [
        scorer.whole(mixture.name, mixture.strategy, mixture.weights, alpha)
        for mixture, alpha in progress(asked, "merge trained mixtures", len(asked))
    ]
    groups = dict(step.benchmarks)
    aim = objective(records, step.strategy.target)
    observations = observe(records, aim, merged_records(known, scorer.experts, step.domains, groups)).final()
    assert observations.merged is not None
    alpha = choose_alpha(observations).alpha
    predictor = fit_at(observations, Surface.fit(observations, observations.merged, alpha), alpha)
    usable = sorted(domain for domain in step.domains if domain not in step.strategy.without)
    drawn = draw_candidates(
        usable, options.constraints, options.candidates, step.strategy.seed, [m.weights for m in trained]
    )
    sizes = {name: len(rows) for name, (_, rows) in scorer.benchmarks.items()}

    def value(weights: Sequence[Mapping[str, float]], means: Mapping[str, np.ndarray]) -> np.ndarray:
        points = np.array([[each.get(domain, 0.0) for domain in observations.domains] for each in weights])
        scores = [means[name] if name in means else _aggregate(name, means) for name in aim.benchmarks]
        return predictor.mean_given(points, np.column_stack(scores)) @ aim.shares

    def _aggregate(target: str, means: Mapping[str, np.ndarray]) -> np.ndarray:
        chosen = [name for name in groups if f"{groups[name]}_score" == target]
        return np.average([means[name] for name in chosen], axis=0, weights=[sizes[name] for name in chosen])

    fewest = 2 * step.strategy.count
    return known + halve(
        scorer, drawn, alpha, value, fewest, lambda alive: progress(alive, "merge candidates", len(alive))
    )


def merged_records(
    merges: Sequence[Merge],
    experts: Experts,
    domains: Sequence[str],
    groups: Mapping[str, str],
    forgot: Sequence[Loss] = (),
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
                "step": experts.mark,
                "strategy": merge.strategy,
                "weights": merge.weights,
                "scores": {name: score.score for name, score in scores.items()},
                "standard_errors": {name: score.standard_error for name, score in scores.items()},
            }
        )
    aggregates = {
        f"{group}_score": {name: sizes[name] for name in groups if groups[name] == group}
        for group in ("in", "out")
    }
    records = from_rows(rows, domains, list(groups), aggregates)
    records.frame["fidelity"] = FIDELITY
    records.frame["alpha"] = [merge.alpha for merge in merges]
    records.frame["questions"] = [merge.questions for merge in merges]
    records.frame["experts"] = experts.digest
    records.frame["forgot"] = listed(forgot)
    return records
