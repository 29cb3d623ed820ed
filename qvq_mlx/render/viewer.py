"""`Pages` on a terminal: the alternate screen, single keys, and all of it put back.

Law: what was on the terminal before is there again afterwards, and its modes are what they were:
at the end, after an exception, at exit where nothing else did it, and for as long as Ctrl-Z stops
the process. The window's size is looked at before every frame.
"""

from __future__ import annotations

import atexit
import codecs
import os
import select
from collections.abc import Iterator
from contextlib import suppress

from qvq_mlx.core.env import Env
from qvq_mlx.render.clean import writable
from qvq_mlx.render.job import Job
from qvq_mlx.render.keys import Keys
from qvq_mlx.render.pages import Key, Pages, Story

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
_BEGIN, _END = "\x1b[?2026h\x1b[H", "\x1b[?2026l"
_LOOK_S = 0.2
"""How often a changed window and Ctrl-Z are looked for while no key comes."""

_SEQUENCES = {
    "\x1b[A": Key.UP,
    "\x1bOA": Key.UP,
    "\x1b[B": Key.DOWN,
    "\x1bOB": Key.DOWN,
    "\x1b[5~": Key.PAGE_UP,
    "\x1b[6~": Key.PAGE_DOWN,
    "\x1b[H": Key.HOME,
    "\x1bOH": Key.HOME,
    "\x1b[1~": Key.HOME,
    "\x1b[F": Key.END,
    "\x1bOF": Key.END,
    "\x1b[4~": Key.END,
    "\x1b": Key.ESCAPE,
    "\r": Key.ENTER,
    "\n": Key.ENTER,
    "\x7f": Key.ERASE,
    "\b": Key.ERASE,
}


def can_view(env: Env) -> bool:
    """True if there is a terminal to draw on and a keyboard to listen to."""
    if not (env.stdout.isatty() and env.stdin.isatty()):
        return False
    if env.environ.get("TERM", "dumb") in ("", "dumb"):
        return False
    try:
        return os.isatty(env.stdin.fileno())
    except OSError:
        return False


def view(story: Story, env: Env) -> None:
    """Go through a run until the person leaves. Ctrl-C leaves too."""
    Viewer(env, Pages(story)).run()


class Viewer:
    """The terminal while it shows pages."""

    def __init__(self, env: Env, pages: Pages) -> None:
        self._env = env
        self._pages = pages
        self._keys = Keys(env)
        self._job = Job(self._leave)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ours = False

    def run(self) -> None:
        """Show, listen, show."""
        atexit.register(self._leave)
        self._job.open()
        try:
            self._enter()
            shown = None
            while True:
                size = self._env.terminal_size()
                frame = self._pages.frame(max(1, size.columns), max(2, size.lines))
                if frame != shown:
                    self._draw("\r\n".join(f"\x1b[2K{row.styled}" for row in frame))
                    shown = frame
                data = self._read()
                if data is None:
                    return
                if self._stopped():
                    shown = None
                if not all(self._pages.press(key) for key in decoded(data)):
                    return
        except KeyboardInterrupt:
            return
        finally:
            self._leave()
            self._job.close()
            atexit.unregister(self._leave)

    def _read(self) -> str | None:
        """Read what was typed, nothing after a while; None where the terminal hung up."""
        descriptor = self._env.stdin.fileno()
        if not select.select([descriptor], [], [], _LOOK_S)[0]:
            return ""
        try:
            data = os.read(descriptor, 1024)
        except OSError:
            return None
        return self._decoder.decode(data) if data else None

    def _stopped(self) -> bool:
        """Stop where Ctrl-Z was pressed. True after `fg`."""
        if self._job.stop_wanted:
            self._leave()
            self._job.stop()
        elif self._job.resumed:
            self._job.resumed = False
            self._keys.close()
        else:
            return False
        self._enter()
        return True

    def _enter(self) -> None:
        self._keys.open()
        self._ours = True
        self._draw("", _ENTER)

    def _leave(self) -> None:
        if not self._ours:
            return
        self._ours = False
        with suppress(OSError):
            self._draw("", _END + _LEAVE)
        self._keys.close()

    def _draw(self, text: str, mode: str = "") -> None:
        stdout = self._env.stdout
        stdout.write(mode or _BEGIN + writable(text, stdout) + _END)
        stdout.flush()


def decoded(data: str) -> Iterator[Key | str]:
    """The keys in what a terminal sent. A sequence that is not known is passed over."""
    at = 0
    while at < len(data):
        length = next((n for n in (4, 3) if data[at : at + n] in _SEQUENCES), 0)
        if length:
            yield _SEQUENCES[data[at : at + length]]
            at += length
        elif data[at] == "\x1b" and data[at + 1 : at + 2] in ("[", "O"):
            at += 2
            while at < len(data) and not "@" <= data[at] <= "~":
                at += 1
            at += 1
        else:
            yield _SEQUENCES.get(data[at], data[at])
            at += 1
