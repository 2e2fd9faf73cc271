"""A model's processor: what makes tensors of texts and images; of a text-only model, its tokenizer."""

import functools
import inspect
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

from transformers import AutoConfig, AutoProcessor, AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.models.auto.processing_auto import processor_class_from_name
from transformers.processing_utils import ProcessorMixin

from modomodo.config.schema import Training
from modomodo.data.examples import Example, image_paths
from modomodo.errors import InputError, first_line
from modomodo.files import read_json
from modomodo.training.families import family_of
from modomodo.training.model_directory import check_kind, model_type

Processor: TypeAlias = ProcessorMixin | PreTrainedTokenizerBase


def tokenizer_of(processor: Processor) -> PreTrainedTokenizerBase:
    """A processor's tokenizer; of a text-only model, itself."""
    return processor if isinstance(processor, PreTrainedTokenizerBase) else processor.tokenizer


def torchvision_works() -> bool:
    """Whether torchvision imports."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError):
        return False
    return True


def takes_images(path: str | Path) -> bool:
    """Whether the model of a directory is an image-text one, by its config.json."""
    return type(AutoConfig.from_pretrained(str(path))) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING


def check_images(path: str | Path, rows: Iterable[Example], training: Training | None = None) -> None:
    """Raises InputError naming the first example with images that the model of a directory cannot take.

    With `training`, by these settings: it bears less than prediction.
    """
    kind = model_type(path)
    family, sees = family_of(kind), takes_images(path)
    for example in rows:
        count = len(image_paths(example))
        if not count:
            continue
        where = f"example '{example.id}' of {example.dataset}"
        if not sees:
            raise InputError(
                f"{where} has an image, but {kind} ({path}) is text-only: take an image-text model"
            )
        if training is None:
            continue
        if family.images_per_row is not None and count > family.images_per_row:
            raise InputError(
                f"{where} has {count} images, but TRL trains {kind} on {family.images_per_row} a row: leave it out"
            )
        if training.vllm == "server" and not family.placeholder_runs:
            raise InputError(
                f"training.vllm: TRL's server does not understand {kind}'s images ({where}): set it to colocate or off"
            )


def load_processor(path: str | Path) -> Processor:
    """The processor of an image-text directory, the tokenizer of a text-only one; without videos where they fail.

    It pads on the left. Raises InputError when the directory holds none, an unsupported kind of model or no chat
    template, or names no token that ends a text.
    """
    check_kind(path)
    try:
        processor = _load(str(path))
    except (OSError, ValueError, TypeError, ImportError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: its processor cannot be loaded: {first_line(error)}") from error
    tokenizer = tokenizer_of(processor)
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"{path}: tokenizer_config.json: eos_token: missing: name the token that ends a turn, "
            "for Qwen2-VL <|im_end|>"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # as TRL does, so that evaluation pads as training
    text = _rendered(path, processor)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    writes_bos = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
    if backend is not None and (writes_bos or processor is tokenizer):
        # A chat template writes the special tokens. What the tokenizer puts before every text as well (Llama 3, Gemma)
        # would be there twice in evaluation and in a part of what TRL makes. Where a template writes none, the
        # apply_chat_template of a processor adds it, that of a tokenizer does not.
        backend.post_processor = None
    return processor


def _load(path: str) -> Processor:
    # On the left, whatever the directory says: TRL pads the prompts' ids on the left, and takes which of them are image
    # placeholders as the processor padded it. Padded on the right, the two disagree without a word.
    if not takes_images(path):
        return AutoTokenizer.from_pretrained(path, padding_side="left")
    known = None if torchvision_works() else processor_class_from_name(_class_name(path))
    if known is None or "video_processor" not in known.get_attributes():
        return AutoProcessor.from_pretrained(path, padding_side="left")
    processor = without_videos(known).from_pretrained(path, padding_side="left")
    # SmolVLM's apply_chat_template asks its video processor for two settings.
    processor.video_processor = SimpleNamespace(num_frames=None, fps=None)
    return processor


def _class_name(path: str) -> str:
    """The processor's class, by the first of the files that names it."""
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        file = Path(path) / name
        if file.is_file() and isinstance(found := read_json(file).get("processor_class"), str):
            return found
    return ""


def without_videos(known: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """A processor class without its video processor, the one part that needs torchvision."""

    class ImagesOnly(known):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != "video_processor"]

        def __init__(self, image_processor=None, tokenizer=None, video_processor=None, **kwargs) -> None:
            super().__init__(image_processor, tokenizer, video_processor, **kwargs)

        def to_dict(self) -> dict[str, Any]:
            return {key: value for key, value in super().to_dict().items() if key != "video_processor"}

        @classmethod
        def from_args_and_dict(cls, args, processor_dict: dict[str, Any], **kwargs: Any) -> Any:
            takes = inspect.signature(known.__init__).parameters.keys() - {*known.get_attributes(), "kwargs"}
            return cls(
                *args, **{key: value for key, value in (processor_dict | kwargs).items() if key in takes}
            )

    functools.update_wrapper(ImagesOnly.__init__, known.__init__)  # whose arguments transformers reads
    ImagesOnly.__name__ = known.__name__  # transformers compares it with what the directory says
    return ImagesOnly


def _rendered(path: str | Path, processor: Processor) -> str:
    """A question in the chat template. Raises InputError without one, and for one that fails."""
    content: Any = "?" if isinstance(processor, PreTrainedTokenizerBase) else [{"type": "text", "text": "?"}]
    try:
        return processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # a template is a program of another's
        raise InputError(
            f"{path}: its chat template: {first_line(error)}: take a model that was trained to chat, or add "
            "chat_template.jinja"
        ) from error
