"""A world with a screen: what is written to the terminal is read back through pyte."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import pyte
import pytest

from qvq_mlx import render
from qvq_mlx.cli.spelling import CommandLine
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Env
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerSource,
    Done,
    Event,
    Progress,
    Stage,
    Stats,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.plan import Plan, Resolved
from qvq_mlx.core.request import Output, Request, Sampling
from tests.support.screen import Screen

DEFAULT = Output()


class Window:
    """A terminal window: the screen, and what scrolled out of it.

    `answered` gets what the terminal answers when it is asked where its cursor is.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self.answered: Callable[[str], object] = lambda _answer: None
        self._open(columns, lines)

    def _open(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self._screen = Screen(columns, lines)
        self._screen.write_process_input = self._answer
        self._stream = pyte.Stream(self._screen)

    def _answer(self, text: str) -> None:
        self.answered(text)

    def feed(self, text: str) -> None:
        self._stream.feed(text)

    @property
    def size(self) -> os.terminal_size:
        return os.terminal_size((self.columns, self.lines))

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def scrolled(self) -> list[str]:
        return [
            "".join(line[column].data for column in range(self.columns)).rstrip()
            for line in self._screen.scrolled
        ]

    @property
    def text(self) -> str:
        """All of it, without the empty rows at the end."""
        return "\n".join([*self.scrolled, *self.shown]).rstrip()

    @property
    def cursor(self) -> tuple[int, int, bool]:
        """Row, column, and whether it is hidden."""
        cursor = self._screen.cursor
        return cursor.y, cursor.x, bool(cursor.hidden)

    def resize(self, columns: int, lines: int) -> None:
        """As terminals do that reflow: a row that is too long continues on the next."""
        row, column, hidden = self.cursor
        assert column == 0, "the cursor rests at the left margin"
        before = [*self.scrolled, *self.shown[:row]]
        self._open(columns, lines)
        self.feed("".join(f"{line}\r\n" for line in before))
        if hidden:
            self.feed("\x1b[?25l")


class Tty(io.StringIO):
    """A stream on a window."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self._window = window

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._window.feed(text)
        return super().write(text)


@dataclass
class World:
    """An `Env`, its window, its clock."""

    stdout: io.StringIO
    stderr: io.StringIO
    window: Window
    home: Path
    stdin: TextIO = field(default_factory=io.StringIO)
    environ: dict[str, str] = field(default_factory=lambda: {"TERM": "xterm"})
    now: float = 0.0

    @property
    def env(self) -> Env:
        return Env(
            stdin=self.stdin,
            stdout=self.stdout,
            stderr=self.stderr,
            spelling=CommandLine(),
            environ=self.environ,
            home=self.home,
            clock=lambda: self.now,
            now=lambda: datetime(2026, 11, 21, tzinfo=UTC),
            sleep=lambda _seconds: None,
            terminal_size=lambda: self.window.size,
            load_engine=_no_engine,
            forbid_network=lambda: None,
        )

    def start(self, output: Output = DEFAULT, plan: Plan | None = None) -> render.Renderer:
        renderer = render.renderer(self.env, output)
        renderer.begin(plan or PLAN)
        return renderer

    def play(
        self,
        events: Iterable[Event],
        output: Output = DEFAULT,
        plan: Plan | None = None,
        each: Callable[[], None] = lambda: None,
        step_s: float = 0.1,
    ) -> None:
        """Show the events, `step_s` apart."""
        renderer = self.start(output, plan)
        try:
            for event in events:
                self.now += step_s
                renderer.feed(event)
                each()
        except BaseException:
            renderer.abort()
            raise


def _no_engine(*_: object) -> object:
    raise AssertionError("a renderer loads no model")


def plan(*names: str) -> Plan:
    pictures = tuple(Picture(name, 5712, 4284, 1148, 868, 1271, "ab" * 32, b"") for name in names)
    card = ModelCard("qvq-test", "a test", "qwen2_vl", "MIT")
    resolved = Resolved(card, Path("/models"), None, Sampling(), 512)
    return Plan(Request("What?", names, card.name), resolved, pictures)


PLAN = plan("cat.heic")

ANSWER = """The cat has **four** legs.

- two in front
- two behind

```python
legs = 2 + 2
```

So the result is \\[ \\frac{8}{2} = \\boxed{4} \\]"""

THINKING = "So I've got this picture of a cat.\n\nLet me count its legs one by one. " * 12


def words(text: str) -> list[str]:
    """Cut as a tokenizer might."""
    return [word + " " for word in text.split(" ")[:-1]] + [text.split(" ")[-1]]


def done(
    source: AnswerSource = AnswerSource.MARKER,
    *,
    complete: bool = True,
    reason: StopReason = StopReason.END,
) -> Done:
    return Done(reason, source, complete, False, Stats(1310, 1271, 500, 400, 100, decode_s=50.0))


STAGES: Sequence[Event] = (
    Progress(Stage.LOAD, 0, 0),
    Progress(Stage.LOAD, 62 * 2**28, 100 * 2**28),
    Progress(Stage.LOAD, 100 * 2**28, 100 * 2**28),
    Progress(Stage.ENCODE, 0, 1271),
    Progress(Stage.ENCODE, 1271, 1271),
    Progress(Stage.PREFILL, 812, 1310),
    Progress(Stage.PREFILL, 1310, 1310),
)

RECORDED: Sequence[Event] = (
    *STAGES,
    *(ThinkingDelta(word, 1) for word in words(THINKING.strip())),
    *(AnswerDelta(word, 1) for word in words(ANSWER)),
    done(),
)


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    """`world()`: both streams on one window; `world(out=False)`: stdout is a pipe."""

    def build(columns: int = 80, lines: int = 24, *, out: bool = True, err: bool = True) -> World:
        window = Window(columns, lines)
        return World(
            stdout=Tty(window) if out else io.StringIO(),
            stderr=Tty(window) if err else io.StringIO(),
            window=window,
            home=tmp_path,
        )

    return build
