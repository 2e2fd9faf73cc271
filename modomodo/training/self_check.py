"""Whether training sees the prompts as the rollouts did: the first completions' log-probabilities, by both.

TRL makes a prompt's tensors twice, once to generate and once to train. Where the two differ, by padding, a token that
begins the text twice, a template, an image more, it trains on wrong probabilities without an error.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from modomodo.errors import InputError

# Of one token, in nats. Computed twice in float32 they differ by 3e-6; one place off in Gemma 3's token types, the
# smallest fault that was seen, by 0.06.
MOST_FLOAT32 = 1e-3
# Their mean, where anything is rounded to bfloat16: 0.01 in tiny models, of one token 0.09; more layers round more.
MEAN_BFLOAT16 = 0.05


class Rollout:
    """The log-probabilities of the tokens that a model generates, [completions, tokens], as they are sampled."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self._sampled: list[torch.Tensor] = []
        self._next: torch.Tensor | None = None  # of all tokens at the last place, [completions, vocabulary]

    def _note(self, model: torch.nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
        if self._next is not None:  # the token that was sampled from it comes in now
            self._sampled.append(self._next.gather(-1, kwargs["input_ids"][:, -1:]))
        self._next = (output.logits[:, -1].float() / self.temperature).log_softmax(-1)

    @contextmanager
    def watch(self, model: PreTrainedModel) -> Iterator[None]:
        """Note what the model generates meanwhile."""
        hook = model.register_forward_hook(self._note, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def log_probabilities(self, completions: torch.Tensor) -> torch.Tensor:
        """Of these generated tokens, [completions, tokens]: none comes in after the last, which is read off them."""
        assert self._next is not None, "nothing was generated"
        sampled = [*self._sampled]
        if completions.shape[1] > len(sampled):
            sampled.append(self._next.gather(-1, completions[:, len(sampled) : len(sampled) + 1]))
        return torch.cat(sampled, dim=1)[:, : completions.shape[1]]


def check_agreement(
    rolled: torch.Tensor, trained: torch.Tensor, mask: torch.Tensor, exact: bool, kind: str
) -> None:
    """Raises InputError when the log-probabilities of the same tokens, [completions, tokens], are not the same.

    `mask` is 0 behind a completion's end; `exact` says that both were computed in float32. `kind` is the model's.
    """
    wanted = mask.bool()
    difference = (rolled - trained).abs()[wanted]
    if not len(difference):
        return
    largest, mean = difference.max().item(), difference.mean().item()
    # Not (… <= …): NaN agrees with nothing.
    if not (largest <= MOST_FLOAT32 if exact else mean <= MEAN_BFLOAT16):
        what = f"{largest:.3g} for one token" if exact else f"{mean:.3g} in the mean"
        raise InputError(
            "self-check: training sees other prompts than the rollouts do: the log-probabilities of the first "
            f"completions differ by {what}: {kind}'s processor or chat template does not fit the installed TRL "
            "(docs/models.md)"
        )
