"""Pictures in the terminal, where it shows some: `--show`.

Sixel, then Kitty's protocol, in textual-image's drawing. iTerm2, WezTerm, foot, Konsole and xterm
say that they have Sixel; Kitty and Ghostty have Kitty's protocol with Unicode placeholders. The
own protocol of iTerm2 is not spoken.

Law: the terminal itself is asked, once, and the answer is awaited for ANSWER_S at most. The last
question is one that every terminal answers, so nothing is left behind for the shell to read. A
terminal that does not answer, a dumb one, and tmux without Sixel show no pictures. Terminal.app
is not even asked.
"""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from io import BytesIO
from typing import TextIO

from qvq_mlx.core.env import Env

ANSWER_S = 1.0
"""How long a terminal may take to answer; over a slow line it is some tenths."""

LONGEST_PX = 1600
"""No more pixels than this are sent, on the longer side."""

_TERMINAL_APP = "Apple_Terminal"
"""macOS's own terminal has neither protocol, and writes out what it is asked in Kitty's
(https://github.com/BourgeoisBear/rasterm has the table of what terminals show and answer)."""
_KITTY = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_ATTRIBUTES = "\x1b[c"  # every terminal answers this one
_ATTRIBUTES_ANSWER = re.compile(r"\x1b\[\?([\d;]*)c")
_MOST_BYTES = 4096


class Protocol(StrEnum):
    """Ways to hand a picture to a terminal."""

    SIXEL = "sixel"
    KITTY = "kitty"


def protocol(
    env: Env, opened: Callable[[], AbstractContextManager[int]] | None = None
) -> Protocol | None:
    """Return the protocol that the terminal behind stdout claims; None for none.

    `opened` is the terminal; None: this process's own.
    """
    if not env.stdout.isatty() or env.environ.get("TERM", "dumb") in ("", "dumb"):
        return None
    if env.environ.get("TERM_PROGRAM") == _TERMINAL_APP:
        return None
    try:
        with (opened or _terminal)() as descriptor:
            return _told(_asked(descriptor))
    except (OSError, termios.error):  # there is none that belongs to us
        return None


def show(env: Env, png: bytes, how: Protocol, rows: int) -> bool:
    """Draw a picture where the cursor is, at most `rows` high. False where that did not work."""
    try:
        with _terminal() as descriptor, _for_library(descriptor) as stream:
            _draw(png, how, stream, env.terminal_size().columns, rows)
    except (OSError, ValueError, ZeroDivisionError, termios.error):
        return False
    return True


def _draw(png: bytes, how: Protocol, stream: TextIO, columns: int, rows: int) -> None:
    from rich.console import Console
    from textual_image.renderable import SixelImage, TGPImage

    kind = SixelImage if how is Protocol.SIXEL else TGPImage
    console = Console(
        file=stream, width=columns, height=rows, force_terminal=True, color_system="truecolor"
    )
    console.print(kind(BytesIO(png), width="auto", height="auto"))
    stream.flush()


def _told(answer: str) -> Protocol | None:
    """Of an answer to both questions. Several terminals that say they speak Kitty's protocol have
    no placeholders, and Sixel.
    """
    attributes = _ATTRIBUTES_ANSWER.search(answer)
    if attributes is None:
        return None
    if "4" in attributes[1].split(";"):
        return Protocol.SIXEL
    return Protocol.KITTY if "\x1b_Gi=31;OK" in answer else None


def _asked(descriptor: int) -> str:
    """Return the terminal's replies to both questions, unseen by the person."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        os.write(descriptor, (_KITTY + _ATTRIBUTES).encode())
        answer, ends_at = b"", time.monotonic() + ANSWER_S
        while len(answer) < _MOST_BYTES and not _ATTRIBUTES_ANSWER.search(answer.decode("latin-1")):
            left = ends_at - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                break
            data = os.read(descriptor, 1024)
            if not data:
                break
            answer += data
        return answer.decode("latin-1")
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


@contextmanager
def _terminal() -> Iterator[int]:
    """The terminal of this process: stdin may be a picture's pipe. Raises OSError."""
    descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    try:
        if os.tcgetpgrp(descriptor) != os.getpgrp():
            raise OSError("in the background: asking would stop us")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _for_library(descriptor: int) -> Iterator[TextIO]:
    """textual-image asks the terminal by itself when it is imported, and for the size of a cell,
    through Python's first stdin and stdout. It is imported with none, as we have asked already;
    then both are the terminal.
    """
    kept = sys.__stdin__, sys.__stdout__
    try:
        sys.__stdin__, sys.__stdout__ = None, None  # type: ignore[misc]
        import textual_image.renderable  # noqa: F401

        with (
            os.fdopen(os.dup(descriptor), encoding="utf-8") as stdin,
            os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as stdout,
        ):
            sys.__stdin__, sys.__stdout__ = stdin, stdout  # type: ignore[misc]
            yield stdout
    finally:
        sys.__stdin__, sys.__stdout__ = kept  # type: ignore[misc]
