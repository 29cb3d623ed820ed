"""An answer comes back whole: from the clipboard, from the terminal itself, and from tmux."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, World
from tests.support.waiting import eventually

Build = Callable[..., World]
WORDS = " ".join(f"word{n:03}" for n in range(113))
PARAGRAPH = (WORDS + " abcd")[:900]
CODE = "    x = " + "f(" * 48 + "'" + "a" * 45 + "'" + ")" * 48 + "#"
THOUGHT = " ".join(f"thought{n}" for n in range(40))
ANSWER = (
    f"{PARAGRAPH}\n\n```python\ndef g():\n{CODE}\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd."
)


def saved(world: Build, tmp_path: Path, answer: str = ANSWER) -> str:
    """Save a run with this answer; the folder of `QVQ_HOME`."""
    path = tmp_path / "cat.png"
    Image.new("RGB", (300, 300), "white").save(path)
    w = world([THOUGHT, "\n\n", "**Final Answer**", "\n\n", answer])
    assert w.run("ask", "-m", "tiny", str(path), "How many?") == 0
    return w.env.environ["QVQ_HOME"]


def test_the_texts_are_as_long_as_they_should_be() -> None:
    assert len(PARAGRAPH) == 900
    assert len(CODE) == 200


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """A folder with a pbcopy that keeps what it is given: https://ss64.com/mac/pbcopy.html."""
    folder = tmp_path / "tools"
    folder.mkdir()
    program = folder / "pbcopy"
    program.write_text(f"#!/bin/sh\ncat > {shlex.quote(str(folder / 'held'))}\n")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("options", "expected"), [((), ANSWER), (("--code", "1"), f"def g():\n{CODE}\n")]
)
def test_a_program_gets_it(
    world: Build, tmp_path: Path, tool: Path, options: tuple[str, ...], expected: str
) -> None:
    saved(world, tmp_path)
    w = world(environ={"PATH": f"{tool}:{os.environ['PATH']}"})
    assert w.run("last", "--copy", *options) == 0
    assert (tool / "held").read_text() == expected
    assert w.out == ""
    assert "by pbcopy" in w.err


def test_over_ssh_the_terminal_gets_it(world: Build, tmp_path: Path, tool: Path) -> None:
    saved(world, tmp_path)
    environ = {"PATH": str(tool), "SSH_CONNECTION": "1.2.3.4 1 2.3.4.5 22"}
    w = world(environ=environ, tty=True, err_tty=True)
    assert w.run("last", "--copy") == 0
    found = re.search("\x1b]52;c;([A-Za-z0-9+/=]*)\x07", w.out)
    assert found is not None
    assert base64.b64decode(found[1]).decode() == ANSWER
    assert not (tool / "held").exists()


def test_what_cannot_be_copied_is_said(world: Build, tmp_path: Path) -> None:
    saved(world, tmp_path)
    w = world(environ={"PATH": str(tmp_path)})
    assert w.run("last", "--copy") == 2
    assert "error[output]" in w.err
    assert w.run("last", "--copy", "--code", "2") == 2
    assert "the answer has 1 block of code, and no number 2" in w.err
    assert w.run("last", "--copy", "--json") == 2


@pytest.mark.parametrize("form", ["--answer", "--thinking"])
def test_a_part_of_a_run_is_not_broken_by_us(world: Build, tmp_path: Path, form: str) -> None:
    saved(world, tmp_path)
    w = world([], tty=True)
    assert w.run("last", form) == 0
    assert w.out == (f"{ANSWER}\n" if form == "--answer" else f"{THOUGHT}\n")


def in_tmux(folder: Path, size: tuple[int, int], environ: dict[str, str], *argv: str) -> list[str]:
    """The lines that tmux joins of what a command left in the window and above it."""
    tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
    script = shlex.join([sys.executable, "-m", *argv]) + "; echo the-end; exec cat"
    columns, rows = map(str, size)

    def shown() -> str:
        capture = [*tmux, "capture-pane", "-J", "-p", "-S", "-"]
        return subprocess.run(capture, capture_output=True, text=True, check=True).stdout

    subprocess.run(
        [*tmux, "new-session", "-d", "-x", columns, "-y", rows, "sh", "-c", script],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
    )
    try:
        eventually(lambda: "the-end" in shown(), shown)
        return [line.rstrip() for line in shown().split("\n")]
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not here")
@pytest.mark.parametrize("columns", [80, 120])
def test_tmux_gives_the_lines_back(world: Build, tmp_path: Path, columns: int) -> None:
    home = saved(world, tmp_path)
    lines = in_tmux(tmp_path, (columns, 60), {"QVQ_HOME": home}, "qvq_mlx", "last")
    assert lines.count(PARAGRAPH) == lines.count(CODE) == 1


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not here")
@pytest.mark.parametrize(
    "size", [(80, 24), pytest.param((120, 40), marks=pytest.mark.slow), (80, 10)]
)
def test_tmux_gives_the_lines_back_of_an_answer_that_was_watched(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """In a small window parts of it go to the scrollback while it comes."""
    environ = {"QVQ_HOME": str(tmp_path), "QVQ_TEST_ANSWER": ANSWER}
    question = ["ask", "-m", "tiny", str(ROOT / "examples" / "shapes.png"), "How many?"]
    lines = in_tmux(tmp_path, size, environ, "tests.support.pseudo.program", *question)
    assert lines.count(PARAGRAPH) == lines.count(CODE) == 1, "\n".join(lines)
