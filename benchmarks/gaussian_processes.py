"""Is a Gaussian process of our own worth having? gp_average beside BoTorch's processes, on the same runs.

    1. from each table take a few random runs and fit every surrogate
    2. Spearman of the composite and of single metrics on the mixtures left, and CPU seconds of fit and prediction

    botorch         SingleTaskGP, a metric each, on the weights: an RBF kernel with a length for each domain under its
                    dimension-scaled prior, the maximum of the posterior
    botorch_sqrt    the same on the weights' square roots, as ours
    botorch_saas    sparse axis-aligned subspaces (Eriksson & Jankowiak 2021, arXiv 2103.00349) on the square roots, as
                    AdditiveMapSaasSingleTaskGP: several global shrinkages, each at its maximum
    botorch_tasks   KroneckerMultiTaskGP on the square roots: all metrics at once, with a covariance between them

All have BoTorch's defaults and standardised scores. The CPU seconds are those of one thread.

Example:
    python benchmarks/gaussian_processes.py tables/*.csv --lower-is-better --runs 8 16 32 --seeds 5
"""

import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from ranking import rank_unseen
from recorded_tables import read_table

from modomodo import command_line, console
from modomodo.mixtures.surrogates.base import Observations, Prediction, Predictor, StandardScaler, surrogates
from modomodo.mixtures.surrogates.calibration import DEFAULT
from modomodo.mixtures.surrogates.points import Mean, point_predictor

if TYPE_CHECKING:
    import torch
    from botorch.models.gpytorch import GPyTorchModel

KINDS = ("botorch", "botorch_sqrt", "botorch_saas", "botorch_tasks")


def one_metric(kind: str, roots: bool, observations: Observations, seed: int) -> Predictor:
    """A process of BoTorch for each metric, on the weights or their square roots, at the posterior's maximum."""
    import torch
    from botorch.models import SingleTaskGP
    from botorch.models.map_saas import AdditiveMapSaasSingleTaskGP

    model_of = {"single": SingleTaskGP, "saas": AdditiveMapSaasSingleTaskGP}[kind]

    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        model = fitted(model_of(seen_as(weights, roots), torch.from_numpy(scores)[:, None]), seed)
        return lambda points: posterior_mean(model, seen_as(points, roots))[:, 0]

    return point_predictor(observations, fit, seed)


@dataclass(frozen=True)
class AllMetrics(Predictor):
    """One process of all metrics."""

    scaler: StandardScaler
    model: "GPyTorchModel"

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Expected scores [n, benchmarks]."""
        return self.scaler.inverse(posterior_mean(self.model, seen_as(weights, True)))

    def predict(self, weights: np.ndarray) -> Prediction:
        """Each metric's variance; what one run adds is the process's own noise, which is within it."""
        features, count = seen_as(weights, True), len(self.benchmarks)
        variance = self.model.posterior(features, observation_noise=True).variance.detach().numpy()
        mean = posterior_mean(self.model, features)
        return self.scaler.prediction(mean, variance, np.zeros(count), np.eye(count))

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """Surfaces [count, n, benchmarks]."""
        import torch

        torch.manual_seed(int(random.integers(2**31)))
        posterior = self.model.posterior(seen_as(weights, True))
        return self.scaler.inverse(posterior.rsample(torch.Size([count])).detach().numpy())


def all_metrics(observations: Observations, seed: int) -> Predictor:
    """BoTorch's KroneckerMultiTaskGP on √w, of the runs that have every score."""
    import torch
    from botorch.models import KroneckerMultiTaskGP

    scaler = StandardScaler.of(observations)
    whole = np.isfinite(scaler.scores).all(axis=1)
    features = seen_as(observations.weights[whole], True)
    model = fitted(KroneckerMultiTaskGP(features, torch.from_numpy(scaler.scores[whole])), seed)
    return AllMetrics(observations, scaler, model)


def seen_as(weights: np.ndarray, roots: bool) -> "torch.Tensor":
    import torch

    return torch.from_numpy(np.sqrt(weights) if roots else weights)


def fitted(model: "GPyTorchModel", seed: int) -> "GPyTorchModel":
    """At the maximum of its posterior."""
    import torch
    from botorch.fit import fit_gpytorch_mll
    from gpytorch.mlls import ExactMarginalLogLikelihood

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


def posterior_mean(model: "GPyTorchModel", features: "torch.Tensor") -> np.ndarray:
    """[n, metrics]; an ensemble's is the mean of its members."""
    import torch

    with torch.no_grad():
        posterior = model.posterior(features)
        return getattr(posterior, "mixture_mean", posterior.mean).numpy()


surrogates.register("botorch")(partial(one_metric, "single", False))
surrogates.register("botorch_sqrt")(partial(one_metric, "single", True))
surrogates.register("botorch_saas")(partial(one_metric, "saas", True))
surrogates.register("botorch_tasks")(all_metrics)


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("tables", type=Path, nargs="+", help="CSV tables of recorded runs")
    parser.add_argument("--runs", type=int, nargs="+", default=[8, 16, 32], help="runs to learn from")
    parser.add_argument("--seeds", type=int, default=5, help="random choices of those runs")
    parser.add_argument("--lower-is-better", action="store_true", help="the metrics are losses")
    parser.add_argument(
        "--anonymous", action="store_true", help="take away the metrics' names, which may be those of domains"
    )
    arguments = parser.parse_args()
    tables = [read_table(path, arguments.lower_is_better, arguments.anonymous) for path in arguments.tables]
    jobs = [
        (table, name, count, seed, False)
        for table in tables
        for count in arguments.runs
        for name in (DEFAULT, "gp_sqrt", *KINDS)
        for seed in range(arguments.seeds)
    ]
    ranks = pd.DataFrame([rank_unseen(*job) for job in console.progress(jobs, "fitting")])
    values = ["composite_spearman", "metric_spearman", "seconds"]
    print(ranks.groupby(["table", "runs", "surrogate"], sort=False)[values].mean().round(3).to_string())


if __name__ == "__main__":
    command_line.run(main)
