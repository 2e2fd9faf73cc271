"""The weights of merged experts, written as a checkpoint or loaded into a model.

    merged = base + Σ cᵢ (expertᵢ - base),   cᵢ as in experts.py

Tensors are read one at a time from memory-mapped safetensors: merging a model of 2B parameters holds a few tensors,
not models. Nothing needs a GPU.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PreTrainedModel

from modomodo.errors import InputError
from modomodo.files import atomic_directory, read_json, write_json
from modomodo.merging.experts import Experts
from modomodo.merging.names import is_put_together, live_names
from modomodo.training.models import INDEX, WEIGHTS, copy_beside_weights
from modomodo.training.vision import vision_parameters

SHARD_BYTES = 1_000_000_000


class Tensors:
    """The tensors of a checkpoint, sharded or not, by their names in the loaded model; each read when asked for.

    So files of different versions of transformers, which name tensors differently, are merged. An output layer that
    is tied to the embeddings is left out: some files hold it twice.
    """

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        found: dict[str, Any] = {}
        for path in sorted(directory.glob(WEIGHTS)):
            try:
                file = stack.enter_context(safe_open(path, framework="pt"))
            except SafetensorError as error:
                raise InputError(f"{path}: cannot be read: {error}: delete it and run again") from None
            found |= {name: file for name in file.keys()}  # noqa: SIM118  (no mapping)
        if not found:
            raise InputError(f"{directory}: holds no {WEIGHTS}: delete it and run again")
        names = live_names(directory, found)
        self.home: dict[str, tuple[Any, str]] = {names[name]: (file, name) for name, file in found.items()}
        config = directory / "config.json"
        if config.is_file() and read_json(config).get("tie_word_embeddings"):
            self.home.pop("lm_head.weight", None)

    def name_in_file(self, name: str) -> str:
        return self.home[name][1]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name → shape, without reading a tensor."""
        return {name: tuple(file.get_slice(saved).get_shape()) for name, (file, saved) in self.home.items()}

    def __getitem__(self, name: str) -> torch.Tensor:
        file, saved = self.home[name]
        tensor: torch.Tensor = file.get_tensor(saved)
        return tensor


def linear(
    start: torch.Tensor, expert: Callable[[str], torch.Tensor], coefficients: Mapping[str, float]
) -> torch.Tensor:
    """θ₀ + Σ cᵢ (θᵢ - θ₀) of one tensor: task arithmetic (Ilharco et al. 2023, arXiv 2212.04089).

    `start` is the base's θ₀ in float32, `expert` reads θᵢ of a domain in float32. Returns `start` itself where no
    expert changed anything, so that frozen tensors come out to the last bit; so does one expert with coefficient 1.
    """
    if list(coefficients.values()) == [1.0]:
        tensor = expert(*coefficients)
        return start if torch.equal(tensor, start) else tensor
    total = start
    for domain, coefficient in coefficients.items():
        tensor = expert(domain)
        if not torch.equal(tensor, start):
            total = total.clone() if total is start else total
            total.add_(tensor - start, alpha=coefficient)
    return total


def merged_tensors(experts: Experts, coefficients: Mapping[str, float]) -> Iterator[tuple[str, torch.Tensor]]:
    """(name in the file, merged tensor) in the base's precision, one at a time.

    The sum is taken in float32. What no expert changed, a frozen vision tower, comes out as the base has it.

    Raises InputError for experts of other tensors or shapes than the base, and for NaN or infinite weights.
    """
    with ExitStack() as stack:
        base = Tensors(experts.base, stack)
        parts = {domain: Tensors(experts.by_domain[domain].directory, stack) for domain in coefficients}
        for part in parts.values():
            _check_shapes(base, part)
        for name in sorted(base.home, key=base.name_in_file):
            original = base[name]
            start = original.float()
            total = linear(start, partial(_read, parts, name), coefficients)
            if not torch.isfinite(total).all():
                raise InputError(_where_not_finite(name, base, parts, original))
            yield base.name_in_file(name), original if total is start else total.to(original.dtype)


def write_merged(
    output: Path,
    experts: Experts,
    coefficients: Mapping[str, float],
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """A Hugging Face directory with the merged weights, complete or not there, in shards of about `shard_bytes`.

    Everything but the weights is the base's. At most one shard and a few tensors are in memory.
    """
    with atomic_directory(output) as temporary:
        copy_beside_weights(experts.base, temporary)
        shards: list[list[str]] = []
        held: dict[str, torch.Tensor] = {}
        size = total = 0

        def flush() -> None:
            save_file(held, temporary / f"part-{len(shards)}.safetensors", metadata={"format": "pt"})
            shards.append(list(held))
            held.clear()

        for name, tensor in merged_tensors(experts, coefficients):
            if held and size + tensor.nbytes > shard_bytes:
                flush()
                size = 0
            held[name] = tensor.contiguous()
            size += tensor.nbytes
            total += tensor.nbytes
        flush()
        names = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
        if len(shards) == 1:
            names = ["model.safetensors"]
        for i, name in enumerate(names):
            (temporary / f"part-{i}.safetensors").rename(temporary / name)
        if len(shards) > 1:
            weight_map = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
            write_json(temporary / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def load_merged(model: PreTrainedModel, experts: Experts, coefficients: Mapping[str, float]) -> bool | None:
    """Give a loaded model the merged weights, in place: nothing is written. Whether it now sees images otherwise.

    None where the model does not hold the files' tensors one by one (merged experts of a mixture-of-experts layer):
    nothing has changed then, and the merge has to be written and loaded.

    Raises InputError when the files hold other parameters than the model.
    """
    live = model.state_dict()
    seeing = {parameter.data_ptr() for parameter in vision_parameters(model).values()}
    filled = set()
    sees_otherwise = False
    with torch.no_grad(), ExitStack() as stack:
        names = {saved: name for name, (_, saved) in Tensors(experts.base, stack).home.items()}
        if is_put_together(experts.base, names):
            return None
        for saved, tensor in merged_tensors(experts, coefficients):
            target = live.get(names[saved])
            if target is None or target.shape != tensor.shape:
                raise InputError(f"{experts.base}: tensor '{saved}' has no place in the model")
            if target.data_ptr() in seeing:
                sees_otherwise |= not torch.equal(target, tensor.to(target))
            target.copy_(tensor)
            filled.add(target.data_ptr())
    # Tied parameters share their memory, and the file holds them once.
    left = sorted(name for name, tensor in live.items() if tensor.data_ptr() not in filled)
    if left:
        raise InputError(f"{experts.base}: no tensor for the model's '{left[0]}'")
    return sees_otherwise


def _read(parts: Mapping[str, Tensors], name: str, domain: str) -> torch.Tensor:
    return parts[domain][name].float()


def _check_shapes(base: Tensors, part: Tensors) -> None:
    expected, found = base.shapes(), part.shapes()
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            saved = (part if name in found else base).name_in_file(name)
            raise InputError(
                f"{part.directory}: tensor '{saved}' has shape {found.get(name)}, in {base.directory} "
                f"{expected.get(name)}: experts of another model cannot be merged"
            )


def _where_not_finite(name: str, base: Tensors, parts: Mapping[str, Tensors], original: torch.Tensor) -> str:
    for source, tensor in [(base, original), *((part, part[name]) for part in parts.values())]:
        if not torch.isfinite(tensor.float()).all():
            saved = source.name_in_file(name)
            hint = "the run collapsed, train it again"
            return f"{source.directory}: tensor '{saved}' holds NaN or infinite weights: {hint}"
    return f"tensor '{name}': merging overflows: choose a smaller alpha"
