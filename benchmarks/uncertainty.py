"""How often an optimum is called better than equal weights: on tables of noise, and on tables that hold something.

Each table is a random choice of `--runs` rows of a CSV, or --noise draws the scores at random: 5 domains, 4 metrics. Of
each, the optimum among 1,500 mixtures is judged as scripts/propose.py does it. One row a source: mean probability that
the optimum beats equal weights and the best observed mixture, how many tables have 95 % or more of each, and how many
of those are called beyond noise (the surrogate must also beat the mean). "optimum over best" is the optimum of all runs
as proposals are compared, the others that of a half.

Example:
    python benchmarks/mixing_laws.py --rows 160 --seed 1 --output results/mixing_laws
    python benchmarks/uncertainty.py results/mixing_laws/*.csv --noise --runs 24 --seeds 20
"""

from pathlib import Path

import numpy as np
import pandas as pd
from recorded_tables import Table, read_table

from modomodo import command_line, console
from modomodo.mixtures.acquisition import sample_mixtures
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.surrogates.base import Observations
from modomodo.mixtures.surrogates.calibration import DEFAULT, cross_validated, refit
from modomodo.mixtures.uncertainty import Comparison, best_observed, split_half

CANDIDATES = 1500


def noise(runs: int, seed: int) -> Observations:
    """Scores that say nothing."""
    random = np.random.default_rng(seed)
    names = tuple(f"m{i:03d}" for i in range(runs))
    scores = random.standard_normal((runs, 4))
    weights = random.dirichlet(np.ones(5), runs)
    unknown = np.full(scores.shape, np.nan)
    return Observations(
        weights, scores, unknown, np.ones(runs), names, tuple("abcde"), tuple("wxyz"), np.full(4, 0.25)
    )


def judge(source: str, seen: Observations, surrogate: str, seed: int, count: int) -> dict:
    """What is said of one table."""
    chosen = cross_validated(seen, seed, surrogate)
    candidates = sample_mixtures(
        seen.domains, Constraints(), CANDIDATES, np.random.default_rng(seed), seen.weights
    )
    optimum = candidates[int((chosen.mean(candidates) @ seen.shares).argmax())]
    baselines = {"uniform": np.full(len(seen.domains), 1 / len(seen.domains))}
    baselines["best"] = best_observed(seen)[0].weights
    comparison = Comparison(candidates, optimum, baselines, {"optimum": optimum})
    found = split_half(
        seen, refit(chosen.predictor, chosen.name, seen), comparison, seed, count, chosen.informed
    )
    against = found.over_baselines().set_index("baseline")
    other = found.proposals_over_reference().iloc[0]
    return {
        "table": source,
        "uniform": against.loc["uniform", "probability"],
        "95%": against.loc["uniform", "probability"] >= 0.95,
        "beyond": not against.loc["uniform", "within_noise"],
        "best": against.loc["best", "probability"],
        "95% of best": against.loc["best", "probability"] >= 0.95,
        "optimum over best": other["probability"],
        "95% so": other["probability"] >= 0.95,
        "so beyond": not other["within_noise"],
        "informed": chosen.informed,
    }


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("tables", type=Path, nargs="*", help="CSV tables of recorded runs")
    parser.add_argument("--noise", action="store_true", help="tables of pure noise too")
    parser.add_argument("--lower-is-better", action="store_true", help="the metrics are losses")
    parser.add_argument("--runs", type=int, default=24, help="rows of each table (default 24)")
    parser.add_argument("--seeds", type=int, default=20, help="tables of each source (default 20)")
    parser.add_argument("--surrogate", default=DEFAULT, help=f"default {DEFAULT}")
    parser.add_argument("--replicates", type=int, default=50, help="halves (default 50)")
    arguments = parser.parse_args()
    jobs: list[tuple[str, Table | None, int]] = [
        ("noise", None, seed) for seed in range(arguments.seeds * arguments.noise)
    ]
    for path in arguments.tables:
        table = read_table(path, arguments.lower_is_better)
        jobs += [(path.stem, table, seed) for seed in range(arguments.seeds)]
    rows = []
    for source, runs, seed in console.progress(jobs, "judging"):
        if runs is None:
            seen = noise(arguments.runs, seed)
        else:
            chosen = np.random.default_rng(seed).permutation(len(runs.runs))[: arguments.runs]
            seen = runs.runs.rows(chosen)
        rows.append(judge(source, seen, arguments.surrogate, seed, arguments.replicates))
    frame = pd.DataFrame(rows)
    means = ["uniform", "best", "optimum over best"]
    kinds = {name: "mean" if name in means else "sum" for name in frame if name != "table"}
    print(frame.groupby("table", sort=False).agg(kinds).round(2).to_string())


if __name__ == "__main__":
    command_line.run(main)
