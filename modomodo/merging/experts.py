"""Experts: the checkpoints that single domains trained, and how much of each goes into a mixture.

    merged = base + Σ cᵢ (expertᵢ - base),   cᵢ = α · wᵢ · T / Tᵢ

wᵢ are the mixture's weights, Tᵢ the steps of expert i and T those of the mixture: cᵢ / α is the share of expert
i's prompts that the mixture would see of that domain. Where no stream is exhausted, T = Tᵢ and this is task arithmetic
(Ilharco et al. 2023, arXiv 2212.04089) with the mixture's weights, as in MergeMix (arXiv 2601.17858). α = 1 gives
an expert back as it is; a mixture moves further than the mean of what its parts moved, so α is chosen on trained
mixtures (surrogates/merged.py). The sum itself: modomodo/merging/weights.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modomodo.errors import InputError
from modomodo.files import digest, read_json


@dataclass(frozen=True)
class Expert:
    """The checkpoint that one domain alone trained."""

    domain: str
    directory: Path
    steps: int  # it really took
    exhausted: bool  # its stream ended before the study's last step
    weights: str  # digest


@dataclass(frozen=True)
class Experts:
    """One expert a domain, all trained from one base in one way."""

    base: Path
    base_weights: str  # digest
    by_domain: Mapping[str, Expert]
    step: int  # the scored step whose checkpoints they are
    seed: int

    @property
    def digest(self) -> str:
        """Names base and experts by their weights."""
        return digest({domain: expert.weights for domain, expert in self.by_domain.items()})

    def steps_of(self, weights: Mapping[str, float]) -> float:
        """Expected steps of a mixture: its stream ends with the first domain that is exhausted."""
        ends = [
            expert.steps / weights[domain]
            for domain, expert in self.by_domain.items()
            if expert.exhausted and weights.get(domain, 0) > 0
        ]
        return min([float(self.step), *ends])

    def coefficients(self, weights: Mapping[str, float], alpha: float) -> dict[str, float]:
        """How much of each expert's movement goes into a mixture, domains without weight left out.

        Raises InputError for a domain that has weight and no expert.
        """
        missing = [
            domain for domain, weight in weights.items() if weight > 0 and domain not in self.by_domain
        ]
        if missing:
            raise InputError(
                f"no expert of domain '{missing[0]}': train the mixture that has all weight on it"
            )
        steps = self.steps_of(weights)
        return {
            domain: alpha * weights[domain] * steps / expert.steps
            for domain, expert in self.by_domain.items()
            if weights.get(domain, 0) > 0
        }


def read_experts(base: Path, base_weights: str, runs: Sequence[Path], step: int | None = None) -> Experts:
    """The experts of some domains. `runs`: a run.json each; `step`: the scored step, the last if None.

    Raises InputError when one has another base, version, settings, seed or step than the first, or is a run of several
    domains, and for two of one domain.
    """
    found: dict[str, Expert] = {}
    first: tuple[Path, dict[str, Any]] | None = None
    for path in runs:
        run = read_json(path)
        if run["base"] != base_weights:
            raise InputError(f"{path}: trained from another base than {base}: give the base it started from")
        domains = [name for name, weight in run["stream"]["requested"].items() if weight > 0]
        if len(domains) != 1:
            raise InputError(
                f"{path}: a run of {', '.join(sorted(domains))}: an expert is a run of one domain"
            )
        if domains[0] in found:
            raise InputError(f"{path}: a second expert of '{domains[0]}': give one a domain")
        shared = {
            "cache_version": run["cache_version"],
            "seed": run["seed"],
            # The rewards are those of the domain.
            "settings": {key: value for key, value in run["settings"].items() if key != "rewards"},
        }
        first = first or (path, shared)
        for key, value in shared.items():
            if value != first[1][key]:
                raise InputError(
                    f"{path}: {key} differs from that of {first[0]}: experts share all but the data"
                )
        if step is None:
            step = max(map(int, run["checkpoints"]))
        checkpoint = run["checkpoints"].get(str(step))
        if checkpoint is None:
            raise InputError(f"{path}: no checkpoint of step {step}, it has {', '.join(run['checkpoints'])}")
        directory = path.parent / checkpoint["path"]
        if not directory.is_dir():
            raise InputError(f"{directory}: checkpoint is gone: delete {path} to train it again")
        exhausted = run["stream"]["exhausted"]
        is_exhausted = exhausted is not None and exhausted["step"] <= checkpoint["step"]
        found[domains[0]] = Expert(
            domains[0], directory, checkpoint["step"], is_exhausted, checkpoint["weights"]
        )
    if first is None or step is None:
        raise InputError("no experts: give the run.json of each domain's single")
    return Experts(base, base_weights, dict(sorted(found.items())), step, first[1]["seed"])
