"""What differs between model families and no library says: an entry a family, by the `model_type` of config.json.

Everything else comes from transformers' general names (processors.py, vision.py), so that a kind without an entry
trains as well. Free of torch and transformers: a dry run reads it. A plugin adds an entry: `modomodo.plugins.family`.
"""

from dataclasses import dataclass
from typing import Any

from modomodo.data.conventions import SIDES
from modomodo.errors import InputError, nearest


@dataclass(frozen=True)
class Family:
    """How the models of one family differ from others.

    `boxes` is the convention in which they were trained to write boxes (data/conventions.py), None where none is
    documented: prompts then ask for 0-1000. `images_per_row` is the most images that TRL can train on in one row, None
    for any number. `vision_cache`: what a frozen vision tower answers to an image may be kept and shared, which a test
    has to show to change nothing. `placeholder_runs`: in a prompt an image is one run of one placeholder, which is how
    TRL's vLLM server finds images. `needs` are packages that its processor imports.
    """

    boxes: str | None = None
    images_per_row: int | None = None
    vision_cache: bool = False
    placeholder_runs: bool = False
    needs: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    "qwen2_vl": Family(boxes="0-1000", vision_cache=True, placeholder_runs=True),
    "qwen2_5_vl": Family(boxes="pixels", vision_cache=True, placeholder_runs=True),
    "qwen3_vl": Family(boxes="0-1000", vision_cache=True, placeholder_runs=True),
    "qwen3_5": Family(boxes="0-1000", vision_cache=True, placeholder_runs=True),
    "smolvlm": Family(vision_cache=True, needs=("num2words",)),
    "idefics3": Family(vision_cache=True),
    "internvl": Family(boxes="0-1000", vision_cache=True),
    "gemma3": Family(vision_cache=True),
    "llava_next": Family(boxes="0-1", vision_cache=True, placeholder_runs=True),
    "llava_onevision": Family(boxes="0-1", vision_cache=True, placeholder_runs=True, images_per_row=1),
    "qwen3": Family(),
    "llama": Family(),
}


def family_of(model_type: str) -> Family:
    """What is known of a family; of one without an entry, that nothing is."""
    return FAMILIES.get(model_type, Family())


def declare_family(model_type: str, **differences: Any) -> Family:
    """Add an entry, for a plugin. `differences`: fields of Family.

    Raises InputError for an unknown field, and for a family that has another entry already.
    """
    known = Family.__dataclass_fields__
    for name in differences:
        if name not in known:
            raise InputError(f"family '{model_type}': unknown field '{name}': {nearest(name, known)}")
    boxes = differences.get("boxes")
    if boxes is not None and boxes not in SIDES:
        raise InputError(
            f"family '{model_type}': boxes: unknown convention '{boxes}': {nearest(boxes, SIDES)}"
        )
    family = Family(**differences)
    if FAMILIES.setdefault(model_type, family) != family:
        raise InputError(f"family '{model_type}' has an entry already: leave yours out")
    return family
