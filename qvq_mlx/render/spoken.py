"""A run told in lines that stay, where no area can be redrawn: TERM=dumb, CI, a screen reader.

Law: a line when something else begins, and one every 30 s while the same goes on; nothing is
written that has to be taken back.
"""

from __future__ import annotations

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
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.render.meter import Meter, status

_EVERY_S = 30.0


class Spoken:
    """Return what there is to say of a run besides its own text."""

    def __init__(self, meter: Meter, view: ThinkingView) -> None:
        self._meter = meter
        self._word = "Working" if view is ThinkingView.NONE else "Thinking"
        self._doing = ""
        self._said_at = 0.0

    def lines(self, event: Event) -> list[str]:
        """The lines that this event is worth. The meter has seen it."""
        match event:
            case Progress(stage=stage):
                return self._said(stage.value, status(event))
            case ThinkingDelta() | AnswerRetracted():
                meter = self._meter
                parts = meter.headers(self._word, meter.thinking_tokens, meter.first, None)
                return self._said(self._word, parts[0])
            case AnswerDelta() if self._word == "Thinking":
                return self._said("Answering", "Answering")
            case AnswerDelta() | Looked() | Notice() | Done():  # the screen has receipts and notes
                return []

    def _said(self, doing: str, in_full: str) -> list[str]:
        now = self._meter.clock()
        if doing != self._doing:
            self._doing, self._said_at = doing, now
            return [doing]
        if now - self._said_at < _EVERY_S:
            return []
        self._said_at = now
        return [in_full]
