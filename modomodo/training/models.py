"""An image-text or text-only model from a directory, and such a directory from the Hugging Face hub."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, GenerationConfig, PreTrainedModel

from modomodo.error_hints import hint_of
from modomodo.errors import InputError, first_line
from modomodo.files import atomic_directory
from modomodo.training.model_directory import (
    MERGE_ADAPTER,
    PEFT_PREFIX,
    adapter_base,
    check_hub_options,
    check_kind,
    has_weights,
)
from modomodo.training.processors import takes_images

WEIGHTS = "*.safetensors"
INDEX = "model.safetensors.index.json"


def load_model(path: str | Path, dtype: torch.dtype | str = torch.float32) -> PreTrainedModel:
    """The model of a directory, weights from safetensors only, every parameter filled and finite.

    `dtype` is a torch.dtype or its name ("float32", "bfloat16"), or "auto" for the directory's own. Raises InputError
    when the directory holds no such model, and names tensors that are missing, unknown, of another shape, or not
    finite.
    """
    check_kind(path)
    base = adapter_base(Path(path))
    if base is not None:
        from modomodo.training.adapters import with_adapter  # which reads the base with this function

        return with_adapter(load_model(base, dtype), Path(path))
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
        auto = AutoModelForImageTextToText if takes_images(path) else AutoModelForCausalLM
        model, report = auto.from_pretrained(
            str(path),
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report
        )
    except MemoryError:
        raise
    except Exception as error:  # of another's files: whatever is wrong with them
        raise InputError(f"{path}: its model cannot be loaded: {first_line(error)}") from error
    _check_report(path, report)
    _check_finite(path, model)
    return model


def check_model(path: str | Path) -> None:
    """Raises InputError as `load_model` does, for those who hand the directory on: vLLM checks less."""
    load_model(path, "auto")


def copy_beside_weights(base: Path, output: Path) -> None:
    """Copy what a model's directory holds beside its weights: tokenizer, processor, chat template.

    Byte for byte, since what this environment's processor saves names no video part and other classes. A file that
    `output` has already, such as config.json, stays.
    """
    for path in base.iterdir():
        left_out = path.match(WEIGHTS) or path.name == INDEX or path.name.startswith(".")
        if path.is_file() and not left_out and not (output / path.name).exists():
            shutil.copyfile(path, output / path.name)


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


def _check_finite(path: str | Path, model: PreTrainedModel) -> None:
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
def own_generation_settings(model: PreTrainedModel) -> Iterator[None]:
    """Generation by the settings it is given alone, as vLLM's is.

    transformers takes all others from the model's generation_config.json: repetition penalties, forbidden n-grams, a
    shortest length.
    """
    kept, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = kept


def download(output: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Leave a model of the hub at `output`. Options: `repo`, and `revision`, the full hash of a commit.

    Raises InputError for a bad option, no network, a gated repository, a missing or refused token.
    """
    check_hub_options(options)
    repo, revision = str(options["repo"]), str(options["revision"])

    from huggingface_hub import errors, snapshot_download

    patterns = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
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
            raise InputError(f"{repo} cannot be downloaded: {first_line(error)}: {hint}") from error
        if not list(directory.glob("*.safetensors")):
            raise InputError(
                f"{repo} at {revision} holds no safetensors weights: choose a revision that does"
            )
        shutil.rmtree(directory / ".cache", ignore_errors=True)
    return {"repo": repo, "revision": revision}
