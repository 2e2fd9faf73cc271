"""Completion → extracted answer: the reasoning format, and boxes written as text.

The format is `<think> … </think> <answer> … </answer>`, the whole completion, but for white space around it (paper,
section 3.1 and Fig. 2: the answer is extracted "via a regular-expression parse"; the pattern is that of the
related projects Visual-RFT and VisualThinker: a full match in which `.` also matches line breaks).
Nothing a model writes is ever evaluated, and every function takes time linear in the text's length.
"""

import re

from modomodo.data.boxes import ScoredBox

_OPENING, _CLOSING = "<think>", "</answer>"
_TURN = re.compile(r"</think>\s*<answer>")


def extract_answer(completion: str) -> str | None:
    """The final answer, surrounding white space removed; None when the completion breaks the format.

    The text must begin with `<think>`, end with `</answer>` and turn from one to the other by `</think>`
    and `<answer>` with nothing but white space between. Where that leaves a choice:

    - several answers: the last one counts, as the one the model ends on;
    - nested `<answer>` tags: the innermost of the last one;
    - tags inside the thinking, or unbalanced ones there, do not matter;
    - an answer may span lines and may be empty (""), which is a wrong answer and no broken format.
    """
    text = completion.strip()
    if not (text.startswith(_OPENING) and text.endswith(_CLOSING)):
        return None
    if _TURN.search(text) is None:
        return None
    answer = text[text.rindex("<answer>") + len("<answer>") :]
    return answer[: answer.index(_CLOSING)].strip()


def final_text(completion: str) -> str:
    """What a completion ends on where no reasoning format is asked for: the text behind the thinking.

    That is the answer of a completion that keeps the format, else what follows the last `</think>`, else all of it;
    nothing of a completion that was cut off while it thought.
    """
    answer = extract_answer(completion)
    if answer is not None:
        return answer
    _, closed, after = completion.rpartition("</think>")
    if not closed and completion.lstrip().startswith(_OPENING):
        return ""
    return after.strip()


def is_exact_match(answer: str, reference: str) -> bool:
    """Exact match, the paper's accuracy: equal once surrounding white space is removed.

    Case and punctuation count, as in the accuracy rewards of related projects (docs/fidelity.md).
    """
    return answer.strip() == reference.strip()


_TOKEN = re.compile(r"\s+|[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[A-Za-z]+|[\[\](){},:'\"]")

# Texts are compared as shapes, in which n stands for a number, p and c for the two keys.
_BOX = r"[\[(]n,n,n,n[\])]"
_LABELLED = rf"\{{p:{_BOX}(?:,c:n)?\}}|\{{c:n,p:{_BOX}\}}|p:{_BOX}(?:,c:n)?"
_CORNERS = r"\(n,n\),\(n,n\)"
_ENTRY = re.compile(rf"{_LABELLED}|{_CORNERS}|{_BOX}")
_LISTS = [
    re.compile(rf"\[(?:{entry})(?:,(?:{entry}))*,?\]|(?:{entry})(?:,(?:{entry}))*")
    for entry in (_LABELLED, _CORNERS, _BOX)
]
_LOCATIONS = re.compile(r"<loc(\d{4})>" * 4)
_BOX_TAGS = re.compile(r"</?box>")
_LABEL = re.compile(r"""(,\s*)?(["'])label\2\s*:\s*(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')(\s*,)?""")
_KEYS = {"position": "p", "confidence": "c"}
_LARGEST = 1e6  # more than any image's side; keeps areas finite


def parse_boxes(text: str) -> list[ScoredBox] | None:
    """The boxes that an answer lists, in its order; None when the text is anything else.

    Understood, quotes and white space being free, units those of the text:

    - `[{'Position': [x1, y1, x2, y2], 'Confidence': c}, …]`, the prompt's form (paper, Fig. 8), also without
      its outer brackets, its braces (as the figure prints it) or its confidences;
    - `[x1, y1, x2, y2]`, or several of them, and `(x1,y1),(x2,y2)`, which Qwen2-VL writes by itself;
    - `[{"bbox_2d": [x1, y1, x2, y2], "label": "cup"}, …]`, also in a Markdown fence, whatever the labels say: what
      Qwen2.5-VL and Qwen3-VL write by themselves;
    - `<box>[[x1, y1, x2, y2]]</box>`, which InternVL writes by itself, and `<loc0000><loc0000><loc1023><loc1023>`,
      PaliGemma's location tokens, y first;
    - `No Objects` and `[]`: no box.

    Corners are not put in order: a box whose corners are swapped overlaps nothing.
    """
    if " ".join(text.split()).strip("'\".[] ").lower() == "no objects":
        return []
    if "bbox_2d" in text:
        text = _LABEL.sub(_between, _unfenced(text)).replace("bbox_2d", "Position")
    read = _read(_LOCATIONS.sub(r"[\2,\1,\4,\3]", _BOX_TAGS.sub(" ", text)))
    if read is None:
        return None
    shape, numbers = read
    if shape == "[]":
        return []
    if not any(form.fullmatch(shape) for form in _LISTS):
        return None
    boxes, values = [], iter(numbers)
    for entry in _ENTRY.findall(shape):
        confidence = next(values) if entry.startswith("{c") else None
        corners = (next(values), next(values), next(values), next(values))
        if ",c:" in entry:
            confidence = next(values)
        boxes.append(ScoredBox(corners, 1.0 if confidence is None else confidence))
    return boxes


def _unfenced(text: str) -> str:
    """What stands in a Markdown fence, or the text where there is none."""
    head, _, rest = text.strip().partition("\n")
    return rest[:-3] if re.fullmatch(r"```\w*", head.rstrip()) and rest.endswith("```") else text


def _between(label: re.Match[str]) -> str:
    """What stays of a label: the comma between its neighbours, if it has two."""
    return "," if label[1] and label[3] else ""


def _read(text: str) -> tuple[str, list[float]] | None:
    """The shape of a text and its numbers in order; None where a word, sign or number fits no box."""
    shape: list[str] = []
    numbers: list[float] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            return None
        position, word = token.end(), token.group()
        if word[0] in "0123456789+-.":
            numbers.append(float(word))
            if abs(numbers[-1]) > _LARGEST:
                return None
            shape.append("n")
        elif word[0].isalpha():
            if word.lower() not in _KEYS:
                return None
            shape.append(_KEYS[word.lower()])
        elif word not in ("'", '"') and not word.isspace():
            shape.append(word)
    return "".join(shape), numbers
