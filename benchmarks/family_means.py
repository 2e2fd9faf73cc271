"""Figures by family: means with standard errors, the noise ceiling, and what the other families would have chosen.

Each table weighs the same in its family, and each family the same in the mean over families. Standard errors are over
choices of runs: one seed chooses runs in every table and for every surrogate, so the mean over tables is one figure a
seed, and a difference of two surrogates is taken seed by seed (paired). They say how far other choices of runs from the
same tables would move a figure, nothing of other tables.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from ranking import COVERAGES, FIGURES
from recorded_tables import Table

from modomodo.mixtures.surrogates.calibration import DEFAULT

MEAN = "mean"  # of the families, in the column `family`
GROUP = ["family", "runs", "surrogate"]
UNIT = ["composite_spearman", "metric_spearman"]


def by_seed(ranks: pd.DataFrame) -> pd.DataFrame:
    """A row a (family, runs, surrogate, seed), the tables averaged; from two families on also of their mean."""
    values = [*FIGURES, *COVERAGES]
    families = ranks.groupby([*GROUP, "seed"], sort=False)[values].mean().reset_index()
    if families["family"].nunique() < 2:
        return families
    mean = families.groupby([*GROUP[1:], "seed"], sort=False)[values].mean().reset_index()
    return pd.concat([families, mean.assign(family=MEAN)], ignore_index=True)


def family_means(ranks: pd.DataFrame, tables: Sequence[Table]) -> pd.DataFrame:
    """A row a (family, runs, surrogate), and of the mean over families.

    Columns: of each figure its mean, `_se` and, where the default was compared, `_ahead` of it with `_ahead_se`, which
    is positive where the surrogate does better than the default; `composite_ceiling` and `metric_ceiling`, NaN where a
    table of the family has none; the coverages.
    """
    seeds = by_seed(ranks).set_index([*GROUP, "seed"])
    grouped = seeds.groupby(GROUP, sort=False)
    means = grouped[[*FIGURES, *COVERAGES]].mean()
    errors = grouped[FIGURES].agg(standard_error)
    ahead = _ahead(seeds)
    columns: dict[str, pd.Series] = {}
    for figure in FIGURES:
        columns |= {figure: means[figure], f"{figure}_se": errors[figure]}
        if ahead is not None:
            differences = ahead[figure].groupby(GROUP, sort=False)
            columns |= {
                f"{figure}_ahead": differences.mean(),
                f"{figure}_ahead_se": differences.agg(standard_error),
            }
    found = pd.DataFrame(columns).join(means[COVERAGES]).reset_index()
    ceilings = family_ceilings(tables)
    for name in ceilings:
        found[name] = found["family"].map(ceilings[name])
    return found


def _ahead(seeds: pd.DataFrame) -> pd.DataFrame | None:
    """By how much each is better than the default on the same choice of runs; None where it was not compared."""
    if DEFAULT not in seeds.index.get_level_values("surrogate"):
        return None
    default = seeds.xs(DEFAULT, level="surrogate")[FIGURES]
    keys = seeds.index.droplevel("surrogate")
    ahead = seeds[FIGURES] - default.reindex(keys).to_numpy()
    regrets = [figure for figure in FIGURES if figure not in UNIT]
    return ahead.assign(**{figure: -ahead[figure] for figure in regrets})


def standard_error(values: pd.Series) -> float:
    """Of the mean over choices of runs; NaN for a single one."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def family_ceilings(tables: Sequence[Table]) -> pd.DataFrame:
    """Mean over the tables of each family, and over families: index family; NaN where one of them has none."""
    rows = [
        {
            "family": table.family,
            "composite_ceiling": table.ceiling.composite,
            "metric_ceiling": table.ceiling.metric,
        }
        for table in tables
    ]
    families = pd.DataFrame(rows).groupby("family", sort=False).agg(lambda column: column.mean(skipna=False))
    if len(families) > 1:
        families.loc[MEAN] = families.mean(skipna=False)
    return families


def leave_one_family_out(means: pd.DataFrame) -> pd.DataFrame:
    """What each family would have got from the others' choice, without hindsight.

    In every other family and at every number of runs the surrogates are ranked by composite Spearman, 1 the best; the
    least mean rank is chosen, of equal ones that of the greatest mean Spearman. A row a (family, surrogate), the best
    rank first: family, surrogate, rank_elsewhere, spearman_elsewhere, chosen. Empty with fewer than two families.
    """
    families = means[means["family"] != MEAN]
    figures = families.pivot_table(
        index=["family", "runs"], columns="surrogate", values="composite_spearman", sort=False
    )
    places = figures.rank(axis=1, ascending=False)
    names = list(dict.fromkeys(families["family"]))
    columns = ["family", "surrogate", "rank_elsewhere", "spearman_elsewhere", "chosen"]
    rows = []
    for family in names if len(names) > 1 else []:
        elsewhere = figures.index.get_level_values("family") != family
        table = pd.DataFrame(
            {
                "rank_elsewhere": places[elsewhere].mean(),
                "spearman_elsewhere": figures[elsewhere].groupby(level="family").mean().mean(),
            }
        )
        table = table.sort_values(["rank_elsewhere", "spearman_elsewhere"], ascending=[True, False])
        table = table.rename_axis("surrogate").reset_index().assign(family=family)
        rows.append(table.assign(chosen=[place == 0 for place in range(len(table))]))
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def figures_left_out(means: pd.DataFrame, choices: pd.DataFrame) -> pd.DataFrame:
    """In each family: what the others chose, beside what is best there with hindsight; a row a (family, runs)."""
    keys = ["family", "runs"]
    columns = [*keys, "surrogate", *FIGURES]
    chosen = means[columns].merge(choices.loc[choices["chosen"], ["family", "surrogate"]])
    families = means[means["family"] != MEAN]
    best = families.loc[families.groupby(keys, sort=False)["composite_spearman"].idxmax(), columns[:4]]
    best = best.rename(columns={"surrogate": "hindsight", "composite_spearman": "hindsight_spearman"})
    return chosen.rename(columns={"surrogate": "chosen"}).merge(best, on=keys, sort=False)
