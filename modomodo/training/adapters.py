"""LoRA adapters: which layers get one, and a checkpoint that holds nothing else.

An adapter's checkpoint has `adapter_model.safetensors`, `adapter_config.json`, whose `base_model_name_or_path` leads
from the checkpoint to the base, and what the base's directory holds beside its weights. Its scale is alpha / rank
(Hu et al. 2021, arXiv 2106.09685).
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from modomodo.config.schema import Lora
from modomodo.errors import InputError, nearest
from modomodo.files import read_json, write_json
from modomodo.training.model_directory import ADAPTER_CONFIG

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

ADAPTER = "adapter_model.safetensors"


def lora_config(model: PreTrainedModel, lora: Lora, with_vision: bool) -> "LoraConfig":
    """PEFT's configuration for a model: adapters on the linear layers of its language model.

    Not on the output layer, and on what sees only `with_vision`. `lora.targets` are ends of layers' names (q_proj,
    self_attn.q_proj); all if empty. Raises InputError for one that no layer's name ends in.
    """
    from peft import LoraConfig

    layers = adaptable_layers(model, with_vision)
    for target in lora.targets:
        if not any(name == target or name.endswith(f".{target}") for name in layers):
            ends = {name.rpartition(".")[2] for name in layers}
            raise InputError(
                f"training.lora.targets: '{target}': no linear layer{'' if with_vision else ' of the language model'} "
                f"is called so: {nearest(target.rpartition('.')[2], ends)}"
            )
    wanted = [
        name
        for name in layers
        if not lora.targets or any(f".{name}".endswith(f".{target}") for target in lora.targets)
    ]
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        task_type="CAUSAL_LM",
        # A regular expression, since of a list PEFT makes a set, whose order differs from process to process.
        target_modules=_matching(wanted),
    )


def adaptable_layers(model: PreTrainedModel, with_vision: bool) -> list[str]:
    """Names of the linear layers of the language model, and of what sees `with_vision`, in order."""
    decoder = {id(module) for module in model.get_decoder().modules()}
    output = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not output and (with_vision or id(module) in decoder)
    ]


def _matching(names: list[str]) -> str:
    """A regular expression of these names alone, in which numbers of layers stand for any number."""
    return "|".join(
        dict.fromkeys(re.sub(r"\\\.\d+(?=\\\.|$)", r"\\.\\d+", re.escape(name)) for name in names)
    )


def save_adapter(
    model: "PeftModel", directory: Path, base: Path, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Write the adapter's weights and config into a directory of its run. `weights`: the model's, if not its own."""
    model.save_pretrained(
        str(directory), save_embedding_layers=False, state_dict=weights
    )  # "auto" would ask the hub for the base
    (directory / "README.md").unlink(missing_ok=True)  # a card of PEFT's, with nothing in it
    config = read_json(directory / ADAPTER_CONFIG)
    config["base_model_name_or_path"] = os.path.relpath(
        base.parent.resolve() / base.name, directory.resolve()
    )
    write_json(directory / ADAPTER_CONFIG, config)


def load_adapter(model: "PeftModel", directory: Path) -> None:
    """Give a model with adapters the weights of a checkpoint, each of them. Raises InputError where they do not fit."""
    from peft import set_peft_model_state_dict

    saved = load_file(directory / ADAPTER)
    shapes = {name: tensor.shape for name, tensor in _weights(model).items()}
    if shapes != {name: tensor.shape for name, tensor in saved.items()}:
        raise InputError(f"{directory}: {ADAPTER}: an adapter of other layers than the model's: delete it")
    set_peft_model_state_dict(model, saved)


def _weights(model: "PeftModel") -> dict[str, torch.Tensor]:
    from peft import get_peft_model_state_dict

    weights: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return weights


def with_adapter(model: PreTrainedModel, directory: Path) -> PreTrainedModel:
    """The base with the adapter of a directory added to its weights, an ordinary model again."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig.from_pretrained(str(directory))
    config.inference_mode = True
    adapted = get_peft_model(model, config)
    load_adapter(adapted, directory)
    damaged = [
        name for name, tensor in load_file(directory / ADAPTER).items() if not torch.isfinite(tensor).all()
    ]
    if damaged:
        raise InputError(
            f"{directory}: NaN or infinite weights: {damaged[0]}: train again with a lower learning_rate"
        )
    merged: PreTrainedModel = adapted.merge_and_unload()
    return merged


def is_adapted(model: nn.Module) -> bool:
    """Whether PEFT wraps a model."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def without_adapter(model: nn.Module) -> PreTrainedModel:
    """The model that PEFT wraps, with its adapters; one that it does not wrap is returned as it is."""
    inner: PreTrainedModel = model.get_base_model() if is_adapted(model) else model
    return inner


def drops_out(model: nn.Module) -> bool:
    """Whether a model in training drops activations, as an adapter with dropout does."""
    return any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules())
