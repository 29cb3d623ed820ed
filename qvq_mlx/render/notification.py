"""Notifies a person who looks elsewhere: by OSC 9 or OSC 777 where the terminal shows them, else
by a bell.

Law: the text says that something ended and nothing of the picture, the question or the answer,
since the system keeps notifications and shows them on locked screens. Within tmux and screen, which
pass no notification on, it is a bell. A dumb terminal, and plain lines, get nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from qvq_mlx.core.env import Env
from qvq_mlx.render.terminal import redrawable

_BELL = "\a"
_OSC_9_PROGRAMS = frozenset({"iTerm.app", "WezTerm", "ghostty"})
_OSC_9_TERMS = ("xterm-kitty", "xterm-ghostty")
_OSC_777_TERMS = ("foot", "rxvt-unicode")


def notify(text: str, env: Env) -> None:
    """Notify, where a terminal is watched."""
    stream = next((one for one in (env.stderr, env.stdout) if one.isatty()), None)
    if stream is None or not redrawable(env.environ):
        return
    stream.write(_sequence(text, env.environ))
    stream.flush()


def _sequence(text: str, environ: Mapping[str, str]) -> str:
    term = environ.get("TERM", "")
    if environ.get("TMUX") or term.startswith(("tmux", "screen")):
        return _BELL
    if environ.get("TERM_PROGRAM") in _OSC_9_PROGRAMS or term.startswith(_OSC_9_TERMS):
        return f"\x1b]9;qvq: {text}{_BELL}"
    if term.startswith(_OSC_777_TERMS):
        return f"\x1b]777;notify;qvq;{text}{_BELL}"
    return _BELL
