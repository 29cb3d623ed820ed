"""Keys and job control on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import signal
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qvq_mlx.core.events import AnswerDelta, ThinkingDelta
from qvq_mlx.core.request import Output, ThinkingView
from tests.render.conftest import RECORDED, done
from tests.support.waiting import CEILING_S

THOUGHT = [ThinkingDelta(f"line {n}\n", 1) for n in range(60)]


@pytest.fixture
def keyboard() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal: where a person types, and what stdin reads."""
    person, program = pty.openpty()
    yield person, program
    os.close(person)
    os.close(program)


def typed(world, keyboard, **kwargs):
    w = world(**kwargs)
    w.stdin = os.fdopen(os.dup(keyboard[1]), "r")
    return w


def modes(keyboard) -> list[object]:
    return termios.tcgetattr(keyboard[1])


def press(keyboard, text: bytes) -> None:
    os.write(keyboard[0], text)
    assert select.select([keyboard[1]], [], [], CEILING_S)[0], "the kernel has not passed it on"


def alone(w, renderer, keyboard, key: bytes, event) -> None:
    """Press a key, and nothing more for a second; `event` comes meanwhile."""
    press(keyboard, key)
    renderer.feed(event)
    w.now += 1
    renderer.feed(type(event)("", 0))


@pytest.mark.parametrize("key", [b"t", b"\x0f"])
def test_a_key_expands_and_collapses_the_thinking(world, keyboard, key) -> None:
    w = typed(world, keyboard)
    with w.stdin:
        renderer = w.start()
        for event in THOUGHT:
            w.now += 0.1
            renderer.feed(event)
        header = w.window.text.split("\n")[-1]
        assert header.endswith("  t expands · ? keys")
        assert len(header) == 79
        assert len(w.window.text.split("\n")) == 8
        alone(w, renderer, keyboard, key, ThinkingDelta("now\n", 1))
        shown = w.window.text.split("\n")
        assert len(shown) > 18
        assert any(line.endswith("  t collapses · ? keys") for line in shown)
        assert "line 45" in shown
        alone(w, renderer, keyboard, b"\x1b[A", ThinkingDelta("then\n", 1))  # no key of ours
        assert len(w.window.text.split("\n")) > 18
        alone(w, renderer, keyboard, key, ThinkingDelta("then\n", 1))
        assert len(w.window.text.split("\n")) == 8
        renderer.abort()


def test_escape_folds_what_was_expanded_and_expands_nothing(world, keyboard) -> None:
    w = typed(world, keyboard)
    with w.stdin:
        renderer = w.start()
        for event in THOUGHT:
            w.now += 0.1
            renderer.feed(event)
        folded = len(w.window.text.split("\n"))
        alone(w, renderer, keyboard, b"\x1b", ThinkingDelta("now\n", 1))
        assert len(w.window.text.split("\n")) == folded
        alone(w, renderer, keyboard, b"t", ThinkingDelta("now\n", 1))
        assert len(w.window.text.split("\n")) > folded
        alone(w, renderer, keyboard, b"\x1b[B", ThinkingDelta("now\n", 1))  # begins with Escape
        assert len(w.window.text.split("\n")) > folded
        alone(w, renderer, keyboard, b"\x1b", ThinkingDelta("now\n", 1))
        assert len(w.window.text.split("\n")) == folded
        renderer.abort()


@pytest.mark.parametrize("parts", [[b"\x1b", b"[A"], [b"\x1b[", b"B"], [b"\x1b", b"x"]])
def test_a_sequence_that_comes_in_parts_folds_nothing(world, keyboard, parts) -> None:
    w = typed(world, keyboard)
    with w.stdin:
        renderer = w.start()
        for event in THOUGHT:
            w.now += 0.1
            renderer.feed(event)
        alone(w, renderer, keyboard, b"t", ThinkingDelta("now\n", 1))
        expanded = len(w.window.text.split("\n"))
        for part in parts:
            press(keyboard, part)
            w.now += 0.1
            renderer.feed(ThinkingDelta("", 0))
        w.now += 1
        renderer.feed(ThinkingDelta("now\n", 1))
        assert len(w.window.text.split("\n")) == expanded
        renderer.abort()


def test_the_thinking_expands_while_the_answer_comes(world, keyboard) -> None:
    w = typed(world, keyboard)
    with w.stdin:
        renderer = w.start()
        for event in [*THOUGHT, AnswerDelta("It is 7.", 1)]:
            w.now += 0.1
            renderer.feed(event)
        assert "line 59" not in w.window.text
        alone(w, renderer, keyboard, b"t", AnswerDelta(" Yes.", 1))
        assert "line 59" in w.window.text
        assert "It is 7." not in w.window.text  # it waits, and is counted
        assert "\nAnswering 1s · 2 tok" in w.window.text
        for n in range(60):
            w.now += 0.1
            renderer.feed(AnswerDelta(f"\n\na{n:02}", 1))
        alone(w, renderer, keyboard, b"t", AnswerDelta(".", 1))
        w.now += 0.1
        renderer.feed(done())
        text = w.window.text
        assert "line" not in text
        assert text.count("It is 7. Yes.") == text.count("Thought for") == 1
        assert all(text.count(f"a{n:02}") == 1 for n in range(60))


@pytest.mark.parametrize("view", ThinkingView)
@pytest.mark.parametrize("end", ["done", "abort"])
def test_the_terminal_is_left_as_it_was(world, keyboard, view, end) -> None:
    before = modes(keyboard)
    w = typed(world, keyboard)
    with w.stdin:
        renderer = w.start(Output(view=view))
        flags = modes(keyboard)[3]
        assert not flags & (termios.ECHO | termios.ICANON)
        assert flags & termios.ISIG
        for event in RECORDED[:-1]:
            renderer.feed(event)
        press(keyboard, b"typed ahead\n")
        if end == "done":
            renderer.feed(RECORDED[-1])
        else:
            renderer.abort()
        renderer.abort()  # again, as the caller may
    assert modes(keyboard) == before
    assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL


def test_keys_belong_to_the_pager_where_stdout_is_a_pipe(world, keyboard) -> None:
    before = modes(keyboard)
    w = typed(world, keyboard, out=False)
    with w.stdin:
        renderer = w.start()
        assert modes(keyboard) == before
        renderer.abort()


def test_no_keys_without_a_terminal_on_stdin(world) -> None:
    w = world()
    renderer = w.start()
    for event in THOUGHT:
        renderer.feed(event)
    assert "expands" not in w.window.text
    renderer.abort()


def test_a_hung_up_terminal_is_no_error(world) -> None:
    person, program = pty.openpty()
    w = world()
    w.stdin = os.fdopen(program, "r")
    with w.stdin:
        renderer = w.start()
        os.close(person)
        for event in RECORDED:
            renderer.feed(event)
    assert "Thought for" in w.window.text


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with job control")
def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(tmp_path: Path) -> None:
    script = tmp_path / "play.py"
    script.write_text(PLAY)
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("bash", ["bash", "--norc", "--noediting", "-i"])
    try:
        os.write(terminal, f"PS1='ready> '; {shlex.quote(sys.executable)} {script}\n".encode())
        read_until(terminal, b"Thinking")
        assert not termios.tcgetattr(terminal)[3] & termios.ICANON
        os.write(terminal, b"\x1a")
        seen = read_until(terminal, b"ready> ")
        assert b"Stopped" in seen
        assert b"\x1b[?25h" in seen
        assert termios.tcgetattr(terminal)[3] & termios.ICANON
        os.write(terminal, b"fg\n")
        assert b"\x1b[?25l" in read_until(terminal, b"Thinking")
        assert not termios.tcgetattr(terminal)[3] & termios.ICANON
    finally:
        os.kill(child, signal.SIGHUP)  # the shell passes it on to its jobs
        os.close(terminal)
        os.waitpid(child, 0)


PLAY = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.render.conftest import ThinkingDelta, Window, World
world = World(sys.stdout, sys.stderr, Window(80, 24), Path("."), sys.stdin)
renderer = world.start()
for _ in range(1000):
    world.now += 0.1
    renderer.feed(ThinkingDelta("a ", 1))
    time.sleep(0.02)
"""


def read_until(terminal: int, what: bytes) -> bytes:
    seen = b""
    deadline = time.monotonic() + CEILING_S
    while what not in seen:
        left = deadline - time.monotonic()
        assert left > 0, f"{what!r} did not come: {seen!r}"
        if select.select([terminal], [], [], left)[0]:
            seen += os.read(terminal, 4096)
    return seen


def test_c_copies_the_answer_when_it_ends(world, keyboard) -> None:
    w = typed(world, keyboard)
    w.environ = {"TERM": "xterm", "SSH_CONNECTION": "1.2.3.4 1 2.3.4.5 22", "PATH": ""}
    with w.stdin:
        renderer = w.start()
        for event in THOUGHT:
            w.now += 0.1
            renderer.feed(event)
        alone(w, renderer, keyboard, b"c", ThinkingDelta("now\n", 1))
        assert "the answer will be copied (c: not)" in w.window.text
        renderer.feed(AnswerDelta("It is **7**.", 1))
        renderer.feed(done())
    assert "\x1b]52;c;SXQgaXMgKio3Kiou\x07" in w.stdout.getvalue()
    assert "copied: 12 characters" in w.window.text
