r"""The final value in an answer: the text that the canonical reading judges.

Law: of an answer counts the content of its last box, else the text after its last marker (`**Final
Answer**`, `**答案**`, `Answer:`, `the answer is`), else all of it. Dressing goes (bold, math signs,
`\text`, spacing commands); what is said stays. Nothing is guessed: where no rule applies, there is
no letter and no number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from qvq_mlx.reply.box import boxed

_MARKER = re.compile(
    r"(?:\*\* ?(?:final answer|answer|最终答案|答案) ?[:：]? ?\*\*"
    r"|^[ \t]*(?:final answer|answer|最终答案|答案)\s*[:：]"
    r"|\b(?:the|final|correct) answer is\b)[ \t]*[:：]?",
    re.IGNORECASE | re.MULTILINE,
)
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}"
)
_DRESSING = (
    ("\\displaystyle", ""),
    ("\\left", ""),
    ("\\right", ""),
    ("\\dfrac", "\\frac"),
    ("\\tfrac", "\\frac"),
    ("{,}", ","),
    ("\\,", " "),
    ("\\;", " "),
    ("\\:", " "),
    ("\\!", ""),
    ("\\ ", " "),
    ("~", " "),
    ("\\quad", " "),
    ("\\%", "%"),
    ("\\$", "$"),
    ("**", ""),
    ("\N{MINUS SIGN}", "-"),
)
_MATH_SIGNS = re.compile(r"\$|\\[\[\]()]")
_SENTENCE_END = ".。,，;；:： \n\t"
_SENTENCE_BEGIN = "。,，;；:： \n\t"  # a point may begin a number
_LONGEST_CHARACTERS = 4000
_LONGEST_NUMBER_CHARACTERS = 100

_LETTER = re.compile(r"[(（\[{]?\s*([A-Za-z])\s*[)）\]}]?")
_LETTER_AND_TEXT = re.compile(r"(?:[(（]([A-Za-z])[)）]|([A-Z])\s*[.:：、)）])\s*\S.*", re.DOTALL)
_NAMED = re.compile(
    r"(?:故?选择?|答案[是为:：]*|\b(?:option|choice|answer)(?:\s+is)?)\s*[:：]?\s*[(（]?([A-Z])(?![A-Za-z])",
)

_FRACTION = re.compile(
    r"([+-]?)\s*\\frac\s*\{?(\d+)\}?\s*\{?(\d+)\}?|([+-]?\d+)\s*/\s*(\d+)", re.ASCII
)
_NUMBER = re.compile(
    r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:\s*(?:\\times|\\cdot|×|\*)\s*10\s*\^\s*\{?[+-]?\d+\}?)?",
    re.ASCII,
)
_NUMBER_BEGINS = re.compile(
    r"(?<![\w.,^{/])[+-]?(?:\\frac\s*\{?\d+\}?\s*\{?\d+\}?|\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?|\.\d+)",
    re.ASCII,
)
_GOES_ON = re.compile(r"[.:/-]?\d")
_UNIT = re.compile(
    r"(?:\^?\{?\\circ\}?|°|%)?\s*(?:[^\W\d_π][^\d=<>\\]{0,40}(?:\^?\{?[23]\}?)?)?\s*"
)
_EQUALS = re.compile(r"=|≈|\\approx")


def final_value(answer: str) -> str:
    """Return the value that an answer ends in; empty where it says nothing.

    Of a value of more than 4,000 characters, the last ones.
    """
    content = boxed(answer)
    if content is None:
        markers = list(_MARKER.finditer(answer))
        content = answer[markers[-1].end() :] if markers else answer
    return _undressed(content[-_LONGEST_CHARACTERS:])


def letter(value: str, letters: str) -> str | None:
    """Return the one letter of `letters` that a value names: `b`, `(B)`, `B. 12`, `选B`."""
    whole = _LETTER.fullmatch(value.strip(_SENTENCE_END))
    if whole and whole[1].upper() in letters:
        return whole[1].upper()
    if match := _LETTER_AND_TEXT.fullmatch(value.strip()):
        found = (match[1] or match[2]).upper()
        if found in letters:
            return found
    named = {found for found in _NAMED.findall(value) if found in letters}
    return named.pop() if len(named) == 1 else None


def option(value: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the only option whose text is the value, dressing and case aside."""
    said = _compared(value)
    same = [name for name, text in options.items() if text and _compared(text) == said]
    return same[0] if len(same) == 1 else None


def decimal(value: str) -> str | None:
    """Return the one number in a value as a plain decimal: no unit, no separators, `3/4` is 0.75.

    It is the value itself, what follows its first equals sign, or the only number in a sentence.
    None where there is none, or more than one.
    """
    whole = value.lstrip(_SENTENCE_BEGIN).rstrip(_SENTENCE_END)
    text = _EQUALS.split(whole, maxsplit=1)[-1].lstrip("$€£¥ ")
    number, end = _number_at(text, 0)
    if number is not None and _UNIT.fullmatch(text, end):
        return number
    starts = [match.start() for match in _NUMBER_BEGINS.finditer(whole)]
    if len(starts) != 1 or "\\" in whole or "^" in whole:  # a formula is no sentence
        return None
    number, end = _number_at(whole, starts[0])
    return None if _GOES_ON.match(whole, end) else number


def _number_at(text: str, start: int) -> tuple[str | None, int]:
    """Return the number that begins at `start`, and where it ends."""
    fraction = _FRACTION.match(text, start)
    if fraction and len(fraction.group()) <= _LONGEST_NUMBER_CHARACTERS:
        return _quotient(fraction), fraction.end()
    match = _NUMBER.match(text, start)
    assert match is not None, "every part of a number is optional"
    if len(match.group()) > _LONGEST_NUMBER_CHARACTERS:
        return None, match.end()
    return _plain(match.group()), match.end()


def _undressed(text: str) -> str:
    for dressed, plain in _DRESSING:
        text = text.replace(dressed, plain)
    while (simpler := _TEXT.sub(r" \1 ", text)) != text:
        text = simpler
    text = " ".join(_MATH_SIGNS.sub(" ", text).split())
    return text.lstrip(_SENTENCE_BEGIN).rstrip(_SENTENCE_END)


def _compared(text: str) -> str:
    return "".join(_undressed(text).casefold().split())


def _quotient(fraction: re.Match[str]) -> str | None:
    sign = "-" if fraction[1] == "-" else ""
    over, under = int(sign + (fraction[2] or fraction[4])), int(fraction[3] or fraction[5])
    return str(float(Fraction(over, under))) if under else None


def _plain(number: str) -> str | None:
    """Return `1,234` as `1234` and a number with a power of ten as Python writes it."""
    mantissa, *power = re.split(r"\\times|\\cdot|×|\*", number.replace(",", ""))
    mantissa = mantissa.strip()
    if not any(character.isdigit() for character in mantissa):
        return None
    if not power:
        return mantissa.removeprefix("+")
    exponent = int(power[0].partition("^")[2].strip(" {}"))
    return str(float(mantissa) * 10.0**exponent) if abs(exponent) < 300 else None
