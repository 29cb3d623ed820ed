"""Says when the answer begins, token by token: for what has to act on its first token.

Law: never later than the split sees it for an answer that begins on a line of its own. The split
(answer/splitters.py) may hold a line back and take an answer back; whoever steers the next token
cannot wait for that. A marker with the answer on its own line opens no gate.
"""

from __future__ import annotations

from qvq_mlx.answer.markers import Markers
from qvq_mlx.core.card import Thinking, ThinkingStyle


class Gate:
    """Closed while the model thinks, open from the first token of the answer on."""

    def __init__(self, thinking: Thinking) -> None:
        self._thinking = thinking
        self._markers = Markers(thinking.markers, thinking.labels)
        self._line = ""
        self.is_open = thinking.style is ThinkingStyle.NONE

    def feed(self, text: str) -> bool:
        """Take the next text. True where the answer begins right behind it."""
        if self.is_open:
            return False
        self._line += text
        if self._thinking.style is ThinkingStyle.MARKER:
            while not self.is_open and "\n" in self._line:
                line, _, self._line = self._line.partition("\n")
                self.is_open = self._markers.rest_of(line, ended=True) == len(line)
        else:
            self.is_open = self._thinking.close_tag in self._line
            self._line = self._line[-len(self._thinking.close_tag) :]
        return self.is_open

    def open(self) -> bool:
        """The answer begins now, whatever was written. False where it had begun."""
        was_open, self.is_open = self.is_open, True
        return not was_open
