"""A weighted mean of surrogates of different kinds."""

from dataclasses import dataclass

import numpy as np

from modomodo.mixtures.surrogates.base import Prediction, Predictor


@dataclass(frozen=True)
class Ensemble(Predictor):
    """Members and what each counts; what they disagree on adds to the uncertainty."""

    members: tuple[Predictor, ...]
    shares: np.ndarray  # [members], sum 1

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        return self._average(np.stack([member.mean(weights) for member in self.members]))

    def predict(self, weights: np.ndarray) -> Prediction:
        """Mean of the means; mean of the covariances plus the covariance of the means."""
        answers = [member.predict(weights) for member in self.members]
        means = np.stack([answer.mean for answer in answers])
        mean = self._average(means)
        deviations = means - mean
        between = np.einsum("k,knb,knc->nbc", self.shares, deviations, deviations)
        within = self._average(np.stack([answer.covariance for answer in answers]))
        return Prediction(
            mean, within + between, self._average(np.stack([answer.noise for answer in answers]))
        )

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Each surface comes from one member, chosen at random by its share."""
        chosen = random.choice(len(self.members), size=count, p=self.shares)
        surfaces = np.empty((count, len(weights), len(self.benchmarks)))
        for i, member in enumerate(self.members):
            if (chosen == i).any():
                surfaces[chosen == i] = member.draw(weights, int((chosen == i).sum()), random)
        return surfaces

    def _average(self, answers: np.ndarray) -> np.ndarray:
        """Of answers [members, ...]."""
        return np.tensordot(self.shares, answers, 1)
