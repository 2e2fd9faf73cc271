"""Question → messages: the reasoning template, appended to every question.

The paper switches its reasoning mode on by "a specialised reasoning prompt" after each question, in training
and evaluation (section 3.1; the texts are those of Figs. 2 and 8).
"""

from typing import Any

from modomodo.config.placeholders import IMAGE_MARK
from modomodo.config.schema import Templates
from modomodo.data.examples import Example, image_paths

__all__ = ["Templates", "image_paths", "interleaved", "messages", "prompt_text"]


def prompt_text(example: Example, templates: Templates) -> str:
    """The text of the user's turn: the question and the template of its answer type."""
    suffix: str = getattr(templates, example.answer_type)
    return f"{example.question}{templates.separator}{suffix}" if suffix else example.question


def messages(example: Example, templates: Templates, blocks: bool = True) -> list[dict[str, Any]]:
    """One user turn in the Hugging Face conversational form: the images first, then the text; or where it marks them.

    The images themselves are handed over separately, in the order of `image_paths`. Without `blocks` the turn is the
    text alone, as the chat templates of text-only models have it: some would print a list of blocks as Python does.
    """
    text = prompt_text(example, templates)
    if not blocks:
        return [{"role": "user", "content": text}]
    first, *further = text.split(IMAGE_MARK) if interleaved(example) else [text]
    content = [{"type": "image"} for _ in image_paths(example) if not further]
    content += [{"type": "text", "text": first}] if first else []
    for part in further:
        content.append({"type": "image"})
        content += [{"type": "text", "text": part}] if part else []
    return [{"role": "user", "content": content}]


def interleaved(example: Example) -> bool:
    """Whether the question marks the places of its images."""
    return IMAGE_MARK in example.question
