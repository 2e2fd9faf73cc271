"""A number as a model writes it, within a tolerance, in any unit of its kind.

Numbers are read by the rules of `reading`: signs, thousands, fractions, powers of ten, LaTeX and Markdown are
understood, and a text that gives several numbers is not read. Units are those of Pint (pint.readthedocs.io).
"""

import functools
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import AfterValidator, Field

from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.metrics.metric import TEXTS, Score, metric, references
from modomodo.metrics.reading import UnclearError, read_quantity, telling_parts, undress

if TYPE_CHECKING:
    from pint import Unit, UnitRegistry

_ROUNDING = 1e-9  # of a true value, by which two ways to write it may differ
# A unit's powers and parts, as "km/h", "m^2", "kg m s^-2"; nothing that Pint would compute for long.
_UNIT = re.compile(
    r"[A-Za-z\u00b5\u03bc\u2126\u03a9\u00b0%](?:[A-Za-z\u00b5\u03bc\u2126\u03a9\u00b0 /\u00b7]|\^?-?\d(?!\d)){0,40}"
)
# Words behind a number that are units only if nothing follows: "12 in total".
_WORDS = {"a", "as", "at", "in", "to"}


def _known_unit(text: str) -> str:
    if unit_of(text) is None:
        raise ValueError(f"'{text}' is no unit that Pint knows")
    return text


# "3 million"; of "1,5 million" and "3 1/2 million" no part.
_SCALED = re.compile(
    r"(?<![\w.,/^])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?[ -]?(thousand|million|billion|trillion)s?\b",
    re.IGNORECASE,
)
# "degrees Celsius", "deg C", "\u00b0 C", "celsius"
_DEGREE = r"(?:\u00b0|deg(?:ree)?s?\.?)\s*"
_DEGREES = re.compile(rf"(?i:(?:{_DEGREE})?(celsius|centigrade|fahrenheit))\b|(?i:{_DEGREE})([CF])\b")
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}

Tolerance = Annotated[float, Field(ge=0)]


class Quantity(NamedTuple):
    """A number, and the text of its unit: "" where it has none."""

    value: float
    unit: str


@metric("number", version=2, answers=TEXTS)
def number(
    answer: str,
    example: Example,
    rel_tol: Tolerance = 0.0,
    abs_tol: Tolerance = 0.0,
    unit: Annotated[str, AfterValidator(_known_unit)] | None = None,
    unit_required: bool = False,
) -> Score:
    """1 when the number is an accepted one, however it is written, within `rel_tol` of it or `abs_tol`.

    A unit that Pint knows is converted to the true one: `unit`, or that in the true answer; of another kind ("5 kg" for
    "5 km") the answer is wrong. Without one a number counts as in the true unit, unless `unit_required`. "50%" is 50
    and also 0.5; "3 million" is 3000000. An answer from which no single number can be read counts as unparsed.

    Example: `{number: {rel_tol: 0.05}}`: "1,040 m" for "1 km" is 1.
    """
    truths = [_true(text, unit) for text in references(example)]
    found = read(answer)
    if found is None:
        return Score(0.0, parsed=False)
    return Score(float(any(_is_near(found, truth, rel_tol, abs_tol, unit_required) for truth in truths)))


def read(text: str) -> Quantity | None:
    """The number that an answer gives, with its unit; None when none is clear."""
    text = _SCALED.sub(_in_digits, text)
    try:
        for part, told in telling_parts(text):
            if (found := read_quantity(part, told)) is not None:
                value = float(found[0])
                return Quantity(value, _unit_in(found[1])) if math.isfinite(value) else None
    except UnclearError:
        pass
    return None


def _in_digits(found: re.Match[str]) -> str:
    digits = Decimal(found[1].replace(",", "") + (found[2] or ""))
    return format(digits.scaleb(_SCALES[found[3].lower()]), "f")


def _true(text: str, unit: str | None) -> Quantity:
    found = read(text)
    if found is None:
        raise InputError(f"the true answer '{text[:60]}' gives no number")
    return found if found.unit or unit is None else Quantity(found.value, _unit_in(undress(unit)))


def _is_near(found: Quantity, truth: Quantity, rel_tol: float, abs_tol: float, unit_required: bool) -> bool:
    if unit_required and truth.unit and not found.unit:
        return False
    allowed = max(rel_tol * abs(truth.value), abs_tol, _ROUNDING * abs(truth.value))
    return any(abs(value - truth.value) <= allowed for value in _in_unit(found, truth.unit))


def _in_unit(found: Quantity, unit: str) -> list[float]:
    """The value of a quantity in a unit: none in one of another kind, and two for a percentage that is to be bare."""
    if found.unit == unit:
        return [found.value]
    if found.unit == "%" or unit == "%":
        if found.unit and unit:
            return []
        return [found.value, found.value / 100 if found.unit else found.value * 100]
    if not found.unit or not unit:
        return [found.value]
    mine, true = (
        unit_of(_temperature(one, other)) for one, other in ((found.unit, unit), (unit, found.unit))
    )
    assert mine is not None and true is not None  # `_unit_in` gives no other
    try:
        return [_units().Quantity(found.value, mine).to(true).magnitude]
    except Exception:  # of another kind, or a conversion that has no value
        return []


def _temperature(unit: str, other: str) -> str:
    """C and F beside degrees, or beside each other, are degrees; by themselves they are coulombs and farads."""
    return f"\u00b0{unit}" if unit in ("C", "F") and other in ("C", "F", "\u00b0C", "\u00b0F", "K") else unit


def _unit_in(rest: str) -> str:
    """The unit that opens what stands behind a number; "" for none that is known."""
    whole = rest.strip(" .,;!?")
    if found := _DEGREES.match(whole):
        return f"\u00b0{(found[1] or found[2])[0].upper()}"
    if whole.startswith(("%", "percent", "per cent")):
        return "%"
    first = whole.split(" ")[0].strip(" .,;!?")
    words = [whole] if whole == first or first in _WORDS else [whole, " ".join(whole.split(" ")[:2]), first]
    return next((word for word in words if unit_of(word) is not None), "")


@functools.lru_cache(maxsize=4096)
def unit_of(text: str) -> "Unit | None":
    """What Pint makes of a unit's text; None for what it does not know, or what is no unit's text at all."""
    if not _UNIT.fullmatch(text):
        return None
    try:
        return _units().parse_units(_SPELLINGS.get(text, text).replace("\u00b7", "*"))
    except Exception:  # of an unknown word, and of any text that its parser trips over
        return None


# Which Pint reads as other units, or does not know.
_SPELLINGS = {
    "kmh": "km/h",
    "kph": "km/h",
    "\u00b0": "degree",
    "pts": "point",
    "sec": "second",
    "secs": "second",
}


@functools.cache
def _units() -> "UnitRegistry":
    from pint import UnitRegistry  # here: a second, for those who need it

    return UnitRegistry(autoconvert_offset_to_baseunit=True)
