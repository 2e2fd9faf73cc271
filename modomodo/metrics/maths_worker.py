"""The process that compares formulas with math-verify: a line of JSON in, a line out. Started by `maths`, as a file.

What a model writes may keep sympy busy for ever, eat the memory or crash the interpreter; here that costs one answer.
"""

import json
import os
import resource
import signal
import sys
from typing import Any

MEMORY = 4 * 2**30  # bytes of address space; sympy itself needs a tenth


def main() -> None:
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # whoever stops the training ends this too, by closing the pipe
        signal.signal(number, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no reply
    from math_verify import parse, verify

    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most), most)
    )
    print(json.dumps("ready"), file=replies, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        # The signal's own action, which ends the process: also inside a computation that holds the interpreter, and
        # when nobody is left who would.
        signal.setitimer(signal.ITIMER_REAL, asked["seconds"])
        try:
            answer = read(parse, asked["answer"])
            truths = [read(parse, truth) for truth in asked["truths"]]
            equal = any(
                verify(truth, answer, timeout_seconds=None) and not apart(truth, answer) for truth in truths
            )
            verdict: dict[str, Any] = {"equal": bool(answer) and equal, "read": bool(answer)}
        except Exception:  # of any library below, on any text
            verdict = {"equal": False, "read": False}
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(verdict), file=replies, flush=True)


SMALL, NEAR = 1e-3, 1e-3


def apart(truth: list[Any], answer: list[Any]) -> bool:
    """Whether two numbers differ that verify, which rounds to six decimals, holds for equal: 2^-99 and 2^-98."""
    pairs = [(one, other) for one in map(value, truth) for other in map(value, answer) if one and other]
    if any(abs(one * scale / other - 1) <= NEAR for one, other in pairs for scale in (1, 100, 0.01)):
        return False  # as they are, or one as a percentage
    return any(min(abs(one), abs(other)) < SMALL for one, other in pairs)


def value(found: Any) -> Any:
    """What was read as a number of any size; None for what is none, and for 0."""
    number = found.doit().evalf(15) if getattr(found, "is_number", False) else None
    real_or_complex = number is not None and number.is_finite and number.as_real_imag()[0].is_Float
    return number if real_or_complex and number != 0 else None


def read(parse: Any, candidates: list[str]) -> list[Any]:
    """What the first of several spellings gives that gives anything but the text itself."""
    for candidate in candidates:
        found = parse(candidate, parsing_timeout=None)
        if any(not isinstance(one, str) for one in found):
            return list(found)
    return []


if __name__ == "__main__":
    main()
