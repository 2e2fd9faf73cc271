"""What can be known of a model without loading it, so a dry run can ask: a directory's kind, the hub's options."""

import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modomodo.errors import InputError, nearest
from modomodo.files import read_json
from modomodo.training.families import FAMILIES, family_of

ADAPTER_CONFIG = "adapter_config.json"
PEFT_PREFIX = "base_model.model."  # of the tensors of a model that PEFT wraps
LONGEST_HEADER = 100_000_000  # bytes, by the format
HUB_OPTIONS = ("repo", "revision")  # of the builder 'hub'
MERGE_ADAPTER = "load it with peft, merge_and_unload(), and save_pretrained() the result"


def check_kind(path: str | Path, name: str = "") -> None:
    """Raises InputError for a kind that no class of transformers trains as an (image-)text model.

    So for a PEFT adapter alone, what is no model directory, and a family whose processor needs a package that is not
    there. `name` is what the error calls the directory, its path if empty.
    """
    path = Path(path)
    name = name or str(path)
    if (path / ADAPTER_CONFIG).is_file() and not has_weights(path) and adapter_base(path) is None:
        raise InputError(f"{name}: a PEFT adapter without its model: {MERGE_ADAPTER}")
    if not (path / "config.json").is_file():
        raise InputError(f"{name}: not a model directory (no config.json): build or download the model first")
    kind = model_type(path)
    if kind not in FAMILIES and kind not in _known_to_transformers():
        raise InputError(
            f"{name}: config.json: model_type '{kind}' is not supported: tested are {', '.join(sorted(FAMILIES))}; "
            "others are what AutoModelForImageTextToText and AutoModelForCausalLM of the installed transformers load"
        )
    for package in family_of(kind).needs:
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"{name}: {kind} needs the package {package}: add it to envs/own.txt, then run make env"
            )


def looks_like_model(path: Path) -> bool:
    """Whether a path is a directory of a model, or of an adapter alone."""
    return any((path / file).is_file() for file in ("config.json", ADAPTER_CONFIG))


def model_type(path: str | Path) -> str:
    """The family of a model's directory, as its config.json names it."""
    config = read_json(Path(path) / "config.json")
    kind = config.get("model_type", "") if isinstance(config, dict) else ""
    return kind if isinstance(kind, str) else ""


def untried(path: str | Path) -> list[str]:
    """A warning where the directory's family is none of those that this project's tests train."""
    kind = model_type(path)
    if kind in FAMILIES:
        return []
    return [
        f"{kind} is no family that was tried: what the self-check of a training sees is all that is known of it"
    ]


def _known_to_transformers() -> set[str]:
    # Here: it takes seconds, and only a family without an entry asks.
    from transformers.models.auto import modeling_auto

    return {
        *modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    }


def adapter_base(path: Path) -> Path | None:
    """Where the base of an adapter's checkpoint lies that a training of this project wrote; None for a whole model."""
    config = path / ADAPTER_CONFIG
    if not config.is_file() or has_weights(path):
        return None
    base = path.resolve() / str(read_json(config).get("base_model_name_or_path", ""))
    return base.resolve() if (base / "config.json").is_file() and has_weights(base) else None


def check_targets(path: Path, targets: Iterable[str]) -> None:
    """Raises InputError for a target of LoRA that no matrix in a model's files is called by.

    Which of them are linear layers of the language model is known once the model is loaded (adapters.lora_config).
    """
    names = {
        name.removesuffix(".weight")
        for name, shape in tensor_shapes(path).items()
        if name.endswith(".weight") and len(shape) == 2
    }
    for target in targets:
        if names and not any(f".{name}".endswith(f".{target}") for name in names):
            ends = {name.rpartition(".")[2] for name in names}
            raise InputError(
                f"training.lora.targets: '{target}': no layer of {path} is called so: "
                f"{nearest(target.rpartition('.')[2], ends)}"
            )


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """Name → shape of every tensor in a directory's safetensors files, of which only the headers are read."""
    return {
        name: about["shape"]
        for file in sorted(path.glob("*.safetensors"))
        for name, about in _header(file).items()
        if "shape" in about
    }


def _header(file: Path) -> dict[str, Any]:
    """What a safetensors file says of its tensors, by name (https://huggingface.co/docs/safetensors)."""
    with open(file, "rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        try:
            header: dict[str, Any] = json.loads(opened.read(min(size, LONGEST_HEADER)))
        except ValueError:  # a damaged file is told by whoever loads it
            return {}
    return header


def has_weights(path: Path) -> bool:
    """Whether a model's weights lie in the directory, in safetensors; those of an adapter are none."""
    return any(not file.name.startswith("adapter_") for file in path.glob("*.safetensors"))


def check_hub_options(options: Mapping[str, Any]) -> None:
    """Raises InputError for a missing, unknown or malformed option of the builder 'hub'."""
    unknown = sorted(set(options) - set(HUB_OPTIONS))
    if unknown:
        raise InputError(
            f"model builder 'hub': unknown option '{unknown[0]}': {nearest(unknown[0], HUB_OPTIONS)}"
        )
    repo, revision = str(options.get("repo", "")), str(options.get("revision", ""))
    if not repo:
        raise InputError("model builder 'hub': repo: missing: name one, e.g. Qwen/Qwen2-VL-2B-Instruct")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", repo) or (Path(repo) / "config.json").is_file():
        raise InputError(
            f"model builder 'hub': repo: '{repo}' is a local path, not an owner/name of the hub: for a folder of your "
            f"own write {{builder: folder, options: {{path: {repo}}}}}"
        )
    if len(revision) != 40 or set(revision) - set("0123456789abcdef"):
        raise InputError(
            f"model builder 'hub': revision: '{revision}' is not the 40-digit hash of a commit: pin one"
        )
