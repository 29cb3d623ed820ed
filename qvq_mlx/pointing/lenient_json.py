"""Reads what a model wrote in place of JSON: bracketed values, however they are broken.

Law: one pass, linear in the text, without recursion; nothing is raised. What is strict JSON is read
as JSON says, but for a lone surrogate, which becomes U+FFFD, and a number of over 40 digits, which
stays text. Beyond that: single quotes, quotes within a string, trailing, missing and doubled
commas, bare words, parentheses as brackets, brackets that are closed by another's sign or not at
all. A string ends at the latest with its line.

Not covered: comments, and keys without a colon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_OPENING = re.compile(r"[\[{]")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\[\]{}),:\"\n]+")
_NUMBER = re.compile(r"[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,4})?")
_IN_STRING = re.compile(r"\\.|[\"'\n]", re.DOTALL)
_BEHIND_STRING = re.compile(r"[ \t\r]*+(?:[,:\]})\n\"]|\Z)")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_CLOSED_BY = {"}": "{", "]": "[", ")": "["}


@dataclass(slots=True)
class Row:
    """A list. `cut`: the text ended within it."""

    start: int
    items: list[Value] = field(default_factory=list)
    cut: bool = False
    end: int = 0


@dataclass(slots=True)
class Table:
    """An object: its pairs in order, equal keys and all; what has no key has an empty one.

    `cut`: the text ended within it.
    """

    start: int
    pairs: list[tuple[str, Value]] = field(default_factory=list)
    cut: bool = False
    end: int = 0


Value = Row | Table | str | float | None


def outermost(text: str) -> list[Row | Table]:
    """The values in brackets that lie in no other ones, in order."""
    found: list[Row | Table] = []
    position = 0
    while opening := _OPENING.search(text, position):
        value = _Reader(text, opening.start()).read()
        found.append(value)
        position = value.end
    return found


@dataclass(slots=True)
class _Open:
    """A bracket that is not closed yet. In a table: the key that waits for its value, and the
    scalar that may turn out to be one.
    """

    value: Row | Table
    key: str | None = None
    last: str | None = None


class _Reader:
    """One outermost value."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._at = start
        self._stack: list[_Open] = []
        self._counts = {"{": 0, "[": 0}

    def read(self) -> Row | Table:
        """To the bracket that closes the first one, or to the end of the text."""
        root = self._opened(self._text[self._at])
        length = len(self._text)
        while self._stack and self._at < length:
            sign = self._text[self._at]
            if sign.isspace():
                space = _SPACE.match(self._text, self._at)
                self._at = space.end() if space else self._at + 1
            elif sign in "[{(":
                self._opened(sign)
            elif sign in "]})":
                self._at += 1
                self._closed(_CLOSED_BY[sign])
            elif sign == ":":
                self._at += 1
                self._colon()
            elif sign == ",":
                self._at += 1
                self._comma()
            else:
                self._scalar(self._string(sign) if sign in "\"'" else self._word())
        for entry in self._stack:
            entry.value.cut, entry.value.end = True, length
        return root

    def _opened(self, sign: str) -> Row | Table:
        value: Row | Table = Table(self._at) if sign == "{" else Row(self._at)
        self._at += 1
        if self._stack:
            self._put(value)
        self._stack.append(_Open(value))
        self._counts["{" if sign == "{" else "["] += 1
        return value

    def _closed(self, opening: str) -> None:
        """Close the nearest bracket of this kind, and those within; none: pass the sign over."""
        if not self._counts[opening]:
            return
        while True:
            value = self._stack.pop().value
            value.end = self._at
            kind = "{" if isinstance(value, Table) else "["
            self._counts[kind] -= 1
            if kind == opening:
                return

    def _put(self, value: Value) -> None:
        """`value` is the next in the innermost bracket."""
        inner = self._stack[-1]
        if isinstance(inner.value, Row):
            inner.value.items.append(value)
        else:
            inner.value.pairs.append((inner.key or "", value))
            inner.key = inner.last = None

    def _scalar(self, value: str | float | None) -> None:
        inner = self._stack[-1]
        if isinstance(inner.value, Table) and inner.key is None:
            inner.last = str(value)
        else:
            self._put(value)

    def _colon(self) -> None:
        inner = self._stack[-1]
        if inner.last is not None:
            inner.key, inner.last = inner.last, None

    def _comma(self) -> None:
        inner = self._stack[-1]
        inner.key = inner.last = None

    def _string(self, quote: str) -> str:
        """From its opening quote; ends at a quote that something follows which ends a value."""
        start = at = self._at + 1
        while match := _IN_STRING.search(self._text, at):
            at = match.end()
            if match[0] == "\n":
                self._at = match.start()
                return _unescaped(self._text[start : match.start()])
            if match[0] == quote and _BEHIND_STRING.match(self._text, at):
                self._at = at
                return _unescaped(self._text[start : match.start()])
        self._at = len(self._text)
        return _unescaped(self._text[start:])

    def _word(self) -> str | float | None:
        """A number, a literal, or text without quotes."""
        match = _WORD.match(self._text, self._at)
        if match is None:
            self._at += 1
            return self._text[self._at - 1]
        self._at = match.end()
        word = match[0].strip()
        if number := _NUMBER.fullmatch(word):
            return float(number[0])
        return None if word in ("null", "None", "") else word


def _unescaped(text: str) -> str:
    if "\\" in text:
        text = _ESCAPE.sub(_meant, text)
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _meant(escape: re.Match[str]) -> str:
    sign = escape[1]
    return chr(int(sign[1:], 16)) if len(sign) == 5 else _ESCAPED.get(sign, sign)
