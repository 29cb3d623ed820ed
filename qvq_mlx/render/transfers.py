"""Files that come, go or are checked: bars on a terminal, one line beside a pipe, lines in a log.

| stdout | stderr | what is shown |
|---|---|---|
| terminal | any | a bar per file at work and one line for all of them, redrawn in place |
| other | terminal | the line for all of them, which erases itself |
| other | other | a line per file that is done, and one for all of them every 30 s |

Law: file names and reasons are a server's and are cleaned; what stands in the scrollback in the
end is what a log would say, and no bar. A row that wraps when the window gets narrower may be
pushed into the scrollback by tmux, where it is out of reach, and would stand twice. So a row takes
three quarters of a window, and in tmux no more than _SHORT cells, however wide the window is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qvq_mlx.core.env import Env
from qvq_mlx.core.sizes import size
from qvq_mlx.render.clean import clean_line, writable
from qvq_mlx.render.gauge import Gauge, of, percent
from qvq_mlx.render.rows import Row, cells, cut, dim, packed, plain, wrap
from qvq_mlx.render.terminal import Terminal
from qvq_mlx.store.download import (
    Began,
    BytesReceived,
    CheckEvent,
    Damaged,
    FileDone,
    FileStarted,
    Idle,
    Listing,
    PullDone,
    PullEvent,
    Retrying,
    Verified,
    Waiting,
)

_FRAME_S = 1 / 8
_LOG_S = 30.0
_BAR_CELLS = 16
_SMALL_BYTES = 1 << 20  # a person does not want a line for each
_SHORT = 30
"""Cells of a row that a person needs in any case, to tell one shard from another.

tmux wraps its rows before it says that it did, and the keyboard is not ours, so that it cannot be
asked how it shows them.
"""
_WITH_BAR, _WITH_AMOUNT = 45, 72
"""Cells of a row from which on it has a bar, and the amount behind it."""


@dataclass(slots=True)
class _File:
    """One that is at work."""

    size_bytes: int
    received_bytes: int
    trouble: str = ""


class Transfers:
    """The screen of one command.

    `verb` says what happened to a file that is done; without one, no line says so. `document`:
    stdout is for something else, also where it is a terminal.
    """

    def __init__(
        self,
        env: Env,
        total_bytes: int,
        have_bytes: int = 0,
        *,
        verb: str = "",
        document: bool = False,
    ) -> None:
        self._env = env
        self._verb = verb
        self._gauge = Gauge(env.clock, total_bytes, have_bytes)
        self._files: dict[str, _File] = {}
        self._bars = env.stdout.isatty() and not document
        self._drawn = self._bars or env.stderr.isatty()
        self._stream = env.stdout if self._bars else env.stderr
        self._terminal = Terminal(env, self._stream, keyboard=False)
        self._shown_at = env.clock() if not self._drawn else float("-inf")

    def begin(self) -> None:
        """Take the terminal, where there is one."""
        if self._drawn:
            self._terminal.take()

    def watch(self, events: Iterable[PullEvent | CheckEvent | Listing]) -> Listing | None:
        """Show all of `events`, and leave a clean screen also after an error.

        Returns the listing that is among the events of an import.
        """
        listing: Listing | None = None
        try:
            self.begin()
            for event in events:
                if isinstance(event, Listing):
                    listing = event
                else:
                    self.feed(event)
        finally:
            self.close()
        return listing

    def feed(self, event: PullEvent | CheckEvent) -> None:
        """Show what has happened."""
        line = self._saw(event)
        if self._drawn:
            self._refresh([line] if line and self._bars else [])
        elif line:
            self._write(line)
        elif self._env.clock() - self._shown_at >= _LOG_S:
            self._shown_at = self._env.clock()
            self._write(" · ".join(self._gauge.parts()))

    def close(self) -> None:
        """Leave a clean screen. May be called again."""
        if self._drawn:
            self._terminal.release()

    def say(self, line: str) -> None:
        """A line that stays, before or after the work."""
        width = self._terminal.width if self._stream.isatty() else 0
        for row in wrap(clean_line(line), width) if width else [clean_line(line)]:
            self._write(row)

    def _saw(self, event: PullEvent | CheckEvent) -> str:
        """Keep count; the line that this event is worth, or ''."""
        match event:
            case Began(have_bytes=have):
                self._gauge.start(have)
            case FileStarted(path=path, size_bytes=total, received_bytes=received):
                self._gauge.began(path, received)
                self._files[path] = _File(total, received)
            case BytesReceived(path=path, received_bytes=received):
                self._gauge.reached(path, received)
                self._files[path].received_bytes = received
                self._files[path].trouble = ""
            case Retrying(path=path, reason=reason, wait_s=wait_s, received_bytes=received):
                self._gauge.reached(path, received)
                self._files[path].received_bytes = received
                again = f"again in {wait_s:.0f} s" if wait_s >= 1 else "trying again"
                self._files[path].trouble = f"{clean_line(reason)}; {again}"
                return "" if self._drawn else f"{clean_line(path)}: {self._files[path].trouble}"
            case Verified(path=path) if not self._verb:
                self._files.pop(path, None)
            case Damaged(path=path):
                self._files.pop(path, None)
            case FileDone(path=path):
                return self._done(path)
            case Waiting(holder=holder):
                who = holder or "another process"
                return f"{who} is pulling the same model; waiting for it"
            case Verified() | Idle() | PullDone():
                pass
        return ""

    def _done(self, path: str) -> str:
        file = self._files.pop(path)
        if not self._verb or (self._drawn and file.size_bytes < _SMALL_BYTES):
            return ""
        return f"{self._verb} {clean_line(path)} · {size(file.size_bytes)}"

    def _refresh(self, said: list[str]) -> None:
        urgent = self._terminal.stopped() or bool(said)
        now = self._env.clock()
        if not urgent and now - self._shown_at < _FRAME_S:
            return
        self._shown_at = now
        width = self._terminal.width
        area = self._terminal.area
        above = [dim(row) for line in said for row in wrap(line, width)]
        room = min(width, _SHORT)
        if "TMUX" not in self._env.environ:
            room = max(room, 3 * width // 4)
        rows = self._rows(room) if self._bars else []
        total = [plain(row) for row in packed(self._gauge.parts(), room)]
        area.draw([*rows, *total] if area.able else [], above)

    def _rows(self, room: int) -> list[Row]:
        """A row per file, none wider than `room`; what is right of the names is aligned."""
        rights = {path: _right(file, room) for path, file in self._files.items()}
        names = {path: clean_line(path) for path in rights}
        taken = max((cells(right) for right in rights.values()), default=0)
        column = min(room - taken, max(map(cells, names.values()), default=0))
        rows = []
        for path, right in rights.items():
            if trouble := self._files[path].trouble:
                rows.append(cut(f"{_fitted(names[path], max(8, room // 3))}  {trouble}", room))
            else:
                rows.append(_fitted(names[path], column) + right)
        return [plain(row) for row in rows]

    def _write(self, line: str) -> None:
        self._stream.write(writable(line, self._stream) + "\n")
        self._stream.flush()


def _right(file: _File, room: int) -> str:
    """`  ████░░░░   45 %  2.1/4.7 GiB`; without the amount or the bar where room is short."""
    right = f"  {percent(file.received_bytes, file.size_bytes):>5}"
    if room < _WITH_BAR:
        return right
    filled = _BAR_CELLS * file.received_bytes // max(1, file.size_bytes)
    bar = f"  {'█' * filled}{'░' * (_BAR_CELLS - filled)}"
    amount = f"  {of(file.received_bytes, file.size_bytes):>14}" if room >= _WITH_AMOUNT else ""
    return bar + right + amount


def _fitted(name: str, width: int) -> str:
    """The name in exactly `width` cells, cut in its middle: shards differ at their end."""
    if cells(name) > width:
        half = (width - 1) // 2
        end = name[len(name) - half :]
        name = cut(name, max(0, width - 1 - cells(end))) + "…" + end
    return name + " " * max(0, width - cells(name))
