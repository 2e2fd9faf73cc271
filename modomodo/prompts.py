"""Question → messages: the reasoning template, appended to every question.

The paper switches its reasoning mode on by "a specialised reasoning prompt" after each question, in training
and evaluation (section 3.1; the texts are those of Figs. 2 and 8).
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from modomodo.examples import Example, image_paths

__all__ = ["Templates", "image_paths", "messages", "prompt_text"]

_REASON = "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."


class Templates(BaseModel):
    """What is appended to a question, by the type of its answer; an empty text appends nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    box: str = Field(
        # Fig. 8, with the braces that LaTeX swallowed there and Visual-RFT's own prompt has.
        default=f"{_REASON} The output answer format should be as follows: <think> ... </think> "
        "<answer>[{'Position': [x1, y1, x2, y2], 'Confidence': number}, ...]</answer> "
        "Please strictly follow the format.",
        description="After a question that asks for boxes (paper, Fig. 8).",
    )
    choice: str = Field(
        default=_REASON.replace("final answer", "final answer (option)"),
        description="After a multiple-choice question (paper, Fig. 2).",
    )
    text: str = Field(default=_REASON, description="After a question that asks for a word or a phrase.")
    number: str = Field(default=_REASON, description="After a question that asks for a number.")
    separator: str = Field(default="\n", description="Between the question and the text appended to it.")


def prompt_text(example: Example, templates: Templates) -> str:
    """The text of the user's turn: the question and the template of its answer type."""
    suffix: str = getattr(templates, example.answer_type)
    return f"{example.question}{templates.separator}{suffix}" if suffix else example.question


def messages(example: Example, templates: Templates) -> list[dict[str, Any]]:
    """One user turn in the Hugging Face conversational form: the images first, then the text.

    The images themselves travel beside the messages, in the order of `image_paths`.
    """
    images = [{"type": "image"} for _ in image_paths(example)]
    return [{"role": "user", "content": [*images, {"type": "text", "text": prompt_text(example, templates)}]}]
