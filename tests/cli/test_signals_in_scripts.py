"""Scripts: Ctrl-C ends at once, a reader that leaves is noticed, a closed stdout is an error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES, ROOT
from tests.support.pseudo.terminal import Terminal
from tests.support.waiting import CEILING_S, eventually

ASK = ["ask", "-m", "tiny", str(EXAMPLES / "shapes.png"), "How many red circles are there?"]


def _environ(home: Path, pace: int) -> dict[str, str]:
    return {"QVQ_HOME": str(home), "QVQ_PACE": str(pace)}


def test_the_first_ctrl_c_ends_where_stdout_is_a_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    t = Terminal([sys.executable, "-m", "qvq_mlx", *ASK], _environ(tmp_path, 5), out=writer)
    os.close(writer)
    t.reader = reader
    try:
        assert t.until(lambda: b"Thinking" in t.raw, CEILING_S)
        t.type(b"\x03")
        assert t.end(CEILING_S) == 130
    finally:
        t.close()


def test_the_first_ctrl_c_ends_in_a_script_on_a_terminal(tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text('"$@"\necho "it was $?"\n')
    command = ["/bin/sh", str(script), sys.executable, "-m", "qvq_mlx", *ASK]
    t = Terminal(command, _environ(tmp_path, 5))
    try:
        assert t.until(lambda: b"Thinking" in t.raw, CEILING_S)
        t.type(b"\x03")
        t.end(CEILING_S)
        assert "note[asked]" not in t.text
        assert "error[interrupted]" in t.text
    finally:
        t.close()


def test_the_reader_that_leaves_ends_the_thinking(tmp_path: Path) -> None:
    """At two tokens a second the thinking alone would take half a minute."""
    process = subprocess.Popen(
        [sys.executable, "-m", "qvq_mlx", *ASK],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **_environ(tmp_path, 2), "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    eventually(lambda: any((tmp_path / "history").glob("*.part")))
    process.stdout.close()
    assert process.wait(CEILING_S) == 141
    assert process.stderr.read() == b""
    process.stderr.close()
    assert list((tmp_path / "history").glob("*.jsonl"))


@pytest.mark.parametrize("command", [ASK, ["models"], ["--version"], ["--help"]])
def test_a_closed_stdout_is_an_error(tmp_path: Path, command: list[str]) -> None:
    ran = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "qvq_mlx", *command],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **_environ(tmp_path, 0), "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("error[output]: stdout is closed")


def test_sigint_stays_an_answer_for_a_person(tmp_path: Path) -> None:
    t = Terminal([sys.executable, "-m", "qvq_mlx", *ASK], _environ(tmp_path, 10))
    try:
        assert t.until(lambda: b"Thinking" in t.raw, CEILING_S)
        t.send(signal.SIGINT)
        assert t.end(CEILING_S) == 0
        assert "note[asked]" in t.text
    finally:
        t.close()


LATE = """
import os, signal
import qvq_mlx.cli as cli, qvq_mlx.cli.main as inner, qvq_mlx.system.streams as streams

def main(argv, env):
    {ends}

def flushed(those):
    os.kill(os.getpid(), signal.SIGINT)
    return True

inner.main, streams.flushed = main, flushed
cli.run()
"""


@pytest.mark.parametrize("ends", ["raise KeyboardInterrupt", "raise SystemExit(143)", "return 0"])
def test_a_ctrl_c_behind_the_end_is_quiet(ends: str) -> None:
    """It ends the process as it ends any other, and is no traceback."""
    command = [sys.executable, "-c", LATE.format(ends=ends)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


CLOSED = """
import qvq_mlx.system.streams as streams
streams.hush_interrupts()

def events(error):
    try:
        yield
    finally:
        raise error

for error in (KeyboardInterrupt(), SystemExit(143), ValueError("a bug")):
    next(run := events(error))
    del run
"""


def test_what_is_raised_where_a_run_is_closed_is_a_traceback_of_bugs_alone() -> None:
    command = [sys.executable, "-c", CLOSED]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.count("Traceback") == done.stderr.count("ValueError: a bug") == 1
    assert "KeyboardInterrupt" not in done.stderr
