"""Tables of runs that were never run: known laws from mixtures to scores, for benchmarks/replay.py.

A surrogate tuned on one recorded table may only have learnt that table. These families differ in what is true
(how many domains, whether a score saturates, jumps, or suffers from the wrong company, how loud the noise is),
and the truth is known. Each is drawn again under every --seed.

Example:
    python benchmarks/mixing_laws.py --rows 160 --seed 1 2 --output results/mixing_laws
    python benchmarks/replay.py results/mixing_laws/*.csv --runs 8 16 32 --seeds 5

All scores are higher-is-better.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from modomodo import command_line
from modomodo.files import write_csv

Law = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""(weights [n, domains], affinity [benchmarks, domains] from 0 to 1, random) → scores [n, benchmarks]."""


@dataclass(frozen=True)
class Family:
    """A law, how many domains and benchmarks it has, and its noise over the spread of its scores."""

    law: Law
    domains: int
    benchmarks: int
    noise: float
    concentration: float = 0.7  # of the Dirichlet distribution that the mixtures come from


def linear(weights: np.ndarray, affinity: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Every example of a domain is worth the same."""
    return weights @ affinity.T


def exponential(weights: np.ndarray, affinity: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Losses c + k exp(-t · w) (Ye et al. 2024)."""
    steep = random.uniform(1.0, 4.0, len(affinity))
    return -np.exp(-steep * (weights @ affinity.T))


def power(weights: np.ndarray, affinity: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Losses as a power of the useful share, which falls steeply where a domain first appears."""
    exponent = random.uniform(0.1, 0.6, len(affinity))
    return -((weights @ affinity.T + 0.01) ** -exponent)


def saturating(weights: np.ndarray, affinity: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each domain teaches its own part, most of it with its first examples, and dilutes nothing."""
    enough = random.uniform(0.03, 0.3, weights.shape[1])
    return (1 - np.exp(-weights / enough)) @ affinity.T


def interference(weights: np.ndarray, affinity: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Saturating gains, and half of the domains unteach some benchmarks in proportion."""
    harm = affinity[:, random.permutation(weights.shape[1])] * (random.random(affinity.shape) < 0.5)
    return saturating(weights, affinity, random) - 1.5 * weights @ harm.T


def quadratic(weights: np.ndarray, affinity: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The paper's surface: linear parts and pairs of domains that help or hinder each other."""
    width = weights.shape[1]
    pairs = random.standard_normal((len(affinity), width, width)) * 1.5
    return weights @ affinity.T + np.einsum("ni,bij,nj->nb", weights, pairs, weights)


def thresholds(weights: np.ndarray, affinity: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A skill that is learnt or not: it takes off once its useful share is large enough."""
    useful = weights @ affinity.T
    middle = np.quantile(useful, 0.5, axis=0)
    return 1 / (1 + np.exp(-12 * (useful - middle)))


def fine_tuning(weights: np.ndarray, affinity: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Accuracies between chance and a ceiling, raised by the first examples of the few domains that help.

    What a benchmark does not need takes a little away, in proportion.
    """
    helps = affinity * (random.random(affinity.shape) < 0.5)
    best = affinity.argmax(axis=1)
    helps[np.arange(len(affinity)), best] = affinity.max(axis=1)
    enough = random.uniform(0.02, 0.25, affinity.shape)
    gain = np.einsum("bj,nbj->nb", helps, 1 - np.exp(-weights[:, None, :] / enough))
    logit = 3 * gain - 1 - 0.5 * weights @ (helps == 0).T
    return 1 / (1 + np.exp(-logit))


def language_model(weights: np.ndarray, affinity: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Losses on each kind of text: a power of the share of that kind and a little of kinds like it."""
    transfer = (affinity / affinity.max(axis=1, keepdims=True)) ** 3
    exponent = random.uniform(0.05, 0.3, len(affinity))
    return -((weights @ transfer.T + 0.005) ** -exponent)


FAMILIES: dict[str, Family] = {
    "linear_5": Family(linear, 5, 7, 0.4),
    "exponential_3": Family(exponential, 3, 5, 0.1),
    "exponential_7": Family(exponential, 7, 7, 0.05),
    "power_17": Family(power, 17, 13, 0.1, 0.3),
    "saturating_5": Family(saturating, 5, 7, 0.3),
    "saturating_17": Family(saturating, 17, 8, 0.3, 0.4),
    "interference_6": Family(interference, 6, 6, 0.3),
    "quadratic_5": Family(quadratic, 5, 7, 0.2),
    "thresholds_5": Family(thresholds, 5, 7, 0.3),
    "interference_5_noisy": Family(interference, 5, 7, 1.0),
    "quadratic_6_noisy": Family(quadratic, 6, 6, 0.8),
    "power_6_noisy": Family(power, 6, 6, 1.0, 1.0),
    "fine_tuning_4": Family(fine_tuning, 4, 10, 0.9, 1.0),
    "fine_tuning_6": Family(fine_tuning, 6, 8, 0.6, 1.0),
    "language_model_7": Family(language_model, 7, 7, 0.05),
}


def table(name: str, rows: int, seed: int) -> pd.DataFrame:
    """One table of a family: w_<domain> and y_<metric>, a row a run."""
    family = FAMILIES[name]
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    # Domains of uneven size, as collections of data are: some are rare in most mixtures.
    prior = random.dirichlet(np.full(family.domains, 2.0))
    weights = random.dirichlet(family.concentration * (0.5 + 0.5 * family.domains * prior), rows)
    weights = np.round(weights, 4)
    weights[np.arange(rows), weights.argmax(axis=1)] += 1 - weights.sum(axis=1)
    # Benchmarks need a few common skills, and most of them one domain more than all others.
    skills = min(3, family.domains)
    affinity = random.random((family.benchmarks, skills)) @ random.dirichlet(np.ones(family.domains), skills)
    affinity /= affinity.max()
    for benchmark in range(family.benchmarks):
        affinity[benchmark, random.integers(family.domains)] += random.uniform(0.3, 1.0)
    affinity /= affinity.max()
    scores = family.law(weights, affinity, random)
    scores = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    scores += family.noise * random.standard_normal(scores.shape)
    columns = {f"w_d{j:02d}": weights[:, j] for j in range(family.domains)}
    return pd.DataFrame(columns | {f"y_m{b:02d}": scores[:, b] for b in range(family.benchmarks)})


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--rows", type=int, default=160, help="runs a table")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="one table of each family a seed")
    parser.add_argument("--output", type=Path, required=True, help="folder of the CSV tables")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in FAMILIES:
        for seed in arguments.seed:
            write_csv(arguments.output / f"{name}_s{seed}.csv", table(name, arguments.rows, seed))


if __name__ == "__main__":
    command_line.run(main)
