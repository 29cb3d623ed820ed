"""One status line, for work that is no run of a model. It erases itself; only a terminal has it."""

from __future__ import annotations

from qvq_mlx.core.env import Env
from qvq_mlx.render.live import LiveArea
from qvq_mlx.render.rows import plain
from qvq_mlx.render.terminal import redrawable


class Working:
    """The last line of stderr. Nothing where stderr is no terminal, or with `quiet`."""

    def __init__(self, env: Env, *, quiet: bool = False) -> None:
        able = env.stderr.isatty() and redrawable(env.environ)
        self._area = LiveArea(env.stderr, env.terminal_size, able=able and not quiet)

    def show(self, text: str) -> None:
        """Put `text` in the place of what stood there."""
        self._area.draw([plain(text)])

    def close(self) -> None:
        """Wipe it. May be called again."""
        self._area.close()
