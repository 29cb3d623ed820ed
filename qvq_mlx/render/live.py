"""The live area: the last rows of the screen, redrawn in place; above it, rows that stay.

Law: the area is never higher than the window less one row; none of its rows wraps; a frame is one
write: up over the area's own physical rows, over them what is to stay and the area anew, row by
row so that nothing flickers where synchronized output is unknown, and then the rest of the screen
is erased. The cursor rests, hidden, on the empty line below, so whatever else writes there (the
terminal's own `^C`, a shell after a kill) tears nothing and the next frame wipes it.
After the window got narrower, terminals that reflow show one of our rows as several; their number
follows from the current width. Not covered: rows that a shrinking window pushed into the
scrollback are out of reach, and a terminal that does not reflow (xterm) loses a row or two.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO

from qvq_mlx.render.clean import writable
from qvq_mlx.render.rows import Row, cells, cut, plain

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # synchronized output: shown whole, or ignored
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"  # a terminal with other ideas of widths must not wrap
_ERASE = "\x1b[J"


class LiveArea:
    """The bottom of a terminal. With `able` False (TERM=dumb) only what stays is written."""

    def __init__(
        self, stream: TextIO, size: Callable[[], os.terminal_size], *, able: bool = True
    ) -> None:
        self.able = able
        self._stream = stream
        self._size = size
        self._shown: list[Row] = []
        self._width = 0
        self._hidden = False

    def draw(self, live: Sequence[Row], above: Sequence[Row] = ()) -> None:
        """Show `live`, and leave `above` in the scrollback."""
        if not self.able:
            self._write("".join(f"{row.plain}\n" for row in above))
            return
        width, height = self._size()
        rows = [_fitted(row, width) for row in live[max(0, len(live) - (height - 1)) :]]
        if not above and rows == self._shown and width == self._width:
            return
        frame = [_BEGIN, "" if self._hidden else _HIDE]
        if rows or above:
            frame += [self._up(width), "\r", *(_over(row, width) for row in above)]
            frame += [_NO_WRAP, *(_over(row, width) for row in rows), _WRAP, _ERASE]
        else:
            frame.append(self._wiped(width))
        frame.append(_END)
        self._hidden = True  # also if the write fails half-way
        self._shown, self._width = rows, width
        self._write("".join(frame))

    def close(self) -> None:
        """Wipe the area and give the cursor back. May be called at any time, and again."""
        if not self._hidden:
            return
        # a frame may have been cut short by an exception
        frame = _END + _WRAP + self._wiped(self._size().columns) + _SHOW
        self._shown = []
        with suppress(OSError):  # nobody is there to see it; the first write has said so
            self._write(frame)
        self._hidden = False  # not before it is done: a signal may interrupt us

    def _up(self, width: int) -> str:
        """To the area's first row."""
        up = sum(max(1, -(-cells(row.plain) // max(1, width))) for row in self._shown)
        return f"\x1b[{up}A" if up else ""

    def _wiped(self, width: int) -> str:
        """To the area's first row, with nothing below."""
        up = self._up(width)
        if not up:
            return "\r" + _ERASE
        # Row by row: tmux takes "erase to the end" in the top left corner for "clear the screen"
        # and moves what it erases into the scrollback.
        return f"{up}\r\x1b[2K\x1b[1B{_ERASE}\x1b[1A"

    def _write(self, text: str) -> None:
        if text:
            self._stream.write(writable(text, self._stream))
            self._stream.flush()


def _over(row: Row, width: int) -> str:
    """The row written over what stood there. A full row needs no erasing, which would bite it."""
    return row.styled + ("\x1b[K\r\n" if cells(row.plain) < width else "\r\n")


def _fitted(row: Row, width: int) -> Row:
    return row if cells(row.plain) <= width else plain(cut(row.plain, width))
