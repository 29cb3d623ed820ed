"""Keys while a run goes on, without a thread: the terminal is asked at every event.

Law: the terminal's attributes are put back by `close`, which runs at the end, on every exception
and, registered with atexit, when nothing else did. Ctrl-C stays a signal. Input that is no known
key is discarded while we run. A process in the background leaves the terminal alone: setting its
attributes from there would stop the process.
"""

from __future__ import annotations

import atexit
import os
import select
import sys
import termios
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from qvq_mlx.core.env import Env

_TOGGLES = b"t\x0f"  # t, Ctrl-O
_ANSWERS = b"a"
_STOPS = b"q"
_EXPLAINS = b"?"
_KEYS = _TOGGLES + _ANSWERS + _STOPS + _EXPLAINS

_LFLAG, _CC = 3, 6  # the places in what tcgetattr returns


@dataclass(frozen=True, slots=True)
class Pressed:
    """Keys pressed since the last look: how often a key that expands or collapses, and how
    often the one that shows the keys or hides them; whether the one that asks for the answer now,
    and the one that stops.
    """

    toggles: int = 0
    answer: bool = False
    stop: bool = False
    explanations: int = 0


_NOTHING = Pressed()


class Keys:
    """The keyboard of a terminal, or nothing where stdin is none."""

    def __init__(self, env: Env) -> None:
        self._fd = _descriptor(env.stdin)
        self._before: list[int | list[bytes | int]] | None = None

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
        seen = b""
        stop = False
        while self.active and self._fd is not None and _in_front(self._fd):
            if not select.select([self._fd], [], [], 0)[0]:
                break
            try:
                data = os.read(self._fd, 1024)
            except OSError:
                data = b""
            if not data:  # the terminal hung up
                self.close()
                break
            if not data.startswith(b"\x1b"):  # an arrow or a function key is no letter
                seen += data
                # a command that is pasted ahead may hold a q, and must not end the run
                stop |= data.strip(_KEYS) == b"" and any(byte in _STOPS for byte in data)
        if not seen:
            return _NOTHING
        return Pressed(
            toggles=sum(byte in _TOGGLES for byte in seen),
            answer=any(byte in _ANSWERS for byte in seen),
            stop=stop,
            explanations=sum(byte in _EXPLAINS for byte in seen),
        )

    def close(self) -> None:
        """Put the terminal back as it was. May be called again."""
        if self._before is None or self._fd is None:
            return
        with suppress(termios.error, OSError):  # the terminal is gone
            if _in_front(self._fd):
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
                termios.tcflush(self._fd, termios.TCIFLUSH)
        self._before = None  # not before it is done: a signal may interrupt us
        atexit.unregister(self.close)

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
