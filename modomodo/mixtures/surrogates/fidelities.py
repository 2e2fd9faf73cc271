"""Cheaper runs as witnesses of the same surface: a smaller model, an earlier study, an earlier step.

    full(w) = a + ρ · r · cheap(w) + residual(w) + noise        a, ρ, r of each benchmark

Kennedy and O'Hagan's autoregressive model (2000, Biometrika 87). `cheap` is what a cheaper run of the mixture scored,
or what a surrogate fitted to the cheaper runs alone expects; r brings its spread over the full runs to theirs; the
residual is the default's average of Gaussian processes. ρ is 0, ½ or 1 and each fidelity a hypothesis: predictions
are averaged by marginal likelihood, benchmark by benchmark and, tempered, with that of the other benchmarks. So cheap
runs that carry no signal weigh nothing, and no cost is needed: fidelities are weighed, not ordered.

benchmarks/fidelities.py measures what they are worth in full runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from modomodo.mixtures.surrogates.base import (
    FEWEST,
    Observations,
    Prediction,
    Predictor,
    StandardScaler,
    mixture_folds,
    surrogates,
)
from modomodo.mixtures.surrogates.gaussian_processes import ProcessPredictor, fit_processes
from modomodo.mixtures.surrogates.kernels import AVERAGE, KernelGrid

COEFFICIENTS = (0.5, 1.0)  # ρ where a fidelity tells something
NOTHING = 0.5  # probability that no fidelity does
SHARING = 0.6  # weight of the other benchmarks' evidence, as for breadth (kernels.AVERAGE)
POOLED = 8  # runs that the other benchmarks' ratio of spreads counts in a benchmark's own
EXACT = 1e-6  # a residual of less than this share of the spread is taken as no less
KEPT = 1e-4  # hypotheses of less weight in every benchmark are dropped
LATEST = 8  # surfaces that are cached


@dataclass(frozen=True)
class Surface:
    """Scores at one fidelity: as they were scored where they were, Gaussian processes between."""

    name: str
    process: ProcessPredictor

    @classmethod
    def fit(cls, name: str, runs: Observations, grid: KernelGrid = AVERAGE) -> "Surface":
        """The latest are cached: a mixture that is left out changes none."""
        key = (name, runs.digest(), grid)
        if key not in _latest:
            # Its runs answer the same questions as the full ones: luck with these is part of the surface, not noise.
            unknown = np.full(runs.scores.shape, np.nan)
            _latest[key] = cls(name, fit_processes(replace(runs, errors=unknown), grid))
            if len(_latest) > LATEST:
                del _latest[next(iter(_latest))]
        return _latest[key]

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Scores [n, benchmarks] of mixtures [n, domains]."""
        scored = self._scored(weights)
        return np.where(np.isfinite(scored), scored, self.process.mean(weights))

    def covariance(self, weights: np.ndarray) -> np.ndarray:
        """Of these scores, [n, benchmarks, benchmarks]; 0 where the mixture was scored."""
        guessed = np.isnan(self._scored(weights))
        return self.process.predict(weights).covariance * guessed[:, :, None] * guessed[:, None, :]

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Surfaces [count, n, benchmarks] that all go through what was scored."""
        scored = self._scored(weights)
        return np.where(np.isfinite(scored), scored, self.process.draw(weights, count, random))

    def _scored(self, weights: np.ndarray) -> np.ndarray:
        """Mean scores [n, benchmarks] of the runs of each mixture, NaN where there is none."""
        runs = self.process.observations
        folds = mixture_folds(np.concatenate([runs.weights, weights]))
        known, asked = folds[: len(runs)], folds[len(runs) :]
        found = np.full((len(weights), len(runs.benchmarks)), np.nan)
        for fold in np.intersect1d(known, asked):
            of_fold = runs.scores[known == fold]
            count = np.isfinite(of_fold).sum(axis=0)
            total = np.nan_to_num(of_fold).sum(axis=0)
            found[asked == fold] = np.where(count, total / np.maximum(count, 1), np.nan)
        return found


_latest: dict[tuple[str, str, KernelGrid], Surface] = {}


@dataclass(frozen=True)
class Hypothesis:
    """One fidelity with one ρ, or none; arrays are [benchmarks]."""

    surface: Surface | None
    slope: np.ndarray  # ρ · r
    center: np.ndarray  # what is taken off the surface before
    residual: ProcessPredictor
    weight: np.ndarray

    def trend(self, cheap: np.ndarray) -> np.ndarray:
        """What cheap scores [..., benchmarks] say of the full ones."""
        return self.slope * (cheap - self.center)

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        left = self.residual.mean(weights)
        return left if self.surface is None else left + self.trend(self.surface.mean(weights))

    def predict(self, weights: np.ndarray) -> Prediction:
        """The variances of the surface and of the residual add up."""
        left = self.residual.predict(weights)
        if self.surface is None:
            return left
        unsure = self.surface.covariance(weights) * np.outer(self.slope, self.slope)
        mean = left.mean + self.trend(self.surface.mean(weights))
        return Prediction(mean, left.covariance + unsure, left.noise)

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Surfaces [count, n, benchmarks]."""
        left = self.residual.draw(weights, count, random)
        return left if self.surface is None else left + self.trend(self.surface.draw(weights, count, random))


@dataclass(frozen=True)
class FidelityPredictor(Predictor):
    """An average over hypotheses on what cheaper runs say."""

    hypotheses: tuple[Hypothesis, ...]

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        return sum(
            (each.weight * each.mean(weights) for each in self.hypotheses),
            start=np.zeros((len(weights), len(self.benchmarks))),
        )

    def predict(self, weights: np.ndarray) -> Prediction:
        """Where hypotheses disagree the scores are less sure."""
        answers = [each.predict(weights) for each in self.hypotheses]
        shares = np.array([each.weight for each in self.hypotheses])
        means = np.stack([answer.mean for answer in answers])
        mean = np.einsum("hb,hnb->nb", shares, means)
        between = np.einsum("hb,hnb->nb", shares, (means - mean) ** 2)
        roots = np.sqrt(shares)
        covariance = np.einsum(
            "hb,hnbc,hc->nbc", roots, np.stack([answer.covariance for answer in answers]), roots
        )
        covariance += between[:, :, None] * np.eye(len(self.benchmarks))
        noise = np.einsum("hb,hbc,hc->bc", roots, np.stack([answer.noise for answer in answers]), roots)
        return Prediction(mean, covariance, noise)

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Each surface takes one hypothesis a benchmark, by weight."""
        edges = np.cumsum([each.weight for each in self.hypotheses], axis=0)[:-1]
        chosen = (random.random(count)[:, None, None] > edges).sum(axis=1)  # [count, benchmark]
        surfaces = np.empty((count, len(weights), len(self.benchmarks)))
        for number, each in enumerate(self.hypotheses):
            drawn = each.draw(weights, count, random)
            of_draw, of_benchmark = np.nonzero(chosen == number)
            surfaces[of_draw, :, of_benchmark] = drawn[of_draw, :, of_benchmark]
        return surfaces

    def shares(self) -> dict[str, float]:
        """Fidelity → its weight in the objective's benchmarks, in the mean."""
        counted = self.observations.shares / self.observations.shares.sum()
        found: dict[str, float] = {}
        for each in self.hypotheses:
            if each.surface is not None:
                name = each.surface.name
                found[name] = found.get(name, 0.0) + float(each.weight @ counted)
        return found


def fit_average(final: Observations) -> Predictor:
    """The default's average of Gaussian processes, on full runs and, where there are any, cheaper ones."""
    fidelities = [(name, runs) for name, runs in final.fidelities if len(runs) >= FEWEST]
    if not fidelities or mixture_folds(final.weights).max() + 1 < FEWEST:
        unused = f"cheaper runs: not used, fewer than {FEWEST} mixtures in full, or of each kind"
        return replace(fit_processes(final, AVERAGE), reason=unused if final.fidelities else "")
    width = len(final.benchmarks)
    proposed = [
        Hypothesis(None, np.zeros(width), np.zeros(width), fit_processes(final, AVERAGE), np.ones(width))
    ]
    for surface in (Surface.fit(name, runs) for name, runs in fidelities):
        cheap = surface.mean(final.weights)
        ratio, center = spread_ratio(final, cheap), _mean(cheap, np.isfinite(final.scores))
        for coefficient in COEFFICIENTS:
            trend = coefficient * ratio * (cheap - center)
            left = fit_processes(replace(final, scores=final.scores - trend), AVERAGE)
            proposed.append(Hypothesis(surface, coefficient * ratio, center, left, np.ones(width)))
    weights = hypothesis_weights(np.stack([log_evidence(final, each.residual) for each in proposed]))
    weights = np.where(weights.max(axis=1, keepdims=True) > KEPT, weights, 0.0)
    weights = weights / weights.sum(axis=0)
    kept = [
        replace(each, weight=weight) for each, weight in zip(proposed, weights, strict=True) if weight.any()
    ]
    fitted = FidelityPredictor(final, tuple(kept))
    shares = fitted.shares()
    reason = ", ".join(f"{len(runs)} of {name} weigh {shares.get(name, 0):.0%}" for name, runs in fidelities)
    return replace(fitted, reason=f"cheaper runs: {reason}")


def log_evidence(final: Observations, residual: ProcessPredictor) -> np.ndarray:
    """Of each benchmark [benchmarks], also where nothing is left to explain, of which a fit cannot tell the scale."""
    known = np.isfinite(final.scores)
    least = EXACT * _spread(final.scores, known)
    vanishes = (_spread(residual.observations.scores, known) < least) & (least > 0)
    excess = np.log(residual.scaler.scale) - np.log(np.where(vanishes, least, residual.scaler.scale))
    return residual.log_evidence + known.sum(axis=0) * excess


def hypothesis_weights(log_evidence: np.ndarray) -> np.ndarray:
    """Of hypotheses, the first of which is that no fidelity tells anything, from [hypothesis, benchmark]; sum 1."""
    prior = np.full(len(log_evidence), (1 - NOTHING) / (len(log_evidence) - 1))
    prior[0] = NOTHING
    others = log_evidence.sum(axis=1, keepdims=True) - log_evidence
    log = np.log(prior)[:, None] + log_evidence + SHARING * others
    raised = np.exp(log - log.max(axis=0))
    return raised / raised.sum(axis=0)


def spread_ratio(final: Observations, cheap: np.ndarray) -> np.ndarray:
    """Standard deviation of the full scores over that of the cheap ones [runs, benchmarks] of the same mixtures.

    That of one benchmark [benchmarks] is drawn towards the geometric mean of all, as a few runs hardly tell it; 0
    where either does not vary.
    """
    known = np.isfinite(final.scores)
    full = StandardScaler.of(final).scores  # to find what varies
    varies = np.abs(np.where(known, full, 0.0)).max(axis=0) > 0
    above, below = _spread(final.scores, known), _spread(cheap, known)
    varies &= (above > 0) & (below > 1e-9 * np.maximum(1.0, np.abs(cheap).max(axis=0)))
    if not varies.any():
        return np.zeros(len(varies))
    logs = np.log(above[varies] / below[varies])
    runs = known.sum(axis=0)[varies]
    ratio = np.zeros(len(varies))
    ratio[varies] = np.exp((runs * logs + POOLED * logs.mean()) / (runs + POOLED))
    return ratio


def _mean(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Column by column, of the known."""
    return np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _spread(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Standard deviation, column by column, of the known."""
    return np.sqrt(_mean((np.where(known, values, 0.0) - _mean(values, known)) ** 2, known))


def earlier_steps(observations: Observations) -> Sequence[tuple[str, Observations]]:
    """The scores at each earlier step as a fidelity of the last."""
    progress = np.round(observations.progress, 6)
    found = []
    for reached in np.unique(progress[progress < 1]):
        runs = observations.rows(progress == reached)
        found.append(
            (f"{reached:.0%} of the steps", replace(runs, progress=np.ones(len(runs)), fidelities=()))
        )
    return found


@surrogates.register("gp_average")
def gp_average(observations: Observations, seed: int) -> Predictor:
    """Gaussian processes on √w, averaged over what a surface may look like: the default.

    Domains interact or add up, one of them dominates a benchmark or none does, breadth is worth something or nothing,
    cheaper runs tell much, half or nothing: each is as probable as the records, and a little the other benchmarks,
    make it.
    """
    return fit_average(observations.final())


@surrogates.register("gp_steps")
def gp_steps(observations: Observations, seed: int) -> Predictor:
    """The same, with scores at earlier steps as cheaper runs: for runs that ended early."""
    final = observations.final()
    return fit_average(replace(final, fidelities=(*final.fidelities, *earlier_steps(observations))))
