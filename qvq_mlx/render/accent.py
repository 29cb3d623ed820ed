"""The one colour: for headers, keys and what goes on. Where colours are not wanted, bold says it.

Law: no colour with NO_COLOR, on a dumb terminal or off a terminal. Cyan is one of the sixteen that
every theme sets, so it can be read on dark and on light.
"""

from __future__ import annotations

from typing import TextIO

from qvq_mlx.core.env import Env

_CYAN, _BOLD, _DIM, _END = "\x1b[36m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


def has_colours(env: Env, stream: TextIO | None = None) -> bool:
    """True if colours are wanted on `stream`; None: on stdout."""
    return _has_styles(env, stream) and not env.environ.get("NO_COLOR")


def accented(text: str, env: Env, stream: TextIO | None = None) -> str:
    """A head, or what goes on."""
    if not text or not _has_styles(env, stream):
        return text
    return f"{_CYAN if has_colours(env, stream) else ''}{_BOLD}{text}{_END}"


def faint(text: str, env: Env) -> str:
    """What explains something else."""
    return f"{_DIM}{text}{_END}" if text and _has_styles(env, None) else text


def _has_styles(env: Env, stream: TextIO | None) -> bool:
    shown = env.stdout if stream is None else stream
    return shown.isatty() and env.environ.get("TERM", "dumb") not in ("", "dumb")
