"""The live area: the last rows of the screen, redrawn in place; above it, rows that stay.

Law: the area is never higher than the window less one row; none of its rows wraps (one that is to
stay may, so that it is copied in one piece); a frame is one
write: up over the area's own physical rows, over them what is to stay and the area anew, only the
lines that change erased so that nothing flickers where synchronized output is unknown, and then
the rest of the screen is erased. The cursor rests, hidden, on the empty line below, so whatever
else writes there (the terminal's own `^C`, a shell after a kill) tears nothing and the next frame
wipes it.
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
from qvq_mlx.render.rows import Row, cells, cut, lines_taken, plain

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # synchronized output: shown whole, or ignored
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"  # a terminal with other ideas of widths must not wrap
_MARK_PASTES, _NO_MARKS = "\x1b[?2004h", "\x1b[?2004l"
_ERASE, _ERASE_LINE = "\x1b[J", "\x1b[2K"


class LiveArea:
    """The bottom of a terminal. With `able` False (TERM=dumb) only what stays is written, and
    without its styles unless `styled`.
    """

    def __init__(
        self,
        stream: TextIO,
        size: Callable[[], os.terminal_size],
        *,
        able: bool = True,
        styled: bool = True,
    ) -> None:
        self.able = able
        self._styled = styled
        self._stream = stream
        self._size = size
        self._shown: list[Row] = []
        self._width = 0
        self._hidden = False
        self._marks = False

    def mark_pastes(self) -> None:
        """Have the terminal say where a paste begins and ends, until `close`."""
        self._marks = True
        self._write(_MARK_PASTES)

    def draw(self, live: Sequence[Row], above: Sequence[Row] = ()) -> None:
        """Show `live`, and leave `above` in the scrollback."""
        if not self.able:
            lines = (row.styled if self._styled else row.plain for row in above)
            self._write("".join(f"{line}\n" for line in lines))
            return
        width, height = self._size()
        rows = [_fitted(row, width) for row in live[max(0, len(live) - (height - 1)) :]]
        if not above and rows == self._shown and width == self._width:
            return
        frame = [_BEGIN, "" if self._hidden else _HIDE]
        if any(cells(row.plain) > width for row in above):  # they take several lines each
            frame += [self._wiped(width), *(f"{row.styled}\r\n" for row in above), _NO_WRAP]
            frame += [*(f"{row.styled}\r\n" for row in rows), _WRAP]
        elif rows or above:
            frame += [self._up(width), "\r", *self._over(above, width, 0), _NO_WRAP]
            frame += [*self._over(rows, width, len(above)), _WRAP, _ERASE]
        else:
            frame.append(self._wiped(width))
        frame.append(_END)
        self._hidden = True  # also if the write fails half-way
        self._shown, self._width = rows, width
        self._write("".join(frame))

    def close(self) -> None:
        """Wipe the area and give the cursor back. May be called at any time, and again."""
        if self._marks:
            with suppress(OSError):
                self._write(_NO_MARKS)
            self._marks = False
        if not self._hidden:
            return
        # a frame may have been cut short by an exception
        frame = _END + _WRAP + self._wiped(self._size().columns) + _SHOW
        self._shown = []
        with suppress(OSError):  # nobody is there to see it; the first write has said so
            self._write(frame)
        self._hidden = False  # not before it is done: a signal may interrupt us

    def _over(self, rows: Sequence[Row], width: int, first: int) -> list[str]:
        """The rows written over what stands there, from the area's row `first` on.

        A line that changes is erased whole: tmux goes on counting the cells that were erased behind
        a text, and would wrap them when the window gets narrower.
        """
        before = self._shown[first:] if width == self._width else []
        same = [row == old for row, old in zip(rows, before, strict=False)]
        same += [False] * (len(rows) - len(same))
        return [
            f"{'' if kept else _ERASE_LINE}{row.styled}\r\n"
            for row, kept in zip(rows, same, strict=True)
        ]

    def _up(self, width: int) -> str:
        """To the area's first row."""
        up = sum(lines_taken(row.plain, width) for row in self._shown)
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


def _fitted(row: Row, width: int) -> Row:
    return row if cells(row.plain) <= width else plain(cut(row.plain, width))
