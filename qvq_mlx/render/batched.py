"""Show a batch: progress, time left, and each item's answer.

Law: the time left is the mean of the last items asked times those that are left, and is not said
before one was asked. Nothing that comes from outside reaches the terminal uncleaned.
"""

from __future__ import annotations

from collections import deque
from pathlib import PurePath

from qvq_mlx.core.env import Env
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Notice,
    Progress,
    ThinkingDelta,
)
from qvq_mlx.render.clean import clean_line, writable
from qvq_mlx.render.meter import short, status
from qvq_mlx.render.rows import joined
from qvq_mlx.render.working import Working

_FRAME_S = 1 / 12
_RECENT = 20


class BatchProgress:
    """One status line at the end of stderr, and lines above it.

    `lines` True: an item's outcome is a line of its own, on stdout where that is the terminal.
    """

    def __init__(self, env: Env, total: int, *, quiet: bool, lines: bool) -> None:
        self._env = env
        self._quiet = quiet
        self._total = total
        self._lines = lines
        self._working = Working(env, quiet=quiet)
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._number = 0
        self._name = ""
        self._failures = 0
        self._doing = ""
        self._note = ""
        self._tokens = 0
        self._drawn_at = float("-inf")

    def began(self, number: int, images: tuple[str, ...]) -> None:
        """An item is taken up."""
        self._number, self._tokens, self._doing = number, 0, ""
        self._name = ", ".join(PurePath(image).name for image in images)
        self._draw(urgent=True)

    def saw(self, event: Event) -> None:
        """Something happened to it."""
        match event:
            case Progress():
                self._doing = status(event)
            case ThinkingDelta(tokens=tokens) | AnswerDelta(tokens=tokens):
                self._tokens += tokens
                self._doing = f"{self._tokens:,} tok"
            case AnswerRetracted() | Notice() | Done():
                pass
        self._draw(urgent=False)

    def ended(self, number: int, outcome: str, *, answered: bool, took_s: float) -> None:
        """Show an item's end. `outcome` is its answer, or what went wrong, in one line."""
        self._number = number
        self._recent.append(took_s)
        self._failures += not answered
        if self._lines:
            self._say(f"{self._name}: {outcome}")

    def noted(self, note: str) -> None:
        """Show `note` in the status line from now on."""
        self._note = note

    def skipped(self, number: int) -> None:
        """Count an item that an earlier run had done."""
        self._number = number
        self._draw(urgent=False)

    def close(self) -> None:
        """Wipe the status line. May be called again."""
        self._working.close()

    def summed_up(self, line: str) -> None:
        """Say, after `close`, how it ended: to a person, unless the batch is quiet."""
        if self._env.stderr.isatty() and not self._quiet:
            self._env.stderr.write(clean_line(line) + "\n")

    def _say(self, line: str) -> None:
        self._working.close()
        stream = self._env.stdout if self._env.stdout.isatty() else self._env.stderr
        stream.write(writable(clean_line(line), stream) + "\n")
        stream.flush()

    def _draw(self, *, urgent: bool) -> None:
        now = self._env.clock()
        if not urgent and now - self._drawn_at < _FRAME_S:
            return
        self._drawn_at = now
        parts = [f"{self._number:,}/{self._total:,}"]
        if self._recent:
            left = (self._total - self._number + 1) * sum(self._recent) / len(self._recent)
            parts.append(f"{short(left)} left")
        if self._failures:
            parts.append(f"{self._failures:,} failed")
        parts += [part for part in (self._note, clean_line(self._name), self._doing) if part]
        self._working.show(joined(parts, self._env.terminal_size().columns))
