"""The README.md of an exported model, as the Hugging Face hub shows it; its text is `report/model_card.md.jinja`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modomodo.console import HOUR, digits, with_error
from modomodo.mixtures.records import AGGREGATES, BASE, last_step, score_column
from modomodo.reporting.differences import BEYOND_NOISE, Difference
from modomodo.reporting.report import PACKAGES
from modomodo.reporting.results import Results, title
from modomodo.reporting.settings import ExportSettings
from modomodo.reporting.templates import render_template
from modomodo.reporting.training_logs import training_seconds
from modomodo.reporting.winner import NARROW, elsewhere, winner_of


@dataclass(frozen=True)
class Exported:
    """The checkpoint that is exported: of `run`, the contents of its run.json, at its last scored step.

    `weights` is the digest of the exported safetensors files, `takes_images` whether its base does.
    """

    run: Mapping[str, Any]
    step: int
    weights: str
    takes_images: bool


def best_mixture(found: Results) -> str | None:
    """The mixture with the best score of the results' target; None where nothing was scored."""
    scores = found.mixtures.set_index("mixture")[score_column(found.target)].dropna()
    return None if scores.empty else str(scores.idxmax())


def model_card(
    settings: ExportSettings, found: Results, mixture: str, exported: Exported, examples: Mapping[str, int]
) -> str:
    """The page. `examples`: dataset → its number of examples.

    Scores are the mixture's in Table 2, the mean over its seeds, with the standard errors of paired differences.
    """
    row = found.mixtures.set_index("mixture").loc[mixture]
    uniform = [found.mixtures.iloc[place]["mixture"] for place in found.places("all")]
    others = ([BASE] if found.base is not None else []) + [name for name in uniform[:1] if name != mixture]
    run = exported.run
    weights = {domain: float(row[f"w_{domain}"]) for domain in found.records.domains}
    winner = winner_of(found, found.target)
    return render_template(
        "model_card.md",
        settings=settings,
        mixture=mixture,
        label=row["strategy"],
        exported=exported,
        run=run,
        target=title(found.target),
        best=best_mixture(found) == mixture,
        mixtures=len(found.mixtures),
        seeds=int(row["seeds"]),
        winner=winner if best_mixture(found) == mixture else None,
        elsewhere=elsewhere(found, found.target) if best_mixture(found) == mixture else None,
        beyond_noise=BEYOND_NOISE,
        paired=found.differences.questions is not None,
        weights=[
            (
                domain,
                f"{weight:.3f}",
                f"{run['stream']['realised'].get(domain, 0.0):.3f}",
                _count(examples.get(domain)),
            )
            for domain, weight in weights.items()
        ],
        others=[f"ahead of {'the base' if name == BASE else 'equal weights'}" for name in others],
        scores=[_scores(settings, found, mixture, others, target) for target in found.targets()],
        own=_own_scores(found, mixture, run),
        sources=[
            (source.dataset, source.role, source.repo or source.loader, source.revision, source.licence)
            for source in settings.sources
        ],
        repositories=sorted({source.repo for source in settings.sources if source.repo}),
        versions=[f"{name} {run['versions'][name]}" for name in PACKAGES if run["versions"].get(name)],
        hours=training_seconds(run) / HOUR,
        changed=sorted(settings.training.changed().items()),
    )


def _scores(
    settings: ExportSettings, found: Results, mixture: str, others: Sequence[str], target: str
) -> tuple[str, ...]:
    """A row of the table of scores: the mixture's, and how far it is ahead of others."""
    row = found.mixtures.set_index("mixture").loc[mixture]
    score, error = row[score_column(target)], row[f"se_{target}"]
    metric = settings.metrics.get(target, "")
    leads = (found.differences.between(mixture, other, target) for other in others)
    return title(target), found.sides.get(target, ""), metric, _number(score, error), *map(_lead, leads)


def _own_scores(found: Results, mixture: str, run: Mapping[str, Any]) -> dict[str, str]:
    """What the exported run itself scored, where the table shows the mean over several."""
    frame = last_step(found.records).frame
    row = frame[(frame["mixture"] == mixture) & (frame["seed"] == run["seed"])]
    return {
        title(name): f"{row.iloc[0][name]:.{digits([row.iloc[0][f'se_{name}']])}f}"
        for name in AGGREGATES
        if len(row) and name in row
    }


def _number(score: float, error: float) -> str:
    if not np.isfinite(score):
        return "–"
    return with_error(score, error, NARROW)


def _lead(lead: Difference) -> str:
    if not np.isfinite(lead.gap):
        return "–"
    return with_error(lead.gap, lead.standard_error, NARROW, "+")


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"
