"""stderr where it is a pipe or a file: lines that are written once, and only what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from qvq_mlx.core.events import (
    FORCED,
    PIPED,
    UNSAVED,
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    ThinkingDelta,
)
from qvq_mlx.render import Renderer
from qvq_mlx.render.clean import Cleaner, clean_line, writable
from qvq_mlx.render.meter import Stages

if TYPE_CHECKING:  # `last` prints notices, and knows of no plan
    from qvq_mlx.core.plan import Plan


class StageLines:
    """`--verbose`: a line for each stage that ended, each notice, and the whole run."""

    def __init__(self, stderr: TextIO, clock: Callable[[], float]) -> None:
        self._stderr = stderr
        self._stages = Stages(clock)

    def begin(self, plan: Plan) -> None:
        """Print what was read."""
        for picture in plan.pictures:
            self._say(clean_line(picture.receipt))

    def feed(self, event: Event) -> None:
        """A line where this event is worth one."""
        for line in self._stages.lines(event):
            self._say(line)
        if isinstance(event, Notice):
            self._say(clean_line(f"note[{event.code}]: {event.text}"))

    def abort(self) -> None:
        """Nothing is live here."""

    def _say(self, line: str) -> None:
        self._stderr.write(writable(line, self._stderr) + "\n")
        self._stderr.flush()


class UnsavedNotes:
    """A line, at once and always, where the run could not be saved."""

    def __init__(self, stderr: TextIO) -> None:
        self._stderr = stderr

    def begin(self, plan: Plan) -> None:
        """Nothing yet."""

    def feed(self, event: Event) -> None:
        """Say it."""
        if isinstance(event, Notice) and event.code == UNSAVED:
            write_notices([event], self._stderr)

    def abort(self) -> None:
        """Nothing is live here."""


class ForcedNotes:
    """A line for each notice that says that the answer was forced; nothing without an answer.

    That text from stdin is part of the question is said at once: a loop that reads its list from
    stdin would lose it without a word.
    """

    def __init__(self, stderr: TextIO) -> None:
        self._stderr = stderr
        self._notices: list[Notice] = []

    def begin(self, plan: Plan) -> None:
        """Nothing yet."""

    def feed(self, event: Event) -> None:
        """Say it once the answer stands."""
        match event:
            case Notice(code=code) if code == PIPED:
                write_notices([event], self._stderr)
            case Notice(code=code) if code in FORCED:
                self._notices.append(event)
            case Done(complete=True):
                write_notices(self._notices, self._stderr)
            case Done() | Notice() | Progress() | ThinkingDelta() | AnswerDelta():
                pass
            case AnswerRetracted() | Looked():
                pass

    def abort(self) -> None:
        """Nothing is live here."""


def write_notices(notices: Iterable[Notice], stderr: TextIO) -> None:
    """A line for each."""
    for notice in notices:
        line = clean_line(f"note[{notice.code}]: {notice.text}")
        stderr.write(writable(line, stderr) + "\n")
    stderr.flush()


class ThinkingText:
    """`--thinking full`: the thinking as it comes; raw, unless a terminal reads it."""

    def __init__(self, stderr: TextIO) -> None:
        self._stderr = stderr
        self._cleaner = Cleaner() if stderr.isatty() else None
        self._open = False  # a line is begun

    def begin(self, plan: Plan) -> None:
        """Nothing yet."""

    def feed(self, event: Event) -> None:
        """Pass on what is thinking."""
        event = self._cleaner.event(event) if self._cleaner else event
        match event:
            case ThinkingDelta(text=text) | AnswerRetracted(text=text):
                self._write(text)
            case AnswerDelta() | Done() if self._open:
                self._write("\n")
            case Progress() | AnswerDelta() | Looked() | Notice() | Done():
                pass

    def abort(self) -> None:
        """Do nothing: text that is printed stays."""

    def _write(self, text: str) -> None:
        if not text:
            return
        self._open = not text.endswith("\n")
        self._stderr.write(writable(text, self._stderr))
        self._stderr.flush()


class Together:
    """Several renderers as one.

    Law: they begin from the last to the first and see each event from the first to the last. The
    document stands last: its file is checked first, and a live line is gone before it is written.
    """

    def __init__(self, parts: Sequence[Renderer]) -> None:
        self._parts = parts

    def begin(self, plan: Plan) -> None:
        """All of them."""
        for part in reversed(self._parts):
            part.begin(plan)

    def feed(self, event: Event) -> None:
        """All of them."""
        for part in self._parts:
            part.feed(event)

    def abort(self) -> None:
        """All of them, whatever one of them says."""
        parts = list(self._parts)
        while parts:
            part = parts.pop()
            try:
                part.abort()
            except OSError:
                continue  # the stream is gone; the others still have to be restored
