"""Scores of the tiny base model after each stage of its curriculum, on scans that were not trained on."""

import re
from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast, Qwen2VLForConditionalGeneration

from modomodo.tiny.boards import COMPOSERS, Board
from modomodo.tiny.dataset import image_grids, patches, prompt_text
from modomodo.tiny.examples import SFTExample, sft_examples

MAX_NEW_TOKENS = 24


def evaluate(
    model: Qwen2VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    templates: Sequence[str],
    number: int,
) -> dict[str, float]:
    """Domain → mean score of `number` questions."""
    scores = {}
    for domain in COMPOSERS:
        examples = list(sft_examples(domain, number, 0, templates, split="test"))
        completions = generate(model, tokenizer, examples)
        values = [score(text, example.board) for text, example in zip(completions, examples, strict=True)]
        scores[domain] = round(float(np.mean(values)), 4)
    return scores


@torch.no_grad()
def generate(
    model: Qwen2VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, examples: Sequence[SFTExample]
) -> list[str]:
    """Greedy completions of the examples' prompts."""
    model.eval()
    prompts = tokenizer(
        [prompt_text(example.question) for example in examples],
        add_special_tokens=False,
        padding=True,
        return_tensors="pt",
        return_token_type_ids=False,
    )
    tokens = model.generate(
        **prompts,
        pixel_values=patches(torch.from_numpy(np.stack([example.image for example in examples]))),
        image_grid_thw=image_grids(len(examples)),
        mm_token_type_ids=(prompts["input_ids"] == model.config.image_token_id).int(),
        max_new_tokens=MAX_NEW_TOKENS,
        do_sample=False,
    )
    return tokenizer.batch_decode(tokens[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)


def score(completion: str, board: Board) -> float:
    """Exact match of the text between the answer tags, or the intersection over union of its first box."""
    found = re.search(r"<answer>(.*?)</answer>", completion, re.DOTALL)
    if not found:
        return 0.0
    answer = found[1].strip()
    if isinstance(board.answer, str):
        return float(answer == board.answer)
    numbers = [int(number) for number in re.findall(r"\d+", answer)[:4]]
    if len(numbers) < 4:
        return 0.0
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = numbers, board.answer[0]
    common = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
    union = max(0, ax2 - ax1) * max(0, ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - common
    return common / union
