"""The one colour: for headers, keys and what goes on. Where colours are not wanted, bold says it.

Law: no colour with NO_COLOR, on a dumb terminal or off a terminal. Cyan is one of the sixteen that
every theme sets, so it can be read on dark and on light.
"""

from __future__ import annotations

from qvq_mlx.core.env import Env

_CYAN, _BOLD, _DIM, _END = "\x1b[36m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


def has_colours(env: Env) -> bool:
    """True if colours are wanted on stdout."""
    return _has_styles(env) and not env.environ.get("NO_COLOR")


def accented(text: str, env: Env) -> str:
    """A head."""
    if not _has_styles(env):
        return text
    return f"{_CYAN if has_colours(env) else ''}{_BOLD}{text}{_END}"


def faint(text: str, env: Env) -> str:
    """What explains something else."""
    return f"{_DIM}{text}{_END}" if text and _has_styles(env) else text


def _has_styles(env: Env) -> bool:
    return env.stdout.isatty() and env.environ.get("TERM", "dumb") not in ("", "dumb")
