"""Is a Gaussian process of our own worth having? gp_average beside BoTorch's SingleTaskGP, on the same runs.

    1. from each table take a few random runs and fit both, a process a metric
    2. Spearman of the composite and of single metrics on the mixtures left, and CPU seconds of fit and prediction

BoTorch's has its defaults: standardised outcomes, an RBF kernel with a length for each domain under its
dimension-scaled prior, the maximum of the posterior. `botorch` sees the weights, `botorch_sqrt` their square
roots, as ours does. The CPU seconds are those of one thread.

Example:
    python benchmarks/gaussian_processes.py tables/*.csv --lower-is-better --runs 8 16 32 --seeds 5
"""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from ranking import rank_unseen
from recorded_tables import read_table

from modomodo import command_line, console
from modomodo.mixtures.surrogates.base import Observations, Predictor, surrogates
from modomodo.mixtures.surrogates.calibration import DEFAULT
from modomodo.mixtures.surrogates.points import Mean, point_predictor


def single_task(roots: bool, observations: Observations, seed: int) -> Predictor:
    """BoTorch's SingleTaskGP on the weights or their square roots, one a metric, at the posterior's maximum."""
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    torch.set_num_threads(1)

    def seen_as(weights: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.sqrt(weights) if roots else weights)

    def fit(weights: np.ndarray, scores: np.ndarray, variances: np.ndarray, seed: int) -> Mean:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = SingleTaskGP(seen_as(weights), torch.from_numpy(scores)[:, None])
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))

        def mean(points: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return model.posterior(seen_as(points)).mean[:, 0].numpy()

        return mean

    return point_predictor(observations, fit, seed)


surrogates.register("botorch")(partial(single_task, False))
surrogates.register("botorch_sqrt")(partial(single_task, True))


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
        for name in (DEFAULT, "gp_sqrt", "botorch", "botorch_sqrt")
        for seed in range(arguments.seeds)
    ]
    ranks = pd.DataFrame([rank_unseen(*job) for job in console.progress(jobs, "fitting")])
    values = ["composite_spearman", "metric_spearman", "seconds"]
    print(ranks.groupby(["table", "runs", "surrogate"], sort=False)[values].mean().round(3).to_string())


if __name__ == "__main__":
    command_line.run(main)
