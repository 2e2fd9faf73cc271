"""MathVista: the answer is extracted, then normalised and compared as officially.

Officially an answer that is not already bare is extracted by GPT (evaluation/extract_answer.py). `mathvista`
extracts by rules alone and needs no key; `mathvista_judged` asks the study's judge, as the paper's copy of
lmms-eval asks GPT. Judges differ by several points, so a score names its metric, version and judge.
An example's `meta` holds `answer_type` (integer, float or list) and, for a float, `precision` in decimals;
a multiple choice needs neither.
"""

import math
import re
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.metrics.metric import TEXTS, Score, metric
from modomodo.metrics.reading import (
    UnclearError,
    read_list,
    read_number,
    read_option,
    telling_parts,
)


@metric("mathvista", version=2, answers=TEXTS, reads_completion=True)
def mathvista(text: str, example: Example) -> Score:
    """1 when the normalised extraction equals the true answer.

    A text from which nothing is extracted is wrong and counts as unparsed. The official rules take it for the option
    nearest to "", which is right by chance.

    Example: `mathvista`: "The answer is (B)." for "B" is 1.
    """
    return _score(text, example)


# In words of our own: the official demonstrations ask for the same forms.
_PROMPT = """Someone was asked a question about a picture and answered it. Write down the final answer that they \
gave, and nothing else: no words around it, no reasoning. Do not solve the question yourself. If they gave no \
answer, write None.

{form}

Question:
{question}

Their answer:
{answer}

Final answer:"""
_FORMS = {
    "choice": "The final answer is the letter of an option in brackets, such as (B).",
    "integer": "The final answer is an integer without unit, such as 14.",
    "float": "The final answer is a decimal number with {precision} decimals and without unit, such as {such}.",
    "list": "The final answer is a list in square brackets, such as [3, 0, 8].",
}


def judge_prompt(text: str, example: Example) -> str | None:
    """What the judge is asked: to copy the answer out of a text. None where officially no model is asked.

    That is for an empty text, an option's very text, and a bare integer or float.
    """
    kind, precision = _kind(example)
    if not text.strip() or _is_literal(text.strip(), example.choices, kind):
        return None
    form = _FORMS["choice" if example.choices else kind]
    such = f"{2.75:.{precision or 0}f}"
    return _PROMPT.format(
        form=form.format(precision=precision, such=such), question=example.question, answer=text.strip()
    )


@metric("mathvista_judged", version=2, answers=TEXTS, reads_completion=True, prompt=judge_prompt)
def mathvista_judged(text: str, example: Example, reply: str | None) -> Score:
    """As `mathvista`, but the answer is what the study's judge reads in the text.

    A reply in which no answer is found ("None", "N/A", no words) is wrong and counts as unparsed.

    Example: `mathvista_judged`: "the blue one" for "B" is 1 if the judge reads "(B)" in it.
    """
    return _score(text if reply is None else reply, example)


def _score(text: str, example: Example) -> Score:
    kind, precision = _kind(example)
    extraction = extract(text, example.choices, kind)
    if extraction is None:
        return Score(0.0, parsed=False)
    return Score(float(normalise(extraction, example.choices, kind, precision) == _truth(example)))


def _kind(example: Example) -> tuple[str, int | None]:
    if example.choices:
        return "text", None
    kind, precision = example.meta.get("answer_type"), example.meta.get("precision")
    if kind not in ("integer", "float", "list"):
        raise InputError(f"meta.answer_type: '{kind}': expected integer, float or list (or give choices)")
    if kind == "float" and not isinstance(precision, int | float):
        raise InputError("meta.precision: a float answer needs its number of decimals")
    return kind, None if precision is None else int(precision)


def _truth(example: Example) -> str:
    answer = example.answer
    if not isinstance(answer, str):
        raise InputError("its answer is no text")
    return example.choices[ord(answer) - ord("A")] if example.answer_type == "choice" else answer


def normalise(
    extraction: object, choices: Sequence[str], answer_type: str, precision: int | None
) -> str | None:
    """An extraction in the form of the true answer (evaluation/calculate_score.py, its current rules).

    With choices, always one of them: that of the first bracketed letter, that of a bare capital letter, or
    else the one at the smallest edit distance, the first of equals, even to an empty extraction. Without, by
    answer type: an integer cut off ("2.0" and "2.9" are "2"), a float rounded to `precision` decimals, a
    list as it is; None where that is no number. Empty extractions are not ignored; the metrics never hand one over.
    """
    if choices:
        text = str(extraction).strip()
        bracketed = re.search(r"\(([a-zA-Z])\)", text)
        letter = bracketed.group(1).upper() if bracketed else text
        letters = [chr(ord("A") + position) for position in range(len(choices))]
        if letter in letters:
            return choices[letters.index(letter)]
        return min(choices, key=lambda choice: Levenshtein.distance(letter, choice))
    try:
        if answer_type == "integer":
            return str(int(float(extraction)))  # type: ignore[arg-type]
        if answer_type == "float":
            return str(round(float(extraction), int(precision)))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return str(extraction)


def extract(text: str, choices: Sequence[str], answer_type: str) -> str | None:
    """The answer in a model's text, found by rules alone (see reading); None when they find none, or more than one.

    As officially, an option's very text, or a bare integer or float, is the answer.
    """
    text = text.strip()
    if _is_literal(text, choices, answer_type):
        return text
    if choices:
        return read_option(text, choices)
    return read_list(text) if answer_type == "list" else _number(text, answer_type)


def _is_literal(text: str, choices: Sequence[str], answer_type: str) -> bool:
    """Whether a text is an answer as it stands: an option's text, or a bare finite number."""
    if choices:
        return text in choices
    try:
        return math.isfinite({"integer": int, "float": float}[answer_type](text))
    except (KeyError, ValueError, OverflowError):
        return False


def _number(text: str, answer_type: str) -> str | None:
    try:
        for part, told in telling_parts(text):
            if (number := read_number(part, told)) is not None:
                # Officially "2.9" is the integer 2; a half is none, however it is written.
                written = number.lstrip("-") in part.replace(",", "")
                return number if written or answer_type == "float" or float(number).is_integer() else None
    except UnclearError:
        pass
    return None
