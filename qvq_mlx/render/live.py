"""The live area: the last rows of the screen, redrawn in place; above it, rows that stay.

Law: the area is never higher than the window less one row; none of its rows wraps (one that is to
stay may, so that it is copied in one piece); a frame is one
write: up over the area's own physical rows, over them what is to stay and the area anew, only the
lines that change erased so that nothing flickers where synchronized output is unknown, and then
the rest of the screen is erased. The cursor rests, hidden, on the empty line below, so whatever
else writes there (the terminal's own `^C`, a shell after a kill) tears nothing and the next frame
wipes it.
After the window got narrower, terminals that reflow show one of our rows as several; their number
follows from the current width. A smaller window pushes rows into the scrollback, where they are
out of reach. How many, the terminal is asked (the row of its cursor), since tmux pushes them out of
a window that has room, too. They stay there and are not drawn again (`scrolled_out`). A row that
was pushed out in part is left as it is: tmux joins its parts when the window gets wider. Not
covered: a table that a narrower window lays out anew stands there twice, in part; a terminal that
does not reflow (xterm) loses a row or two.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from qvq_mlx.render.clean import writable
from qvq_mlx.render.rows import Row, cells, cut, lines_taken
from qvq_mlx.render.scrolled_out import ScrolledOut

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # synchronized output: shown whole, or ignored
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"  # a terminal with other ideas of widths must not wrap
_MARK_PASTES, _NO_MARKS = "\x1b[?2004h", "\x1b[?2004l"
_ERASE, _ERASE_LINE = "\x1b[J", "\x1b[2K"


@dataclass(frozen=True, slots=True)
class Place:
    """A terminal's answer: its size, and the row of its cursor, from 1."""

    row: int
    size: os.terminal_size


class LiveArea:
    """The bottom of a terminal. With `able` False (TERM=dumb) only what stays is written, and
    without its styles unless `styled`. `place` asks the terminal; None where it does not say.
    `always_ask`: before each frame, since tmux wraps its rows up to 250 ms before it says so.
    """

    def __init__(
        self,
        stream: TextIO,
        size: Callable[[], os.terminal_size],
        *,
        able: bool = True,
        styled: bool = True,
        place: Callable[[], Place | None] = lambda: None,
        always_ask: bool = False,
    ) -> None:
        self.able = able
        self._place = place
        self._always_ask = always_ask
        self._text = ""
        self._out: dict[str, ScrolledOut] = {"": ScrolledOut()}
        self._styled = styled
        self._stream = stream
        self._size = size
        self._shown: list[Row] = []
        self._width = self._height = 0
        self._settled: os.terminal_size | None = None
        self._told = os.terminal_size((0, 0))  # the size when it was looked at last
        self._hidden = False
        self._marks = False

    def mark_pastes(self) -> None:
        """Have the terminal say where a paste begins and ends, until `close`."""
        self._marks = True
        self._write(_MARK_PASTES)

    def draw(self, live: Sequence[Row], above: Sequence[Row] = (), text: str = "") -> None:
        """Show `live`, and leave `above` in the scrollback.

        `text` names what the rows are parts of: of the same text nothing is shown a second time.
        """
        if not self.able:
            lines = (row.styled if self._styled else row.plain for row in above)
            self._write("".join(f"{line}\n" for line in lines))
            return
        width, height = self._settled or self._size_now()
        self._settled = None
        self._text = text
        out = self._out.setdefault(text, ScrolledOut())
        above, live = out.without(above, live[max(0, len(live) - (height - 1)) :])
        rows = [_fitted(row, width) for row in live]
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
        self._shown, self._width, self._height = rows, width, height
        self._write("".join(frame))

    def settle(self) -> None:
        """Find out how the terminal shows the area now, for the frame that is drawn next."""
        self._settled = self._size_now() if self.able else None

    def close(self) -> None:
        """Wipe the area and give the cursor back. May be called at any time, and again."""
        if self._marks:
            with suppress(OSError):
                self._write(_NO_MARKS)
            self._marks = False
        if not self._hidden:
            return
        # a frame may have been cut short by an exception
        frame = _END + _WRAP + self._wiped(self._size_now().columns) + _SHOW
        self._shown = []
        with suppress(OSError):  # nobody is there to see it; the first write has said so
            self._write(frame)
        self._hidden = False  # not before it is done: a signal may interrupt us

    def _size_now(self) -> os.terminal_size:
        """Return the size of the window; rows that a resize pushed out of it are no longer ours."""
        size = self._size()
        if not self._shown or (size == self._told and not self._always_ask):
            return size
        place = self._place()
        while (now := self._size()) != size:
            size, place = now, self._place()
        self._told = size
        place = place or Place(size.lines, size)
        size = place.size
        if size == (self._width, self._height):
            return size
        taken = [lines_taken(row.plain, size.columns) for row in self._shown]
        pushed, count = sum(taken) - (place.row - 1), 0
        while pushed > 0 and count < len(taken):
            pushed -= taken[count]
            count += 1
        self._out[self._text].add(self._shown[:count], self._shown[count:])
        self._shown, self._height = self._shown[count:], size.lines
        return size

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
    if cells(row.plain) <= width:
        return row
    text = cut(row.plain, width)
    return Row(text, text, row.at)
