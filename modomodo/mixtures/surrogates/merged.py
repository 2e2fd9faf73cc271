"""A surrogate that knows how merged experts scored: few trained runs, many merged ones.

    trained(w) = a + s · merged(w) + residual(w) + noise         one a, s a benchmark

`merged` is what the experts, merged by the weights w, score (modomodo/merging/weights.py); a and s are fitted to the
mixtures that were trained, s drawn towards 1; the residual is a Gaussian process on √w. How far the experts are
moved, α, is the one that predicts trained mixtures best when each is left out. The answer is an average of this and
of the plain surrogate, each weighing as much as its left-out errors are small; where the two disagree, where merging
says what no trained run does, it is less sure.

An expert merged with nothing is itself: it tests nothing, so experts are learned from and never left out.

The idea of a cheap fidelity with a scaled and a residual part is Kennedy and O'Hagan's (2000, Biometrika 87).
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from modomodo.mixtures.surrogates.base import (
    Delegating,
    Observations,
    Prediction,
    Predictor,
    StandardScaler,
    mixture_folds,
    surrogates,
)
from modomodo.mixtures.surrogates.calibration import DEFAULT, leave_one_mixture_out
from modomodo.mixtures.surrogates.ensemble import Ensemble
from modomodo.mixtures.surrogates.fidelities import Surface
from modomodo.mixtures.surrogates.gaussian_processes import ProcessPredictor, fit_processes
from modomodo.mixtures.surrogates.kernels import SQRT

PLAIN = DEFAULT  # what it falls back to
ALPHA = 1.5  # while too few mixtures can be left out to choose one
SLOPE_SPREAD = 0.5  # standard deviation of s around 1 before any run is seen
FEWEST_TESTED = 3  # mixtures that must be left out before anything is chosen by them


@dataclass(frozen=True)
class Trend:
    """a + s · merged for every benchmark, and how unsure it is; all arrays are [benchmarks]."""

    level: np.ndarray  # mean trained score
    center: np.ndarray  # mean merged score
    slope: np.ndarray
    level_variance: np.ndarray
    slope_variance: np.ndarray

    @classmethod
    def fit(cls, merged: np.ndarray, trained: np.ndarray, errors: np.ndarray) -> "Trend":
        """Bayesian regression with s ~ Normal(1, SLOPE_SPREAD²) and a flat prior on a.

        Arrays are [runs, benchmarks]; NaN where a run was not scored. The noise is what s = 1 leaves, and no
        less than the standard errors say. A benchmark without a run keeps a = 0, s = 1.
        """
        known = np.isfinite(trained)
        count = known.sum(axis=0)
        runs = np.maximum(count, 1)

        def mean(values: np.ndarray) -> np.ndarray:
            return np.where(known, values, 0.0).sum(axis=0) / runs

        center, level = mean(merged), mean(trained)
        across, up = np.where(known, merged - center, 0.0), np.where(known, trained - level, 0.0)
        noise = ((up - across) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
        noise = np.maximum(noise, mean(np.nan_to_num(errors) ** 2)) + 1e-8
        precision = 1 / SLOPE_SPREAD**2 + (across**2).sum(axis=0) / noise
        slope = (1 / SLOPE_SPREAD**2 + (across * up).sum(axis=0) / noise) / precision
        return cls(level, center, slope, noise / runs, 1 / precision)

    def __call__(self, merged: np.ndarray) -> np.ndarray:
        """Expected trained scores [n, benchmarks] of merged ones."""
        return self.level + self.slope * (merged - self.center)

    def variance(self, merged: np.ndarray) -> np.ndarray:
        """Of the expectation, [n, benchmarks]: it grows with the distance from the merged scores calibrated on."""
        return self.level_variance + self.slope_variance * (merged - self.center) ** 2


def fit_surface(observations: Observations, alpha: float) -> Surface:
    """Merged scores at one α: as they were scored where they were, Gaussian processes between."""
    merged = observations.merged
    assert merged is not None
    chosen = np.isclose(merged.alphas, alpha)
    scores = merged.scores[chosen]
    runs = replace(
        observations,
        weights=merged.weights[chosen],
        scores=scores,
        errors=np.full(scores.shape, np.nan),
        progress=np.ones(len(scores)),
        mixtures=tuple(map(str, range(len(scores)))),
        merged=None,
        fidelities=(),
    )
    return Surface.fit(f"merged at {alpha:g}", runs, SQRT)


@dataclass(frozen=True)
class MergedPredictor(Predictor):
    """Calibrated merged scores and a Gaussian process on what they leave."""

    alpha: float
    surface: Surface
    trend: Trend
    residual: ProcessPredictor

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        return self.mean_given(weights, self.surface.mean(weights))

    def mean_given(self, weights: np.ndarray, merged: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks] of mixtures whose merged scores [n, benchmarks] are known."""
        return self.trend(merged) + self.residual.mean(weights)

    def predict(self, weights: np.ndarray) -> Prediction:
        """The variances of residual, calibration and merged surface add up."""
        merged = self.surface.mean(weights)
        unsure = np.einsum("nbb->nb", self.surface.covariance(weights))
        left = self.residual.predict(weights)
        extra = self.trend.variance(merged) + self.trend.slope**2 * unsure
        covariance = left.covariance + extra[:, :, None] * np.eye(len(self.benchmarks))
        return Prediction(self.trend(merged) + left.mean, covariance, left.noise)

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Surfaces of merged scores, of calibration and of residuals, drawn separately and added."""
        width = len(self.benchmarks)
        merged = self.surface.draw(weights, count, random)
        levels = random.standard_normal((count, 1, width)) * np.sqrt(self.trend.level_variance)
        slopes = random.standard_normal((count, 1, width)) * np.sqrt(self.trend.slope_variance)
        surfaces = self.trend(merged) + levels + slopes * (merged - self.trend.center)
        return surfaces + self.residual.draw(weights, count, random)


@dataclass(frozen=True)
class Fallback(Delegating):
    """The plain surrogate, where merged scores are not used; `reason` says why not."""


def fit_at(observations: Observations, surface: Surface, alpha: float) -> MergedPredictor:
    """Calibrated on the observations (of the last step) at one α."""
    merged = surface.mean(observations.weights)
    trend = Trend.fit(merged, observations.scores, observations.errors)
    left = replace(observations, scores=observations.scores - trend(merged), merged=None)
    return MergedPredictor(observations, alpha, surface, trend, fit_processes(left, SQRT))


def left_out_errors(observations: Observations, surface: Surface, alpha: float) -> np.ndarray:
    """Errors [runs, 1 + benchmarks] made on each mixture when it is left out; first column the objective.

    NaN for experts: the merge has seen their training.
    """
    folds = mixture_folds(observations.weights)
    errors = np.full((len(observations), 1 + observations.scores.shape[1]), np.nan)
    for fold in np.unique(folds[~is_expert(observations)]):
        out = folds == fold
        if out.all():
            continue
        fitted = fit_at(observations.rows(~out), surface, alpha)
        errors[out, 1:] = fitted.mean(observations.weights[out]) - observations.scores[out]
        errors[out, 0] = errors[out, 1:] @ observations.shares
    return errors


def is_expert(observations: Observations) -> np.ndarray:
    """Runs with all weight on one domain, [runs]."""
    return observations.weights.max(axis=1) > 1 - 1e-6


@dataclass(frozen=True)
class AlphaChoice:
    """How far experts are moved, and the left-out error of each α compared: the root mean square, standardised."""

    alpha: float
    errors: dict[float, float]


def choose_alpha(observations: Observations) -> AlphaChoice:
    """The α of least left-out error over mixtures and standardised benchmarks.

    With fewer than FEWEST_TESTED mixtures besides the experts nothing can be compared, and the α nearest to
    ALPHA is taken; the errors are then empty. Looks only at mixtures that were trained.
    """
    observations = observations.final()
    assert observations.merged is not None
    alphas = sorted(set(observations.merged.alphas.tolist()))
    folds = mixture_folds(observations.weights)
    if len(set(folds[~is_expert(observations)])) < FEWEST_TESTED or len(alphas) == 1:
        return AlphaChoice(min(alphas, key=lambda alpha: (abs(alpha - ALPHA), alpha)), {})
    scale = StandardScaler.of(observations).scale
    errors = {}
    for alpha in alphas:
        surface = fit_surface(observations, alpha)
        errors[alpha] = float(
            np.sqrt(np.nanmean((left_out_errors(observations, surface, alpha)[:, 1:] / scale) ** 2))
        )
    return AlphaChoice(min(alphas, key=lambda alpha: (errors[alpha], alpha)), errors)


@surrogates.register("merged")
def merged(observations: Observations, seed: int) -> Predictor:
    """Merged experts calibrated on trained mixtures, averaged with gp_average by their left-out errors.

    gp_average alone, and it says so, where there are no merged scores, or where they predict left-out mixtures no
    better than it does. Merged experts alone where too few mixtures were trained to test either.
    """
    final = observations.final()
    if final.merged is None or not len(final.merged.alphas):
        reason = f"{PLAIN}: there are no scores of merged experts"
        return Fallback(final, surrogates[PLAIN](final, seed), reason=reason)
    choice = choose_alpha(final)
    surface = fit_surface(final, choice.alpha)
    fitted = fit_at(final, surface, choice.alpha)
    tested = ~is_expert(final)
    if len(set(mixture_folds(final.weights)[tested])) < FEWEST_TESTED:
        return replace(
            fitted,
            reason=f"merged experts, alpha {choice.alpha:g}, untested: too few mixtures trained",
            comparison=_compared(choice.alpha, LeftOutSquares.unknown(), 1.0),
        )
    plain = surrogates[PLAIN](final, seed)
    squares = LeftOutSquares.of(final, surface, choice.alpha, seed)
    verdict = (
        f"left-out RMSE {np.sqrt(squares.merged):.3g}, without merging {np.sqrt(squares.plain):.3g} ({PLAIN})"
    )
    if not squares.merged < squares.plain:
        return Fallback(
            final,
            plain,
            reason=f"{PLAIN} alone: merged scores carry no signal here: {verdict}",
            comparison=_compared(choice.alpha, squares, 0.0),
        )
    share = squares.plain / (squares.merged + squares.plain)
    compared = ", ".join(f"{each:g}: {error:.3g}" for each, error in choice.errors.items())
    note = f"alpha {choice.alpha:g}" + (f" of left-out errors {compared}" if compared else "")
    return Ensemble(
        final,
        (fitted, plain),
        np.array([share, 1 - share]),
        reason=f"{share:.0%} merged experts, {note}: {verdict}",
        comparison=_compared(choice.alpha, squares, share),
    )


@dataclass(frozen=True)
class LeftOutSquares:
    """Mean squared errors of the objective on mixtures of several domains, each left out in turn."""

    runs: int
    merged: float
    plain: float
    constant: float

    @classmethod
    def unknown(cls) -> "LeftOutSquares":
        return cls(0, np.nan, np.nan, np.nan)

    @classmethod
    def of(cls, final: Observations, surface: Surface, alpha: float, seed: int) -> "LeftOutSquares":
        tested = ~is_expert(final)
        left = leave_one_mixture_out(final, surrogates[PLAIN], seed, most_groups=None)
        plain = (left.mean - left.actual)[tested, 0]
        constant = (left.constant - left.actual)[tested, 0]
        merged = left_out_errors(final, surface, alpha)[tested, 0]
        return cls(
            int(np.isfinite(plain).sum()),
            float(np.nanmean(merged**2)),
            float(np.nanmean(plain**2)),
            float(np.nanmean(constant**2)),
        )


def _compared(alpha: float, squares: LeftOutSquares, share: float) -> pd.DataFrame:
    """A row for merged experts and one for the plain surrogate; `share` is what the first weighs in the answer."""
    return pd.DataFrame(
        {
            "surrogate": ["merged experts", PLAIN],
            "alpha": [alpha, np.nan],
            "runs": squares.runs,
            "rmse": np.sqrt([squares.merged, squares.plain]),
            "rmse_constant": np.sqrt(squares.constant),
            "share": [share, 1 - share],
        }
    )
