r"""Compare answers: one canonical form for all spellings of an answer.

Law: `canonical(canonical(a)) == canonical(a)`. Spelling is taken off, never meaning: of a whole
answer the boxed content counts, else the text; then math and bold signs around it, LaTeX's text
and spacing commands, case, runs of space and full stops at the end go, and a number is written one
way (1,234.50 = 1234.5, 3.0 = 3). A fraction gets its braces, a single letter or number loses
its brackets ("(b)", "b)"), and a number its degree sign: 90° = 90. What the spelling does not tell
is left alone: 1/2 and 0.5 differ, and so do "3", "3 cm" and "three". Of an answer beyond
_LONGEST_CHARS only white space and case are taken off.
"""

from __future__ import annotations

import re

from qvq_mlx.reply.box import boxed

_AROUND = (
    re.compile(r"\$\$(.*)\$\$", re.DOTALL),
    re.compile(r"\$([^$]*)\$"),
    re.compile(r"\\\((.*)\\\)", re.DOTALL),
    re.compile(r"\\\[(.*)\\\]", re.DOTALL),
    re.compile(r"\*\*([^*]*)\*\*"),
    re.compile(r"`([^`]*)`"),
    re.compile(r"\{([^{}]*)\}"),
)
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}"
)
_SPACING = re.compile(r"\\[,;:! ]|\\q?quad\b|~")
_SPELLINGS = (
    ("\\dfrac", "\\frac"),
    ("\\tfrac", "\\frac"),
    ("^{\\circ}", "°"),
    ("^\\circ", "°"),
    ("\\%", "%"),
    ("\\$", "$"),
    ("{,}", ","),
    ("\N{MINUS SIGN}", "-"),
)
_LONGEST_CHARS = 4_096
_FRACTION = re.compile(r"\\frac\s*(?:\{([^{}]*)\}|(\w))\s*(?:\{([^{}]*)\}|(\w))")
_BRACKETED = re.compile(r"\(?(\w|\d+)\)|\[(\w|\d+)\]")
_DEGREES = re.compile(r"([+-]?[\d.,]+)\s*°")
_SPACED = re.compile(r"[+-]?\d{1,3}(?: \d{3})+(?:\.\d+)?")
_NUMBER = re.compile(r"([+-]?)(\d{1,3}(?:,\d{3})+|\d+)?(?:\.(\d*))?", re.ASCII)


def canonical(answer: str) -> str:
    """The form of a whole answer that votes and checks compare; "" where nothing is said."""
    content = boxed(answer)
    text = answer if content is None else content
    text = " ".join(text.split()).casefold()
    while len(text) <= _LONGEST_CHARS and (simpler := _simpler(text)) != text:
        text = simpler
    return text


def _simpler(text: str) -> str:
    """One layer of spelling taken off."""
    for spelled, plain in _SPELLINGS:
        text = text.replace(spelled, plain)
    text = _SPACING.sub(" ", _TEXT.sub(r"\1", text))
    text = " ".join(text.split()).rstrip(". ").casefold()
    for around in _AROUND:
        if match := around.fullmatch(text):
            text = match[1].strip()
    if match := _BRACKETED.fullmatch(text):
        text = match[1] or match[2]
    if match := _DEGREES.fullmatch(text):
        text = match[1]
    return _number(_FRACTION.sub(_braced, text))


def _braced(match: re.Match[str]) -> str:
    r"""Give a fraction both of its braces: LaTeX reads `\frac14` as `\frac{1}{4}`."""
    over, under = match[1] or match[2] or "", match[3] or match[4] or ""
    return f"\\frac{{{over}}}{{{under}}}"


def _number(text: str) -> str:
    """A number without separators, needless zeros and plus; other text as it is."""
    plain = text.replace(" ", "") if _SPACED.fullmatch(text) else text
    match = _NUMBER.fullmatch(plain)
    if match is None or not (match[2] or match[3]):
        return text
    whole = (match[2] or "0").replace(",", "").lstrip("0") or "0"
    part = (match[3] or "").rstrip("0")
    number = f"{whole}.{part}" if part else whole
    return f"-{number}" if match[1] == "-" and number != "0" else number
