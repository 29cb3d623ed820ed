"""Text that grows, in rows: its last rows are known without looking at all of it again.

Law: `rows(width, count)` are the last rows of `wrap(text, width)`, but for a line that is longer
than all the rows that are kept: after the width changed such a line is wrapped from somewhere in
its middle. Adding text costs the same however long the text is.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from qvq_mlx.render.rows import Row, placed, solid, spans, unspaced, untabbed

_KEPT = 256
_WAITING_CHARS = 256  # are wrapped at once, as the row that they go on is measured each time


class Flow:
    """A text, wrapped as it comes."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._some = False
        self._size = 0  # characters, as `solid` counts them
        self._width = 0
        self._kept = _KEPT
        self._done: deque[str] = deque()
        self._open = ""  # from where the row that is not full begins
        self._column = 0  # of the line, for tabs
        self._waiting: list[str] = []  # not wrapped yet
        self._waiting_chars = 0

    def __bool__(self) -> bool:
        """True if there is any text."""
        return self._some

    @property
    def text(self) -> str:
        """All of it."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def add(self, text: str) -> None:
        """Take more text."""
        if not text:
            return
        self._pieces.append(text)
        self._some = True
        self._size += len(solid(text))
        if self._width:
            self._waiting.append(text)
            self._waiting_chars += len(text)
            if self._waiting_chars >= _WAITING_CHARS:
                self._wrap_waiting()

    def placed(self, width: int, count: int, *, compact: bool) -> list[Row]:
        """`rows`, dim, which say where in the text they stand."""
        found = self.rows(width, count, compact=compact)
        return placed(found, self._size - sum(len(solid(row)) for row in found))

    def rows(self, width: int, count: int, *, compact: bool) -> list[str]:
        """The last `count` rows; `compact` leaves out blank ones. A row not begun is none."""
        if count <= 0:
            return []
        if width != self._width or count > self._kept:
            self._begin(width, count)
        self._wrap_waiting()
        newest = [self._open.rstrip()] if self._open else []
        if not compact:
            return [*islice(self._done, max(0, len(self._done) - count), None), *newest][-count:]
        found = [row for row in newest if row]
        for row in reversed(self._done):
            if len(found) >= count:
                break
            if row:
                found.append(row)
        return found[::-1]

    def _begin(self, width: int, count: int) -> None:
        """Wrap as much of the end as may be asked for, at a new width."""
        self._width, self._kept = width, max(self._kept, count)
        self._done = deque(maxlen=self._kept)
        self._open, self._column = "", 0
        self._waiting, self._waiting_chars = [], 0
        text = self.text
        # every row but a blank one holds a character, and none more than joined characters explain
        most = 4 * width * self._kept
        start = max(0, len(text) - most)
        if start:
            line = text.find("\n", start)
            start = start if line < 0 else line + 1
        self._wrap(text[start:])

    def _wrap_waiting(self) -> None:
        text = "".join(self._waiting)
        self._waiting, self._waiting_chars = [], 0
        if text:
            self._wrap(text)

    def _wrap(self, text: str) -> None:
        text, self._column = untabbed(text, self._column)
        first, *others = text.split("\n")
        self._extend(first)
        for line in others:
            self._done.append(self._open.rstrip())
            self._open = ""
            self._extend(line)

    def _extend(self, text: str) -> None:
        self._open += text
        *full, last = spans(self._open, self._width)
        if full:
            self._done.extend(self._open[start:end].rstrip() for start, end in full)
            self._open = self._open[last[0] :]
        self._open = unspaced(self._open, self._width)
