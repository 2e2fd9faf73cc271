"""First designs: which mixtures to train before anything is known."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from modomodo.errors import InputError
from modomodo.mixtures.acquisition import farthest, sample_mixtures
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.surrogates.threads import one_blas_thread

Kind = Literal["space_filling", "d_optimal"]

CANDIDATES = 2000
RIDGE = 1e-3  # makes fewer mixtures than coefficients comparable
EXCHANGES = 10  # rounds of exchange at most


@one_blas_thread()
def design(
    domains: Sequence[str],
    constraints: Constraints,
    count: int,
    seed: int,
    kind: Kind = "space_filling",
) -> np.ndarray:
    """`count` mixtures [count, domains] that keep to the constraints, chosen for what they would teach.

    space_filling: each next mixture is the one farthest from all before it in Hellinger distance, starting from
    the middle of the candidates (Kennard and Stone 1969).
    d_optimal: the greatest determinant of FᵀF for the quadratic surface on √w, the variance of its coefficients
    being least (Fedorov's exchange). The square root makes it prefer small weights to none.

    Raises InputError for infeasible constraints and when they leave fewer than `count` mixtures.
    """
    sampled = sample_mixtures(domains, constraints, CANDIDATES, np.random.default_rng(seed))
    candidates = np.unique(sampled.round(6), axis=0)
    if len(candidates) < count:
        raise InputError(
            f"design: the constraints leave {len(candidates)} mixtures to choose from, asked are {count}"
        )
    if kind == "d_optimal":
        return candidates[_d_optimal(np.sqrt(candidates), count)]
    return candidates[farthest(np.sqrt(candidates), count)]


def _d_optimal(points: np.ndarray, count: int) -> list[int]:
    """Rows of [n, domains], chosen one by one and then exchanged (Fedorov 1972)."""
    features = _scheffe(points)
    known = RIDGE * np.eye(features.shape[1])
    chosen: list[int] = []
    inverse = np.linalg.inv(known)
    for _ in range(count):
        # det(M + ffᵀ) = det(M) (1 + fᵀ M⁻¹ f)
        gain = np.einsum("nf,fg,ng->n", features, inverse, features)
        chosen.append(int(gain.argmax()))
        inverse = np.linalg.inv(known + features[chosen].T @ features[chosen])
    for _ in range(EXCHANGES):
        before = list(chosen)
        for place in range(count):
            others = chosen[:place] + chosen[place + 1 :]
            inverse = np.linalg.inv(known + features[others].T @ features[others])
            gain = np.einsum("nf,fg,ng->n", features, inverse, features)
            if gain.max() > gain[chosen[place]] * (1 + 1e-9):
                chosen[place] = int(gain.argmax())
        if chosen == before:
            break
    return chosen


def _scheffe(points: np.ndarray) -> np.ndarray:
    """Scheffé's quadratic terms for mixtures: each share and each product of two."""
    left, right = np.triu_indices(points.shape[1], 1)
    return np.column_stack([points, points[:, left] * points[:, right]])
