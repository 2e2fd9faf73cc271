"""What happens between the steps of a training: checkpoints that are scored or resumed from, log, end, progress."""

import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainerCallback

from modomodo.console import progress_line
from modomodo.files import atomic_directory, write_jsonl
from modomodo.training.adapters import is_adapted, save_adapter
from modomodo.training.groups import with_shares
from modomodo.training.live_stream import LiveRows
from modomodo.training.models import copy_beside_weights
from modomodo.training.resume import complete_checkpoint
from modomodo.training.run_folder import names_of_steps

# What differs between two equal runs does not belong in their log; run.json has the durations.
VOLATILE = {"step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second"}


class SeedServer(TrainerCallback):
    """Gives the vLLM server each step's own seed, so that a resumed run is answered as if it had never stopped."""

    def __init__(self, request: dict[str, Any], seed: int) -> None:
        self.request = request
        self.seed = seed

    def on_step_begin(self, args, state, control, **kwargs):
        # vLLM counts on from it, one for each completion of a group.
        self.request["seed"] = (self.seed * 1_000_000 + state.global_step) * 1000


class KeepScored(TrainerCallback):
    """Keeps the checkpoints that will be scored, the log, and what a live stream noted, as they come.

    `checkpoint_steps`: scored step → the step that its checkpoint is of, as far as that is known.
    """

    def __init__(
        self,
        folder: Path,
        base: Path,
        checkpoint_steps: Callable[[], Mapping[int, int]],
        live: LiveRows | None = None,
    ) -> None:
        self.folder = folder
        self.base = base
        self.checkpoint_steps = checkpoint_steps
        self.live = live
        # Gives the whole weights where all processes ask for them.
        self.gather: Callable[[], dict[str, torch.Tensor]] | None = None

    def on_step_end(self, args, state, control, model=None, **kwargs):
        # The first scored step of a step names its directory; link_shared_checkpoints gives it its other names.
        name = names_of_steps(self.checkpoint_steps()).get(state.global_step)
        if name is None:
            return
        weights = self.gather() if self.gather else None  # of which each process may hold a part
        if not state.is_world_process_zero:
            return
        with atomic_directory(self.folder / f"checkpoint-{name}") as directory:
            if is_adapted(model):
                save_adapter(model, directory, self.base, weights)
            else:
                model.save_pretrained(directory, state_dict=weights)
            copy_beside_weights(self.base, directory)

    def on_save(self, args, state, control, **kwargs):
        PartialState().wait_for_everyone()  # each process writes its random state into the checkpoint
        if state.is_world_process_zero:
            write_log(self.folder, state.log_history)
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if self.live:
                self.live.save(checkpoint)
            complete_checkpoint(checkpoint)


class StopAt(TrainerCallback):
    """Ends the training with the stream, which may be before the schedule does; `last_step` as far as it is known.

    `iterations`: of a run that may go on, which is saved then; but not between steps that learn from the same
    completions.
    """

    def __init__(self, last_step: Callable[[], int], iterations: int | None = None) -> None:
        self.last_step = last_step
        self.iterations = iterations

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= self.last_step():
            control.should_training_stop = True
            if self.iterations and state.global_step % self.iterations == 0:
                control.should_save = True


class SaveOnSignal(TrainerCallback):
    """On SIGTERM (time limit, preemption, `scancel`): save after the current step, and stop.

    A trainer's state is complete only between two steps. All processes of a run stop at the same one.
    """

    def __init__(self, last_step: Callable[[], int], iterations: int = 1) -> None:
        self.last_step = last_step
        self.iterations = (
            iterations  # steps that learn from the same completions, which a checkpoint does not hold
        )
        self.received = False
        self.stopped_at: int | None = None
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, *_: object) -> None:
        self.received = True

    def on_step_end(self, args, state, control, **kwargs):
        received = torch.tensor(float(self.received), device=args.device)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX)
        between = state.global_step % self.iterations
        if received.item() and not between and state.global_step < self.last_step():  # else it is done anyway
            self.stopped_at = state.global_step
            control.should_save = control.should_training_stop = True


class Progress(TrainerCallback):
    """One calm bar in a terminal, a plain line now and then elsewhere.

    Reward and KL are means of the last ten steps: of two prompts a step they are noisy.
    """

    def __init__(self, last_step: int, every: float = 15.0) -> None:
        self.last_step = last_step
        self.every = every
        self.bar: Any = None
        self.recent: deque[tuple[float, float]] = deque(maxlen=10)

    def on_train_begin(self, args, state, control, **kwargs):
        self.first = state.global_step
        self.start = self.printed = time.monotonic()
        if sys.stderr.isatty() and state.is_world_process_zero:
            from tqdm import tqdm

            self.bar = tqdm(total=self.last_step, initial=self.first, desc="train")

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not logs or "reward" not in logs or not state.is_world_process_zero:
            return
        self.recent.append((logs["reward"], logs.get("kl") or 0.0))
        reward, divergence = (sum(part) / len(self.recent) for part in zip(*self.recent, strict=True))
        values = f"reward {reward:.2f}, KL {divergence:.3f}"
        now = time.monotonic()
        if self.bar is not None:
            self.bar.set_postfix_str(values, refresh=False)
            self.bar.update(state.global_step - self.bar.n)
        elif now - self.printed >= self.every:
            self.printed = now
            done = state.global_step - self.first
            line = progress_line("train", done, self.last_step - self.first, now - self.start)
            print(f"{line}, {values}", file=sys.stderr, flush=True)

    def on_train_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.close()


def write_log(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """`log.jsonl`: a line a step with loss, reward (in all and by domain), KL, lengths, clipped share and mixtures."""
    steps = (
        entry for entry in history if "reward" in entry or "loss" in entry
    )  # no reward: of earlier completions
    rows = (
        {"step": row["step"], **{k: v for k, v in sorted(row.items()) if k not in VOLATILE | {"step"}}}
        for row in with_shares(steps)
    )
    write_jsonl(folder / "log.jsonl", rows)
