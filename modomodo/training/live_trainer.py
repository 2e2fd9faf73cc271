"""The trainer of a run whose prompts are decided while it trains (live_stream.py).

TRL reads its prompts from a dataset, one batch ahead. So its dataset is only a count of prompts here, and every step's
rows are put in the batch's place when it is their turn, in all processes alike.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from trl.data_utils import prepare_multimodal_messages

from modomodo.training.live_stream import LiveRows
from modomodo.training.stream_trainer import StreamTrainer


class LiveTrainer(StreamTrainer):
    """Trains on the rows that a live stream gives out.

    Where these have tries left, prompts whose answers all earned the same are replaced before anything is learnt:
    dynamic sampling (DAPO, Yu et al. 2025, arXiv:2503.14476, section 3.2), which TRL 1.16 does not have. A replaced
    prompt is one of the same domain, so that what is learnt from keeps the mixture's shares; DAPO has one domain.
    """

    def __init__(self, *arguments: Any, live: LiveRows, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.live = live
        self._completions: tuple[list[list[int]], list[Any] | None] | None = None

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self.live.begin()
        first = self.accelerator.process_index * len(inputs)
        rows = self.live.rows(first, len(inputs))
        if not self.live.max_tries:
            output = super()._generate_and_score_completions(rows)
            self._finish()
            return output
        rows = self._sample(rows, first)
        tokens = self.state.num_input_tokens_seen
        output = super()._generate_and_score_completions(rows)
        self.state.num_input_tokens_seen = tokens  # those of replaced prompts too, and no completion twice
        self._metrics["train"]["num_tokens"] = [tokens]
        self._metrics["train"]["prompts_generated"].append(float(self._finish()))
        return output

    def _finish(self) -> int:
        return self.live.finish(self.live.columns.outcomes(self._rewards, self.live.domains))

    def _sample(self, rows: list[dict[str, Any]], first: int) -> list[dict[str, Any]]:
        """Generate, and again for the prompts that are replaced; the rows to train on, whose completions are kept.

        `first` is the place of this process's rows in the batch of all. Leaves no trace in the log.
        """
        metrics = {name: list(values) for name, values in self._metrics["train"].items()}
        size, checks = self.num_generations, self._checks
        ids: list[list[int]] = [[]] * len(rows)
        texts: list[Any] = [None] * len(rows)
        likelihoods: list[Any] = [None] * len(rows)
        pending, width = list(range(len(rows))), len(rows)
        self._replaced = []
        while True:
            # All processes generate for as many, one with less to replace in vain: they gather what they have.
            asked = [rows[row] for row in pending] + rows[:1] * (width - len(pending))
            generated = self._generate(_conversations(asked))
            for place, row in enumerate(pending):
                ids[row], texts[row] = generated[1][place], generated[3][place]
                likelihoods[row] = generated[4] and generated[4][place]
            self._calculate_rewards(rows, _conversations(rows), texts, ids)
            replaced = self.live.replace(self.live.columns.outcomes(self._rewards, self.live.domains))
            if not replaced:
                break
            self._checks = False  # the first completions are checked, and of them those that stay
            numbers = [
                number - first for group in replaced for number in range(group * size, (group + 1) * size)
            ]
            pending = [number for number in numbers if 0 <= number < len(rows)]
            width = max(Counter((first + number) // len(rows) for number in numbers).values())
            self._replaced = sorted({*self._replaced, *pending})
            rows = self.live.rows(first, len(rows))
        self._checks = checks
        self._pending_metrics.clear()
        self._pending_extra_logs.clear()
        self._metrics["train"].clear()
        self._metrics["train"].update(metrics)
        self._completions = ids, likelihoods if generated[4] is not None else None
        return rows

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, *arguments: Any, **options: Any
    ) -> Any:
        if self._completions is None:
            return super()._generate_single_turn(prompt_ids, images, *arguments, **options)
        kept, self._completions = self._completions, None
        return kept


def _conversations(rows: Sequence[dict[str, Any]]) -> list[Any]:
    """The prompts of rows with their images in them, as TRL makes them of a batch."""
    images = [row.get("images") or [] for row in rows]
    if not any(images):
        return [row["prompt"] for row in rows]
    return [
        prepare_multimodal_messages(row["prompt"], images=of_one)
        for row, of_one in zip(rows, images, strict=True)
    ]
