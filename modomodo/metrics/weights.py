"""What a reward weighs in the sum."""

from collections.abc import Mapping

from modomodo.config.schema import Training
from modomodo.metrics.metric import metrics

CONTENT, FORM = 2.0, 1.0  # the paper's, of accuracy or IoU and of format


def reward_weight(name: str, given: Mapping[str, float], of_domain: Mapping[str, float] = {}) -> float | None:
    """The weight that the domain gives a reward, or else the study, or its default; None where none is known."""
    for weights in (of_domain, given, Training.model_fields["reward_weights"].default):
        if name in weights:
            return float(weights[name])
    if name in metrics:
        return FORM if metrics[name].form else CONTENT
    return None
