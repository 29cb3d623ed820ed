"""Progress of a call: a number that only grows, and a line that says what is happening.

Of a question, loading is the first fifth, the pictures and the prompt the second, writing the rest:
shares are no forecast of time, which depends on the model and on what was cached.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    Stage,
    ThinkingDelta,
)

EVERY_S = 0.25
"""Between two reports of one call."""
_WRITING = 0.4
_SHARES = {Stage.LOAD: (0.0, 0.2), Stage.ENCODE: (0.2, 0.3), Stage.PREFILL: (0.3, _WRITING)}
_LINES = {Stage.LOAD: "loading the model", Stage.ENCODE: "encoding", Stage.PREFILL: "reading"}

Report = Callable[[float, float, str], Awaitable[None]]
"""Tells the client: done, of how much, in which words."""


@dataclass(slots=True)
class Meter:
    """One call of `questions` questions. `clock` counts seconds."""

    report: Report
    clock: Callable[[], float]
    questions: int = 1
    _asked: int = -1
    _tokens: int = 0
    _most_tokens: int = 1
    _told: float = -1.0
    _told_s: float | None = None

    def begin(self, most_tokens: int) -> None:
        """The next question, which writes at most so many tokens."""
        self._asked, self._tokens, self._most_tokens = self._asked + 1, 0, max(1, most_tokens)

    async def saw(self, event: Event) -> None:
        """Tell the client, where there is news and the last report is not too fresh."""
        share, line = self._position(event)
        done = self._asked + share
        now_s = self.clock()
        fresh = self._told_s is not None and now_s - self._told_s < EVERY_S
        if share < 0 or done <= self._told or fresh:
            return
        self._told, self._told_s = done, now_s
        await self.report(done, float(self.questions), line)

    def _position(self, event: Event) -> tuple[float, str]:
        """The share of this question that is done; below 0 where the event says nothing of it."""
        match event:
            case Progress(stage, done, total):
                begin, end = _SHARES.get(stage, (-1.0, -1.0))
                share = done / total if total else 0.0
                return begin + (end - begin) * min(1.0, share), _LINES.get(stage, "")
            case ThinkingDelta(tokens=tokens):
                return self._written(tokens), f"thinking, {self._tokens:,} tokens"
            case AnswerDelta(tokens=tokens):
                return self._written(tokens), f"answering, {self._tokens:,} tokens"
            case AnswerRetracted() | Looked() | Notice() | Done():
                return -1.0, ""
            case _:
                assert_never(event)

    def _written(self, tokens: int) -> float:
        self._tokens += tokens
        return _WRITING + (1 - _WRITING) * min(1.0, self._tokens / self._most_tokens)
