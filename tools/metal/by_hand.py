"""What a person has to look at: a minute of screen, keys, Ctrl-Z and a dragged picture."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

from tools.metal.needs import ROOT, NotHereError, needs_macos

_QVQ = (sys.executable, "-m", "qvq_mlx")
_SHAPES = str(ROOT / "examples" / "shapes.png")
_QUESTION = "What shapes do you see?"
STEPS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "A cross appears: choose a part of the screen with something red in it.",
        ("ask", "-m", "tiny", "screen", _QUESTION),
        "Did it read that part, or name the setting that allows it?",
    ),
    (
        "Press t for all of the thinking, then a for the answer.",
        ("ask", "-m", "tiny", _SHAPES, _QUESTION),
        "Did both keys act, and is the screen tidy?",
    ),
    (
        "Press Ctrl-Z, type fg, and let it end.",
        ("ask", "-m", "tiny", _SHAPES, _QUESTION),
        "Did it go on, and does the terminal echo as before?",
    ),
    (
        "Drag a picture from the Finder into this window, type a question, Enter; then Ctrl-D.",
        ("chat", "-m", "tiny"),
        "Was the picture that you dragged the one that it read?",
    ),
)
"""What to do, what runs meanwhile, and what to look at."""
_SLOW = {"QVQ_PACE": "8"}


def minute() -> str:
    """Have a person do four things, and say what went wrong with which."""
    needs_macos()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NotHereError("nobody is at a terminal")
    return walked(_run, input)


def walked(run: Callable[[Sequence[str]], None], ask: Callable[[str], str]) -> str:
    """Walk all steps with `run` and `ask`. Raises AssertionError with what a person said of each.

    Anything but a no counts as a yes; the words behind it are kept.
    """
    wrong: list[str] = []
    said: list[str] = []
    for todo, words, look in STEPS:
        ask(f"\n{todo} [Enter] ")
        run(words)
        answer = ask(f"{look} [yes, or no and what you saw] ").strip()
        (wrong if answer.casefold().startswith("n") else said).append(f"{look} {answer or 'yes'}")
    assert not wrong, "; ".join(wrong)
    return f"{len(said)} of {len(STEPS)}: " + "; ".join(said)


def _run(words: Sequence[str]) -> None:
    subprocess.run((*_QVQ, *words), env={**os.environ, **_SLOW}, check=False)
