"""Spell an answer that points for a person: `a dog (176,106)-(232,160)`, without the tokens.

Law: another renderer gets every event, its text spelled by `core.marktext.readable` however it was
cut; text without tokens is passed on as it comes, and at most a token and what it encloses are held
back. Only screens read it so: in a pipe and in JSON the answer is what the model wrote.
"""

from __future__ import annotations

import re
from dataclasses import replace

from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    ThinkingDelta,
)
from qvq_mlx.core.plan import Plan
from qvq_mlx.pointing.in_text import readable
from qvq_mlx.render import Renderer

# a place that is not closed yet, or the start of a token
_BEGUN = re.compile(
    r"<\|(?:box|point|quad)_start\|>[^<]{0,200}+(?:<(?:\|[a-z_]{0,20}+\|?)?)?\Z"
    r"|<(?:\|[a-z_]{0,20}+\|?)?\Z"
)
_LONGEST = 300  # characters that one of these takes


class Spelling:
    """`readable` for text that comes in pieces."""

    def __init__(self) -> None:
        self._held = ""
        self._last = ""  # the last character that was given out

    def feed(self, text: str) -> str:
        """Return the part that can be shown now."""
        whole = self._held + text
        begun = _BEGUN.search(whole, max(0, len(whole) - _LONGEST))
        cut = begun.start() if begun else len(whole)
        self._held = whole[cut:]
        return self._spelled(whole[:cut])

    def close(self) -> str:
        """Return the part that was held back."""
        held, self._held = self._held, ""
        return self._spelled(held)

    def _spelled(self, text: str) -> str:
        text = readable(text, self._last)
        self._last = text[-1:] or self._last
        return text


class Unmarked:
    """A screen's events, spelled for people."""

    def __init__(self, screen: Renderer) -> None:
        self._screen = screen
        self._spelling = Spelling()
        self._of: type[ThinkingDelta | AnswerDelta] = ThinkingDelta

    def begin(self, plan: Plan) -> None:
        """Pass on."""
        self._screen.begin(plan)

    def feed(self, event: Event) -> None:
        """Pass on, in the order in which it came."""
        match event:
            case ThinkingDelta(text=text) | AnswerDelta(text=text):
                if type(event) is not self._of:
                    self._flush()
                    self._of = type(event)
                self._screen.feed(replace(event, text=self._spelling.feed(text)))
            case AnswerRetracted(text=text):
                self._flush()
                self._screen.feed(AnswerRetracted(readable(text)))
            case Done():
                self._flush()
                self._screen.feed(event)
            case Progress() | Looked() | Notice():
                self._screen.feed(event)

    def abort(self) -> None:
        """Pass on."""
        self._screen.abort()

    def _flush(self) -> None:
        if held := self._spelling.close():
            self._screen.feed(self._of(held, 0))
