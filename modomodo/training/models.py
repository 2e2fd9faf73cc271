"""Qwen2-VL from a directory, tiny or 2B, and such a directory from the Hugging Face hub."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoProcessor, GenerationConfig, Qwen2VLForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import ProcessorMixin

from modomodo.error_hints import hint_of
from modomodo.errors import InputError
from modomodo.files import atomic_directory
from modomodo.training.model_directory import (
    MERGE_ADAPTER,
    PEFT_PREFIX,
    check_hub_options,
    check_kind,
    has_weights,
)


class Qwen2VLProcessor(transformers.Qwen2VLProcessor):
    """transformers' Qwen2VLProcessor without its video processor, the one part that needs torchvision.

    What it saves loads as transformers' own where torchvision is installed, and in vLLM. It has the same name because
    transformers writes the class's name into the directory as `processor_class`, by which readers find the class.
    """

    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **kwargs) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def save_pretrained(self, save_directory, push_to_hub: bool = False, **kwargs) -> None:
        """Besides the processor's own files, image and video settings in files of their own (for vLLM)."""
        super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        image = self.image_processor.to_dict() | {"processor_class": "Qwen2VLProcessor"}
        image["image_processor_type"] = "Qwen2VLImageProcessor"
        shared = ("patch_size", "merge_size", "temporal_patch_size", "size", "image_mean", "image_std")
        video = {key: image[key] for key in shared}
        video |= {"processor_class": "Qwen2VLProcessor", "video_processor_type": "Qwen2VLVideoProcessor"}
        for name, settings in (("preprocessor_config", image), ("video_preprocessor_config", video)):
            text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
            (Path(save_directory) / f"{name}.json").write_text(text, encoding="utf-8")


def torchvision_works() -> bool:
    """Whether torchvision imports: beside a CPU build of torch, the one from PyPI may be there and fail."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError):
        return False
    return True


def load_processor(path: str | Path) -> ProcessorMixin:
    """The processor of a Qwen2-VL directory; without videos where torchvision is absent.

    Raises InputError when the directory holds no processor, another kind of model, or names no token that ends a text.
    """
    check_kind(path)
    loader = AutoProcessor if torchvision_works() else Qwen2VLProcessor
    try:
        # Left, whatever the directory says: TRL pads the prompts' ids on the left, and takes which of them are image
        # placeholders as the processor padded it. Padded on the right, the two disagree without a word.
        processor = loader.from_pretrained(str(path), padding_side="left")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: its processor cannot be loaded: {_first_line(error)}") from error
    tokenizer = processor.tokenizer
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"{path}: tokenizer_config.json: eos_token: missing: name the token that ends a turn, "
            "for Qwen2-VL <|im_end|>"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # as TRL does, so that evaluation pads as training
    return processor


def load_model(path: str | Path, dtype: torch.dtype | str = torch.float32) -> Qwen2VLForConditionalGeneration:
    """The model of a Qwen2-VL directory, weights from safetensors only, every parameter filled and finite.

    `dtype` is a torch.dtype or its name ("float32", "bfloat16"), or "auto" for the directory's own. Raises InputError
    when the directory holds no such model, and names tensors that are missing, unknown, of another shape, or not
    finite.
    """
    check_kind(path)
    if not has_weights(Path(path)):
        raise InputError(
            f"{path}: its model cannot be loaded: no weights in safetensors: build or download it again, or, if they "
            "are in pytorch_model.bin, load it with transformers and save_pretrained() it"
        )
    if isinstance(dtype, str) and dtype != "auto":
        dtype = getattr(torch, dtype, dtype)
        if not isinstance(dtype, torch.dtype):
            raise InputError(f"dtype: '{dtype}' is no torch data type: use float32 or bfloat16")
    try:
        model, report = Qwen2VLForConditionalGeneration.from_pretrained(
            str(path),
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report
        )
    except MemoryError:
        raise
    except Exception as error:  # of another's files: whatever is wrong with them
        raise InputError(f"{path}: its model cannot be loaded: {_first_line(error)}") from error
    _check_report(path, report)
    _check_finite(path, model)
    return model


def check_model(path: str | Path) -> None:
    """Raises InputError as `load_model` does, for those who hand the directory on: vLLM checks less."""
    load_model(path, "auto")


def _check_report(path: str | Path, report: Mapping[str, Any]) -> None:
    """Raises InputError unless the files filled every parameter. Tied parameters are not reported as missing."""
    unknown = sorted(report["unexpected_keys"])
    problems = [
        _named("missing", sorted(report["missing_keys"])),
        _named("unknown", unknown),
        _named(
            "of another shape",
            [
                f"{name} {list(found)} for {list(wanted)}"
                for name, found, wanted in sorted(report["mismatched_keys"])
            ],
        ),
        *sorted(report["error_msgs"]),
    ]
    problems = [problem for problem in problems if problem]
    if problems:
        hint = "give a directory that save_pretrained wrote for this config.json"
        if any(name.startswith(PEFT_PREFIX) for name in unknown):
            hint = f"its tensors are wrapped by PEFT: {MERGE_ADAPTER}"
        raise InputError(f"{path}: its weights do not match its config.json: {'; '.join(problems)}: {hint}")


def _check_finite(path: str | Path, model: Qwen2VLForConditionalGeneration) -> None:
    """Raises InputError naming parameters that hold NaN or infinity."""
    damaged = [name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()]
    if damaged:
        raise InputError(
            f"{path}: NaN or infinite weights: {_named('tensors', damaged)}: the file is damaged, or the training "
            "that wrote it diverged: use other weights, or train again with a lower learning_rate"
        )


def _named(what: str, names: Sequence[str], most: int = 3) -> str:
    """`missing: a, b, c and 4 more`; empty without names."""
    if not names:
        return ""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{what}: {', '.join(names[:most])}{rest}"


@contextmanager
def own_generation_settings(model: Qwen2VLForConditionalGeneration) -> Iterator[None]:
    """Generation by the settings it is given alone, as vLLM's is.

    transformers takes all others from the model's generation_config.json: repetition penalties, forbidden n-grams, a
    shortest length.
    """
    kept, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = kept


def freeze_vision(model: Qwen2VLForConditionalGeneration) -> int:
    """Keep the vision tower as it is; returns the number of parameters frozen."""
    tower = model.model.visual
    tower.requires_grad_(False)
    return sum(parameter.numel() for parameter in tower.parameters())


def cache_vision_features(models: Sequence[Qwen2VLForConditionalGeneration]) -> None:
    """Let models with equal frozen vision towers share one, which encodes each image of a step once.

    GRPO shows the tower each image k times in the rollouts, and again to the policy and to its reference; its
    features are the same each time. Only those of the last batch's images are cached.
    """
    tower = models[0].model.visual
    for other in models[1:]:
        other.model.visual = tower
    encode = tower.forward
    cached: list[_EncodedImage] = []

    def forward(
        hidden_states: torch.Tensor, grid_thw: torch.Tensor, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        sizes = grid_thw.prod(-1).tolist()
        precision = (tower.dtype, torch.is_autocast_enabled(hidden_states.device.type))
        batch: list[_EncodedImage] = []
        new: list[_EncodedImage] = []
        for patches, grid in zip(hidden_states.split(sizes), grid_thw, strict=True):
            image = next((one for one in (*cached, *new) if one.equals(patches, grid, precision)), None)
            if image is None:
                image = _EncodedImage(patches, grid, precision)
                new.append(image)
            batch.append(image)
        if new:
            encoded = encode(
                torch.cat([image.patches for image in new]), grid_thw=torch.stack([i.grid for i in new])
            )
            sizes = [len(image.patches) for image in new]
            merged = encoded.pooler_output.split([size // tower.spatial_merge_size**2 for size in sizes])
            for image, *features in zip(new, encoded.last_hidden_state.split(sizes), merged, strict=True):
                image.features = features
        cached[:] = {id(image): image for image in batch}.values()
        states, pooled = zip(*(image.features for image in batch), strict=True)
        return BaseModelOutputWithPooling(
            last_hidden_state=torch.cat(states), pooler_output=torch.cat(pooled)
        )

    tower.forward = forward


@dataclass(eq=False)
class _EncodedImage:
    """An image as the tower gets it, and its features by patch and by merged patch."""

    patches: torch.Tensor
    grid: torch.Tensor
    precision: tuple[torch.dtype, bool]
    features: list[torch.Tensor] = field(default_factory=list)

    def equals(self, patches: torch.Tensor, grid: torch.Tensor, precision: tuple[torch.dtype, bool]) -> bool:
        same = precision == self.precision and torch.equal(grid, self.grid)
        return same and torch.equal(patches, self.patches)


def download(output: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Leave a model of the hub at `output`. Options: `repo`, and `revision`, the full hash of a commit.

    Raises InputError for a bad option, no network, a gated repository, a missing or refused token.
    """
    check_hub_options(options)
    repo, revision = str(options["repo"]), str(options["revision"])

    from huggingface_hub import errors, snapshot_download

    patterns = ["*.safetensors", "*.json", "*.jinja", "*.txt"]
    with atomic_directory(Path(output)) as directory:
        try:
            snapshot_download(repo, revision=revision, local_dir=directory, allow_patterns=["config.json"])
            if (directory / "config.json").is_file():
                check_kind(directory, repo)  # before gigabytes of another family's weights
            snapshot_download(repo, revision=revision, local_dir=directory, allow_patterns=patterns)
        except errors.GatedRepoError:
            hint = f"accept its terms at https://huggingface.co/{repo}, then set HF_TOKEN"
            raise InputError(f"{repo} is gated: {hint}") from None
        except errors.RevisionNotFoundError:
            raise InputError(f"{repo} has no revision {revision}: check the hash") from None
        except errors.RepositoryNotFoundError:
            raise InputError(
                f"{repo} is not on the hub, or is private: check the name, or set HF_TOKEN"
            ) from None
        except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
            network = "check the network (and HF_HUB_OFFLINE, HF_ENDPOINT), then run again"
            hint = hint_of(str(error)) or network
            raise InputError(f"{repo} cannot be downloaded: {_first_line(error)}: {hint}") from error
        if not list(directory.glob("*.safetensors")):
            raise InputError(
                f"{repo} at {revision} holds no safetensors weights: choose a revision that does"
            )
        shutil.rmtree(directory / ".cache", ignore_errors=True)
    return {"repo": repo, "revision": revision}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
