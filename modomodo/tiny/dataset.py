"""Examples as tensors: patches, vision features, tokens, labels and positions, as Qwen2-VL's own code makes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2VLForConditionalGeneration

from modomodo.tiny.boards import CELL, CELLS
from modomodo.tiny.examples import SFTExample
from modomodo.tiny.thread_pool import ThreadPool

IMAGE_TOKENS = CELLS * CELLS
PROMPT_BEFORE_IMAGE = "<|im_start|>user <|vision_start|>"  # three tokens
IMAGE_START = 3
IGNORED = -100  # as a label: no loss
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])  # CLIP's, as in Qwen2-VL's image processor
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


@dataclass(frozen=True)
class Learner:
    """The model, its tokenizer, and the threads that train it."""

    model: Qwen2VLForConditionalGeneration
    tokenizer: PreTrainedTokenizerFast
    pool: ThreadPool


def patches(images: Tensor) -> Tensor:
    """Boards [n, 32, 32, 3] uint8 → patches [n * 64, 96], exactly as Qwen2VLImageProcessor makes them."""
    n, patch = len(images), CELL // 2
    pixels = (images.float() / 255 - MEAN) / STD
    pixels = pixels.reshape(n, CELLS, 2, patch, CELLS, 2, patch, 3).permute(0, 1, 4, 2, 5, 7, 3, 6)
    # A still image is two equal frames.
    frames = pixels[:, :, :, :, :, :, None].expand(-1, -1, -1, -1, -1, -1, 2, -1, -1)
    return frames.reshape(n * 4 * IMAGE_TOKENS, 3 * 2 * patch * patch)


def image_grids(number: int) -> Tensor:
    """Frames, rows and columns of patches of each board: [n, 3]."""
    return torch.tensor([[1, 2 * CELLS, 2 * CELLS]]).repeat(number, 1)


def encode_images(model: Qwen2VLForConditionalGeneration, images: Tensor) -> Tensor:
    """The vision tower's output for boards [n, 32, 32, 3], one vector per cell: [n, 16, hidden]."""
    features = model.model.visual(patches(images), grid_thw=image_grids(len(images))).pooler_output
    return features.reshape(len(images), IMAGE_TOKENS, -1)


def positions(length: int) -> Tensor:
    """Rotary positions [3, 1, length] (time, height, width) of a prompt that begins with its image."""
    end = IMAGE_START + IMAGE_TOKENS
    places = torch.arange(length).repeat(3, 1)
    cells = torch.arange(IMAGE_TOKENS)
    places[0, IMAGE_START:end] = IMAGE_START
    places[1, IMAGE_START:end] = IMAGE_START + cells // CELLS
    places[2, IMAGE_START:end] = IMAGE_START + cells % CELLS
    places[:, end:] = torch.arange(length - end) + IMAGE_START + CELLS
    return places[:, None]


def prompt_text(question: str) -> str:
    """The prompt of an image and a question, as the chat template and the processor write it."""
    image = "<|image_pad|>" * IMAGE_TOKENS
    return f"{PROMPT_BEFORE_IMAGE}{image}<|vision_end|>{question}<|im_end|><|im_start|>assistant "


class SFTDataset:
    """Examples as tensors, padded on the right, with the frozen tower's features computed once."""

    def __init__(self, examples: Sequence[SFTExample], learner: Learner) -> None:
        tokenizer = learner.tokenizer
        prompts = tokenizer([prompt_text(e.question) for e in examples], add_special_tokens=False)
        completions = tokenizer([e.completion + "<|im_end|>" for e in examples], add_special_tokens=False)
        pairs = list(zip(prompts["input_ids"], completions["input_ids"], strict=True))
        images = torch.from_numpy(np.stack([example.image for example in examples]))
        encode = torch.no_grad()(partial(encode_images, learner.model))
        self.features = torch.cat(learner.pool.map(encode, images.split(64)))
        self.lengths = np.array([len(prompt) + len(completion) for prompt, completion in pairs])
        self.completion_lengths = np.array([len(completion) for _, completion in pairs])
        self.tokens = torch.zeros(len(examples), int(self.lengths.max()), dtype=torch.long)
        self.labels = torch.full_like(self.tokens, IGNORED)
        for i, (prompt, completion) in enumerate(pairs):
            self.tokens[i, : self.lengths[i]] = torch.tensor(prompt + completion)
            self.labels[i, len(prompt) : self.lengths[i]] = torch.tensor(completion)

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, chosen: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Features [n, 16, hidden], tokens and labels [n, length], cut to the longest of the chosen examples."""
        length = int(self.lengths[chosen].max())
        rows = torch.as_tensor(chosen)
        return self.features[rows], self.tokens[rows, :length], self.labels[rows, :length]
