"""The paper's heuristics: alpha, collinearity and leave-one-out (its Algorithms 1 to 3)."""

from typing import Literal

from pydantic import Field

from modomodo.mixtures import algorithms
from modomodo.mixtures.strategies.base import Options, Proposal, Request, _options, _sorted, declare

# --- heuristics -----------------------------------------------------------------------------------------------


class AlphaOptions(Options):
    """Options of `alpha`."""

    alpha: float = Field(
        0.5, ge=0, le=1, description="Weight of In- against Out-Score: 1 A_in, 0 A_out, 0.5 A_bal."
    )
    alpha_single: float = Field(
        0.5, ge=0, le=1, description="Factor on scores of single-domain mixtures. The paper prints no value."
    )


def _weighs_in_score(options: AlphaOptions) -> str:
    return "give it one, or options: {alpha: 0}" if options.alpha > 0 else ""


@declare("alpha", options=AlphaOptions, weighs_in_score=_weighs_in_score)
def alpha(request: Request) -> list[Proposal]:
    """Weights by the scores of the mixtures that have a domain (the paper's Algorithm 1, Heuristic-Alpha)."""
    options = _options(request, AlphaOptions)
    weights = algorithms.alpha(request.records, _sorted(request), options.alpha, options.alpha_single)
    return [Proposal(weights, note=f"alpha {options.alpha:g}, alpha_single {options.alpha_single:g}")]


class CollinearityOptions(Options):
    """Options of `collinearity`."""

    ridge: float = Field(1e-3, gt=0, description="Ridge penalty λ.")


@declare("collinearity", options=CollinearityOptions)
def collinearity(request: Request) -> list[Proposal]:
    """Weights by a ridge regression on which domains take part (Algorithm 2, Heuristic-Collinearity)."""
    options = _options(request, CollinearityOptions)
    weights = algorithms.collinearity(request.records, _sorted(request), options.ridge)
    return [Proposal(weights, note=f"ridge {options.ridge:g}")]


class LeaveOneOutOptions(Options):
    """Options of `leave_one_out`."""

    range_over: Literal["all", "remaining"] = Field(
        "all",
        description="Exclude-one mixtures that set the range: all of the study's, or those of domains that get weight.",
    )


@declare("leave_one_out", options=LeaveOneOutOptions)
def leave_one_out(request: Request) -> list[Proposal]:
    """The lower the score without a domain, the more weight it gets (Algorithm 3, Heuristic-Normalize)."""
    options = _options(request, LeaveOneOutOptions)
    return [
        Proposal(algorithms.leave_one_out(request.records, _sorted(request), range_over=options.range_over))
    ]
