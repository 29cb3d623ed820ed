"""Text on stdin is added to the question, or refused by name; nothing is waited for in vain."""

from __future__ import annotations

import json
import os
import pty
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.core.errors import ExitCode
from qvq_mlx.run.piped import MAX_BYTES, Asked, asked
from tests.conftest import EXAMPLES, ScriptedEngine, World

Build = Callable[..., World]
SHAPES = str(EXAMPLES / "shapes.png")
WORDS = ["Seen.", "\n\n", "**Final Answer**", "\n\n", "two"]


@contextmanager
def stdin(world: World, descriptor: int) -> Iterator[World]:
    """The world with this descriptor as its stdin, which is closed afterwards."""
    with open(descriptor) as stream:
        world.env = replace(world.env, stdin=stream)
        yield world


@contextmanager
def pipe(world: World, data: bytes, *, closes: bool = True) -> Iterator[World]:
    reader, writer = os.pipe()
    # what does not fit in the pipe is written while it is read
    thread = threading.Thread(target=_write, args=(writer, data, closes))
    thread.start()
    with stdin(world, reader):
        yield world
    thread.join()
    if not closes:
        os.close(writer)


def _write(writer: int, data: bytes, closes: bool) -> None:
    try:
        while data:
            data = data[os.write(writer, data) :]
    except BrokenPipeError:
        pass
    if closes:
        os.close(writer)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(WORDS)


def ask(world: World, *arguments: str) -> int:
    return world.run("ask", "-m", "tiny", *arguments)


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        (b"error 404\n", "Why?\n\nerror 404"),
        (b"  a\n b\n\n \n", "Why?\n\n  a\n b"),
        ("\ufeff\u56fe \U0001f600\r\nz".encode(), "Why?\n\n\u56fe \U0001f600\r\nz"),
        (b"", "Why?"),
        (b" \n\t\n", "Why?"),
    ],
    ids=["line", "indented", "unicode", "empty", "blank"],
)
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_what_is_piped_in_follows_the_question(
    world: Build, engine: ScriptedEngine, tmp_path: Path, data: bytes, sent: str, kind: str
) -> None:
    w = world(engine=engine)
    if kind == "pipe":
        with pipe(w, data):
            assert ask(w, SHAPES, "Why?", "--json") == ExitCode.OK
    else:
        (tmp_path / "log").write_bytes(data)
        with stdin(w, os.open(tmp_path / "log", os.O_RDONLY)):
            assert ask(w, SHAPES, "Why?", "--json") == ExitCode.OK
    assert engine.asked[0][0] == sent
    document = json.loads(w.out)
    assert document["question"] == sent
    added = len(sent) - len("Why?\n\n")
    told = [{"code": "stdin", "text": f"{added:,} characters from stdin follow the question"}]
    assert document["notices"] == (told if added > 0 else [])


def test_a_pipe_is_told_too_that_text_became_part_of_the_question() -> None:
    from io import StringIO

    from qvq_mlx.core.events import PIPED, Notice
    from qvq_mlx.render.plain import ForcedNotes

    stderr = StringIO()
    ForcedNotes(stderr).feed(Notice(PIPED, "11 characters of stdin"))
    assert stderr.getvalue() == "note[stdin]: 11 characters of stdin\n"


def test_as_much_as_may_be_is_read_whole(world: Build) -> None:
    """Whether a model's context holds it is asked later."""
    w = world(WORDS)
    with pipe(w, b"x" * MAX_BYTES):
        sent = asked("Why?", w.env, stdin_is_image=False)
    assert sent == Asked("Why?\n\n" + "x" * MAX_BYTES, MAX_BYTES)


def test_the_receipt_is_on_the_terminal(world: Build) -> None:
    w = world(WORDS, tty=True, err_tty=True)
    with pipe(w, b"a log\n"):
        assert ask(w, SHAPES, "Why?") == ExitCode.OK
    assert "note[stdin]: 5 characters from stdin follow the question" in w.out


def test_without_a_question_the_text_is_the_question(world: Build, engine: ScriptedEngine) -> None:
    w = world(engine=engine)
    with pipe(w, b"How many?\n"):
        assert ask(w, SHAPES) == ExitCode.OK
    assert engine.asked[0][0] == "How many?"


def test_a_dash_is_an_image_and_no_text_is_read(world: Build, engine: ScriptedEngine) -> None:
    w = world(engine=engine)
    with pipe(w, Path(SHAPES).read_bytes()):
        assert ask(w, "-", "How many?") == ExitCode.OK
    assert engine.asked[0][:2] == ("How many?", 1)


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (Path(SHAPES).read_bytes(), "stdin holds a picture", 'qvq ask - "question" < FILE'),
        (b"l'\xe9t\xe9", "stdin is no UTF-8 text: byte 2 is 0xe9", "iconv"),
        (b"a\0b", "stdin is no UTF-8 text: byte 1 is 0x00", "iconv"),
        (b"x" * (MAX_BYTES + 1), "stdin holds more than 256 KiB of text", "tail -c"),
    ],
    ids=["picture", "latin-1", "nul", "too much"],
)
def test_what_cannot_be_added_is_refused(
    world: Build, data: bytes, message: str, hint: str
) -> None:
    w = world(WORDS)
    with pipe(w, data):
        assert ask(w, SHAPES, "Why?") == ExitCode.BAD_INPUT
    first, second = w.err.splitlines()
    assert message in first
    assert hint in second


@pytest.mark.parametrize("given", [[SHAPES], []])
@pytest.mark.parametrize("kind", ["terminal", "null", "socket", "pipe", "memory"])
def test_no_question_is_exit_2_at_once(world: Build, given: list[str], kind: str) -> None:
    w = world(WORDS)
    begun = time.monotonic()
    match kind:
        case "terminal":
            ends = pty.openpty()
            with stdin(w, ends[1]):
                code = ask(w, *given)
            os.close(ends[0])
        case "null":
            with stdin(w, os.open(os.devnull, os.O_RDONLY)):
                code = ask(w, *given)
        case "socket":  # open, and nobody will ever write: a service's stdin
            mine, theirs = socket.socketpair()
            with mine, stdin(w, theirs.detach()):
                code = ask(w, *given)
        case "pipe":
            with pipe(w, b""):
                code = ask(w, *given)
        case _:
            code = ask(w, *given)
    assert code == ExitCode.USAGE
    assert w.err.splitlines()[0] == "error[usage]: no question is given"
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("data", [b"", b"begun"])
def test_a_pipe_that_never_ends_is_an_error_that_says_what_to_do(world: Build, data: bytes) -> None:
    w = world(WORDS, environ={"QVQ_STDIN_S": "0.2"})
    with pipe(w, data, closes=False):
        assert ask(w, SHAPES, "Why?") == ExitCode.BAD_INPUT
    first, second = w.err.splitlines()
    came = "sent 5 bytes and then nothing" if data else "sent nothing"
    assert f"stdin is a pipe that {came} for 0.2 s and was not closed" in first
    assert "< /dev/null" in second


def test_a_closed_stdin_is_no_text(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            f"{shlex.quote(sys.executable)} -m qvq_mlx ask -m tiny {shlex.quote(str(SHAPES))} <&-",
        ],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "QVQ_HOME": str(tmp_path)},
    )
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith("error[usage]: no question is given")
