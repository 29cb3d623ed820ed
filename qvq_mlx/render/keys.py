"""Keys while a run goes on, without a thread: the terminal is asked at every event.

Law: the terminal's attributes are put back by `close`, which runs at the end, on every exception
and, registered with atexit, when nothing else did. Ctrl-C stays a signal. What is no key is text
(`strokes`): a chat keeps it, and a shell gets it back where the terminal allows that (TIOCSTI);
where not, it is dropped whole, since half a command is worse than none. A process in the background
leaves the terminal alone: setting its attributes from there would stop the process.
"""

from __future__ import annotations

import atexit
import os
import re
import select
import sys
import termios
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from qvq_mlx.core.env import Env
from qvq_mlx.render.live import Place
from qvq_mlx.render.strokes import Key, Strokes
from qvq_mlx.render.type_ahead import TypeAhead
from qvq_mlx.system.streams import typed_again

_LFLAG, _CC = 3, 6  # the places in what tcgetattr returns
_WHERE = "\x1b[6n\x1b7\x1b[9999;9999H\x1b[6n\x1b8"
"""Where is the cursor, and where is it when it is sent to the last corner? (The direct question for
the size, `CSI 18 t`, gets rows and columns in either order from versions of tmux.)
"""
_CURSOR = re.compile(rb"\x1b\[(\d+);\d+R.*?\x1b\[(\d+);(\d+)R", re.DOTALL)
_ANSWER = re.compile(rb"\x1b\[\d+;\d+R")
_PATIENCE_S = 0.3
"""A terminal answers within a millisecond, one at the other end of the world within this time."""
_GIVEN_BACK = frozenset("\n\r\t\b\x7f\x15\x17")
"""Controls that a person types to edit a line; no other control is put into a shell's input."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """Keys pressed since the last look: how often a key that expands or collapses, and how
    often the one that shows the keys or hides them; whether the one that asks for the answer now,
    that stops, that folds, that copies. `typed`: text came.
    """

    toggles: int = 0
    answer: bool = False
    stop: bool = False
    explanations: int = 0
    fold: bool = False
    copy: bool = False
    typed: bool = False


_NOTHING = Pressed()


class Keys:
    """The keyboard of a terminal, or nothing where stdin is none."""

    def __init__(self, env: Env, ahead: TypeAhead | None = None) -> None:
        """`ahead` gets what is typed; None: the shell does."""
        self._fd = _descriptor(env.stdin)
        self._before: list[int | list[bytes | int]] | None = None
        self._clock = env.clock
        self._ahead = TypeAhead(kept=False) if ahead is None else ahead
        self._strokes = Strokes(self._ahead)
        self._unread = b""  # came while an answer of the terminal was waited for
        self._unanswered = False

    @property
    def active(self) -> bool:
        """True if keys are read, and worth advertising."""
        return self._before is not None

    def open(self) -> None:
        """Read single keys from now on, unseen. Nothing where the terminal is gone: whoever writes
        to it will notice.
        """
        if self._fd is None or self.active or not _in_front(self._fd):
            return
        with suppress(termios.error):
            self._take(self._fd)

    def pressed(self) -> Pressed:
        """Everything since the last call."""
        if not self.active:
            return _NOTHING
        before = self._ahead.all
        keys = Counter(self._strokes.feed(self._read(), self._clock()))
        return Pressed(
            toggles=keys[Key.TOGGLE],
            answer=Key.ANSWER in keys,
            stop=Key.STOP in keys,
            explanations=keys[Key.EXPLAIN],
            fold=Key.FOLD in keys,
            copy=Key.COPY in keys,
            typed=self._ahead.all != before,
        )

    def place(self, stream: TextIO) -> Place | None:
        """Ask the terminal behind `stream` for its size and where its cursor is.

        None where the keyboard is not ours or the terminal does not say; then it is not asked
        again.
        """
        if self._fd is None or not self.active or self._unanswered or not _in_front(self._fd):
            return None
        stream.write(_WHERE)
        stream.flush()
        self._unanswered = True
        return self._answered(self._fd)

    def close(self, *, suspended: bool = False) -> None:
        """Put the terminal back as it was. May be called again. `suspended`: we come back."""
        if self._before is None or self._fd is None:
            return
        with suppress(termios.error, OSError):  # the terminal is gone
            if _in_front(self._fd):
                if self._unanswered:  # or the shell would read the answer as something typed
                    self._answered(self._fd)
                if not suspended:
                    self._hand_over(self._fd)
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
        self._before = None  # not before it is done: a signal may interrupt us
        atexit.unregister(self.close)

    def _read(self) -> bytes:
        """What came since the last look."""
        found, self._unread = self._unread, b""
        while self.active and self._fd is not None and _in_front(self._fd):
            if not select.select([self._fd], [], [], 0)[0]:
                break
            try:
                data = os.read(self._fd, 1024)
            except OSError:
                data = b""
            if not data:  # the terminal hung up: there is nobody to give anything back to
                self.close(suspended=True)
                break
            found += data
        return found

    def _answered(self, fd: int) -> Place | None:
        """Wait for the terminal's answer; what is typed meanwhile is kept for `_read`."""
        end = time.monotonic() + _PATIENCE_S
        while (left_s := end - time.monotonic()) > 0 and select.select([fd], [], [], left_s)[0]:
            try:
                data = os.read(fd, 1024)
            except OSError:
                data = b""
            if not data:  # the terminal hung up: the next read says so
                return None
            self._unread += data
            if answer := _CURSOR.search(self._unread):
                self._unread = _ANSWER.sub(b"", self._unread)
                self._unanswered = False
                row, rows, columns = map(int, answer.groups())
                return Place(row, os.terminal_size((columns, rows)))
        return None

    def _hand_over(self, fd: int) -> None:
        """What was typed goes to who reads next. What nobody has read yet is left where it is."""
        if self._unread:
            self._strokes.feed(self._unread, self._clock())
            self._unread = b""
        self._strokes.close()
        if not self._ahead.raw and not self._ahead.kept:
            return
        if data := self._read():
            self._strokes.feed(data, self._clock())
            self._strokes.close()
        given = [one for one in self._ahead.raw if one.isprintable() or one in _GIVEN_BACK]
        self._ahead.raw = ""
        if not typed_again(fd, "".join(given).encode()):  # Linux since 6.2, as a rule
            termios.tcflush(fd, termios.TCIFLUSH)

    def _take(self, fd: int) -> None:
        attributes = termios.tcgetattr(fd)
        changed = list(attributes)
        flags, characters = changed[_LFLAG], attributes[_CC]
        assert isinstance(flags, int)
        assert isinstance(characters, list)
        characters = list(characters)
        characters[termios.VMIN], characters[termios.VTIME] = 1, 0
        if sys.platform == "darwin":  # there it eats Ctrl-O; elsewhere it is left alone, because
            # after kill -9 zsh and fish restore everything else
            off = os.fpathconf(fd, "PC_VDISABLE")
            characters[termios.VDISCARD] = bytes([off & 0xFF])
        changed[_LFLAG] = flags & ~(termios.ECHO | termios.ICANON)
        changed[_CC] = characters
        termios.tcsetattr(fd, termios.TCSANOW, changed)
        self._before = attributes
        atexit.register(self.close)


def _descriptor(stdin: TextIO) -> int | None:
    """The file descriptor of a terminal; None for a pipe or a stream in memory."""
    if not stdin.isatty():
        return None
    try:
        descriptor = stdin.fileno()
    except OSError:
        return None
    return descriptor if os.isatty(descriptor) else None


def _in_front(descriptor: int) -> bool:
    """True if this process is in the terminal's foreground group."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # not our controlling terminal: nobody stops us
        return True
