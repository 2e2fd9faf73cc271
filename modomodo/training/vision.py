"""What sees in an image-text model, by transformers' general names: its freezing, and one look at each image.

A text-only model sees nothing, and everything here leaves it as it is.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from modomodo.training.families import family_of

# By which processors hand images to models.
IMAGE_INPUTS = {
    "pixel_values",
    "pixel_attention_mask",
    "image_grid_thw",
    "image_sizes",
    "image_position_ids",
    "spatial_shapes",
    "batch_num_images",
}


def image_placeholder(model: PreTrainedModel) -> int | None:
    """The token that stands for a part of an image in a prompt; None for a text-only model.

    Of the configuration: Gemma 3's processor calls another one so, which begins an image.
    """
    return getattr(model.config, "image_token_id", None)


def vision_parameters(model: PreTrainedModel) -> dict[str, nn.Parameter]:
    """The vision tower and what joins it to the words: all but the language model and its output layer."""
    if image_placeholder(model) is None:
        return {}
    language = filter(None, (model.get_decoder(), model.get_output_embeddings()))
    of_language = {id(parameter) for part in language for parameter in part.parameters()}
    return {name: one for name, one in model.named_parameters() if id(one) not in of_language}


def freeze_vision(model: PreTrainedModel) -> int:
    """Keep what sees as it is; returns the number of parameters frozen."""
    frozen = vision_parameters(model).values()
    for parameter in frozen:
        parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in frozen)


def see_alike(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    """Whether two models of one shape encode images by the same weights."""
    pairs = zip(vision_parameters(one).values(), vision_parameters(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def caches_vision(model: PreTrainedModel) -> bool:
    """Whether what the model's tower answers to an image may be kept: its family has been shown to change nothing."""
    return image_placeholder(model) is not None and family_of(model.config.model_type).vision_cache


def drop_absent_images(model: PreTrainedModel) -> None:
    """Let a model take texts that come with image tensors of no row, or of padding alone.

    TRL cuts a batch of rows with and without images into such micro-batches, and hardly a model takes them.
    """
    placeholder = image_placeholder(model)

    def without(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        tokens = kwargs.get("input_ids")
        if (
            kwargs.get("pixel_values") is not None
            and tokens is not None
            and not (tokens == placeholder).any()
        ):
            kwargs = {name: value for name, value in kwargs.items() if name not in IMAGE_INPUTS}
        return args, kwargs

    if placeholder is not None:
        model.register_forward_pre_hook(without, with_kwargs=True)


def cache_vision_features(models: Sequence[PreTrainedModel]) -> None:
    """Let models with equal frozen vision towers share one, which encodes each image of a step once.

    GRPO shows the tower each image k times in the rollouts, and again to the policy and to its reference; its
    features are the same each time. Only those of the last batch's images are cached. An image is what a row of
    `grid_thw` describes (the Qwen families), or else a row of the tower's input (an image, or a tile of one).
    """
    tower = models[0].get_encoder(modality="image")
    for other in models[1:]:
        other.set_encoder(tower, modality="image")
    encode = tower.forward
    signature = inspect.signature(encode)
    cached: list[_EncodedImage] = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        call = signature.bind(*args, **kwargs).arguments
        call |= call.pop("kwargs", {})
        name = "hidden_states" if "hidden_states" in call else "pixel_values"
        pixels, grids = call.pop(name), call.pop("grid_thw", None)
        rows_name = "patch_attention_mask" if grids is None else "grid_thw"
        rows = call.pop(rows_name, None) if grids is None else grids  # one for each image
        # What else is asked for, beside how numbers are rounded.
        how = (tower.dtype, torch.is_autocast_enabled(pixels.device.type), sorted(call.items(), key=str))
        batch: list[_EncodedImage] = []
        new: list[_EncodedImage] = []
        for i, part in enumerate(pixels.split(1 if grids is None else grids.prod(-1).tolist())):
            row = None if rows is None else rows[i]
            image = next((one for one in (*cached, *new) if one.equals(part, row, how)), None)
            if image is None:
                image = _EncodedImage(part, row, how)
                new.append(image)
            batch.append(image)
        if new:
            asked = call | {name: torch.cat([image.pixels for image in new])}
            if rows is not None:
                asked[rows_name] = torch.stack([image.row for image in new if image.row is not None])
            encoded = encode(**asked)
            sizes = [len(image.pixels) for image in new]
            parts = {key: _cut(value, sizes) for key, value in encoded.items()}
            for i, image in enumerate(new):
                image.features = {key: of_images[i] for key, of_images in parts.items()}
                image.output = type(encoded)
        cached[:] = {id(image): image for image in batch}.values()
        first = batch[0]
        return first.output(
            **{key: _join([image.features[key] for image in batch]) for key in first.features}
        )

    tower.forward = forward
    tower.cached_images = cached


@contextmanager
def vision_cache_kept(model: PreTrainedModel) -> Iterator[None]:
    """Leave the cached features afterwards as they are now.

    In another batch an image's features have other last bits, and what training reuses must not depend on what was
    asked in between.
    """
    tower = None if image_placeholder(model) is None else model.get_encoder(modality="image")
    cached: list[_EncodedImage] = getattr(tower, "cached_images", [])
    before = list(cached)
    try:
        yield
    finally:
        cached[:] = before


def _cut(value: Any, sizes: Sequence[int]) -> list[Any]:
    """A tower's answer to several images, image by image; of merged patches there are fewer than went in."""
    if isinstance(value, torch.Tensor):
        merged = sum(sizes) // len(value)
        return list(value.split([size // merged for size in sizes]))
    if isinstance(value, list | tuple):
        parts = [_cut(one, sizes) for one in value]
        return [type(value)(part[i] for part in parts) for i in range(len(sizes))]
    return [value] * len(sizes)


def _join(parts: Sequence[Any]) -> Any:
    """The inverse of `_cut`."""
    if isinstance(parts[0], torch.Tensor):
        return torch.cat(list(parts))
    if isinstance(parts[0], list | tuple):
        return type(parts[0])(_join(ones) for ones in zip(*parts, strict=True))
    return parts[0]


@dataclass(eq=False)
class _EncodedImage:
    """An image as the tower gets it, and the part of the tower's answer that is its."""

    pixels: torch.Tensor
    row: torch.Tensor | None
    how: tuple[Any, ...]
    features: Mapping[str, Any] = field(default_factory=dict)
    output: Any = None  # the class of the whole answer

    def equals(self, pixels: torch.Tensor, row: torch.Tensor | None, how: tuple[Any, ...]) -> bool:
        if how != self.how or pixels.shape != self.pixels.shape:
            return False
        same_row = row is None or (self.row is not None and torch.equal(row, self.row))
        return same_row and torch.equal(pixels, self.pixels)
