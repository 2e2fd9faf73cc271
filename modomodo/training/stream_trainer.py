"""TRL's GRPO trainer with what it lacks: mixed rows, a check of its own probabilities, a resume that restores all."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from transformers import PreTrainedModel
from trl import GRPOTrainer
from trl.data_utils import prepare_multimodal_messages

from modomodo.training.adapters import drops_out, is_adapted, load_adapter, without_adapter
from modomodo.training.families import family_of
from modomodo.training.groups import step_counts, teaching
from modomodo.training.models import load_model, own_generation_settings
from modomodo.training.processors import tokenizer_of
from modomodo.training.self_check import Rollout, check_agreement
from modomodo.training.vision import drop_absent_images, image_placeholder, vision_cache_kept


class StreamTrainer(GRPOTrainer):
    """TRL's trainer with the repairs that image-text models, and rows with and without images, need."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for model in filter(None, (self.model, self.ref_model)):
            drop_absent_images(without_adapter(self.accelerator.unwrap_model(model)))
        # With dropout, which rollouts have too, no two probabilities agree.
        self._checks = not self.use_vllm and not drops_out(self.model)
        self._checked: set[bool] = set()
        self._rollout: Rollout | None = None
        self._replaced: list[int] = []  # completions that are no longer those of the rollout

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        # TRL gives a row without images None where another row has some. Processors take an empty list, but no None.
        *rest, images, tool_images = super()._generate(prompts)
        return *rest, images and [of_one or [] for of_one in images], tool_images

    def _get_per_token_logps_and_entropies(
        self, *arguments: Any, batch_num_images: Any = None, **options: Any
    ) -> Any:
        # What LLaVA-OneVision's processor says of each row, and TRL has no argument for: one image a row is assumed.
        return super()._get_per_token_logps_and_entropies(*arguments, **options)

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        tokenized = super()._tokenize_prompts(prompts)
        if self.use_vllm and self.vllm_mode == "colocate":
            self._unexpanded = self._tokens_as_written(prompts, tokenized[0])
        return tokenized

    def _tokens_as_written(self, prompts: list[Any], expanded: list[list[int]]) -> list[list[int]]:
        """The prompts before a processor put a placeholder for each patch of an image, with marks around them."""
        placeholder = image_placeholder(self.model)
        if family_of(self.model.config.model_type).placeholder_runs:
            return [one_placeholder_per_image(tokens, placeholder) for tokens in expanded]
        if placeholder is None:
            return expanded
        prompts = [prepare_multimodal_messages(prompt) for prompt in prompts]
        texts = self.processing_class.apply_chat_template(prompts, tokenize=False, add_generation_prompt=True)
        tokenizer = tokenizer_of(self.processing_class)
        return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, *arguments: Any, **options: Any
    ) -> Any:
        # TRL hands over expanded prompts, and vLLM expands what it gets once more: the completions would answer other
        # prompts than those trained on. TRL's server path undoes it.
        if self.use_vllm and self.vllm_mode == "colocate":
            prompt_ids = self._unexpanded
        with own_generation_settings(self._inner_model()), self._watched(images is not None):
            return super()._generate_single_turn(prompt_ids, images, *arguments, **options)

    @contextmanager
    def _watched(self, has_images: bool) -> Iterator[None]:
        """Note the probabilities of the first completions of this process, for the self-check.

        So for the first ones with images where the first of all had none. Of several processes all check at the same
        step: their models may be in parts.
        """
        kind = has_images and self.accelerator.num_processes == 1
        if not self._checks or kind in self._checked or (self._checked and not kind):
            yield
            return
        self._checked.add(kind)
        self._rollout = Rollout(self.temperature)
        with self._rollout.watch(self._inner_model()):
            yield

    def _inner_model(self) -> PreTrainedModel:
        return without_adapter(self.accelerator.unwrap_model(self.model))

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        self._count_groups(gather_object([row["dataset"] for row in inputs])[:: self.num_generations])
        if self._rollout is not None:
            self._check(self._rollout, output)
            self._rollout = None
        return output

    def _calculate_rewards(self, *arguments: Any) -> torch.Tensor:
        rewards = super()._calculate_rewards(*arguments)
        self._rewards = rewards.cpu().numpy()  # of all processes
        return rewards

    def _count_groups(self, domains: Sequence[str]) -> None:
        """Log what the rewards say of each prompt of the step, whose domain is given."""
        taught = teaching(
            self._rewards,
            self.reward_weights.tolist(),
            self.num_generations,
            self.multi_objective_aggregation == "normalize_then_sum",
        )
        for name, value in step_counts(domains, taught).items():
            self._metrics["train"][name].append(value)

    def _check(self, rollout: Rollout, batch: Mapping[str, Any]) -> None:
        """Raises InputError when training sees other prompts than the rollout did. Leaves no trace in what follows."""
        model = self._inner_model()
        completions, mask = batch["completion_ids"], batch["completion_mask"]
        forward = inspect.signature(super()._get_per_token_logps_and_entropies).parameters
        shown = {name: value for name, value in batch.items() if name in forward}
        training = model.training
        model.eval()
        devices = [self.accelerator.device] if self.accelerator.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices), vision_cache_kept(model):
            log_probabilities, *_ = self._get_per_token_logps_and_entropies(
                self.model,
                torch.cat([batch["prompt_ids"], completions], dim=1),
                torch.cat([batch["prompt_mask"], mask], dim=1),
                completions.size(1),
                batch_size=self.args.per_device_train_batch_size,
                **shown,
            )
        model.train(training)
        exact = model.dtype == torch.float32 and not self.args.bf16
        rolled = rollout.log_probabilities(completions)
        width = rolled.shape[1]
        compared = mask[:, :width].clone()
        compared[self._replaced] = 0
        check_agreement(rolled, log_probabilities[:, :width], compared, exact, model.config.model_type)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        # Many families (Qwen2-VL, InternVL, Gemma 3, LLaVA) are saved under older parameter names than the module has,
        # and the trainer's own load, which is not strict, then restores little or nothing, without a word.
        # FSDP's files hold the module's own names, and the accelerator puts them in place.
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        target = self.model if model is None else model
        if is_adapted(target):
            load_adapter(target, Path(resume_from_checkpoint))
            return
        saved = load_model(Path(resume_from_checkpoint), str(target.dtype).removeprefix("torch."))
        target.load_state_dict(saved.state_dict(), strict=True)


def one_placeholder_per_image(tokens: Sequence[int], placeholder: int | None) -> list[int]:
    """The tokens with each run of image placeholders cut down to one."""
    return [
        token
        for i, token in enumerate(tokens)
        if token != placeholder or i == 0 or tokens[i - 1] != placeholder
    ]
