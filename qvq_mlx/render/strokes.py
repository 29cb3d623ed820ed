"""Tells keys from text in what a person types while a run goes on.

Law: a key acts only where it came alone: nothing else within ALONE_S before and after it, and no
paste. Everything else is text, in the order it was typed, and a key that turns out to be the
beginning of a text is its first letter. So a question that is typed ahead ends no run. While a text
is being typed no letter is a key. Time is the caller's; nothing here reads a terminal.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.render.type_ahead import TypeAhead

ALONE_S = 0.3
TYPED_S = 2.0
"""A text that nobody waits for is over when nothing was typed for so long."""


class Key(StrEnum):
    """What a lone key asks for."""

    TOGGLE = "t"
    ANSWER = "a"
    STOP = "q"
    EXPLAIN = "?"
    COPY = "c"
    FOLD = "\x1b"


_TOGGLES_TOO = "\x0f"  # Ctrl-O: no letter, so it need not be alone
_SEQUENCE = re.compile(
    r"\x1b\[200~|\x1b\[201~"  # the ends of a paste
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # an arrow, a function key
    r"|\x1bO."
    r"|\x1b[\]P_^][^\x07\x1b]*(?:\x07|\x1b\\)"  # what a terminal answers
    r"|\x1b[^\[O\]P_^]"  # Alt and a key
    r"|\x1b\Z|\x1b[\[O\]P_^][^\x1b]*\Z"  # not whole yet
    r"|.",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Text:
    """One character of a text, or of a paste."""

    character: str
    pasted: bool = False


@dataclass(frozen=True, slots=True)
class _Other:
    """An arrow or another key that is neither text nor ours."""


class Strokes:
    """What was typed since the start. Text goes to `ahead`."""

    def __init__(self, ahead: TypeAhead) -> None:
        self._ahead = ahead
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""  # of an escape sequence
        self._pasting = False
        self._waiting: str | None = None  # a key that may be alone
        self._at = float("-inf")  # when something came last
        self._typing = False

    def feed(self, data: bytes, now: float) -> tuple[Key, ...]:
        """The keys that act now; `data` is what came since the last call, which may be nothing."""
        strokes = list(self._strokes(self._decoder.decode(data)))
        if not data:
            return self._settled(now)
        quiet = now - self._at >= ALONE_S
        self._at = now
        match strokes:
            case [_Text(character=character, pasted=False)] if self._is_key(character, quiet=quiet):
                if character == _TOGGLES_TOO:
                    return (Key.TOGGLE,)
                self._waiting = character
            case []:
                pass  # a part of a character or of a sequence
            case _:
                self._write(strokes)
        return ()

    def close(self) -> None:
        """No more comes: what might have been a key is text, as nothing came of it."""
        self._write([])

    def _is_key(self, character: str, *, quiet: bool) -> bool:
        if self._waiting is not None or self._typing or self._ahead.line:
            return False
        return character == _TOGGLES_TOO or (quiet and character in set(Key))

    def _settled(self, now: float) -> tuple[Key, ...]:
        """Nothing more came: a key that waited for that acts."""
        if now - self._at < ALONE_S:
            return ()
        if self._typing and now - self._at >= TYPED_S:
            self._typing = False
        if self._begun == "\x1b":
            self._begun = ""
            return (Key.FOLD,) if not self._typing else ()
        waited, self._waiting = self._waiting, None
        return (Key(waited),) if waited is not None else ()

    def _write(self, strokes: list[_Text | _Other]) -> None:
        waited, self._waiting = self._waiting, None
        if waited is not None and waited != Key.FOLD:
            strokes = [_Text(waited), *strokes]
        for stroke in strokes:
            if isinstance(stroke, _Text):
                self._ahead.type(stroke.character, pasted=stroke.pasted)
                self._typing = not self._ahead.kept and stroke.character not in "\r\n"

    def _strokes(self, text: str) -> Iterator[_Text | _Other]:
        """Characters, and one mark for each sequence."""
        text, self._begun = self._begun + text, ""
        for match in _SEQUENCE.finditer(text):
            found = match[0]
            if found == "\x1b[200~":
                self._pasting = True
                yield _Other()
            elif found == "\x1b[201~":
                self._pasting = False
                yield _Other()
            elif not found.startswith("\x1b"):
                yield _Text(found, self._pasting)
            elif match.end() == len(text) and _is_begun(found):
                self._begun = found
            elif found in ("\x1b\r", "\x1b\n"):
                yield _Text("\n", pasted=True)  # Alt-Enter: a new line of the same text
            else:
                yield _Other()


def _is_begun(sequence: str) -> bool:
    """True if a sequence that ends the input may go on."""
    if len(sequence) <= 2 and sequence[-1] in "\x1b[O]P_^":
        return True
    whole = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[\]P_^].*(?:\x07|\x1b\\)|[^\[O\]P_^])"
    return not re.fullmatch(whole, sequence, re.DOTALL) and len(sequence) < 4096
