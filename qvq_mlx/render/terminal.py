"""The terminal while it is ours: its keyboard, its cursor, its place under a shell.

Law: `release` puts back all that `take` changed. It runs at the end, on every exception, at exit
where nothing else did, and for as long as Ctrl-Z stops the process.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from functools import partial
from typing import TextIO

from qvq_mlx.core.env import Env
from qvq_mlx.render.job import Job
from qvq_mlx.render.keys import Keys, Pressed
from qvq_mlx.render.live import LiveArea
from qvq_mlx.render.type_ahead import TypeAhead


def redrawable(environ: Mapping[str, str]) -> bool:
    """True if rows can be drawn over on this terminal.

    Not on a dumb one, not where a CI system records it, and not where plain lines are wished for
    (QVQ_PLAIN, which `config` turns into TERM=dumb).
    """
    told = environ.get("CI", "").lower() not in ("", "0", "false")
    return environ.get("TERM", "dumb") not in ("", "dumb") and not told


def styled(environ: Mapping[str, str]) -> bool:
    """True if bold and dim are wanted even where nothing can be drawn over (FORCE_COLOR)."""
    return environ.get("FORCE_COLOR", "").lower() not in ("", "0", "false")


class Terminal:
    """The terminal's streams. `keyboard` False: the keys are another's.

    `ahead` gets what is typed and is no key; None: the shell gets it back.
    """

    def __init__(
        self, env: Env, stream: TextIO, *, keyboard: bool, ahead: TypeAhead | None = None
    ) -> None:
        able = redrawable(env.environ)
        self._keys = Keys(env, ahead)
        self.area = LiveArea(
            stream,
            env.terminal_size,
            able=able,
            styled=able or styled(env.environ),
            place=partial(self._keys.place, stream),
            always_ask="TMUX" in env.environ,
        )
        self._size = env.terminal_size
        self._keyboard = keyboard and able
        self._job = Job(self.release)

    @property
    def width(self) -> int:
        """Columns that may be filled.

        The last one stays free: a row that fills it is joined to the next by some terminals, and
        stands twice when the window gets narrower.
        """
        return max(1, self._size().columns - 1)

    @property
    def height(self) -> int:
        """Rows that the live area may take."""
        return max(1, self._size().lines - 1)

    @property
    def has_keys(self) -> bool:
        """True if keys are read, and worth advertising."""
        return self._keys.active

    def take(self) -> None:
        """Take the terminal over."""
        atexit.register(self.release)
        if self.area.able:
            self._job.open()
        self._listen()

    def pressed(self) -> Pressed:
        """The keys since the last call."""
        return self._keys.pressed()

    def stopped(self) -> bool:
        """Stop where Ctrl-Z was pressed. True after `fg`: the screen has to be drawn anew."""
        if self._job.stop_wanted:
            self._keys.close(suspended=True)
            self.area.close()
            self._job.stop()
        elif self._job.resumed:  # stopped by a signal that cannot be caught
            self._job.resumed = False
            self._keys.close(suspended=True)
        else:
            return False
        self._listen()
        return True

    def release(self) -> None:
        """Give the terminal back to the shell. May be called at any time, and again."""
        self._job.close()
        try:
            self._keys.close()
        finally:
            self.area.close()
        atexit.unregister(self.release)  # not before it is done: a signal may interrupt us

    def _listen(self) -> None:
        """Take the keyboard; a paste is told from keys."""
        if not self._keyboard:
            return
        self._keys.open()
        if self._keys.active:
            self.area.mark_pastes()
