"""Tiny, randomly initialised models of true architecture, one a family, as ordinary Hugging Face directories.

Each is left as a machine with torchvision would have saved it: image processors under their plain names, a video part
beside them. Weights are scaled so that images and positions matter: at the usual 0.02 with 32 dimensions they hardly
do, and a wrong model would pass every check.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedConfig, PreTrainedTokenizerFast

HIDDEN, LAYERS, HEADS, SIDE, PATCH = 32, 2, 2, 32, 8
TALK = "user User: assistant Assistant: system model Which colour is the shape red blue green yellow What count of a"
TALK += " think <think> </think> <answer> </answer> one two three four A B C D . , : ? ( ) [ ] here 0 250 500 750 1000"
PIECES = Regex(r"</?[a-z]+>|[A-Za-z]+:?|\d+|\n+|[^\sA-Za-z\d]")
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}
VISION = {"hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN, "num_hidden_layers": LAYERS}
VISION |= {"num_attention_heads": HEADS, "image_size": SIDE, "patch_size": PATCH}
SIGLIP = VISION | {"model_type": "siglip_vision_model", "vision_use_head": False}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
SQUARE = HALF | {"size": {"height": SIDE, "width": SIDE}}
GRID = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]


@dataclass(frozen=True)
class Tiny:
    """A family's tiny member: how its tokenizer, its configuration and its processor's files are made."""

    special: Sequence[str]  # the first one pads, the second ends a turn
    config: Callable[[PreTrainedTokenizerFast], PreTrainedConfig]
    model: str
    template: str
    processor: Mapping[str, Any] = field(
        default_factory=dict
    )  # processor_config.json; empty for a text-only model
    images: Mapping[str, Any] = field(default_factory=dict)  # preprocessor_config.json
    video: str = ""  # the class of its video processor
    named: Mapping[str, str] = field(default_factory=dict)  # a tokenizer's attribute → its token
    bos: str = ""  # which the tokenizer puts before every text, whatever the chat template writes


def tokenizer(tiny: Tiny) -> PreTrainedTokenizerFast:
    words = {
        word: i for i, word in enumerate(dict.fromkeys([*tiny.special, "<unk>", *TALK.split(), "\n", "\n\n"]))
    }
    core = Tokenizer(WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(PIECES, "removed", invert=True)
    core.decoder = decoders.Fuse()
    if tiny.bos:
        before = [(tiny.bos, words[tiny.bos])]
        core.post_processor = processors.TemplateProcessing(single=f"{tiny.bos} $A", special_tokens=before)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="<unk>",
        pad_token=tiny.special[0],
        eos_token=tiny.special[1],
        additional_special_tokens=[token for token in tiny.special[2:] if token not in tiny.named.values()],
        padding_side="right",  # as many say, and no training may believe
        **tiny.named,
        **({"bos_token": tiny.bos} if tiny.bos else {}),
    )


def language(words: PreTrainedTokenizerFast, **more: Any) -> dict[str, Any]:
    """The configuration of a language model."""
    sizes = {"vocab_size": len(words), "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN}
    layers = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS}
    tokens = {"bos_token_id": None, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    return sizes | layers | tokens | {"max_position_embeddings": 1024} | more


def chatml(image: str) -> str:
    return (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
        "{% else %}{% for p in m['content'] %}{% if p['type'] == 'image' %}"
        + image
        + "{% else %}{{ p['text'] }}"
        "{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


# --- the Qwen families: patches of 4 x 4 pixels, 2 x 2 of them merged -----------------------------------------

QWEN = ["<|endoftext|>", "<|im_end|>", "<|im_start|>", "<|vision_start|>", "<|vision_end|>"]
QWEN += ["<|image_pad|>", "<|video_pad|>"]
QWEN_VISION = {
    "depth": LAYERS,
    "hidden_size": HIDDEN,
    "num_heads": HEADS,
    "patch_size": 4,
    "spatial_merge_size": 2,
}
QWEN_VISION |= {"temporal_patch_size": 2}
QWEN_OUT = QWEN_VISION | {"out_hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN}
QWEN_IMAGES = HALF | {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
QWEN_IMAGES |= {"size": {"shortest_edge": 256, "longest_edge": 1024}}


def qwen(
    config: str,
    model: str,
    processor: str,
    fast: str,
    vision: dict[str, Any],
    rope: dict[str, Any],
    **more: Any,
) -> Tiny:
    def configured(words: PreTrainedTokenizerFast) -> PreTrainedConfig:
        ids = words.convert_tokens_to_ids
        tokens = {"image_token_id": ids("<|image_pad|>"), "video_token_id": ids("<|video_pad|>")}
        tokens |= {
            "vision_start_token_id": ids("<|vision_start|>"),
            "vision_end_token_id": ids("<|vision_end|>"),
        }
        text = language(words, rope_parameters=MROPE | rope, **more)
        return getattr(transformers, config)(text_config=text, vision_config=vision, **tokens)

    return Tiny(
        special=QWEN,
        config=configured,
        model=model,
        template=chatml("<|vision_start|><|image_pad|><|vision_end|>"),
        processor={"processor_class": processor},
        images=QWEN_IMAGES | {"image_processor_type": f"Qwen2VLImageProcessor{fast}"},
        video=processor.replace("2_5_", "2").replace("Processor", "VideoProcessor"),
    )


# --- SmolVLM and Idefics3: an image in tiles, and once as a whole --------------------------------------------

SMOL = [
    "<|im_end|>",
    "<end_of_utterance>",
    "<|im_start|>",
    "<fake_token_around_image>",
    "<image>",
    "<global-img>",
]
SMOL += ["<video>", *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))]
SMOL_IMAGES = HALF | {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}}
SMOL_IMAGES |= {"do_image_splitting": True}
SMOL_CHAT = (
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}"
    "{% if m['content'][0]['type'] == 'image' %}:{% else %}: {% endif %}"
    "{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% else %}<image>{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
SMOL_NAMED = {"image_token": "<image>", "fake_image_token": "<fake_token_around_image>"}
SMOL_NAMED |= {"global_image_token": "<global-img>", "end_of_utterance_token": "<end_of_utterance>"}


def smol(family: str, video: str, named: Mapping[str, str]) -> Tiny:
    def configured(words: PreTrainedTokenizerFast) -> PreTrainedConfig:
        return getattr(transformers, f"{family}Config")(
            text_config=language(words, model_type="llama"),
            vision_config=VISION,
            scale_factor=2,
            image_token_id=words.convert_tokens_to_ids("<image>"),
            pad_token_id=words.pad_token_id,
        )

    return Tiny(
        special=SMOL,
        config=configured,
        model=f"{family}ForConditionalGeneration",
        template=SMOL_CHAT,
        processor={"processor_class": f"{family}Processor", "image_seq_len": 4},
        images=SMOL_IMAGES | {"image_processor_type": f"{family}ImageProcessor"},
        video=video,
        named=named,
    )


# --- the others ----------------------------------------------------------------------------------------------


def internvl_config(words: PreTrainedTokenizerFast) -> PreTrainedConfig:
    return transformers.InternVLConfig(
        text_config=language(words, model_type="qwen2"),
        vision_config=VISION | {"image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]},
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )


def gemma3_config(words: PreTrainedTokenizerFast) -> PreTrainedConfig:
    ids = words.convert_tokens_to_ids
    text = language(words, head_dim=16, sliding_window=16, query_pre_attn_scalar=16)
    text |= {"layer_types": ["sliding_attention", "full_attention"], "bos_token_id": ids("<bos>")}
    return transformers.Gemma3Config(
        text_config=text,
        vision_config=SIGLIP,
        mm_tokens_per_image=4,
        boi_token_index=ids("<start_of_image>"),
        eoi_token_index=ids("<end_of_image>"),
        image_token_index=ids("<image_soft_token>"),
    )


def llava_next_config(words: PreTrainedTokenizerFast) -> PreTrainedConfig:
    clip = VISION | {"model_type": "clip_vision_model", "projection_dim": HIDDEN, "vocab_size": len(words)}
    return transformers.LlavaNextConfig(
        text_config=language(words, model_type="llama"),
        vision_config=clip,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=GRID,
        vision_feature_select_strategy="default",
    )


def llava_onevision_config(words: PreTrainedTokenizerFast) -> PreTrainedConfig:
    return transformers.LlavaOnevisionConfig(
        text_config=language(words, model_type="qwen2"),
        vision_config=SIGLIP,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=GRID,
        vision_feature_select_strategy="full",
    )


GEMMA_CHAT = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{% if m['content'] is string %}"
    "{{ m['content'] }}{% else %}{% for p in m['content'] %}{% if p['type'] == 'image' %}<start_of_image>{% else %}"
    "{{ p['text'] }}{% endif %}{% endfor %}{% endif %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LLAMA_CHAT = (  # prints a list of blocks as Python does
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)

TEXT = ("qwen3", "llama")
FAMILIES: dict[str, Tiny] = {
    "qwen2_vl": qwen(
        "Qwen2VLConfig",
        "Qwen2VLForConditionalGeneration",
        "Qwen2VLProcessor",
        "",
        QWEN_VISION | {"embed_dim": HIDDEN, "mlp_ratio": 2},
        {},
    ),
    "qwen2_5_vl": qwen(
        "Qwen2_5_VLConfig",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen2_5_VLProcessor",
        "",
        QWEN_OUT | {"window_size": 16, "fullatt_block_indexes": [1]},
        {},
    ),
    "qwen3_vl": qwen(
        "Qwen3VLConfig",
        "Qwen3VLForConditionalGeneration",
        "Qwen3VLProcessor",
        "Fast",
        QWEN_OUT | {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
        {"mrope_interleaved": True},
        head_dim=16,
    ),
    "qwen3_5": qwen(
        "Qwen3_5Config",
        "Qwen3_5ForConditionalGeneration",
        "Qwen3VLProcessor",
        "Fast",
        QWEN_OUT | {"num_position_embeddings": 64},
        {"mrope_interleaved": True, "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.25},
        head_dim=16,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        layer_types=["linear_attention", "full_attention"],
    ),
    "smolvlm": smol("SmolVLM", "SmolVLMVideoProcessor", SMOL_NAMED),
    "idefics3": smol("Idefics3", "", {}),
    "internvl": Tiny(
        special=[
            "<|endoftext|>",
            "<|im_end|>",
            "<|im_start|>",
            "<img>",
            "</img>",
            "<IMG_CONTEXT>",
            "<video>",
        ],
        config=internvl_config,
        model="InternVLForConditionalGeneration",
        template=chatml("<IMG_CONTEXT>\n"),
        processor={"processor_class": "InternVLProcessor", "image_seq_length": 4},
        images=SQUARE
        | {"image_processor_type": "GotOcr2ImageProcessorFast", "crop_to_patches": True}
        | {"min_patches": 1, "max_patches": 4},
        video="InternVLVideoProcessor",
        named={"start_image_token": "<img>", "end_image_token": "</img>"}
        | {"context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"},
    ),
    "gemma3": Tiny(
        special=[
            "<pad>",
            "<eos>",
            "<bos>",
            "<start_of_turn>",
            "<end_of_turn>",
            "<start_of_image>",
            "<end_of_image>",
            "<image_soft_token>",
        ],
        config=gemma3_config,
        model="Gemma3ForConditionalGeneration",
        template=GEMMA_CHAT,
        processor={"processor_class": "Gemma3Processor", "image_seq_length": 4},
        images=SQUARE | {"image_processor_type": "Gemma3ImageProcessor", "image_seq_length": 4},
        named={
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
        bos="<bos>",
    ),
    "llava_next": Tiny(
        special=["<pad>", "</s>", "<|im_start|>", "<|im_end|>", "<image>"],
        config=llava_next_config,
        model="LlavaNextForConditionalGeneration",
        template=chatml("<image>\n"),
        processor={"processor_class": "LlavaNextProcessor", "patch_size": PATCH}
        | {"vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        images=HALF
        | {"image_processor_type": "LlavaNextImageProcessor", "image_grid_pinpoints": GRID}
        | {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}},
    ),
    "llava_onevision": Tiny(
        special=["<|endoftext|>", "<|im_end|>", "<|im_start|>", "<image>", "<video>"],
        config=llava_onevision_config,
        model="LlavaOnevisionForConditionalGeneration",
        template=chatml("<image>\n"),
        processor={"processor_class": "LlavaOnevisionProcessor", "num_image_tokens": 16}
        | {"vision_feature_select_strategy": "full"},
        images=SQUARE
        | {"image_processor_type": "LlavaOnevisionImageProcessor", "image_grid_pinpoints": GRID},
        video="LlavaOnevisionVideoProcessor",
    ),
    "qwen3": Tiny(
        special=QWEN,
        config=lambda words: transformers.Qwen3Config(**language(words, head_dim=16)),
        model="Qwen3ForCausalLM",
        template=chatml(""),
    ),
    "llama": Tiny(
        special=["<pad>", "<|eot_id|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"],
        config=lambda words: transformers.LlamaConfig(**language(words)),
        model="LlamaForCausalLM",
        template=LLAMA_CHAT,
        bos="<|begin_of_text|>",
    ),
}
NOT_FOR_VIDEO = {
    "image_processor_type",
    "image_grid_pinpoints",
    "crop_to_patches",
    "min_patches",
    "max_patches",
}
NOT_FOR_VIDEO |= {"do_image_splitting", "processor_class"}


def make_model(family: str, path: Path) -> Path:
    """Leave a family's tiny model at `path`; returns the path."""
    tiny = FAMILIES[family]
    words = tokenizer(tiny)
    torch.manual_seed(0)
    model = getattr(transformers, tiny.model)(tiny.config(words))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:  # Gemma 3's projector begins at 0
                parameter.mul_(0.2 / parameter.std()) if parameter.std() > 0 else parameter.normal_(0, 0.2)
    model.generation_config.eos_token_id = words.eos_token_id
    model.generation_config.pad_token_id = words.pad_token_id
    model.save_pretrained(path)
    if tiny.processor:
        words._set_processor_class(tiny.processor["processor_class"])
        (path / "chat_template.jinja").write_text(tiny.template)
        images = dict(tiny.images) | {"processor_class": tiny.processor["processor_class"]}
        files = {"processor_config": dict(tiny.processor), "preprocessor_config": images}
        if tiny.video:
            video = {key: value for key, value in images.items() if key not in NOT_FOR_VIDEO}
            files["video_preprocessor_config"] = video | {"video_processor_type": tiny.video}
        for name, settings in files.items():
            (path / f"{name}.json").write_text(json.dumps(settings))
    else:
        words.chat_template = tiny.template
    words.save_pretrained(path)
    return path
