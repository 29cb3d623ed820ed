"""Asks a person yes or no, on stderr; without a terminal nobody is asked."""

from __future__ import annotations

from qvq_mlx.core.env import Env
from qvq_mlx.render.clean import clean_line


def watched(env: Env) -> bool:
    """True if a person sits at a terminal on all three standard streams."""
    return env.stdin.isatty() and env.stdout.isatty() and env.stderr.isatty()


def confirmed(question: str, env: Env) -> bool:
    """True if a person says yes. Without a terminal nobody is asked, and the answer is no."""
    if not watched(env):
        return False
    env.stderr.write(f"{clean_line(question)} [y/N] ")
    env.stderr.flush()
    return env.stdin.readline().strip().casefold() in ("y", "yes")
