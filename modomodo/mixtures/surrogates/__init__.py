"""Surrogates: records → a predictor of scores for any mixture, with its uncertainty.

Importing this limits BLAS to one thread in the whole process: the matrices are small, so that more threads
spin for each other where the machine has other work, and the last digits would depend on the number of cores.
"""

import scipy.linalg  # noqa: F401  brings an OpenBLAS beside numpy's, and only what is loaded can be limited
from threadpoolctl import threadpool_limits

from modomodo.mixtures.surrogates import (
    calibration,
    components,
    ensemble,
    gaussian_processes,
    merged,
    parametric,
    steps,
    trees,
)
from modomodo.mixtures.surrogates.base import (
    Objective,
    Observations,
    Prediction,
    Predictor,
    Surrogate,
    objective,
    observe,
    surrogates,
)

threadpool_limits(limits=1, user_api="blas")

__all__ = [
    "Objective",
    "Observations",
    "Prediction",
    "Predictor",
    "Surrogate",
    "calibration",
    "components",
    "ensemble",
    "gaussian_processes",
    "merged",
    "objective",
    "observe",
    "parametric",
    "steps",
    "surrogates",
    "trees",
]
