"""The explorer: one HTML file that predicts any mixture's scores, from disk and without a network.

The page evaluates the fitted surrogate itself (`surrogate.js`), from what `exported` writes into it: the runs, the
terms of each kernel, and what each hypothesis counts. It computes and solves the kernels between the runs, which would
be most of its bytes. What it shows equals `Predictor.predict` but for rounding.
"""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from modomodo.errors import InputError
from modomodo.mixtures.acquisition import CmaSearch, cma_candidates, pareto_front, sample_mixtures
from modomodo.mixtures.constraints import Constraints, epoch_caps, without
from modomodo.mixtures.records import AGGREGATES, Records, last_step, score_column
from modomodo.mixtures.surrogates.base import Objective, objective, observe, surrogates
from modomodo.mixtures.surrogates.calibration import leave_one_mixture_out, refit, summary
from modomodo.mixtures.surrogates.gaussian_processes import FittedGroup, ProcessPredictor
from modomodo.mixtures.surrogates.kernels import FARTHEST, FLAT, LEVEL, Kernels, KernelTerm, MeanTerm
from modomodo.mixtures.surrogates.posterior import SIGNALS, VARIANCES, ConditionedKernel, noise_share
from modomodo.mixtures.uncertainty import half_means
from modomodo.reporting.differences import near_best
from modomodo.reporting.effects import NEAR, POINTS, STEP
from modomodo.reporting.questions import QuestionScores
from modomodo.reporting.results import COLOURS, Results
from modomodo.reporting.settings import EXPLORER_SCRIPTS, group_title
from modomodo.reporting.surface import SEED, Surface, fit
from modomodo.reporting.tables import came_to
from modomodo.reporting.verdict import Verdict, verdict_of
from modomodo.reporting.wording import as_yaml, headed, untimed, words

HERE = Path(__file__).parent
PARTS = {".html", ".css", ".js"}
CANDIDATES = 3000  # mixtures that the Pareto front and the refits' best are taken from
REFITS = 100
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LARGEST = 3_000_000_000  # runs³ summed over kernels, which the page solves when it opens: a few seconds
COUNTS = (
    1e-11  # weight from which on a hypothesis, signal share and variance can be seen in a number of the page
)

T = TypeVar("T", KernelTerm, MeanTerm)


def quality(records: Records, surrogate: str, target: str) -> dict[str, float | None]:
    """How well the surrogate predicts the target of mixtures that it was not shown, over all runs."""
    # The page evaluates processes alone, not what cheaper runs add to them.
    observations = observe(replace(records, fidelities={}), objective(records, target))
    row = summary(leave_one_mixture_out(observations, surrogates[surrogate], SEED)).iloc[0]
    names = ("runs", "spearman", "rmse", "rmse_constant", "coverage_80")
    return {name: _number(float(row[name])) for name in names}


def exported(predictor: ProcessPredictor) -> dict[str, Any]:
    """A fitted process as plain data: runs, kernel terms and weights; `surrogate.js` says what each number is.

    Raises InputError when it is too large for a page.
    """
    size = sum(len(kernel.eigen.values) ** 3 for fitted in predictor.groups for kernel in fitted.kernels)
    if size > LARGEST:
        runs = max(len(fitted.group.rows) for fitted in predictor.groups)
        kernels = sum(len(fitted.kernels) for fitted in predictor.groups)
        raise InputError(
            f"explorer: {runs:,} runs under {kernels} kernels are too many for a page: use reporting.surrogate "
            "gp_sqrt, or fewer runs"
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
    """Terms once each, the kernels that are weighted sums of them, and what their hypotheses expected."""
    kernels = fitted.group.kernels
    terms: list[KernelTerm] = []
    mean_terms: list[MeanTerm] = []
    conditioned = [
        {
            "terms": _numbered(kernels.terms(kernel.covariance), terms),
            "mean_terms": [_numbered(spec.mean_terms(), mean_terms) for spec in kernel.specs],
            **_posterior(kernel),
        }
        for kernel in fitted.kernels
    ]
    return {
        "columns": fitted.group.columns.tolist(),
        "runs": kernels.runs.tolist(),
        "roots": (1 / np.sqrt(fitted.group.noise)).tolist(),  # [run], of its relative noise
        "scores": fitted.group.scores.T.tolist(),  # [benchmark][run], standardised
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
        "pairs": _pairs(fitted.group.floor),
        "kernels": conditioned,
    }


def _posterior(kernel: ConditionedKernel) -> dict[str, Any]:
    """What `ConditionedKernel.posterior` computes with, but for what follows from the runs."""
    hypotheses, signals, variances, width = kernel.weights.shape
    weights = kernel.weights.reshape(hypotheses, signals * variances, width)
    weights = np.where(weights > COUNTS, weights, 0.0)
    used = np.argwhere(weights.max(axis=-1) > 0)
    return {
        "used": used.tolist(),  # [hypothesis, pair] of some weight
        "weights": _packed(weights[tuple(used.T)]),  # [used, benchmark]
        "prior": kernel.prior_variance().tolist(),  # [benchmark]
        "peak": kernel.peak,
    }


def _pairs(floor: np.ndarray) -> list[dict[str, Any]]:
    """Each signal share with each variance v, and the noise variance over v [benchmark]."""
    return [
        {"signal": signal, "variance": variance, "noise": noise.tolist()}
        for signal, of_signal in zip(SIGNALS.tolist(), noise_share(floor), strict=True)
        for variance, noise in zip(VARIANCES.tolist(), of_signal, strict=True)
    ]


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


def best(
    surface: Surface,
    targets: Sequence[str],
    constraints: Constraints,
    questions: QuestionScores | None = None,
) -> dict[str, dict[str, Any]]:
    """By target the mixture of greatest predicted score, and where the best lies by halves of the mixtures.

    `spread` has, per domain, the quantiles 5, 25, 50, 75 and 95 % of its weight in the halves' best mixtures; None
    where no halves can tell. With `questions`, errors are those of all runs on the same ones. Domains that no run has
    tried get no weight.
    """
    predictor = surface.predictor
    observations = predictor.observations
    limits = without(constraints, observations.untried)
    search = CmaSearch(list(predictor.domains), limits, SEED)
    found = {
        target: cma_candidates(
            predictor, Objective(target, predictor.benchmarks, surface.shares[target]), search, 1
        )[0]
        for target in targets
    }
    # A half expects the same whatever the target, so all are asked of one set of fits.
    optima = np.array([candidate.weights for candidate in found.values()])
    points = np.vstack([optima, _candidates(surface, constraints)])
    supported = observations.supports(points)
    final = observations.final()
    errors = questions.errors(final.mixtures, final.benchmarks) if questions else None
    fit_again = refit(predictor, surface.name, observations)
    means = [
        mean for both in half_means(observations, fit_again, points, SEED, REFITS, errors) for mean in both
    ]
    return {
        target: {
            "weights": candidate.weights.tolist(),
            "mean": candidate.mean,
            "spread": None
            if surface.undetermined(target)
            else _spread(
                points, [mean @ surface.shares[target] for mean in means], supported, place, len(found)
            ),
        }
        for place, (target, candidate) in enumerate(found.items())
    }


def _spread(
    points: np.ndarray, values: Sequence[np.ndarray], supported: np.ndarray, own: int, optima: int
) -> list[list[float]] | None:
    """Quantiles [domains, 5] of the best of `points` by each half's `values`, the optima of other targets left out."""
    among = supported & ((np.arange(len(points)) == own) | (np.arange(len(points)) >= optima))
    if not values:
        return None
    chosen = [int(np.where(among, value, -np.inf).argmax()) if among.any() else own for value in values]
    return np.round(np.quantile(points[chosen], QUANTILES, axis=0).T, 4).tolist()


def front(surface: Surface, constraints: Constraints) -> list[dict[str, list[float]]]:
    """Mixtures that no other beats in both predicted In- and Out-Score, by rising In-Score, with both."""
    candidates = _candidates(surface, constraints)
    mean = surface.predictor.mean(candidates)
    values = np.column_stack([mean @ surface.shares["in_score"], mean @ surface.shares["out_score"]])
    rows = pareto_front(values)[::-1]
    return [{"mixture": candidates[i].tolist(), "score": values[i].tolist()} for i in rows]


def _candidates(surface: Surface, constraints: Constraints) -> np.ndarray:
    """Mixtures [n, domains] all over what the constraints allow."""
    observations = surface.predictor.observations
    random = np.random.default_rng(SEED)
    limits = without(constraints, observations.untried)
    domains = list(surface.predictor.domains)
    return sample_mixtures(domains, limits, CANDIDATES, random, observations.weights)


def page_data(
    found: Results,
    study: str,
    surrogate: str,
    constraints: Constraints | None = None,
    runs_dry: Mapping[str, float] | None = None,
    verdict: Verdict | None = None,
    proposing: Sequence[str] = (),
    run_pages: str = "",
) -> dict[str, Any]:
    """All that the page shows.

    `runs_dry`: the weight of a domain above which its examples may not last. `verdict`: what the table says, which
    knows the cost of the runs; made from the records without it. `proposing`: surrogates that the study's strategies
    propose by, besides this one. `run_pages`: the file beside the page that has a page for each run.
    """
    verdict = verdict or verdict_of(found, surrogate)
    surface = fit(found.records, surrogate)
    predictor, limits = surface.predictor, constraints or Constraints()
    targets = [target for target in found.targets() if target in surface.shares]
    both = [name for name in AGGREGATES if name in targets]
    aims = [*both, *({found.target} - set(both))]
    optima = best(surface, aims, limits, found.differences.questions)
    place = [found.records.domains.index(domain) for domain in predictor.domains]
    return {
        "study": study,
        "aim": found.target,
        "surrogate": surrogate,
        "proposing": list(proposing),
        "runPages": run_pages,
        "fitted": len(predictor.observations),
        "quality": quality(found.records, surrogate, found.target),
        # Of these nothing is known: they keep weight 0.
        "untried": [predictor.domains.index(domain) for domain in predictor.observations.untried],
        "undetermined": {target: surface.undetermined(target) for target in targets},
        "verdict": {
            "words": words(untimed(verdict)),
            "head": headed(untimed(verdict)),
            "yaml": as_yaml(verdict),
        },
        "start": _start(predictor.domains, verdict, optima[found.target]),
        "slices": {"points": POINTS, "step": STEP, "near": NEAR},
        # Shown in the study's order; the surrogate's is by name.
        "order": [predictor.domains.index(domain) for domain in found.records.domains],
        "colours": [COLOURS[i % len(COLOURS)] for i in place],
        "limits": _limits(limits, predictor.domains, runs_dry or {}),
        "targets": [_target(found, surface, target) for target in targets],
        "runs": _runs(found, list(predictor.domains), targets),
        "online": bool(found.online & set(found.mixtures["mixture"])),
        "stopped": came_to(found.stopped),
        "groups": [group_title(group) for group in found.groups],
        "best": optima,
        "judged": aims,
        "front": front(surface, limits) if len(both) == 2 else [],
        "predictor": exported(predictor),
    }


def _limits(limits: Constraints, domains: Sequence[str], dry: Mapping[str, float]) -> dict[str, Any]:
    """What the sliders are marked with."""
    return {
        "minimum": [_least(limits, domain) for domain in domains],
        "maximum": [_most(limits, domain) for domain in domains],
        "dry": [dry.get(domain) for domain in domains],
    }


def _target(found: Results, surface: Surface, target: str) -> dict[str, Any]:
    return {
        "name": target,
        "title": found.title(target),
        "aggregate": target in {*AGGREGATES, *found.records.aggregates},
        "shares": surface.shares[target].tolist(),
        "base": None if found.base is None else _number(found.base[score_column(target)]),
    }


def _start(domains: Sequence[str], verdict: Verdict, optimum: Mapping[str, Any]) -> list[float]:
    """The mixture that the page opens on: the verdict's, else the best predicted one."""
    if not verdict.weights:
        return list(optimum["weights"])
    return [verdict.weights.get(domain, 0.0) for domain in domains]


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
    shown = found.mixtures["mixture"]
    near = {}
    for target in targets:
        scores = named[score_column(target)]
        best_one = None if scores.isna().all() else str(scores.idxmax())
        compared = [found.differences.between(name, best_one, target) for name in shown] if best_one else []
        near[target] = dict(zip(shown, near_best(compared).tolist(), strict=False))
    frame = last_step(found.records).frame
    frame = frame[frame["mixture"].isin(named.index)]
    repeated = frame["mixture"].duplicated(keep=False)
    rows = []
    for (_, row), again in zip(frame.iterrows(), repeated, strict=True):
        label = named.loc[row["mixture"], "strategy"]
        weights = [_number(row[f"w_{domain}"]) for domain in domains]
        rows.append(
            {
                "mixture": row["mixture"],
                "seed": int(row["seed"]),
                "label": f"{label} (seed {row['seed']})" if again else label,
                "group": group_title(named.loc[row["mixture"], "group"]),
                "weights": None if None in weights else weights,
                "scores": [_number(row[score_column(target)]) for target in targets],
                "errors": [_number(row[f"se_{target}"]) for target in targets],
                "near": [near[target].get(row["mixture"], False) for target in targets],
            }
        )
    return rows


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def render(data: Mapping[str, Any]) -> str:
    """The page: template, style, script and data in one."""
    read = {path.name: path.read_text(encoding="utf-8") for path in HERE.iterdir() if path.suffix in PARTS}
    script = "\n".join(read[f"{name}.js"] for name in EXPLORER_SCRIPTS)
    # "<" never ends the script element it stands in.
    plain = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace(
        "<", "\\u003c"
    )
    page = read["page.html"].replace("{{study}}", html.escape(str(data["study"])))
    for name, text in (("css", read["page.css"]), ("js", script), ("data", plain)):
        page = page.replace("{{" + name + "}}", text)
    return page
