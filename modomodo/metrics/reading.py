"""An answer as a model dresses it → the letter, number or list that it gives, or None when that is not clear.

What MathVista's official extraction leaves to a model (evaluation/extract_answer.py), by rules: markup goes, what is
boxed or announced ("the answer is") goes before the rest, and an answer that can be read in two ways is not read.
A wrong reading would be a wrong score without a word; an answer that is not read is counted as unparsed.
Every rule takes time linear in the text's length.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

# Markup → plain text


def undress(text: str) -> str:
    """The text without Markdown, HTML, LaTeX and full-width forms; its line breaks, words and numbers stay."""
    text = _RAISED.sub(lambda found: "^" + unicodedata.normalize("NFKC", found[0]), html.unescape(text))
    text = _BASE.sub("^", text)
    text = _VULGAR.sub(lambda found: " " + found[0], text)
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/")
    for pattern, plain in _MARKUP:
        text = pattern.sub(plain, text)
    return "\n".join(" ".join(line.split(" ")) for line in text.splitlines()).strip()


_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u207b]+")
_BASE = re.compile("(?<=[0-9])[\u2080-\u2089]+")
_VULGAR = re.compile("[\u00bc-\u00be\u2150-\u215e]")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{?")
_MARKUP = [
    (re.compile(pattern), plain)
    for pattern, plain in [
        ("[\u2010-\u2013\u2212]", "-"),
        ("[\u2018\u2019\u2032]", "'"),
        (r"<sup>\s*", "^"),
        (r"</?(?:b|i|u|em|strong|mark|code|p|br|span|div|sup|sub|answer|think)\s*/?>", " "),
        (r"\\[dtc]?frac\s*\{?\s*(-?\d+(?:\.\d+)?)\s*\}?\s*\{\s*(\d+(?:\.\d+)?)\s*\}", r" \1/\2 "),
        (r"\\[dtc]?frac\s*(\d)\s*(\d)", r" \1/\2 "),
        (r"\^?\s*\{?\s*\\(?:circ|degree)(?![A-Za-z])\s*\}?", "\u00b0"),
        (r"\\(?:times|cdot|ast)(?![A-Za-z])", "\u00d7"),
        (r"\\div(?![A-Za-z])", "\u00f7"),
        (r"\\pm(?![A-Za-z])", "\u00b1"),
        (r"\\(?:approx|simeq|sim)(?![A-Za-z])", "\u2248"),
        (r"\\sqrt(?![A-Za-z])", "\u221a"),
        (r"\\pi(?![A-Za-z])", "\u03c0"),
        (r" (?=\u03c0)|(?<=\u221a) ", ""),
        (r"\{,\}", ","),
        (r"(?<=\d)\\[,;:! ](?=\d{3}(?!\d))", ","),  # thousands
        (
            r"\\(?:text|math|operatorname)[a-z]*|\\(?:boxed|fbox|mbox|left|right|displaystyle|bm|bf|rm)(?![A-Za-z])",
            "",
        ),
        (r"\\[,;:! ]|\\q?quad\b|\\\\|~", " "),
        (r"\\[()\[\]{}]", " "),
        (r"\\([%$#&_])", r"\1"),
        (r"[{}$`_\"\u201c\u201d\u00ab\u00bb]", ""),
        (r"(?<=[\d)])(?:\*| \* )(?=[\w(])|[\u00b7\u22c5\u2219\u2715\u2716]", "\u00d7"),
        (r"\*", ""),
        (r"(?<!\w)'|'(?!\w)", ""),
    ]
]


def last_box(text: str) -> str | None:
    """What is in the last box that LaTeX draws, to its closing brace; None when there is none."""
    start = max((found.end() for found in _BOXED.finditer(text)), default=None)
    if start is None:
        return None
    depth = 1
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position]
    return text[start:]


_IS = r"(?:\s+-\s|\s*(?:is|are|was|'s|would be|should be|must be|will be|therefore|thus|then|equal to|=|:))+"
_ANNOUNCED = re.compile(
    rf"\b(?:answer|ans|option|choice|letter)\b\.?(?:\s*\([^()]*\))?{_IS}(?!\w)|\bcorrect\s?:"
    r"|\b(?:respuesta|r\u00e9ponse|antwort|resposta|risposta|\u043e\u0442\u0432\u0435\u0442)\b"
    r"(?:\s+corr\w+)?(?:\s*(?:es|est|ist|lautet|\u00e9|\u00e8|:))+(?!\w)"
    r"|(?:\u7b54\u6848|\u7b54\u3048|\u6b63\u89e3|\uc815?\ub2f5)(?:\u5e94\u8be5)?\s*[\u662f\u4e3a\u306f\uc740:]*"
    r"|\u9009\u9879?\s*[\u62e9\u662f\u4e3a:]*"
    r"|(?m:^\s*#{2,})",
    re.IGNORECASE,
)
_CONCLUDED = re.compile(
    r"(?:(?:^|[.!?]\s)\s*(?:therefore|thus|so|hence|finally|overall|in conclusion)\b|\u56e0\u6b64|\u6240\u4ee5)"
    r"[,:]?\s*",
    re.IGNORECASE | re.MULTILINE,
)
_NO_ANSWER = re.compile(
    r"\b(?:cannot|can't|could not|unable|impossible|insufficient|undetermined|more information|"
    r"not (?:possible|enough|provided?|available|given|mentioned|shown|specified|in the (?:options|choices)))\b",
    re.IGNORECASE,
)
_END = re.compile(r"\n|[.!?;](?=\s|$)|\u3002")


def telling_parts(text: str) -> Iterator[tuple[str, bool]]:
    """Where an answer is looked for, and whether the text announces it there: its plain parts, the best first.

    What stands in the last box; the sentence behind the last "answer is", then all that follows it; the last sentence
    that concludes ("therefore"); the whole text, unless it says that there is no answer.
    """
    boxed = last_box(text)
    if boxed is not None and undress(boxed):
        yield undress(boxed), True
    plain = undress(text)
    end = max((found.end() for found in _ANNOUNCED.finditer(plain)), default=None)
    if end is not None and (rest := plain[end:].strip()):
        yield _END.split(rest, maxsplit=1)[0].strip() or rest, True
        yield rest, True
    end = max((found.end() for found in _CONCLUDED.finditer(plain)), default=None)
    if end is not None and not _NO_ANSWER.search(concluded := _END.split(plain[end:], maxsplit=1)[0].strip()):
        yield concluded, True
    if not _NO_ANSWER.search(plain):
        yield plain, False


class UnclearError(Exception):
    """An answer stands here, but it cannot be read, or in more than one way: nothing else is read in its place."""


# Options


def read_option(text: str, choices: Sequence[str]) -> str | None:
    """The letter or the very text of the option that an answer names."""
    if text.strip() in choices:
        return text.strip()
    try:
        for part, told in telling_parts(text):
            if found := _letter(part, len(choices), told) or _named_option(part, choices, told):
                return found
    except UnclearError:
        pass
    return None


_NOT = re.compile(
    r"\b(?:not|nor|isn't|neither|rather than|instead of)\s+(?:option\s+|choice\s+)?[(\[]?$", re.I
)
_WRONG = re.compile(r"[)\]]?\s*(?:is|are|was)\s+(?:not|wrong|incorrect|false)\b", re.I)
_ALONE = re.compile(r"\W*(?:(?:option|choice|answer)\W+)?([A-Za-z])\W*", re.I | re.A)
_OPENING = re.compile(
    r"[(\[<]?(?:(?:option|choice)\s+)?([A-Z]|[a-z](?=\s?[.):\]>]))(?![\w'^/]|\s?[+=]\s?\w|\s?-\s?[A-Za-z](?!\w)|\.\w\.)",
    re.A,
)
_ARTICLE = re.compile(r"[AI] (?!(?:is|because|since|as|and|or|with)\b)[a-z]")
_BRACKETED = re.compile(r"[(\[<]([A-Za-z])[)\]>]")
_CALLED = re.compile(
    r"\b(?:[Oo]ption|[Cc]hoice|[Cc]hoose|[Ss]elect|[Pp]ick)\s+[(\[]?([A-Za-z])(?![\w'])"
    r"|(?<![\w'])([A-Z])[)\]]?\s+is\s+(?:the\s+)?(?:correct|right|best|answer)\b"
    r"|\b(?i:is|it's|be|so|but|thus|therefore|answer|ans|letter)\W+([A-Z])\W*$",
    re.A,
)
_JOINED = re.compile(r"[)\]]?\s*(?:[,/&:\u3001]|and|or)\s*[(\[]?([A-Z])(?![\w'])", re.A)


_APART = 6  # characters: more than " or " between two options


def _letter(part: str, count: int, told: bool) -> str | None:
    """The letter of one of `count` options. Raises UnclearError for the letter of none, and for two of them."""
    letters = {chr(ord("A") + position) for position in range(count)}
    alone = _ALONE.fullmatch(part)
    if alone and alone[1].upper() in letters:
        return alone[1].upper()
    bracketed = [
        found
        for found in _BRACKETED.finditer(part)
        if found[1].upper() in letters and not _refused(part, found.start(), found.end())
    ]
    opening = None if _ARTICLE.match(part) else _OPENING.match(part)
    if opening and opening[1].upper() in letters and (told or not bracketed):
        joined = _JOINED.match(part, opening.end())
        if joined and joined[1] in letters - {opening[1].upper()}:
            raise UnclearError
        if not _WRONG.match(part, opening.end()):
            return opening[1].upper()
    if bracketed:
        for one, other in pairwise(bracketed):
            if _JOINED.match(part, one.end() - 1, other.end()) and one[1] != other[1]:
                raise UnclearError
        return bracketed[0 if told else -1][1].upper()
    called = [(found[1] or found[2] or found[3]).upper() for found in _CALLED.finditer(part)]
    return next((letter for letter in reversed(called) if letter in letters), None)


def read_letter(text: str) -> str | None:
    """The letter of an option that an answer names where the options' texts are not known."""
    try:
        for part, told in telling_parts(text):
            if found := _letter(part, 26, told):
                return found
    except UnclearError:
        pass
    return None


def _refused(part: str, start: int, end: int) -> bool:
    """Whether what stands between two positions of a part is named only to be refused."""
    return bool(_NOT.search(part[max(0, start - 30) : start]) or _WRONG.match(part, end))


def _named_option(part: str, choices: Sequence[str], told: bool) -> str | None:
    """The option whose text or number a part holds; of several the one that opens it. Raises UnclearError else."""
    lowered = part.lower()
    spans = {}
    for choice in choices:
        plain = undress(choice).lower()
        for found in _standing(plain).finditer(lowered) if plain else ():
            if not _refused(part, found.start(), found.end()):
                spans[found.start(), found.end()] = choice
    whole = {  # "dark green" is not "green"
        span: choice
        for span, choice in spans.items()
        if not any(start <= span[0] and span[1] <= end and (start, end) != span for start, end in spans)
    }
    if whole:
        first, *others = sorted(whole)
        only = {whole[span] for span in others} <= {whole[first]}
        if only or (first[0] == 0 and others[0][0] - first[1] > _APART):
            return whole[first]
        raise UnclearError
    number = read_number(part, told)
    if number is None:
        return None
    same = [choice for choice in choices if _value(read_number(undress(choice), told=True)) == _value(number)]
    return same[0] if len(set(same)) == 1 else None


def _standing(plain: str) -> re.Pattern[str]:
    """An option's text where it stands by itself: no part of a word or of another number, and no "no" of "no idea"."""
    before = r"(?<![\w./^\u221a-])(?<!\d,)(?<!minus )(?<!negative )" if plain[0].isdigit() else r"(?<!\w)"
    after = r"(?![\w/^\u221a]|[.,:]\d| ?- ?\d)" if plain[-1].isdigit() else r"(?!\w)"
    if plain == "no":
        after += r"(?! (?!(?:it|they|he|she|there|because|since|the|this)\b)[a-z])"
    # Chinese is written without spaces.
    return re.compile(
        ("" if plain[0] >= _IDEOGRAPHS else before)
        + re.escape(plain)
        + ("" if plain[-1] >= _IDEOGRAPHS else after)
    )


_IDEOGRAPHS = "\u2e80"


# Numbers


class _Number(NamedTuple):
    value: str  # as float() reads it
    stated: bool  # opens the part, or stands behind "is" or "="
    end: int  # where it ends in the part
    clear: bool  # stands by itself: no term of an expression, of a range, or of a number written otherwise


_NUMERAL = re.compile(
    r"(?<![A-Za-z0-9_.^])(?<!\^-)(?<![A-Za-z]-)"
    r"(?:(?P<whole>\d+) (?=\d+/\d))?"
    r"(?P<digits>\d{1,3}(?:(?:,\d{2,3}){0,4},\d{3}(?!,?\d)|(?: \d{3}){1,4}(?! ?\d))(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?: ?/ ?(?P<divisor>\d+(?:\.\d+)?))?"
    r"(?: ?[x\u00d7] ?10 ?\^?\(?(?P<power>[-+]?\d+)\)?|[eE](?P<exponent>[-+]?\d+)(?!\w))?"
)
_EXPRESSION = re.compile(r"[\u221a\u03c0\u222b\u2211|\u2264\u2265]|\\[A-Za-z]|\bpi\b|[<>] ?[a-z] ?[<>]")
_REASON = re.compile(r"\b(?:because|since|where|when|which)\b|,(?!\d)| \(")
_EQUATIONS = re.compile(r"=[^=]*\d[,; ]+(?:and )?[A-Za-z] ?=[^=]*$")  # "x = 3, y = 4"
_STATED = re.compile(
    r"(?:^\W*|(?:\b(?:is|are|was|were|be|equals?|to)|[=\u2248:])\W*"
    r"(?:(?:about|approximately|only|exactly|a total of)\W+)?)$",
    re.I,
)
_MINUS = re.compile(r"(?:(?:^|[\s(\[=:])-|(?:^|[(\[=:])\s*- ?|(?<![\d)] )\b(?:minus|negative) )$", re.I)
_TERM_BEFORE = re.compile(
    r"(?:[\u00d7\u00f7*/\u221a\u00b1^]\s?\(?|[\w)%\u00b0]\s?\+\s?|[\d)%\u00b0]\s?-\s?|\b[a-z]\s?-\s?"
    r"|\d\s?[:/,.x']\s?|\\[a-z]+\s?"
    r"|\b(?:plus|minus|times|by|over)\s|\b(?:between|from|log\w*|sin|cos|tan|root of|square of)\s?)$",
    re.I,
)
# What may be glued to a number; other letters make a term ("5x"), a magnitude ("5k") or a number system of it.
_UNITS = (
    "[cdkmn\u03bc]?m|[km]?g|[mn\u03bc]?s|hrs?|h|mins?|secs?|[cm]?[lL]|ft|in|lbs?|oz|yds?|mi|mph|kmh|km|px|pts?"
    "|[kM]?(?:Hz|W|N|J|V|Pa)|mA|A|st|nd|rd|th|D|C|F"
)
_TERM_AFTER = re.compile(
    r"\s?(?:\+\s?[\w(]|[\u00d7\u00f7*^\u221a\u00b1]|/\s?\d|:\s?\d|[-~]\s?-?[\d(\u221a]|x\s?\d"
    r"|(?:to|or|and)\s-?[\d.]|and a (?:half|quarter)|(?:[xy\u03c0]|(?-i:n)|pi)(?![A-Za-z])|\\[a-z]"
    r"|(?:hundred|thousand|million|billion|trillion|lakh|crore|dozen|tens)\b"
    r"|(?:halves|thirds|quarters|squared|cubed|percent of)\b"
    r"|(?:plus|minus|times|divided by|multiplied by|over)\b|[\u767e\u5343\u4e07\u4ebf])"
    rf"|(?-i:(?!(?:{_UNITS})(?![A-Za-z]))[A-Za-z]{{1,3}}(?![A-Za-z]))|[a-z]{{1,2}}\d|[,.]{{1,3}}\d|\(|%\s?of\b",
    re.I,
)


def read_number(part: str, told: bool) -> str | None:
    """The number that a plain part gives, as float() reads it; None when there is none in it.

    An announced part gives its first, of several the one behind "is" or "="; a whole text what follows its last "=",
    or else its only one. Raises UnclearError where there are others, and for one that is a term of an expression, of a
    range, or of a number written otherwise ("1,5", "3 million").
    """
    found = read_quantity(part, told)
    return None if found is None else found[0]


def read_quantity(part: str, told: bool) -> tuple[str, str] | None:
    """As `read_number`: the number, and what stands behind it up to a reason or the part's end: its unit, if any."""
    numbers = list(_numbers(part))
    if not numbers:
        return None
    if told:
        head = _REASON.split(part, maxsplit=1)[0]
        heads = sorted(_numbers(head), key=lambda number: not number.stated)
        if heads and heads[0].clear and "=" not in head[heads[0].end :]:
            return heads[0].value, head[heads[0].end :].strip()
    sides = re.split("[=\u2248]", part)
    if len(sides) > 1 and not _EQUATIONS.search(part):
        for side in reversed(sides):
            if (first := next(_numbers(side), None)) and first.clear:
                return first.value, _REASON.split(side[first.end :], maxsplit=1)[0].strip()
    if told or not numbers[0].clear or len({number.value for number in numbers}) > 1:
        raise UnclearError
    return numbers[0].value, _REASON.split(part[numbers[0].end :], maxsplit=1)[0].strip()


def _numbers(part: str) -> Iterator[_Number]:
    expression = _EXPRESSION.search(part) is not None
    for found in _NUMERAL.finditer(part):
        before, after = part[max(0, found.start() - 30) : found.start()], part[found.end() : found.end() + 20]
        if _NOT.search(before):
            continue
        minus = _MINUS.search(before)
        value = _value_of(found)
        clear = value is not None and not expression and not _TERM_AFTER.match(after)
        clear = clear and not _TERM_BEFORE.search(before[: minus.start() + 1] if minus else before)
        yield _Number(
            f"{'-' if minus else ''}{value}", bool(_STATED.search(before)), found.end(), bool(clear)
        )


def _value_of(found: re.Match[str]) -> str | None:
    """A numeral as float() reads it: the digits that were written, or the value of a fraction or a power of ten."""
    digits = found["digits"].replace(",", "").replace(" ", "")
    power = int((found["power"] or found["exponent"] or "0")[:6])
    if found["divisor"] is None and power == 0:
        return digits
    try:
        value = int(found["whole"] or 0) + Fraction(digits) / Fraction(found["divisor"] or 1)
        if abs(power) > 300:
            return None
        value *= Fraction(10) ** power
        return str(value.numerator) if value.denominator == 1 else repr(float(value))
    except (ZeroDivisionError, OverflowError, ValueError):
        return None


def _value(number: str | None) -> float | None:
    return None if number is None else float(number)


# Lists

_LIST = re.compile(r"\[([^\[\]]*)\]")
_ITEM = r"-?\d+(?:\.\d+)?"
_BARE_LIST = re.compile(rf"\(?({_ITEM}(?:(?:\s?[,;]\s?(?:and\s)?|\sand\s){_ITEM})+)\)?\.?")


def read_list(text: str) -> str | None:
    """A list as Python writes one of numbers, [1, 2]: the last in square brackets, or a bare "1, 2" or "1 and 2"."""
    for part, _ in telling_parts(text):
        items = _LIST.findall(part)[-1:] or [found[1] for found in [_BARE_LIST.fullmatch(part)] if found]
        if items:
            return "[" + ", ".join(re.split(r"\s?(?:[,;]\s?(?:and\s)?|\band\b)\s?", items[0].strip())) + "]"
    return None
