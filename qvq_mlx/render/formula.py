r"""A LaTeX formula as readable Unicode, or as it was written.

Law: the meaning survives or the source stays. `\frac{x+1}{2}` is `(x+1)/2`, `x^{n+1}` is `xⁿ⁺¹`;
a command that is not known here, an unbalanced brace or a formula beyond the bounds leaves the
whole formula as it was. It never raises, and its time is linear in the length, which is bounded.
Names of symbols are pylatexenc's. Not covered: layout in two dimensions; rows of an alignment
stand below each other where the formula is displayed and behind each other within a line.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from qvq_mlx.render.symbols import (
    ACCENTS,
    BLACKBOARD,
    BRACKETS,
    DOWN,
    FENCES,
    INVISIBLE,
    LITERALS,
    PLAIN,
    ROOTS,
    SPACED,
    SPACES,
    TABLES,
    TEXTUAL,
    UP,
    WORDS,
    symbol,
)

_LONGEST = 4000
_DEEPEST = 48  # groups and commands within each other

_LEXEME = re.compile(r"\\(?:[A-Za-z]+\*?|.)|\s+|.", re.DOTALL)

_TIDY = re.compile(r"(?<=[(\[]) +| {2,}| (?=[)\];,])")


@lru_cache(maxsize=1024)
def readable(source: str, *, displayed: bool = False) -> str | None:
    """A formula without its delimiters, in Unicode; None where it cannot be."""
    if len(source) > _LONGEST:
        return None
    try:
        text = _Reader(source, displayed).whole()
    except _UnknownError:
        return None
    lines = (_TIDY.sub(_tidied, line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line) or None


def is_formula(content: str) -> bool:
    """True if what stands between two dollars is one, and no prose between two prices."""
    if any(mark in content for mark in "\\^_=<>{}"):
        return True
    # `$x$`, `$n + 1$`, and no word of two letters
    return not re.search(r"[^\W\d_]{2}", content) or not re.search(r"\s", content)


class _UnknownError(Exception):
    """Something that is not read here."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of the result. A `fraction` needs brackets beside what it could be read with."""

    text: str
    fraction: bool = False
    word: bool = False


class _Reader:
    """Reads the lexemes of one formula, once, from the first to the last."""

    def __init__(self, source: str, displayed: bool) -> None:
        self._lexemes: list[str] = _LEXEME.findall(source)
        self._at = 0
        self._depth = 0
        self._displayed = displayed

    def whole(self) -> str:
        text = self._until("")
        if self._at < len(self._lexemes):
            raise _UnknownError
        return text

    def _until(self, *ends: str, column: str = "", row: str = "") -> str:
        """Everything up to one of `ends`, which is passed over ("" is the end of the source)."""
        self._enter()
        pieces: list[_Piece] = []
        while True:
            if self._at >= len(self._lexemes):
                if "" not in ends:
                    raise _UnknownError
                break
            lexeme = self._lexemes[self._at]
            if lexeme in ends:
                self._at += 1
                break
            if lexeme == "&" and column:
                self._at += 1
                pieces.append(_Piece(column))
            elif lexeme == "\\\\":
                self._at += 1
                pieces.append(_Piece(row or ("\n" if self._displayed else "; ")))
            else:
                pieces.append(self._piece(pieces))
        self._depth -= 1
        return _put_together(pieces)

    def _piece(self, before: list[_Piece]) -> _Piece:
        lexeme = self._next()
        if lexeme.isspace() or lexeme == "~":
            return _Piece(" ")
        if lexeme == "{":
            return _Piece(self._until("}"))
        if lexeme in ("}", "&", "#", "%"):
            raise _UnknownError
        if lexeme in ("^", "_"):
            if before and before[-1].fraction:
                before[-1] = _Piece(f"({before[-1].text})")
            return _Piece(self._script(lexeme))
        if lexeme == "'":
            return _Piece("′")
        if not lexeme.startswith("\\"):
            return _Piece(lexeme)
        return self._command(lexeme[1:])

    def _next(self) -> str:
        if self._at >= len(self._lexemes):
            raise _UnknownError
        self._at += 1
        return self._lexemes[self._at - 1]

    def _argument(self) -> str:
        """Read what a command applies to: a group, or the next lexeme."""
        lexeme = self._next()
        while lexeme.isspace():
            lexeme = self._next()
        if lexeme == "{":
            return self._until("}")
        if lexeme.startswith("\\"):
            return self._command(lexeme[1:]).text
        if lexeme in ("}", "&", "^", "_"):
            raise _UnknownError
        return lexeme

    def _enter(self) -> None:
        """Count a group or a command that lies within the others."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _UnknownError

    def _command(self, name: str) -> _Piece:
        self._enter()
        piece = self._meaning(name)
        self._depth -= 1
        return piece

    def _meaning(self, name: str) -> _Piece:
        if name in SPACES:
            return _Piece(SPACES[name])
        if name in FENCES or name in LITERALS:
            return _Piece(FENCES.get(name, name))
        if name in INVISIBLE:
            return self._without_dot(name)
        if name in ("frac", "dfrac", "tfrac", "cfrac"):
            above, below = self._argument(), self._argument()
            return _Piece(f"{_grouped(above)}/{_grouped(below)}", fraction=True)
        if name == "sqrt":
            return _Piece(self._root())
        if name in ("binom", "dbinom"):
            return _Piece(f"({self._argument()} choose {self._argument()})")
        if name in ACCENTS:
            accent = ACCENTS[name]
            return _Piece("".join(f"{letter}{accent}" for letter in self._argument()))
        if name in ("mathbb", "Bbb"):
            return _Piece(self._argument().translate(BLACKBOARD))
        if name in TEXTUAL:
            return _Piece(self._text(), word=name == "operatorname")
        if name in PLAIN:
            return _Piece(self._argument())
        if name == "begin":
            return _Piece(self._table())
        return _symbol_piece(name)

    def _without_dot(self, name: str) -> _Piece:
        if name in ("left", "right") and self._lexemes[self._at : self._at + 1] == ["."]:
            self._at += 1
        return _Piece("")

    def _root(self) -> str:
        degree = ""
        if self._at < len(self._lexemes) and self._lexemes[self._at] == "[":
            self._at += 1
            degree = self._until("]")
        body = self._argument()
        body = body if len(body) == 1 or body.isdecimal() else f"({body})"
        sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree)
        return f"{sign}{body}" if sign else f"{_scripted(degree, '^')}√{body}"

    def _text(self) -> str:
        """Prose within a formula: the characters as they are."""
        lexeme = self._next()
        while lexeme.isspace():
            lexeme = self._next()
        if lexeme != "{":
            return lexeme if not lexeme.startswith("\\") else self._command(lexeme[1:]).text
        self._at -= 1
        start = self._at
        depth = 0
        parts: list[str] = []
        while self._at < len(self._lexemes):
            lexeme = self._next()
            depth += (lexeme == "{") - (lexeme == "}")
            if depth == 0:
                return "".join(parts)
            if lexeme.startswith("\\"):
                parts.append(self._command(lexeme[1:]).text)
            elif lexeme not in "{}$":
                parts.append(" " if lexeme.isspace() else lexeme)
        self._at = start
        raise _UnknownError

    def _script(self, mark: str) -> str:
        return _scripted(self._argument(), mark)

    def _table(self) -> str:
        name = self._name()
        between = TABLES.get(name)
        if between is None:
            raise _UnknownError
        if between == "\n" and not self._displayed:
            between = "; "
        text = self._until("\\end", column=" ", row=between)
        if self._name() != name:
            raise _UnknownError
        text = text.strip().removesuffix(between.strip()).strip()
        opening, closing = BRACKETS.get(name, ("", ""))
        return f"{opening}{text}{closing}".strip()

    def _name(self) -> str:
        """The `{name}` of an environment."""
        if self._next() != "{":
            raise _UnknownError
        letters = []
        while (lexeme := self._next()) != "}":
            letters.append(lexeme)
        return "".join(letters)


def _tidied(match: re.Match[str]) -> str:
    """No space beside a bracket, one where there are several."""
    edge = match.string[match.end() : match.end() + 1] in tuple(")];,")
    opened = match.string[match.start() - 1 : match.start()] in tuple("([")
    return "" if edge or opened else " "


def _symbol_piece(name: str) -> _Piece:
    text = symbol(name)
    if text is None:
        raise _UnknownError
    if name in WORDS:
        return _Piece(text, word=True)
    return _Piece(f" {text} " if text in SPACED else text)


def _scripted(text: str, mark: str) -> str:
    """A power or an index in small characters where there are some for all of it."""
    text = text.strip()
    if text in ("∘", "°") and mark == "^":
        return "°"
    if text and set(text) <= {"′"}:
        return text
    table = UP if mark == "^" else DOWN
    if text and all(ord(character) in table for character in text):
        return text.translate(table)
    short = len(text) == 1 or (mark == "_" and text.isalnum())
    return f"{mark}{text}" if short else f"{mark}({text})"


def _grouped(text: str) -> str:
    """A part of a fraction, in brackets unless it holds together by itself."""
    text = text.strip()
    held = all(_holds(character) for character in text)
    return text if held or _bracketed(text) else f"({text})"


def _holds(character: str) -> bool:
    return character.isalnum() or character in "√∛∜.°′π_∞" or unicodedata.combining(character) > 0


def _bracketed(text: str) -> bool:
    """True if one pair of brackets is around all of it."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and index < len(text) - 1:
            return False
    return depth == 0


def _put_together(pieces: list[_Piece]) -> str:
    """The pieces side by side, so that none changes what its neighbour means."""
    text = ""
    following = ""
    seen_next: list[str] = []  # of each piece, backwards: the next text that is not blank
    for piece in reversed(pieces):
        seen_next.append(following)
        following = piece.text if piece.text.strip() else following
    for piece, following in zip(pieces, reversed(seen_next), strict=True):
        if piece.fraction:
            text += _beside(text[-1:], piece.text, following[:1])
        elif piece.word:
            text += " " if _spelled(text[-1:]) else ""
            text += piece.text
            text += " " if _spelled(following[:1]) or following[:1] in ROOTS else ""
        else:
            text += piece.text
    return text


def _beside(last: str, fraction: str, first: str) -> str:
    """A fraction between two characters; `1/2x` would be another one than `(1/2)x`."""
    follows = _spelled(first) or first in ("(", *ROOTS)
    if last.isdecimal() and fraction.replace("/", "").isdecimal() and not follows:
        return f" {fraction}"  # a mixed number
    return f"({fraction})" if follows or _spelled(last) or last == ")" else fraction


def _spelled(character: str) -> bool:
    """A letter or a digit of full size."""
    return character.isdecimal() or (
        character.isalpha() and unicodedata.category(character) != "Lm"
    )
