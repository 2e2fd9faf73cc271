"""The mean of surrogates of different kinds."""

from dataclasses import dataclass

import numpy as np

from modomodo.mixtures.surrogates.base import Observations, Prediction, Predictor, surrogates

MEMBERS = ("gp_lead", "ridge_sqrt", "lightgbm_small")


@dataclass(frozen=True)
class EnsemblePredictor:
    """Members of equal weight; what they disagree on adds to the uncertainty."""

    members: tuple[Predictor, ...]

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the weight columns."""
        return self.members[0].domains

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the scores."""
        return self.members[0].benchmarks

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        return np.mean([member.mean(weights) for member in self.members], axis=0)

    def predict(self, weights: np.ndarray) -> Prediction:
        """Mean of the means; mean of the covariances plus the covariance of the means."""
        answers = [member.predict(weights) for member in self.members]
        means = np.stack([answer.mean for answer in answers])
        apart = means - means.mean(axis=0)
        between = np.einsum("knb,knc->nbc", apart, apart) / len(answers)
        within = np.mean([answer.covariance for answer in answers], axis=0)
        noise = np.mean([answer.noise for answer in answers], axis=0)
        return Prediction(means.mean(axis=0), within + between, noise)

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Each surface comes from one member, chosen at random."""
        chosen = random.integers(len(self.members), size=count)
        surfaces = np.empty((count, len(weights), len(self.benchmarks)))
        for i, member in enumerate(self.members):
            if (chosen == i).any():
                surfaces[chosen == i] = member.draw(weights, int((chosen == i).sum()), random)
        return surfaces


@surrogates.register("ensemble")
def ensemble(observations: Observations, seed: int) -> Predictor:
    """The mean of gp_lead, ridge_sqrt and lightgbm_small."""
    return EnsemblePredictor(tuple(surrogates[name](observations, seed) for name in MEMBERS))
