"""An ordinary Hugging Face folder of a trained checkpoint, and the same folder on the hub when asked."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modomodo.errors import InputError, first_line
from modomodo.files import atomic_directory
from modomodo.mixtures.trained_runs import run_so_far
from modomodo.training.run_folder import weights_digest, weights_removed


def last_checkpoint(run_json: Path) -> tuple[dict[str, Any], int, Path]:
    """The contents of a run.json, its last scored step and that step's checkpoint.

    Raises InputError for a checkpoint whose weights are gone.
    """
    run = run_so_far(run_json, "checkpoints")
    step = max(map(int, run["checkpoints"]))
    checkpoint = run_json.parent / run["checkpoints"][str(step)]["path"]
    if weights_removed(checkpoint):
        raise InputError(
            f"{checkpoint}: training.keep_weights has removed its weights: add {step} to it, delete "
            f"{run_json.parent} and train the run again"
        )
    if not checkpoint.is_dir():
        raise InputError(f"{checkpoint}: checkpoint is gone: delete {run_json} to train it again")
    return run, step, checkpoint


def takes_images(base: Path) -> bool:
    """Whether a model's folder has what prepares images."""
    return any((base / name).is_file() for name in ("preprocessor_config.json", "processor_config.json"))


def write_export(output: Path, checkpoint: Path, base: Path, card: Callable[[str], str]) -> None:
    """An ordinary Hugging Face folder: weights and config of the checkpoint, from the base all else, byte for byte.

    `card` makes the text of README.md, which takes the place of the base's, from the digest of the weights.
    """
    from modomodo.training.models import INDEX, WEIGHTS, copy_beside_weights
    from modomodo.training.plain_directory import plain_directory  # seconds of torch

    checkpoint = plain_directory(checkpoint)
    with atomic_directory(output) as directory:
        own = [checkpoint / name for name in (INDEX, "config.json", "generation_config.json")]
        for path in [*sorted(checkpoint.glob(WEIGHTS)), *(path for path in own if path.is_file())]:
            shutil.copyfile(path, directory / path.name)
        text = card(weights_digest(directory))
        (directory / "README.md").write_text(text, encoding="utf-8")
        copy_beside_weights(base, directory)


def push(folder: Path, repo: str) -> str:
    """Upload an exported folder to a private model repository of the hub, made if it is not there; its address.

    The token is that of the environment, HF_TOKEN. Raises InputError without one, and when the hub refuses.
    """
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise InputError(
            "HF_TOKEN is not set: put a token with write access into the environment, and nowhere else"
        )
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repo):
        raise InputError(f"'{repo}' is not an owner/name of the hub")
    if not (folder / "README.md").is_file() or not list(folder.glob("*.safetensors")):
        raise InputError(f"{folder}: no exported model: make export first")

    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    hub = huggingface_hub.HfApi(token=token)
    try:
        hub.create_repo(repo, private=True, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=repo,
            folder_path=folder,
            commit_message="Exported by MoDoMoDo",
            ignore_patterns=[".*"],  # Snakemake's time stamp
        )
    except (HfHubHTTPError, OSError) as error:
        raise InputError(f"{repo}: the hub did not take it: {first_line(error)}") from error
    return str(commit.commit_url)
