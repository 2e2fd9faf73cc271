"""How the tiny base model is trained, in four stages: vision, answers, choices, corruptions.

1. Vision: the tower learns to put each cell's colour, content and box into the space of the word embeddings.
   It is frozen afterwards.
2. Answers: supervised fine-tuning on questions of all nine domains and two auxiliary tasks, captions (which
   train dense reading) and the matching of options to letters.
3. Choices: the same with more multiple choice, which the model learns only once the values are right.
4. Corruptions: the model learns to give answers in wrong formats and without tags as well as right ones, so that
   it can do more than it shows, and GRPO elicits it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen2VLForConditionalGeneration

from modomodo import console
from modomodo.tiny.boards import COMPOSERS
from modomodo.tiny.dataset import IGNORED, IMAGE_START, IMAGE_TOKENS, Learner, SFTDataset, positions
from modomodo.tiny.evaluation import evaluate
from modomodo.tiny.examples import Corruptions, SFTExample, corrupt, sft_examples
from modomodo.tiny.muon import Optimiser
from modomodo.tiny.settings import Curriculum
from modomodo.tiny.vision import PARTS, train_vision

EPOCHS = 2  # of each stage
WARMUP_RATIO = 0.06

# Examples of a domain or auxiliary task, in proportion.
ANSWERS = {"detection": 10, "referring": 10, "geometry": 10, "relation": 8, "science": 10}
ANSWERS |= {"chart": 6, "infographic": 7, "math": 6, "general": 6, "caption": 20, "match": 6}
CHOICES = {"detection": 8, "referring": 10, "geometry": 13, "relation": 8, "science": 14}
CHOICES |= {"chart": 8, "infographic": 8, "math": 10, "general": 11, "caption": 5, "match": 5}
CORRUPTIONS = {domain: ANSWERS[domain] for domain in COMPOSERS}


@dataclass(frozen=True)
class Stage:
    """One stage of supervised fine-tuning: its steps, its mixture of tasks and its learning rates."""

    name: str
    steps: int
    shares: Mapping[str, int]
    muon_lr: float
    adamw_lr: float


def train(
    learner: Learner,
    templates: Sequence[str],
    curriculum: Curriculum,
    seed: int,
    corruptions: Corruptions,
) -> list[dict[str, Any]]:
    """Train the learner's model in place. Returns each stage's name, seconds and held-out scores."""
    reports = []

    def report(name: str, started: float, scores: dict[str, float]) -> None:
        reports.append({"stage": name, "seconds": round(time.monotonic() - started, 1), "scores": scores})

    batch_size = curriculum.batch_size
    started = time.monotonic()
    scores = train_vision(learner, steps=curriculum.vision_steps, batch_size=batch_size, seed=seed)
    report("vision", started, scores)
    stages = [
        Stage("answers", curriculum.answer_steps, ANSWERS, 0.01, 2e-3),
        Stage("choices", curriculum.choice_steps, CHOICES, 0.01, 2e-3),
        Stage("corruptions", curriculum.corruption_steps, CORRUPTIONS, 3e-3, 5e-4),
    ]
    for i, stage in enumerate(stages):
        started = time.monotonic()
        if stage.steps:
            number = stage.steps * batch_size // EPOCHS
            examples = _mixed_examples(stage.shares, number, seed * 10 + i, templates)
            if stage.name == "corruptions":
                rng = np.random.default_rng([seed, 6007])
                examples = [corrupt(example, rng, corruptions) for example in examples]
            train_stage(learner, SFTDataset(examples, learner), stage, batch_size=batch_size, seed=seed)
        report(
            stage.name, started, evaluate(learner.model, learner.tokenizer, templates, curriculum.eval_size)
        )
    return reports


def _mixed_examples(
    shares: Mapping[str, int], number: int, seed: int, templates: Sequence[str]
) -> list[SFTExample]:
    """At least `number` examples, in proportion to the shares."""
    total = sum(shares.values())
    return [
        example
        for domain, share in shares.items()
        for example in sft_examples(domain, -(-number * share // total), seed, templates)
    ]


def train_stage(learner: Learner, dataset: SFTDataset, stage: Stage, *, batch_size: int, seed: int) -> None:
    """Fine-tune the language model on the completions; the tower is frozen."""
    model, steps = learner.model, stage.steps
    rng = np.random.default_rng([seed, steps])
    model.model.visual.requires_grad_(False)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimiser = Optimiser(parameters, hidden=r"layers\.", muon_lr=stage.muon_lr, adamw_lr=stage.adamw_lr)
    model.train()
    epochs = 1 + steps * batch_size // len(dataset)
    order = np.concatenate([rng.permutation(len(dataset)) for _ in range(epochs)])
    for step in console.progress(range(steps), f"base model, {stage.name}"):
        chosen = order[step * batch_size : (step + 1) * batch_size]
        tokens = int(dataset.completion_lengths[chosen].sum())

        def loss(part: np.ndarray, tokens: int = tokens) -> Tensor:
            return token_loss(model, *dataset.batch(part)) / tokens

        # Examples of similar length share a part, so that little of it is padding.
        chosen = chosen[np.argsort(dataset.lengths[chosen], kind="stable")]
        learner.pool.backward(loss, np.array_split(chosen, PARTS), optimiser.parameters)
        optimiser.step(step / steps, WARMUP_RATIO, learner.pool)
    model.model.visual.requires_grad_(True)


def token_loss(
    model: Qwen2VLForConditionalGeneration, features: Tensor, tokens: Tensor, labels: Tensor
) -> Tensor:
    """The cross-entropy of the next tokens, summed over the completions of a batch (`SFTDataset.batch`).

    Padding follows an example, where causal attention never looks, so no mask is needed.
    """
    words = model.get_input_embeddings()(tokens)
    inputs = torch.cat([words[:, :IMAGE_START], features, words[:, IMAGE_START + IMAGE_TOKENS :]], 1)
    places = positions(tokens.shape[1]).expand(3, len(tokens), -1)
    outputs = model.model.language_model(inputs_embeds=inputs, position_ids=places, use_cache=False)
    trained = labels[:, 1:] != IGNORED
    logits = model.lm_head(outputs.last_hidden_state[:, :-1][trained])
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:][trained], reduction="sum")
