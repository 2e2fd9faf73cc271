"""MMMU: the benchmark's own parser of free text, multiple choice and open (MMMU eval/eval_utils.py).

One thing differs: where the parser finds no option it draws one at random from a generator shared by all
questions, so that a score depends on the order of the rows. Here the draw depends on the question's id
alone, and the row counts as unparsed.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

from modomodo.data.examples import Example
from modomodo.metrics.metric import TEXTS, Score, metric, references


@metric("mmmu", version=1, answers=TEXTS, reads_completion=True)
def mmmu(text: str, example: Example) -> Score:
    """1 when the official parser reads a right answer from the text; a draw when it finds no option.

    Example: `mmmu`: "I choose (B)" for "B" is 1.
    """
    if example.choices:
        return _score_choice(parse_choice(text, options(example)), example)
    return Score(float(is_open_match(text, references(example))), parsed=bool(text.strip()))


@metric("mmmu_lmms_eval", version=1, answers=TEXTS, reads_completion=True)
def mmmu_lmms_eval(text: str, example: Example) -> Score:
    """As `mmmu` by lmms-eval's rules (v0.3.3 and v0.3.4, the paper's time).

    Letters are also found as "A " and "A." inside words and sentences; a question with several accepted
    answers is compared with their list written out, as its row on the hub holds it, and is never right.

    Example: `mmmu_lmms_eval`: "It is B." for "B" is 1.
    """
    if example.choices:
        return _score_choice(parse_choice_lmms_eval(text, options(example)), example)
    accepted = references(example)
    accepted = accepted if len(accepted) == 1 else [str(accepted)]
    return Score(float(is_open_match(text, accepted)), parsed=bool(text.strip()))


def _score_choice(letter: str | None, example: Example) -> Score:
    accepted = references(example)
    if letter is None:
        return Score(float(drawn_option(example.id, list(options(example))) in accepted), parsed=False)
    return Score(float(letter in accepted))


def options(example: Example) -> dict[str, str]:
    """Letter → text of each option, in order."""
    return {chr(ord("A") + position): text for position, text in enumerate(example.choices)}


def drawn_option(identity: str, letters: Sequence[str]) -> str:
    """One of the letters, the same for a question's id at every time and place."""
    return letters[int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8]) % len(letters)]


def parse_choice(response: str, options: Mapping[str, str]) -> str | None:
    """The option that a response names, by the official rules; None where they draw at random.

    In this order: a letter in brackets; a letter between spaces; in a response of more than five words, an
    option's text in any case. Of several, the one whose last occurrence comes last.
    """
    padded = _stripped(response)
    return (
        _last_of(options, padded, "({})".format)
        or _last_of(options, padded, " {} ".format)
        or _last_named(options, padded)
    )


def parse_choice_lmms_eval(response: str, options: Mapping[str, str]) -> str | None:
    """As `parse_choice` by lmms-eval's rules: a letter only needs a space, or else a full stop, behind it.

    Of several such letters the last one between two spaces counts, and the first in order if none is.
    """
    padded = _stripped(response)
    return (
        _last_of(options, padded, "({})".format)
        or _last_of(options, padded, "{} ".format, " {} ".format)
        or _last_of(options, padded, "{}.".format, " {} ".format)
        or _last_named(options, padded)
    )


def _stripped(response: str) -> str:
    # One sign after the other, each once: "B.," loses both, "B,." only the full stop.
    for sign in ",.!?;:'":
        response = response.strip(sign)
    return f" {response} "


def _last_of(
    letters: Mapping[str, str],
    padded: str,
    written: Callable[[str], str],
    placed: Callable[[str], str] | None = None,
) -> str | None:
    """Of the letters that occur as `written`, the one whose last occurrence as `placed` comes last."""
    found = [letter for letter in letters if written(letter) in padded]
    return max(found, key=lambda letter: padded.rfind((placed or written)(letter)), default=None)


def _last_named(options: Mapping[str, str], padded: str) -> str | None:
    if len(padded.split()) <= 5:
        return None
    lowered = padded.lower()
    found = [letter for letter, text in options.items() if text.lower() in lowered]
    return max(found, key=lambda letter: lowered.rfind(options[letter].lower()), default=None)


_INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = set(":,.!?;'")

# The lookbehinds only keep a match from starting inside a run of digits, where it would fail as it did at the
# run's first digit: without them a long run takes quadratic time.
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"(?:-|(?<!\d))\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"(?:-|(?<!\d))(?:\d+\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])|-?\.\d+(?![eE][+-]?\d+)(?![,\d])"),
)


def is_open_match(response: str, references: Sequence[str]) -> bool:
    """Whether a response to an open question holds an accepted answer, by the official rules.

    Looked at are the telling ends of the response's lines (`telling_ends`) and the numbers in them. A number
    must equal an accepted one once both are rounded to two decimals; an accepted text must occur in an end,
    a single character with a space before or after it.
    """
    ends = telling_ends(response)
    heard = [value for end in ends for value in _normalised(end)]
    heard += [value for end in ends for number in _numbers(end) for value in _normalised(number)]
    wanted = [value for reference in references for value in _normalised(reference)]
    texts = [value for value in wanted if isinstance(value, str)]
    return any(
        any(text in value for text in texts) if isinstance(value, str) else value in wanted for value in heard
    )


def telling_ends(response: str) -> list[str]:
    """Of each line the shortest text behind "is ", "so ", "answer " …; the whole response if none has any.

    In the last line "=" counts too. All is in lower case. The official code means to split sentences as
    well, at a full stop before a capital, but lowers the case first, so it never does.
    """
    lowered = response.strip().strip(".").lower()
    lines = lowered.split("\n")
    ends = []
    for number, line in enumerate(lines, 1):
        indicators = (*_INDICATORS, "=") if number == len(lines) else _INDICATORS
        shortest = ""
        for indicator in indicators:
            if indicator in line:
                end = line.rsplit(indicator, 1)[1].strip()
                # An empty end is kept only until the next indicator, as the official code has it.
                if not shortest or len(end) < len(shortest):
                    shortest = end
        if shortest and shortest not in _TRIVIAL:
            ends.append(shortest)
    return ends or [lowered]


def _numbers(text: str) -> list[str]:
    return [number for pattern in _NUMBERS for number in pattern.findall(text)]


def _normalised(text: str) -> list[str | float]:
    """A number, rounded to two decimals, or a text in lower case; a single character in both its paddings."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]
