"""A real Qwen2-VL of under a million parameters, for the world of boards: its tokenizer, configuration and training.

The tokenizer knows whole words, and each fixed part of a question or of a reasoning template as one token,
since every token costs time. The tower takes patches of 4 x 4 pixels and merges 2 x 2 of them (vLLM supports
no other merge), so a board of 4 x 4 cells is 16 image tokens, one per cell. `curriculum` trains it.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from modomodo.config.loading import parse
from modomodo.errors import InputError
from modomodo.files import atomic_directory
from modomodo.tiny import boards
from modomodo.tiny.curriculum import train
from modomodo.tiny.dataset import Learner
from modomodo.tiny.examples import AUXILIARY, Corruptions, sft_examples
from modomodo.tiny.settings import Curriculum
from modomodo.tiny.thread_pool import ThreadPool

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SPECIAL += ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
UNKNOWN = "<unk>"
TAGS = ["<think>", "</think>", "<answer>", "</answer>"]
BOX_OPENS, BOX_CLOSES = "[{'Position': [", "], 'Confidence': 1}]"
NUMBERS = [str(number) for number in [*range(21), *range(250, 1001, 250)]]
BASIC_WORDS = ["A", "B", "C", "D", "(A)", "(B)", "(C)", "(D)", "user", "assistant", "system"]
BASIC_WORDS += [".", ",", ":", "?", "'"]
PIECES = r"</?[a-z]+>|[A-Za-z]+|\d+,?|\([A-D]\)|[^\sA-Za-z\d]"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
EXAMPLES_FOR_WORDS = 400  # of a domain, whose words have all occurred long before


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


def _parts(formats: Iterable[str]) -> list[str]:
    """The parts of format strings between their {fields}.

    >>> _parts(["How high is the {} bar?"])
    ['How high is the ', ' bar?']
    """
    return [part for text in formats for part in re.split(r"\{[a-z]*\}", text)]


def _longest_first(parts: Iterable[str]) -> list[str]:
    """Phrases of more than one sign, each once.

    >>> _longest_first(["How high is the ", " bar?", ""])
    ['How high is the', 'bar?']
    """
    phrases = {part.strip() for part in parts}
    return sorted((part for part in phrases if len(part) > 1), key=lambda part: (-len(part), part))


def make_tokenizer(templates: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of the words of all questions, answers and thoughts about boards, and of the templates.

    `templates` are texts around a question: "{question} Output ...". Decoding restores the text.
    """
    around = [part for template in templates for part in template.split("{question}", 1)]
    phrases = [BOX_OPENS, BOX_CLOSES, *_longest_first([*_parts(boards.FIXED), *around])]
    words = {word for text in [*_parts(boards.FIXED), *around] for word in re.findall(PIECES, text)}
    for domain in [*boards.COMPOSERS, *AUXILIARY]:
        for example in sft_examples(domain, EXAMPLES_FOR_WORDS, 0, templates):
            words.update(re.findall(PIECES, f"{example.question} {example.board.thought}"))
    words |= {*NUMBERS, *(f"{number}," for number in NUMBERS), *BASIC_WORDS, *boards.COLOURS, *boards.KINDS}
    ordered = dict.fromkeys([*SPECIAL, UNKNOWN, *TAGS, *phrases, *sorted(words)])
    tokenizer = Tokenizer(WordLevel({token: i for i, token in enumerate(ordered)}, unk_token=UNKNOWN))
    pattern = "|".join([*(re.escape(phrase).replace(r"\ ", " ") for phrase in phrases), PIECES])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    no_space_within = Regex(r"(?<=[>\[]) | (?=[<\]])| $")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(Regex("$"), " "), decoders.Fuse(), decoders.Replace(no_space_within, "")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        pad_token=SPECIAL[0],
        eos_token="<|im_end|>",
        additional_special_tokens=SPECIAL[1:],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def make_processor(templates: Sequence[str]) -> Qwen2VLProcessor:
    """The tokenizer with Qwen2-VL's image processor, set to boards of 32 x 32 pixels."""
    side = boards.CELL * boards.CELLS
    images = Qwen2VLImageProcessorPil(
        patch_size=boards.CELL // 2,
        merge_size=2,
        temporal_patch_size=2,
        size={"shortest_edge": side * side, "longest_edge": side * side},
    )
    return Qwen2VLProcessor(images, make_tokenizer(templates), chat_template=CHAT_TEMPLATE)


def make_model(
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    *,
    hidden: int = 128,
    layers: int = 3,
    heads: int = 4,
    vision_width: int = 96,
    vision_layers: int = 2,
) -> Qwen2VLForConditionalGeneration:
    """An untrained Qwen2-VL with about 0.8 million parameters."""
    torch.manual_seed(seed)
    token = tokenizer.convert_tokens_to_ids
    # The rotary sections (time, height, width) sum to half the head dimension. With so few dimensions a base
    # of 1e4 leaves some that hardly rotate, which serve to match content; 10 leaves none, and 1e6 hides height
    # and width.
    half = hidden // heads // 2
    spatial = 3 * half // 8
    spread = (
        0.08  # of the initial weights: embeddings must be far apart for the tower to learn to name things
    )
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "max_position_embeddings": 512,
            "initializer_range": spread,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [half - 2 * spatial, spatial, spatial],
            },
            "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
            "tie_word_embeddings": False,
        },
        vision_config={
            "depth": vision_layers,
            "embed_dim": vision_width,
            "hidden_size": hidden,
            "num_heads": vision_width // 32,
            "mlp_ratio": 2,
            "patch_size": boards.CELL // 2,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "initializer_range": spread,
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    model = Qwen2VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = token("<|im_end|>")
    model.generation_config.pad_token_id = token("<|endoftext|>")
    return model


def build(
    output: Path,
    *,
    templates: Sequence[str],
    seed: int = 0,
    threads: int = 2,
    hidden: int = 128,
    layers: int = 3,
    corruptions: Mapping[str, Any] = {},
    **options: int,
) -> dict[str, Any]:
    """Create and train the base model; write it, with its processor, as a Hugging Face directory to `output`.

    `templates` are the reasoning templates of the prompts, "{question} ..."; the base is trained with the
    first. `hidden` and `layers` are the language model's; `corruptions` are fields of `Corruptions`, `options` of
    `Curriculum`. The same arguments give the same bytes. Returns the number of
    parameters and of words, and each stage's seconds and held-out scores. Raises InputError for a bad option.
    """
    if not templates or any("{question}" not in template for template in templates):
        raise InputError("tiny_qwen2vl: templates: give at least one, each with {question} in it")
    if hidden < 32 or hidden % 32 or layers < 1:
        raise InputError(
            f"tiny_qwen2vl: hidden and layers: {hidden} and {layers}: a multiple of 32 and at least 1 are needed"
        )
    corrupted = parse(dict(corruptions), Corruptions, "tiny_qwen2vl: corruptions")
    curriculum = parse(options, Curriculum, "tiny_qwen2vl")
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)  # the pool shares out the work
    try:
        processor = make_processor(templates)
        model = make_model(processor.tokenizer, seed, hidden=hidden, layers=layers)
        with ThreadPool(threads) as pool:
            stages = train(Learner(model, processor.tokenizer, pool), templates, curriculum, seed, corrupted)
    finally:
        torch.set_num_threads(threads_before)
    with atomic_directory(Path(output)) as temporary:
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": parameters, "vocabulary": len(processor.tokenizer), "stages": stages}
