"""A terminal emulator that is cheap enough for two minutes of typing.

Law: it shows what pyte shows. `pyte.HistoryScreen` looks at each access to an attribute, and pyte
looks up the width of each character: most of the time of a test that draws a thousand frames.
`tests/render/test_screen.py` compares the two.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import pyte
from pyte import modes
from pyte.screens import Char, Margins, StaticDefaultDict

ROWS = 100_000
"""So many rows of the scrollback are kept."""


class Screen(pyte.Screen):
    """A screen of pyte with the rows that scrolled out of it, oldest first, in `scrolled`."""

    def __init__(self, columns: int, lines: int) -> None:
        self.scrolled: deque[StaticDefaultDict[int, Char]] = deque(maxlen=ROWS)
        super().__init__(columns, lines)

    def index(self) -> None:
        """Keep the row that leaves at the top."""
        top, bottom = self.margins or Margins(0, self.lines - 1)
        if self.cursor.y == bottom:
            self.scrolled.append(self.buffer[top])
        super().index()

    def restore_cursor(self) -> None:
        """Leave the cursor shown or hidden as it is: DECRC restores its place and its style."""
        super().restore_cursor()
        self.cursor.hidden = modes.DECTCEM not in self.mode

    def draw(self, data: str) -> None:
        """Write ASCII that fits into the row cell by cell; leave everything else to pyte."""
        plain = data.isascii() and data.isprintable() and not self.charset
        fits = self.cursor.x + len(data) <= self.columns
        if not plain or not fits or modes.IRM in self.mode:
            super().draw(data)
            return
        line, attributes = self.buffer[self.cursor.y], self.cursor.attrs
        for x, character in enumerate(data, self.cursor.x):
            line[x] = _cell(attributes, character)
        self.cursor.x += len(data)


@lru_cache(maxsize=4096)
def _cell(attributes: Char, character: str) -> Char:
    return attributes._replace(data=character)
