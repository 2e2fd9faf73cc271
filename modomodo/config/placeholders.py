"""Image placeholders and other special tokens of models, which text of one's own must not hold.

A processor replaces a placeholder by an image's tokens and a turn's end ends the turn, wherever they stand: in a
question they would make another prompt of it, or one that no image fits.
"""

import re

# <|image_pad|>, <|vision_start|>, <|im_end|> (Qwen-VL), <|image|> (Llama), <|image_1|> (Phi); <image> (LLaVA, VLM-R1,
# SmolVLM); InternVL's, Gemma's and Pixtral's. MMMU's "<image 1>" is text: it refers to an image by its number.
_PLACEHOLDER = re.compile(
    r"<\|\w{3,}\|>|<(?:image|video|audio|image_pad|image_soft_token|start_of_image|end_of_image|start_of_turn"
    r"|end_of_turn|fake_token_around_image|end_of_utterance|IMG_CONTEXT|img_context|image_placeholder)>|\[IMG\]"
)
IMAGE_MARK = "<image>"  # in a question: here the model sees the next of its images
_LEADING = re.compile(r"\A\s*(?:<image>\s*)+")
_TRAILING = re.compile(r"(?:\s*<image>)+\s*\Z")


def refuse_placeholders(text: str) -> str:
    """The text itself. Raises ValueError when it holds a placeholder or another special token of a model."""
    found = _PLACEHOLDER.search(text)
    if found:
        raise ValueError(
            f"'{found.group()}' is a model's placeholder or special token: leave it out (a question's images are shown "
            f"before its text, or at {IMAGE_MARK}, one for each)"
        )
    return text


def without_image_marks(question: str, images: int) -> str:
    """The question without the `<image>` of each of its images, where they all stand before it or all behind it.

    Files for LLaVA and VLM-R1 have them there, and these trainers show such images first. Marks inside the wording
    stay: they are the places of the images.

    >>> without_image_marks("<image>\\nHow many?", 1)
    'How many?'
    """
    if question.count(IMAGE_MARK) != images:
        return question
    for place in (_LEADING, _TRAILING):
        rest = place.sub("", question, count=1)
        if IMAGE_MARK not in rest:
            return rest
    return question
