"""The laptop study's world, as a plugin: synthetic boards with questions, and a tiny Qwen2-VL.

A study names it under `plugins: [modomodo.tiny]`, like a plugin of its own; no other module imports it.
"""

from pathlib import Path
from typing import Any

from modomodo.config.schema import Templates
from modomodo.tiny import boards
from modomodo.tiny.settings import BuildOptions
from modomodo.training.builders import model_builders

__all__ = ["boards", "tiny_qwen2vl"]


@model_builders.register("tiny_qwen2vl")
def tiny_qwen2vl(output: Path, options: BuildOptions, templates: Templates, threads: int) -> dict[str, Any]:
    """Train a Qwen2-VL of under a million parameters on the world of boards."""
    # Imported here: torch and transformers take seconds, and Snakemake does without.
    from modomodo.tiny.qwen2vl import build

    suffixes = [getattr(templates, kind) for kind in ("box", "choice", "text", "number")]
    wrapped = [f"{{question}}{templates.separator}{suffix}" for suffix in suffixes]
    return build(output, **dict(options), templates=wrapped, threads=threads)
