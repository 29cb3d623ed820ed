"""The one accent, for headers and what goes on; red and yellow, for errors and warnings alone.

Law: no colour with NO_COLOR, where bold says it, and no style on a dumb terminal or off a terminal.
The three are of the sixteen colours that every theme sets. The accent is magenta, which palettes
set apart from white and from black alike; their cyan and green are pale on white, their blue is
dark on black.
"""

from __future__ import annotations

from typing import TextIO

from qvq_mlx.core.env import Env

_MAGENTA, _BOLD, _DIM, _END = "\x1b[35m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
_RED, _YELLOW = "\x1b[31m", "\x1b[33m"


def has_colours(env: Env, stream: TextIO | None = None) -> bool:
    """True if colours are wanted on `stream`; None: on stdout."""
    return _has_styles(env, stream) and not env.environ.get("NO_COLOR")


def accented(text: str, env: Env, stream: TextIO | None = None) -> str:
    """A head, or what goes on."""
    return _coloured(text, _MAGENTA, env, stream)


def faint(text: str, env: Env) -> str:
    """Style text that explains something else."""
    return f"{_DIM}{text}{_END}" if text and _has_styles(env, None) else text


def strong(text: str, env: Env) -> str:
    """Style text that should not be overlooked, and is no head."""
    return f"{_BOLD}{text}{_END}" if text and _has_styles(env, None) else text


def alarming(text: str, env: Env, stream: TextIO | None = None) -> str:
    """The word for an error or a problem."""
    return _coloured(text, _RED, env, stream)


def warning(text: str, env: Env, stream: TextIO | None = None) -> str:
    """The word for a warning."""
    return _coloured(text, _YELLOW, env, stream)


def _coloured(text: str, colour: str, env: Env, stream: TextIO | None) -> str:
    if not text or not _has_styles(env, stream):
        return text
    return f"{colour if has_colours(env, stream) else ''}{_BOLD}{text}{_END}"


def _has_styles(env: Env, stream: TextIO | None) -> bool:
    shown = env.stdout if stream is None else stream
    return shown.isatty() and env.environ.get("TERM", "dumb") not in ("", "dumb")
