"""The explorer: one HTML file that predicts any mixture's scores, from disk and without a network.

The page evaluates the fitted surrogate itself (`page.js`), from the coefficients that `exported` writes into it: kernel
terms, the eigenvectors of each kernel between the runs, and what the coordinates in them count in mean and variance.
What it shows equals `Predictor.predict` but for rounding.
"""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from modomodo.errors import InputError
from modomodo.mixtures.acquisition import candidates, cma_candidates, pareto_front
from modomodo.mixtures.constraints import Constraints, epoch_caps
from modomodo.mixtures.records import AGGREGATES, Records, last_step, score_column, trained
from modomodo.mixtures.surrogates.base import Objective, objective, observe, surrogates
from modomodo.mixtures.surrogates.calibration import leave_one_mixture_out, summary
from modomodo.mixtures.surrogates.gaussian_processes import (
    ConditionedKernel,
    FittedGroup,
    ProcessPredictor,
)
from modomodo.mixtures.surrogates.kernels import FARTHEST, FLAT, LEVEL, Kernels, KernelTerm, MeanTerm
from modomodo.mixtures.uncertainty import halves
from modomodo.reporting.results import COLOURS, Results, title

EXPORTABLE = ("gp_sqrt", "gp_lead")
HERE = Path(__file__).parent
SEED = 0
POOL = 3000  # mixtures that the Pareto front and the refits' best are taken from
REFITS = 100
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LARGEST = 3_000_000  # numbers in the page: some 30 MB

T = TypeVar("T", KernelTerm, MeanTerm)


@dataclass(frozen=True)
class Surface:
    """A surrogate fitted to every benchmark at once, and what each target is made of."""

    name: str
    predictor: ProcessPredictor
    shares: Mapping[str, np.ndarray]  # target → [predictor.benchmarks]
    quality: Mapping[str, float | None]  # of the main target: leave-one-mixture-out


def fit(records: Records, surrogate: str) -> Surface:
    """Fit the surrogate that the page will evaluate.

    Raises InputError for one that it cannot.
    """
    if surrogate not in EXPORTABLE:
        raise InputError(
            f"reporting.surrogate: the explorer cannot evaluate '{surrogate}': use {' or '.join(EXPORTABLE)}"
        )
    runs = trained(records)
    targets = [t for t in records.targets if runs.frame[score_column(t)].notna().any()]
    aims = {target: objective(records, target) for target in targets}
    names = sorted({name for aim in aims.values() for name in aim.benchmarks})
    even = Objective("all", tuple(names), np.full(len(names), 1 / len(names)))
    predictor = surrogates[surrogate](observe(records, even), SEED)
    assert isinstance(predictor, ProcessPredictor)
    shares = {}
    for target, aim in aims.items():
        whole = np.zeros(len(names))
        whole[[names.index(name) for name in aim.benchmarks]] = aim.shares
        shares[target] = whole
    main = targets[0]
    left = leave_one_mixture_out(observe(records, aims[main]), surrogates[surrogate], SEED)
    row = summary(left).iloc[0]
    quality = {
        name: _number(float(row[name]))
        for name in ("runs", "spearman", "rmse", "rmse_constant", "coverage_80")
    }
    return Surface(surrogate, predictor, shares, quality)


def exported(predictor: ProcessPredictor) -> dict[str, Any]:
    """A fitted process as plain data: kernel terms with their coefficients; `page.js` says what each number is.

    Raises InputError when it is too large for a page.
    """
    size = sum(
        kernel.eigen.vectors.size
        + len(kernel.eigen.values) * len(fitted.group.columns) * int(kernel.used.sum())
        for fitted in predictor.groups
        for kernel in fitted.kernels
    )
    if size > LARGEST:
        raise InputError(
            f"explorer: a page of {size:,} numbers is too large: use reporting.surrogate gp_sqrt, or fewer runs"
        )
    return {
        "domains": list(predictor.domains),
        "benchmarks": list(predictor.benchmarks),
        "center": predictor.scaler.center.tolist(),
        "scale": predictor.scaler.scale.tolist(),
        "correlation": predictor.correlation.tolist(),
        "noise": predictor.noise_variance().tolist(),
        "level": LEVEL,
        "farthest": FARTHEST,
        "groups": [_group(fitted) for fitted in predictor.groups],
    }


def _group(fitted: FittedGroup) -> dict[str, Any]:
    """Terms once each, and the kernels that are weighted sums of them."""
    kernels = fitted.group.kernels
    terms: list[KernelTerm] = []
    mean_terms: list[MeanTerm] = []
    conditioned = [
        {
            "terms": _numbered(kernels.terms(kernel.spec), terms),
            "mean_terms": _numbered(kernels.prior_mean.terms(kernel.spec), mean_terms),
            **_posterior(kernel),
        }
        for kernel in fitted.kernels
    ]
    return {
        "columns": fitted.group.columns.tolist(),
        "runs": kernels.runs.tolist(),
        "terms": [
            {
                "power": term.power,
                "length": term.length,
                "blocks": term.blocks,
                "scale": kernels.scaled(term).scale,
            }
            for term in terms
        ],
        "mean_terms": [_mean_term(kernels, term) for term in mean_terms],
        "kernels": conditioned,
    }


def _posterior(kernel: ConditionedKernel) -> dict[str, Any]:
    """What `ConditionedKernel.posterior` computes with."""
    return {
        "vectors": _packed(kernel.eigen.vectors),  # [run, eigenvector]
        "coefficients": _packed(kernel.rotated_coefficients()[kernel.used]),  # [used, benchmark, eigenvector]
        "weights": kernel.weights[kernel.used].tolist(),  # [used, benchmark]
        "prior": kernel.prior_variance().tolist(),  # [benchmark]
        "explained": kernel.explained().T.tolist(),  # [benchmark, eigenvector]
    }


def _numbered(weighted: list[tuple[T, float]], known: list[T]) -> list[list[float]]:
    """[place in `known`, weight] of each term; terms that are not there yet are added."""
    for term, _ in weighted:
        if term not in known:
            known.append(term)
    return [[known.index(term), weight] for term, weight in weighted]


def _mean_term(kernels: Kernels, term: MeanTerm) -> dict[str, Any]:
    center, spread = kernels.center_and_spread(term)
    # None: it hardly differs between the runs, and says nothing.
    return {
        "power": term.power,
        "domain": term.domain,
        "center": center,
        "spread": spread if spread > FLAT else None,
    }


def _packed(array: np.ndarray) -> str:
    """Float64, little-endian, row by row, in base64."""
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f8").tobytes()).decode()


def best(surface: Surface, target: str, constraints: Constraints) -> dict[str, Any]:
    """The mixture of greatest predicted score, and where the best lies by halves of the mixtures (`certainty.halves`).

    `spread` has, per domain, the quantiles 5, 25, 50, 75 and 95 % of its weight in the halves' best mixtures.
    """
    predictor, shares = surface.predictor, surface.shares[target]
    aim = Objective(target, predictor.benchmarks, shares)
    domains = list(predictor.domains)
    pick = cma_candidates(predictor, aim, domains, constraints, 1, SEED, 0.0)[0]
    pool = np.vstack([pick.weights, _pool(surface, constraints)])
    refits = halves(
        predictor.observations, surrogates[surface.name], shares, pool, pick.weights, {}, SEED, REFITS
    )
    spread = np.quantile(refits.best, QUANTILES, axis=0).T
    return {"weights": pick.weights.tolist(), "mean": pick.mean, "spread": np.round(spread, 4).tolist()}


def front(surface: Surface, constraints: Constraints) -> list[dict[str, list[float]]]:
    """Mixtures that no other beats in both predicted In- and Out-Score, by rising In-Score, with both."""
    pool = _pool(surface, constraints)
    mean = surface.predictor.mean(pool)
    values = np.column_stack([mean @ surface.shares["in_score"], mean @ surface.shares["out_score"]])
    rows = pareto_front(values)[::-1]
    return [{"mixture": pool[i].tolist(), "score": values[i].tolist()} for i in rows]


def _pool(surface: Surface, constraints: Constraints) -> np.ndarray:
    """Mixtures [n, domains] all over what the constraints allow."""
    observed = surface.predictor.observations.weights
    random = np.random.default_rng(SEED)
    return candidates(list(surface.predictor.domains), constraints, POOL, random, observed)


def page_data(
    found: Results,
    study: str,
    surrogate: str,
    constraints: Constraints | None = None,
    runs_dry: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """All that the page shows. `runs_dry`: the weight of a domain above which its examples may not last."""
    surface = fit(found.records, surrogate)
    predictor, limits = surface.predictor, constraints or Constraints()
    targets = [target for target in found.targets() if target in surface.shares]
    both = [name for name in AGGREGATES if name in targets]
    place = [found.records.domains.index(domain) for domain in predictor.domains]
    return {
        "study": study,
        "surrogate": surrogate,
        "quality": surface.quality,
        # Shown in the study's order; the surrogate's is by name.
        "order": [predictor.domains.index(domain) for domain in found.records.domains],
        "colours": [COLOURS[i % len(COLOURS)] for i in place],
        "limits": {
            "minimum": [_least(limits, domain) for domain in predictor.domains],
            "maximum": [_most(limits, domain) for domain in predictor.domains],
            "dry": [(runs_dry or {}).get(domain) for domain in predictor.domains],
        },
        "targets": [
            {
                "name": target,
                "title": title(target),
                "side": target.removesuffix("_score") if target in AGGREGATES else found.sides[target],
                "aggregate": target in AGGREGATES,
                "shares": surface.shares[target].tolist(),
                "base": None if found.base is None else _number(found.base[score_column(target)]),
            }
            for target in targets
        ],
        "runs": _runs(found, list(predictor.domains), targets),
        "groups": found.groups,
        "best": {target: best(surface, target, limits) for target in both or targets[-1:]},
        "front": front(surface, limits) if len(both) == 2 else [],
        "predictor": exported(predictor),
    }


def examples_last(table1: str | Path, domains: Sequence[str], prompts: int) -> dict[str, float]:
    """Domain → the weight above which its examples run out within `prompts` prompts with a chance above 1 %.

    Raises InputError for a table without a column or domain.
    """
    table = pd.read_csv(table1)
    for column in ("dataset", "examples"):
        if column not in table:
            raise InputError(f"{table1}: no column '{column}'")
    sizes = table.groupby("dataset")["examples"].sum().to_dict()
    return epoch_caps(Constraints(epochs=1, sizes=sizes, prompts=prompts), domains)


def _least(limits: Constraints, domain: str) -> float:
    return limits.fixed.get(domain, limits.minimum.get(domain, 0.0))


def _most(limits: Constraints, domain: str) -> float:
    return limits.fixed.get(domain, limits.maximum.get(domain, 1.0))


def _runs(found: Results, domains: Sequence[str], targets: Sequence[str]) -> list[dict[str, Any]]:
    """Every scored run at its last step but the base model's."""
    named = found.mixtures.set_index("mixture")
    frame = last_step(found.records).frame
    frame = frame[frame["mixture"].isin(named.index)]
    repeated = frame["mixture"].duplicated(keep=False)
    rows = []
    for (_, row), again in zip(frame.iterrows(), repeated, strict=True):
        label = named.loc[row["mixture"], "strategy"]
        weights = [_number(row[f"w_{domain}"]) for domain in domains]
        rows.append(
            {
                "label": f"{label} (seed {row['seed']})" if again else label,
                "group": named.loc[row["mixture"], "group"],
                "weights": None if None in weights else weights,
                "scores": [_number(row[score_column(target)]) for target in targets],
                "errors": [_number(row[f"se_{target}"]) for target in targets],
            }
        )
    return rows


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def render(data: Mapping[str, Any]) -> str:
    """The page: template, style, script and data in one."""
    parts = {name: (HERE / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")}
    # "<" never ends the script element it stands in.
    plain = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace(
        "<", "\\u003c"
    )
    page = parts["page.html"].replace("{{study}}", html.escape(str(data["study"])))
    for mark, text in (("css", parts["page.css"]), ("js", parts["page.js"]), ("data", plain)):
        page = page.replace("{{" + mark + "}}", text)
    return page
