"""Formulas compared by what they mean, with math-verify (github.com/huggingface/Math-Verify), in a process of its own.

The process has a time limit for each answer and a limit on its memory; one that fails is ended, and another started.
"""

import atexit
import importlib.util
import json
import os
import re
import select
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import Field

from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.metrics.metric import TEXTS, Score, metric, references
from modomodo.metrics.reading import last_box

_START = 120.0  # seconds in which the process has to be ready, on a busy disk too
_LONGEST = 2000  # characters of an answer: what is longer is none


@metric("math", version=2, answers=TEXTS)
def math(answer: str, example: Example, seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0) -> Score:
    r"""1 when the answer is mathematically equal to an accepted one: `\frac12`, `0.5` and `50\%` are.

    What stands in the last `\boxed{}` counts, else the whole answer; of a text with words, what math-verify finds in
    it. An answer that is no formula, or takes longer than `seconds`, counts as unparsed.

    Example: `math`: "\boxed{\dfrac{2}{4}}" for "0.5" is 1.
    """
    text, truths = _plain(answer), [_plain(truth) for truth in references(example)]
    if any(_same(text, truth) for truth in truths):
        return Score(1.0)
    formulas = [truth for truth in truths if not _goes_on(truth)]
    if not text or len(text) > _LONGEST or _goes_on(text) or not formulas:
        return Score(0.0, parsed=False)
    verdict = _process().compare([_candidates(truth) for truth in formulas], _candidates(text), seconds)
    return Score(float(verdict["equal"]), verdict["read"])


_DIGITS = re.compile(r"(?<=\d)(?:\\[,;:! ]|\{,\}|[\u00a0\u2009\u202f])(?=\d{3}(?!\d))")
_GROUPS = re.compile(r"(?<![\d.,] )(?<![\d.,^])\d{1,3}(?: \d{3})+(?! ?[\d/])")
_POWER = re.compile(r"(?<![\w\\.])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?![\w.])")
_MIXED = re.compile(
    r"(?<![\d./^{}])(-?)(\d+)\s*(?:\s(\d+)\s*/\s*(\d+)|\\[dt]?frac\{(\d+)\}\{(\d+)\})(?![\d./^])"
)
_PROSE = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}")
_FUNCTIONS = re.compile(r"\b(?:sin|cos|tan|cot|sec|csc|log|exp|sqrt|max|min|mod|gcd|lcm|det|inf)\b")


_AND = re.compile(r",?\s*(?:\\text\s*\{\s*and\s*\}|\band\b)\s*")
_UPRIGHT = re.compile(r"\\mathrm\s*\{\s*([ei])\s*\}")  # which math-verify drops, as it does units
_DOTS = re.compile(r"\\[cdlv]?dots|\.\.\.|\u2026")


def _goes_on(plain: str) -> bool:
    """Whether a formula leaves something out: math-verify would compare what is left."""
    return bool(_DOTS.search(plain)) and not _PROSE.search(_DOTS.sub("", plain))


def _plain(text: str) -> str:
    """The formula in a text, its last box if there is one: signs as LaTeX has them, digits without separators."""
    box = last_box(text)
    plain = (text if box is None else box).strip()
    plain = (
        plain.replace("\u2212", "-")
        .replace("\u2013", "-")
        .replace("\u00d7", r"\times ")
        .replace("\u00f7", "/")
    )
    plain = plain.replace("\u03c0", r"\pi ").replace("\u221e", r"\infty ").replace("\u00b0", r"^{\circ}")
    plain = _GROUPS.sub(lambda found: found[0].replace(" ", ""), _DIGITS.sub("", plain))
    plain = _POWER.sub(r"\1\\times 10^{\2}", plain)
    plain = _UPRIGHT.sub(r"\1", plain)
    listed = _AND.sub(", ", plain)
    if not _PROSE.search(_FUNCTIONS.sub("", listed)):  # of "1, 2 and 3" math-verify would compare the 3
        plain = listed
    plain = unicodedata.normalize("NFKC", plain).replace("\u2044", "/")
    for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**")):
        if plain.startswith(left) and plain.endswith(right) and len(plain) > len(left + right):
            plain = plain[len(left) : -len(right)].strip()
    return _MIXED.sub(_sum, plain).rstrip(". ")


_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox)\s*\{([^{}]*)\}")


def _same(one: str, other: str) -> bool:
    """Whether two texts need no mathematics: they are alike, words in any case and spaces apart."""
    between = "" if _goes_on(one) and _goes_on(other) else " "
    texts = [between.join(_WORDS.sub(r"\1", text).split()) for text in (one, other)]
    return texts[0] == texts[1] or (bool(_PROSE.search(texts[0])) and texts[0].lower() == texts[1].lower())


def _sum(found: re.Match[str]) -> str:
    """A mixed number as the sum that it is: math-verify reads "3 1/2" as a product."""
    sign, whole, *parts = found.groups()
    above, below = (part for part in parts if part is not None)
    return f"{sign}({whole}+{above}/{below})"


def _candidates(plain: str) -> list[str]:
    """The spellings in which math-verify is shown a text: as a formula, and as text where it has words."""
    if _PROSE.search(_FUNCTIONS.sub("", plain)):
        return [plain]
    return [f"${plain}$", plain]


class _Process:
    """The process, which is started by the first question and again after one that it did not answer."""

    def __init__(self) -> None:
        self.running: subprocess.Popen[bytes] | None = None
        self.owner = os.getpid()  # a process that was forked from this one needs its own

    def compare(self, truths: list[list[str]], answer: list[str], seconds: float) -> dict[str, bool]:
        """Whether an answer was read as a formula and equals one of the truths; neither if there is no verdict."""
        process = self.running or self._start()
        asked = {"truths": truths, "answer": answer, "seconds": seconds}
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
            verdict = _line(process, seconds + 1)
        except BrokenPipeError:
            verdict = None
        except BaseException:  # interrupted: its verdict would answer the next question
            self.stop()
            raise
        if verdict is None:
            self.stop()
            return {"equal": False, "read": False}
        return json.loads(verdict)

    def _start(self) -> "subprocess.Popen[bytes]":
        if importlib.util.find_spec("math_verify") is None:
            raise InputError("math-verify is not installed: make env (or pip install math-verify)")
        worker = Path(__file__).with_name("maths_worker.py")
        process = subprocess.Popen(
            [sys.executable, "-I", str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.running = process
        if _line(process, _START) is None:
            self.stop()
            raise InputError(f"math-verify cannot be started: python {worker} says why")
        return process

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.running is not None:
            self.running.kill()
            self.running.communicate()
            self.running = None


_THE_PROCESS = _Process()


def _process() -> _Process:
    global _THE_PROCESS
    if _THE_PROCESS.owner != os.getpid():
        _THE_PROCESS = _Process()
    atexit.unregister(_THE_PROCESS.stop)
    atexit.register(_THE_PROCESS.stop)
    return _THE_PROCESS


def _line(process: "subprocess.Popen[bytes]", seconds: float) -> bytes | None:
    """The next line that a process writes; None when it ends, or does not write one in time."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    line = process.stdout.readline() if ready else b""
    return line if line.endswith(b"\n") else None
