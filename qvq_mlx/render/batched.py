"""Show a batch: how far it is, its rate, the time left, how items ended, and the last answers.

    photo-31.png: 3
    photo-32.png: error[image-unreadable]: the file is empty (0 bytes)
    ━━━━━━━━━━━━━━━───────────────  33/120 · 12.4 items/min · 7m 1s left
    29 answered · 1 failed · 2 skipped · photo-33.png · 120 tok

Law: the time left is the mean of the last items asked times those that are left, and is not said
before one was asked. Nothing that comes from outside reaches the terminal uncleaned, and no row
fills the window to its last cell. Where nothing can be drawn over, an item that ended is a line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import PurePath

from qvq_mlx.core.env import Env
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    ThinkingDelta,
)
from qvq_mlx.core.sizes import counted
from qvq_mlx.render.accent import accented, alarming
from qvq_mlx.render.clean import clean_line, writable
from qvq_mlx.render.live import LiveArea
from qvq_mlx.render.meter import short, spelled, status
from qvq_mlx.render.rows import Row, cells, cut, dim, joined, plain
from qvq_mlx.render.terminal import redrawable

_FRAME_S = 1 / 12
_RECENT = 20
_SHOWN = 5
_BAR_CELLS = 30


class BatchProgress:
    """Rows at the end of stderr, redrawn in place.

    `lines` True: an item's outcome is a line of its own, on stdout where that is the terminal.
    """

    def __init__(self, env: Env, total: int, *, quiet: bool, lines: bool) -> None:
        watched = env.stderr.isatty() and not quiet
        able = watched and redrawable(env.environ)
        self._env = env
        self._quiet = quiet
        self._total = total
        self._lines = lines or (watched and not able)
        self._area = LiveArea(env.stderr, env.terminal_size, able=able)
        self._begun_at = env.clock()
        self._asked_s: deque[float] = deque(maxlen=_RECENT)
        self._last: deque[str] = deque(maxlen=_SHOWN)
        self._name = ""
        self._images: dict[int, tuple[str, ...]] = {}  # of the items in flight, by their numbers
        self._ended_at = float("-inf")
        self._answered = 0
        self._failed = 0
        self._skipped = 0
        self._doing = ""
        self._note = ""
        self._tokens = 0
        self._drawn_at = float("-inf")

    def began(self, number: int, images: tuple[str, ...]) -> None:
        """An item is taken up, while others may still be in flight."""
        self._tokens, self._doing = 0, ""
        self._images[number] = images
        self._name = _named(images)
        self._draw(urgent=True)

    def saw(self, event: Event) -> None:
        """Something happened to it."""
        match event:
            case Progress():
                self._doing = status(event)
            case ThinkingDelta(tokens=tokens) | AnswerDelta(tokens=tokens):
                self._tokens += tokens
                self._doing = f"{self._tokens:,} tok"
            case AnswerRetracted() | Looked() | Notice() | Done():
                pass
        self._draw(urgent=False)

    def ended(self, number: int, outcome: str, *, answered: bool, took_s: float) -> None:
        """Show an item's end. `outcome` is its answer, or what went wrong, in one line."""
        now = self._env.clock()
        self._asked_s.append(min(took_s, now - self._ended_at))  # several may run at a time
        self._ended_at = now
        self._answered += answered
        self._failed += not answered
        images = self._images.pop(number, ())
        for image in images:  # an error that names it says nothing new
            outcome = outcome.replace(f"]: {image}: ", "]: ", 1)
        line = f"{_named(images) or self._name}: {clean_line(outcome)}"
        if self._lines:
            self._say(line)
        else:
            self._last.append(line)
        self._draw(urgent=True)

    def noted(self, note: str) -> None:
        """Show `note` beside the counts from now on."""
        self._note = clean_line(note)

    def skipped(self, number: int) -> None:
        """Count item `number`, which an earlier run had done."""
        del number
        self._skipped += 1
        self._draw(urgent=False)

    def close(self) -> None:
        """Wipe what is drawn. May be called again."""
        self._area.close()

    def summed_up(self, what: str, outcomes: Sequence[tuple[str, int]]) -> None:
        """Say, after `close`, how it ended, a row for each `(outcome, items)`: to a person, unless
        the batch is quiet.
        """
        stream = self._env.stderr
        if not stream.isatty() or self._quiet:
            return
        figures = [f"{count:,}" for _, count in outcomes]
        first = max(cells(name) for name in ("outcome", *(name for name, _ in outcomes)))
        last = max(map(len, ("items", *figures)))
        took = spelled(self._env.clock() - self._begun_at)
        lines = [
            clean_line(f"{what}: {counted(self._total, 'item')} in {took}"),
            accented(f"{'outcome':{first}}  {'items':>{last}}", self._env, stream),
            *(
                f"{name:{first}}  {figure:>{last}}"
                for (name, _), figure in zip(outcomes, figures, strict=True)
            ),
        ]
        stream.write(writable("".join(f"{line}\n" for line in lines), stream))
        stream.flush()

    def _say(self, line: str) -> None:
        self._area.close()
        stream = self._env.stdout if self._env.stdout.isatty() else self._env.stderr
        stream.write(writable(line, stream) + "\n")
        stream.flush()

    def _draw(self, *, urgent: bool) -> None:
        now = self._env.clock()
        if not self._area.able or (not urgent and now - self._drawn_at < _FRAME_S):
            return
        self._drawn_at = now
        width = max(1, self._env.terminal_size().columns - 1)
        rows = [self._item(_shortened(line, width)) for line in self._last]
        self._area.draw([*rows, self._bar(width), self._counts(width)])

    def _item(self, line: str) -> Row:
        """An item's outcome; its name is dim, and the word that it failed with stands out."""
        name, colon, outcome = line.partition(": ")
        word, bracket, rest = outcome.partition("]")
        if bracket and word.startswith("error["):
            outcome = alarming(word + bracket, self._env, self._env.stderr) + rest
        return Row(line, dim(name + colon).styled + outcome)

    def _bar(self, width: int) -> Row:
        """`━━━───  33/120 · 12.4 items/min · 7m 1s left`, the bar where there is room for it."""
        done = self._answered + self._failed + self._skipped
        parts = [f"{done:,}/{self._total:,}"]
        if self._asked_s:
            mean_s = sum(self._asked_s) / len(self._asked_s)
            parts += [rate(mean_s), f"{short((self._total - done) * mean_s)} left"]
        text = joined(parts, width)
        room = min(_BAR_CELLS, width - cells(text) - 2)
        if room < 8:
            return plain(text)
        filled = room * done // max(1, self._total)
        begun, rest = "━" * filled, "─" * (room - filled)
        return Row(f"{begun}{rest}  {text}", f"{accented(begun, self._env, self._env.stderr)}"
                   f"{dim(rest).styled}  {text}")  # fmt: skip

    def _counts(self, width: int) -> Row:
        """`29 answered · 1 failed · 2 skipped · photo-33.png · 120 tok`."""
        ended = (
            (self._answered, "answered"),
            (self._failed, "failed"),
            (self._skipped, "skipped"),
        )
        parts = [f"{count:,} {word}" for count, word in ended if count]
        parts += [part for part in (self._note, self._name, self._doing) if part]
        return plain(joined(parts, width) if parts else "")


def _named(images: tuple[str, ...]) -> str:
    return clean_line(", ".join(PurePath(image).name for image in images))


def _shortened(line: str, width: int) -> str:
    return line if cells(line) <= width else cut(line, width - 1) + "…"


def rate(mean_s: float) -> str:
    """Return how many items are done in a time that makes the number at least 1."""
    for unit, unit_s in (("s", 1), ("min", 60)):
        if mean_s <= unit_s:
            return f"{unit_s / max(mean_s, 0.001):,.1f} items/{unit}"
    return f"{3600 / mean_s:,.1f} items/h"
