"""Shows the screens of qvq: as text in docs/terminal.md, or as pictures to look at.

    python -m tools.screens FOLDER      ten screens, 80x24 and 120x40, dark and light, as PNG

Law: a screen is what the program writes, read back through a terminal emulator. The world around it
is made up and always the same: a Mac, a clock that a token moves on by 1/8 s, an engine that says a
written text. So the document is the same on every machine, and `make check` compares it.
"""

from __future__ import annotations

import io
import os
import pty
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyte
from PIL import Image, ImageDraw, ImageFont

from qvq_mlx import doctor
from qvq_mlx.cli.main import main
from qvq_mlx.cli.spelling import CommandLine
from qvq_mlx.core.clip import Visual
from qvq_mlx.core.env import Engine, Env
from qvq_mlx.core.events import ConcludedBy, Progress, Stage, StopReason
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Asked, Control, Finished, Generation, Prompt, Step, Token
from qvq_mlx.doctor.verdicts import judged
from qvq_mlx.records.doctor import Device, DoctorRecord, Library, Place, Versions
from qvq_mlx.records.history import Ending, Entry
from qvq_mlx.render.report import write_report
from qvq_mlx.render.runs import write_runs

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SIZES = ((80, 24), (120, 40))
_GIB = 2**30
_TOKEN_S = 1 / 8
_MAC = Machine(
    chip="Apple M3 Max",
    memory_bytes=64 * _GIB,
    working_set_bytes=48 * _GIB,
    working_set_source="three quarters of the memory",
    available_bytes=50 * _GIB,
    power="mains",
    free_disk_bytes=300 * _GIB,
    bandwidth_bytes_per_s=400e9,
    flops=14e12,
)
_THINKING = (
    "So this picture has several shapes. Let me go row by row. Row 1: a red circle, a blue star, "
    "a red circle. Row 2: a green square, a yellow triangle. Row 3: a red circle and a purple "
    "square. That makes three red circles. Let me check row 2 again: there is no circle in it, "
    "and the triangle is yellow. So three it is."
)
_LONG = """

**Final Answer**

The picture has **seven shapes** in three rows:

| row | shapes | red circles |
|---|---|---|
| 1 | circle, star, circle | 2 |
| 2 | square, triangle | 0 |
| 3 | circle, square | 1 |

To count them again:

```python
rows = [["circle", "star", "circle"], ["square", "triangle"], ["circle", "square"]]
print(sum(row.count("circle") for row in rows))
```

- the star is **blue**, so it does not count
- the share of red circles is \\(\\frac{3}{7}\\)

So there are \\(2 + 0 + 1 = \\boxed{3}\\) red circles.
"""
_SHORT = "\n\n**Final Answer**\n\n\\boxed{3}"


class Taken(BaseException):
    """The picture is taken; the program may go."""


class DimScreen(pyte.HistoryScreen):  # type: ignore[misc]
    """pyte knows no dim; it is kept as struck through, which qvq's own rows never are."""

    def select_graphic_rendition(self, *attributes: int, **private: bool) -> None:
        """Take SGR 2 as SGR 9."""
        super().select_graphic_rendition(*(9 if one == 2 else one for one in attributes), **private)


class Window(io.StringIO):
    """A stream on a terminal's screen."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self.screen = DimScreen(columns, rows, history=5000)
        self._stream = pyte.Stream(self.screen)

    encoding = "utf-8"

    def isatty(self) -> bool:
        """A person watches."""
        return True

    def write(self, text: str) -> int:
        """Show it, as a terminal does that makes line ends of newlines."""
        self._stream.feed(text.replace("\r\n", "\n").replace("\n", "\r\n"))
        return len(text)


@dataclass
class Scripted:
    """An engine that says a text; `on_token` is told how many tokens were said in all."""

    answer: str
    on_token: Callable[[int], None]
    said: int = 0

    def load(
        self, checkpoint: Checkpoint, setup: Setup, control: Control
    ) -> Generator[Progress, None, Engine | None]:
        """Load nothing."""
        del checkpoint, setup, control
        yield Progress(Stage.LOAD, 100, 100)
        return self

    def prompt(
        self,
        question: str,
        pictures: Sequence[Visual],
        system: str | None,
        rounds: Sequence[Round] = (),
        *,
        labelled: bool = True,
        inline: bool = False,
        thinks: bool = True,
    ) -> Prompt:
        """A prompt of three tokens."""
        del question, system, rounds, labelled, inline, thinks
        return Prompt((1, 2, 3), tuple(pictures))

    def extended(
        self,
        prompt: Prompt,
        written: Sequence[int],
        text: str,
        pictures: Sequence[Visual] = (),
        *,
        thinks: bool = True,
    ) -> Prompt:
        """Raise AssertionError: no screen shows a closer look."""
        del prompt, written, text, pictures, thinks
        raise AssertionError("no screen shows a closer look")

    def generate(self, prompt: Prompt, generation: Generation, control: Control) -> Iterator[Step]:
        """Say the thinking and the answer, word by word."""
        del prompt, generation, control
        yield Progress(Stage.PREFILL, 69, 69)
        words = [f"{word} " for word in _THINKING.split(" ")] + _words(self.answer)
        for index, word in enumerate(words):
            self.said += 1
            self.on_token(self.said)
            yield Token(index, word, False)
        yield Finished(StopReason.END, "", 69, 25, 0, False)

    def generate_rows(
        self, prompt: Prompt, ways: Sequence[tuple[Generation, Control]]
    ) -> Iterator[Step]:
        """Raise AssertionError: no screen shows a vote."""
        del prompt, ways
        raise AssertionError("no screen shows a vote")

    def under(self, setup: Setup) -> Engine:
        """Return the same: nothing is loaded."""
        del setup
        return self

    def generate_each(
        self, asked: Iterator[Asked], most: int, beyond: float | None = None
    ) -> Iterator[tuple[int, Step]]:
        """Raise AssertionError: no screen shows questions side by side."""
        del asked, most, beyond
        raise AssertionError("no screen shows questions side by side")


@dataclass
class Scene:
    """One world with a window."""

    columns: int
    rows: int
    home: Path
    answer: str = _SHORT
    at_token: Callable[[int], None] = lambda _count: None
    now: float = 0.0
    window: Window = field(init=False)
    person: int = field(init=False)
    """Where the person types."""

    def __post_init__(self) -> None:
        self.window = Window(self.columns, self.rows)
        self.person, program = pty.openpty()
        self._stdin = os.fdopen(program, "r", encoding="utf-8")

    def close(self) -> None:
        """Let go of the keyboard."""
        self._stdin.close()
        os.close(self.person)

    def told(self, count: int) -> None:
        """A token was said."""
        self.now += _TOKEN_S
        self.at_token(count)

    def env(self) -> Env:
        """The world as the program gets it."""
        return Env(
            stdin=self._stdin,
            stdout=self.window,
            stderr=self.window,
            spelling=CommandLine(),
            environ={"TERM": "xterm-256color", "HOME": str(self.home)},
            home=self.home,
            clock=lambda: self.now,
            sleep=lambda _seconds: None,
            now=lambda: datetime(2026, 11, 28, 12, 0, tzinfo=UTC),
            terminal_size=lambda: os.terminal_size((self.columns, self.rows)),
            load_engine=Scripted(self.answer, self.told).load,
            forbid_network=lambda: None,
            machine=lambda: _MAC,
        )

    def run(self, *argv: str) -> None:
        """Run a command line beside the pictures, until it ends or the screen is taken."""
        with chdir(self.home), suppress(Taken):
            main(argv, self.env())


def _words(text: str) -> list[str]:
    return text.replace(" ", " \0").split("\0")


def _command(*argv: str, answer: str = _SHORT) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        scene.answer = answer
        scene.run(*argv)

    return play


def _thinking(scene: Scene) -> None:
    scene.at_token = _frozen(scene, 45)
    scene.run("ask", "-m", "tiny", "shapes.png", "How many red circles are there?")


def _frozen(scene: Scene, count: int) -> Callable[[int], None]:
    """Keep the screen as it is at a token, and end the program."""

    def stop(said: int) -> None:
        if said >= count:
            scene.window.write = len  # type: ignore[method-assign, assignment]
            raise Taken

    return stop


def _chat(scene: Scene) -> None:
    freeze = _frozen(scene, 99)

    def at_token(count: int) -> None:
        if count == 90:
            os.write(scene.person, b"And how many are blue")
        freeze(count)

    os.write(scene.person, b"How many red circles are there?\rWhich shapes are they?\r")
    scene.at_token = at_token
    scene.run("chat", "-m", "tiny", "shapes.png")


def _batch(scene: Scene) -> None:
    folder = scene.home / "photos"
    folder.mkdir(exist_ok=True)
    for number in range(1, 41):
        shutil.copy(EXAMPLES / "shapes.png", folder / f"photo{number}.png")
    (folder / "photo9.png").write_bytes(b"")
    scene.at_token = _frozen(scene, 11 * 70 + 30)
    scene.run("batch", "-m", "tiny", "photos", "-Q", "How many red circles?", "-o", "out.jsonl")


def _log_list(scene: Scene) -> None:
    questions: tuple[tuple[str, str, str, str, str, int, ConcludedBy | None], ...] = (
        ("9f3a", "28T11:58", "qvq", "shapes.png", "How many red circles are there?", 1284, None),
        ("71c0", "28T11:40", "qvq", "chart.png", "Which bar is the tallest, and by how much?",
         2012, ConcludedBy.BUDGET),
        ("e2b8", "27T19:02", "tiny", "scan.pdf", "What is the sum at the bottom?", 96, None),
    )  # fmt: skip
    entries = [
        Entry(
            path=identity, id=identity, time=f"2026-11-{time}:00+00:00", model=model,
            images=(image,), question=question, ending=Ending.ANSWER, concluded_by=by,
            thinking_tokens=tokens - 20, answer_tokens=20,
        )
        for identity, time, model, image, question, tokens, by in questions
    ]  # fmt: skip
    write_runs(scene.env(), entries, {})


def _doctor(scene: Scene) -> None:
    found = doctor.examined(scene.env()).facts
    here = Place("~/.cache/qvq", True, True, 300 * _GIB)
    versions = Versions(
        "0.1.0", "3.12.4", "~/.local/bin/python", "macOS 15.5", "arm64",
        tuple(replace(one, version=_least(one), fits=True) for one in found.versions.libraries),
    )  # fmt: skip
    trial = replace(found.trial, answer="3", expected="3", total_s=2.1, tokens_per_s=210.0)
    facts = replace(
        found,
        device=Device("Apple M3 Max", True, 48 * _GIB),
        device_fault=None,
        versions=versions,
        models=replace(found.models, cache=replace(here, path="~/.cache/huggingface/hub"), held=()),
        cache=replace(found.cache, folder=here),
        history=replace(found.history, folder=replace(here, path="~/.local/share/qvq/history")),
        configuration=replace(found.configuration, path="~/.config/qvq/config.toml"),
        terminal=replace(found.terminal, stdin_tty=True),
        trial=trial,
    )
    record: DoctorRecord = judged(facts, scene.env().spelling)
    write_report(scene.env(), record)


def _least(library: Library) -> str:
    return library.needs.partition(",")[0].lstrip("<>=~! ") or "1.0"


ASK = ("ask", "-m", "tiny", "shapes.png", "How many red circles are there?")
SCREENS: dict[str, tuple[str, Callable[[Scene], None]]] = {
    "first screen": ("qvq", _command()),
    "help": ("qvq help", _command("help")),
    "ask help": ("qvq help ask", _command("help", "ask")),
    "thinking": ('qvq ask -m tiny shapes.png "How many red circles are there?"', _thinking),
    "long answer": ("the same, at the end", _command(*ASK, answer=_LONG)),
    "chat": ("qvq chat -m tiny shapes.png", _chat),
    "models": ("qvq models", _command("models")),
    "batch": ('qvq batch photos -Q "How many red circles?" -o out.jsonl', _batch),
    "log list": ("qvq log list", _log_list),
    "doctor": ("qvq doctor", _doctor),
}


def taken(name: str, columns: int, rows: int) -> Window:
    """Play one screen, and return its window."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        for picture in ("shapes.png", "chart.png"):
            shutil.copy(EXAMPLES / picture, home / picture)
        scene = Scene(columns, rows, home)
        try:
            SCREENS[name][1](scene)
        finally:
            scene.close()
        return scene.window


def text_of(window: Window) -> str:
    """All that stands in the window and in its scrollback."""
    columns = window.screen.columns
    past = ["".join(line[x].data for x in range(columns)) for line in window.screen.history.top]
    return "\n".join(line.rstrip() for line in [*past, *window.screen.display]).rstrip()


def document() -> str:
    """The ten screens as text, for docs/terminal.md."""
    parts = []
    for name, (command, _) in SCREENS.items():
        shown = text_of(taken(name, *SIZES[0]))
        parts.append(f"### {name.capitalize()}\n\n`{command}`:\n\n```text\n{shown}\n```")
    return "\n\n".join(parts)


_COLOURS = {
    "dark": {"default": "#cccccc", "ground": "#1e1e1e", "magenta": "#bc3fbc", "red": "#cd3131",
             "brown": "#e5e510"},
    "light": {"default": "#333333", "ground": "#ffffff", "magenta": "#bc05bc", "red": "#cd3131",
              "brown": "#949800"},
}  # fmt: skip
"""Of the terminal in VS Code: https://en.wikipedia.org/wiki/ANSI_escape_code#Colors."""
_CELL = (9, 18)
_FONTS = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono{}.ttf"


def picture(window: Window, theme: str) -> Image.Image:
    """The window as a terminal of that theme draws it; what is dim is drawn as such."""
    palette, screen = _COLOURS[theme], window.screen
    width, height = _CELL
    image = Image.new("RGB", (screen.columns * width, screen.lines * height), palette["ground"])
    pen = ImageDraw.Draw(image)
    fonts = {
        kind: ImageFont.truetype(_FONTS.format(f"-{kind}" if kind else ""), 15)
        for kind in ("", "Bold", "Oblique", "BoldOblique")
    }
    for y in range(screen.lines):
        for x in range(screen.columns):
            cell = screen.buffer[y][x]
            colour = palette.get(cell.fg, palette["default"])
            if cell.strikethrough:
                colour = _between(colour, palette["ground"])
            kind = "Bold" * cell.bold + "Oblique" * cell.italics
            pen.text((x * width, y * height), cell.data, colour, fonts[kind])
    return image


def _between(one: str, other: str) -> str:
    pairs = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes((3 * a + 2 * b) // 5 for a, b in pairs).hex()


def draw_all(folder: Path) -> None:
    """Write a picture for each screen, size and theme."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SCREENS:
        for columns, rows in SIZES:
            window = taken(name, columns, rows)
            for theme in _COLOURS:
                file = folder / f"{name.replace(' ', '-')}-{columns}x{rows}-{theme}.png"
                picture(window, theme).save(file)


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]))
