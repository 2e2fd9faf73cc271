"""MathVista: the answer is extracted, then normalised and compared as officially.

Officially an answer that is not already bare is extracted by GPT (evaluation/extract_answer.py). `mathvista`
extracts by rules alone and needs no key; `mathvista_judged` asks the study's judge, as the paper's copy of
lmms-eval asks GPT. Judges differ by several points, so a score names its metric, version and judge.
An example's `meta` holds `answer_type` (integer, float or list) and, for a float, `precision` in decimals;
a multiple choice needs neither.
"""

import re
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.evaluation.metrics.metric import Score, metric


@metric("mathvista", version=1, reads_completion=True)
def mathvista(text: str, example: Example) -> Score:
    """1 when the normalised extraction equals the true answer.

    A text from which nothing is extracted counts as unparsed, and is scored as the official rules do an
    empty extraction: wrong as a number, and in a multiple choice as the option nearest to "".
    """
    kind, precision = _kind(example)
    extraction = extract(text, example.choices, kind)
    prediction = normalise(extraction or "", example.choices, kind, precision)
    return Score(float(prediction == _truth(example)), parsed=extraction is not None)


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


@metric("mathvista_judged", version=1, reads_completion=True, prompt=judge_prompt)
def mathvista_judged(text: str, example: Example, reply: str | None) -> Score:
    """As `mathvista`, but the answer is what the study's judge reads in the text.

    "None", "N/A" and no words count as unparsed, and are scored as the official rules do an empty extraction.
    """
    kind, precision = _kind(example)
    extraction = (text if reply is None else reply).strip()
    if extraction not in example.choices and extraction.rstrip(".").lower() in ("none", "n/a"):
        extraction = ""
    prediction = normalise(extraction, example.choices, kind, precision)
    return Score(float(prediction == _truth(example)), parsed=bool(extraction))


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
    list as it is; None where that is no number. Empty extractions are not ignored.
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


# A number with or without thousands separators, not the exponent of a unit ("cm^2") or a part of a word.
_NUMBER = re.compile(r"(?<![\w.^])-?(?:(?:\d{1,3}(?:,\d{3}){1,6}(?![\d,])|\d+)(?:\.\d+)?|\.\d+)")
_LIST = re.compile(r"\[[^\[\]]*\]")
_ANNOUNCED = re.compile(r"(?:answer|option|choice)(?: is| would be|:|\*\*:?)+\s*[\"'*(]*", re.IGNORECASE)


def extract(text: str, choices: Sequence[str], answer_type: str) -> str | None:
    """The answer in a model's text, found by rules alone; None when they find none.

    1. As officially: an option's very text, or a bare integer or float, is the answer.
    2. What follows the last "answer is" or "answer:" goes before the rest of the text.
    3. Multiple choice: the last letter in brackets; a capital letter that opens the text ("B", "B. 4 cm",
       "B: yes"); the option whose text occurs last, the longest of those that end there.
    4. Number: the first behind the last "=", the first of what was announced, else the last one; thousands
       separators are dropped. List: the last [ … ].
    """
    text = text.strip()
    if not text:
        return None
    if _is_literal(text, choices, answer_type):
        return text
    announced = _after_last(_ANNOUNCED, text)
    if announced is not None and (found := _find(announced, choices, answer_type, announced=True)):
        return found
    return _find(text, choices, answer_type, announced=False)


def _find(text: str, choices: Sequence[str], answer_type: str, announced: bool) -> str | None:
    if choices:
        return _option(text, choices)
    if answer_type == "list":
        return _last(_LIST, text)
    return _number(text, first=announced)


def _is_literal(text: str, choices: Sequence[str], answer_type: str) -> bool:
    """Whether a text is an answer as it stands: an option's text, or a bare number."""
    if choices:
        return text in choices
    try:
        {"integer": int, "float": float}[answer_type](text)
    except (KeyError, ValueError):
        return False
    return True


def _after_last(pattern: re.Pattern[str], text: str) -> str | None:
    ends = [found.end() for found in pattern.finditer(text)]
    return text[ends[-1] :].strip() if ends else None


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.findall(text)
    return found[-1] if found else None


def _option(text: str, choices: Sequence[str]) -> str | None:
    letters = "".join(chr(ord("A") + position) for position in range(len(choices)))
    if bracketed := _last(re.compile(rf"\(([{letters}])\)"), text):
        return bracketed
    # "A dog" and "I see" open with a word, not with a letter.
    if opening := re.match(rf"([{letters}])(?![\w'])(?!(?<=[AI]) [a-z])", text):
        return opening.group(1)
    lowered = text.lower()
    ends = {}
    for choice in choices:
        occurrences = re.finditer(rf"(?<!\w){re.escape(choice.lower())}(?!\w)", lowered)
        for occurrence in occurrences:
            ends[choice] = occurrence.end()
    return max(ends, key=lambda choice: (ends[choice], len(choice)), default=None)


def _number(text: str, first: bool) -> str | None:
    results = _NUMBER.findall(text.rpartition("=")[2]) if "=" in text else []
    if results:
        return results[0].replace(",", "")
    numbers = _NUMBER.findall(text)
    return numbers[0 if first else -1].replace(",", "") if numbers else None
