"""The real program in a real pseudo-terminal, read back through a terminal emulator."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pyte
import pytest

from qvq_mlx.render.preview import protocol
from tests.conftest import EXAMPLES, World
from tests.support.waiting import CEILING_S

QUESTION = "How many red circles are there?"
SCRIPTED = "tests.support.pseudo.program"


class Terminal:
    """A process in a pty, and what its screen and scrollback show."""

    def __init__(
        self,
        columns: int,
        rows: int,
        home: Path,
        *arguments: str,
        hold: str | None = None,
    ) -> None:
        """`hold`: with an engine that needs no model, and goes no further there until `let_go`."""
        self.columns, self.rows = columns, rows
        self.screen = pyte.HistoryScreen(columns, rows, history=2000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self._gate = home / "let-go"
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qvq_mlx" if hold is None else SCRIPTED, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={
                **os.environ,
                "QVQ_HOME": str(home),
                "QVQ_TEST_HOLD": hold or "",
                "QVQ_TEST_GATE": str(self._gate),
                "TERM": "xterm-256color",
            },
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def let_go(self) -> None:
        """Have the engine go on where it is held."""
        self._gate.touch()

    def read_until(self, ready: Callable[[], bool]) -> None:
        """Feed the screen until `ready()`; AssertionError with the screen where it never is."""
        deadline = time.monotonic() + CEILING_S
        while not ready():
            assert time.monotonic() < deadline, "\n".join(self.screen.display)
            self._read(0.05)

    def wait(self) -> int:
        """The exit code, once all output is on the screen."""
        self.read_until(lambda: self.process.poll() is not None)
        while self._read(0.1):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        self._stream.feed(os.read(self._master, 1024))  # a frame at the most: none is missed
        return True

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def visible(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def filled(self) -> list[str]:
        return [line for line in self.visible() if line]

    def shows(self, text: str) -> bool:
        return any(text in line for line in self.visible())

    def everything(self) -> list[str]:
        """Scrollback and screen, without blank lines at the end."""
        past = [
            "".join(line[column].data for column in range(self.columns)).rstrip()
            for line in self.screen.history.top
        ]
        lines = past + self.visible()
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    @property
    def restored(self) -> bool:
        return termios.tcgetattr(self._slave) == self.before and not self.screen.cursor.hidden


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    opened: list[Terminal] = []

    def start(columns: int, rows: int, hold: str | None = None) -> Terminal:
        arguments = ["ask", "-m", "tiny", str(EXAMPLES / "shapes.png"), QUESTION]
        opened.append(Terminal(columns, rows, tmp_path, *arguments, hold=hold))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12)])
def test_a_question_from_receipt_to_answer(terminal: Open, columns: int, rows: int) -> None:
    t = terminal(columns, rows)
    assert t.wait() == 0
    lines = [line for line in t.everything() if line]
    assert "shapes.png" in lines[0]
    assert sum("Thought for" in line for line in lines) == 1
    assert lines[-1].strip() == "3"
    assert not any(word in line for line in lines for word in ("prefill", "load", "tok/s"))
    assert t.restored


@pytest.mark.parametrize("key", [b"t", b"\x0f"], ids=["t", "ctrl-o"])
def test_a_key_expands_the_tail_and_folds_it_again(terminal: Open, key: bytes) -> None:
    t = terminal(30, 20, "thinking")
    t.read_until(lambda: t.shows("step 5 of"))
    # the receipt, the tail and the header, once all of a frame is there
    t.read_until(lambda: len(t.filled()) == 2 + 6 + 1 and t.filled()[-1].startswith("Thinking"))
    assert not t.shows("step 1 of")
    t.press(key)
    t.read_until(lambda: t.shows("step 1 of"))
    t.press(key)
    t.read_until(lambda: not t.shows("step 1 of"))
    t.let_go()
    assert t.wait() == 0
    lines = [line for line in t.everything() if line]
    assert sum("step 1 of" in line for line in lines) == 0
    assert lines[-1].endswith("3")
    assert t.restored


@pytest.mark.parametrize("key", [b"\x03", b"a"], ids=["ctrl-c", "a"])
def test_ctrl_c_or_a_asks_for_the_answer_now(terminal: Open, key: bytes) -> None:
    t = terminal(80, 24, "thinking")
    t.read_until(lambda: t.shows("step 5 of"))
    t.read_until(lambda: t.shows("t expands · a answers"))
    t.press(key)
    assert t.wait() == 0
    lines = [line for line in t.everything() if line]
    assert sum("Thought for" in line for line in lines) == 1
    assert lines[-1].startswith("note[asked]: the answer was asked for after ")
    assert lines[-2].endswith("3")
    assert t.restored


@pytest.mark.parametrize("typed", [b"cat x\r", b"aaa", b"\x1b[200~a\x1b[201~"])
def test_what_is_typed_ahead_ends_no_thinking(terminal: Open, typed: bytes) -> None:
    t = terminal(80, 24, "thinking")
    t.read_until(lambda: t.shows("step 5 of"))
    t.press(typed)
    t.let_go()
    assert t.wait() == 0
    assert "note[asked]" not in "\n".join(t.everything())
    assert t.restored


def test_ctrl_c_before_the_first_token_stops(terminal: Open) -> None:
    t = terminal(80, 24, "load")
    t.read_until(lambda: t.shows("load"))
    t.press(b"\x03")
    assert t.wait() == 130
    assert t.shows("error[interrupted]: stopped after 0 tokens")
    assert t.restored


def test_ctrl_c_twice_stops_cleanly_and_keeps_the_run(terminal: Open, tmp_path: Path) -> None:
    t = terminal(80, 24, "thinking,answer")
    t.read_until(lambda: t.shows("Thinking"))
    t.press(b"\x03")
    t.read_until(lambda: t.shows("more"))  # the first has begun an answer, which does not end
    t.press(b"\x03")
    assert t.wait() == 130
    lines = [line for line in t.everything() if line]
    assert sum("error[interrupted]" in line for line in lines) == 1
    assert not any("tok/s" in line for line in lines)
    assert t.restored
    assert list((tmp_path / "history").glob("*.jsonl"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_kill_restores_the_terminal(terminal: Open, number: int) -> None:
    t = terminal(80, 24, "thinking")
    t.read_until(lambda: t.shows("Thinking"))
    t.process.send_signal(number)
    assert t.wait() == (-number if number == signal.SIGQUIT else 128 + number)
    assert t.restored


@pytest.mark.parametrize("stage", ["load", "Thinking", "? hides"])
def test_ctrl_backslash_leaves_the_cursor_shown(terminal: Open, stage: str) -> None:
    """The shell says what a typed SIGQUIT does to a core file; the terminal is as it was."""
    t = terminal(80, 24, "load" if stage == "load" else "thinking")
    t.read_until(lambda: t.shows("load" if stage == "load" else "Thinking"))
    if stage == "? hides":
        t.press(b"?")
        t.read_until(lambda: t.shows(stage))
    assert t.screen.cursor.hidden
    t.press(b"\x1c")
    assert t.wait() == -signal.SIGQUIT
    assert t.restored
    assert not t.shows("tok/s")


@pytest.mark.parametrize("keys", [b"aaqq", b"qq", b"\x1b[200~a\x1b[201~", b"what about a cat\r"])
def test_what_is_typed_while_it_loads_is_no_key(
    terminal: Open, tmp_path: Path, keys: bytes
) -> None:
    t = terminal(80, 24, "load")
    t.read_until(lambda: t.shows("load"))
    t.press(keys)
    t.let_go()
    assert t.wait() == 0
    [run] = (tmp_path / "history").glob("*.jsonl")
    assert json.loads(run.read_text().splitlines()[-1])["concluded_by"] is None
    assert t.restored


def test_terminal_app_is_sent_nothing(world: Callable[..., World]) -> None:
    """It has no Sixel and no Kitty protocol: https://github.com/BourgeoisBear/rasterm. This test's
    own terminal is not asked either, so that nothing is written to it.
    """
    environ = {"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}
    assert protocol(world(tty=True, environ=environ).env, _unasked) is None
    with pytest.raises(AssertionError):
        protocol(world(tty=True, environ={"TERM": "xterm-256color"}).env, _unasked)


def _unasked() -> AbstractContextManager[int]:
    raise AssertionError("the terminal is asked")
