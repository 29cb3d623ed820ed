"""The process's standard streams: opened where they were closed, flushed at the end, measured."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
import termios
from collections.abc import Iterable
from typing import TextIO


def open_standard_streams() -> None:
    """Put /dev/null where a standard stream was closed (`<&-` in a shell).

    Otherwise the next file that is opened, the weights' say, takes the stream's place. What is
    written to a stdout that was closed is an error, and no loss that nobody hears of.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(
                os.devnull, os.O_RDONLY if descriptor == 1 else os.O_RDWR
            )  # the lowest number that is free: this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


def hush_interrupts() -> None:
    """Print nothing of a Ctrl-C that is raised where Python cannot hand it on: within a generator
    that is closed while another one ends the run.
    """
    plain = sys.unraisablehook

    def hushed(what: sys.UnraisableHookArgs) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt | SystemExit):
            plain(what)

    sys.unraisablehook = hushed


def in_script() -> bool:
    """True if a script runs us: a shell that people type into gives each job a group of its own."""
    parent = os.getppid()
    try:
        return parent > 0 and os.getpgid(parent) == os.getpgrp()
    except OSError:  # it ended meanwhile, or is not ours to ask about
        return False


def reader_gone(stream: TextIO) -> bool:
    """True if nobody will read what is written to a pipe."""
    try:
        descriptor = stream.fileno()
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return False
        end = select.poll()
        end.register(descriptor, 0)
        return any(told & (select.POLLHUP | select.POLLERR) for _, told in end.poll(0))
    except (OSError, ValueError):  # a stream in memory, or closed
        return False


def typed_again(terminal: int, data: bytes) -> bool:
    """Put `data` into a terminal's input, as if it were typed; False where that is not allowed."""
    try:
        for byte in data:
            fcntl.ioctl(terminal, termios.TIOCSTI, bytes([byte]))
    except OSError:
        return False
    return True


def is_closed(stream: TextIO) -> bool:
    """True if nothing can be written to `stream`, because it was closed before we began."""
    try:
        return fcntl.fcntl(stream.fileno(), fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    except (OSError, ValueError):  # a stream in memory
        return False


def flushed(streams: Iterable[TextIO]) -> bool:
    """Flush the streams; False where the reader of one of them is gone.

    What cannot be written any more (a closed pipe, a terminal that went away) goes to /dev/null:
    the interpreter would try once more when it ends, and complain.
    """
    read = True
    for stream in streams:
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            read = read and not isinstance(error, BrokenPipeError)
    return read


def terminal_size() -> os.terminal_size:
    """Of the first of the standard streams that is a terminal; 80x24 where none is."""
    for stream in (sys.stdout, sys.stderr, sys.stdin):
        try:
            size = os.get_terminal_size(stream.fileno())
        except (OSError, ValueError, AttributeError):  # closed, redirected, or none at all
            continue
        if size.columns and size.lines:
            return size
    return os.terminal_size((80, 24))
