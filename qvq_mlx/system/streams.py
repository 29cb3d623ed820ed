"""The process's standard streams: opened where they were closed, flushed at the end, measured."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TextIO


def open_standard_streams() -> None:
    """Put /dev/null where a standard stream was closed (`<&-` in a shell).

    Otherwise the next file that is opened, the weights' say, takes the stream's place.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


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
