"""`--show` in a pseudo-terminal that answers as a terminal does, or does not."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from qvq_mlx.render.preview import Protocol, _told
from tests.conftest import EXAMPLES

SIXEL = b"\x1b[?62;4;22c"
KITTY = b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c"
PLAIN = b"\x1b[?6c"
NOTHING = "this terminal shows no pictures"
PLACEHOLDER = "\U0010eeee"


def shown(home: Path, answer: bytes, *options: str, piped: bool = False) -> tuple[str, int]:
    """What `qvq ask --show` writes to a terminal that answers so, and its exit code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 800, 480))
    before = termios.tcgetattr(slave)
    source = EXAMPLES / "shapes.png"
    with source.open("rb") as picture:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "qvq_mlx", "ask", "-m", "tiny", "--show", *options),
                *("-" if piped else str(source), "How many red circles are there?"),
            ],
            stdin=picture if piped else slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "QVQ_HOME": str(home), "TERM": "xterm-256color"},
            preexec_fn=lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0),
        )
    raw, answered, deadline = b"", False, time.monotonic() + 60
    while process.poll() is None or select.select([master], [], [], 0.1)[0]:
        assert time.monotonic() < deadline, raw
        if select.select([master], [], [], 0.05)[0]:
            raw += os.read(master, 65536)
        if not answered and b"\x1b[c" in raw:
            answered = True
            os.write(master, answer)
    assert answered
    assert termios.tcgetattr(slave) == before
    os.set_blocking(slave, False)
    with pytest.raises(BlockingIOError):  # nothing of the answer is left for the shell
        os.read(slave, 1)
    os.close(master)
    os.close(slave)
    return raw.decode(errors="replace"), process.returncode


def test_a_sixel_terminal_gets_a_picture_below_the_answer(tmp_path: Path) -> None:
    text, code = shown(tmp_path, SIXEL)
    assert code == 0, text
    answer, _, picture = text.partition("\x1bP")
    assert "3" in answer
    assert picture.rstrip().endswith("\x1b8")
    assert len(picture) > 1000
    assert NOTHING not in text
    assert "\x1b_Ga=T" not in text


def test_a_kitty_terminal_gets_one_even_where_stdin_is_the_picture(tmp_path: Path) -> None:
    text, code = shown(tmp_path, KITTY, piped=True)
    assert code == 0, text
    assert "f=100" in text
    assert "U=1" in text
    assert PLACEHOLDER in text


def test_any_other_terminal_gets_a_line(tmp_path: Path) -> None:
    for answer in (PLAIN, b""):  # the second one says nothing at all
        text, code = shown(tmp_path, answer)
        assert code == 0
        assert f"{NOTHING}; --annotate OUT.png writes a file" in text
        assert "\x1bP" not in text
        assert PLACEHOLDER not in text


def test_what_an_answer_says() -> None:
    assert _told((KITTY + SIXEL).decode()) is Protocol.KITTY  # the first attributes count
    assert _told(SIXEL.decode()) is Protocol.SIXEL
    assert _told("\x1b_Gi=31;ENOTSUPPORTED\x1b\\\x1b[?62;c") is None
    assert _told("x" * 100) is None
