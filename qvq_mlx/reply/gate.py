"""Says when the answer begins, token by token: for what has to act on its first token.

Law: never later than the split sees it for an answer that begins on a line of its own. The split
(answer/splitters.py) may hold a line back and take an answer back; whoever steers the next token
cannot wait for that. A marker with the answer on its own line opens no gate.
"""

from __future__ import annotations

from qvq_mlx.core.card import Thinking, ThinkingStyle
from qvq_mlx.reply.markers import Markers


class Gate:
    """Closed while the model thinks, open from the first token of the answer on."""

    def __init__(self, thinking: Thinking) -> None:
        self._thinking = thinking
        self._markers = Markers(thinking.markers, thinking.labels)
        self._line: list[str] = []  # of the line that is being written, its pieces
        self._tail = ""  # the end of the text, which may be the beginning of the close tag
        self.is_open = thinking.style is ThinkingStyle.NONE

    def feed(self, text: str) -> bool:
        """Take the next text. True where the answer begins right behind it."""
        if self.is_open:
            return False
        if self._thinking.style is ThinkingStyle.MARKER:
            *ends, last = text.split("\n")
            self.is_open = any(self._is_marker(end) for end in ends)
            self._line.append(last)
        else:
            whole = self._tail + text
            self.is_open = self._thinking.close_tag in whole
            self._tail = whole[-len(self._thinking.close_tag) :]
        return self.is_open

    def open(self) -> bool:
        """The answer begins now, whatever was written. False where it had begun."""
        was_open, self.is_open = self.is_open, True
        return not was_open

    def _is_marker(self, end: str) -> bool:
        """True if the line that ends so is a marker line with nothing behind the marker."""
        line = "".join((*self._line, end))
        self._line.clear()
        return self._markers.rest_of(line, ended=True) == len(line)
