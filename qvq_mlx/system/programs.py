"""Runs other programs, bounded in time and in bytes: once, in a conversation, or beside the work.

Law: a program gets a process group of its own, so that what it started ends with it and a Ctrl-C
is for qvq to deal with. However a call here ends, also by an exception, nothing of it runs on.
Nothing goes through a shell. A program that `run` starts has no stdin, and what it writes to
stderr goes into an error's one line. What is given the terminal is the person's, without bounds.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Ran:
    """The end of a program. `said` is stderr on one line; `late`: it was killed for its time."""

    code: int
    output: bytes
    said: str
    late: bool = False


def found(name: str, path: str | None) -> str | None:
    """Find the program in `path` or where this process looks; None where it is not."""
    return shutil.which(name, path=path)


def run(argv: Sequence[str], max_bytes: int, wait_s: float | None = WAIT_S) -> Ran:
    """Run it to its end, or until it says more than `max_bytes`, or `wait_s` (None: no limit).

    `output` may hold one byte more than `max_bytes`: then there was more. Raises OSError.
    """
    with subprocess.Popen(  # noqa: S603
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    ) as process:
        stdout, stderr = process.stdout, process.stderr
        assert stdout is not None, "asked for"
        assert stderr is not None, "asked for"
        said = bytearray()
        drain = threading.Thread(target=lambda: said.extend(stderr.read(4096)), daemon=True)
        with _killed_after(process, wait_s) as late:
            drain.start()
            output = stdout.read(max_bytes + 1)
            if len(output) > max_bytes:
                _kill(process)
            code = process.wait()
        drain.join(1.0)
    words = " ".join(said.decode(errors="replace").split())[:120]
    return Ran(code, output, words, late.is_set())


def give(argv: Sequence[str], data: bytes, wait_s: float) -> bool:
    """Run a program with `data` as its stdin; True if it took it. What it leaves behind lives on,
    as a clipboard does that a program of its own holds.
    """
    try:
        with (
            subprocess.Popen(  # noqa: S603
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,
            ) as process,
            _killed_after(process, wait_s) as late,
        ):
            assert process.stdin is not None, "asked for"
            with suppress(BrokenPipeError):
                process.stdin.write(data)
                process.stdin.close()
            return process.wait() == 0 and not late.is_set()
    except OSError:
        return False


def give_terminal(argv: Sequence[str]) -> int | None:
    """Let a program have the terminal until it ends, and return its exit code.

    Ctrl-C is the program's meanwhile, as a pager wants it. None where it does not start.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.call(argv)  # noqa: S603
    except OSError:
        return None
    finally:
        signal.signal(signal.SIGINT, before)


class Talk:
    """A program that answers on stdout what it is told on stdin. `talk` starts it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None, "asked for"
        assert process.stdout is not None, "asked for"
        self._process = process
        self._stdin: IO[bytes] = process.stdin
        self._stdout: IO[bytes] = process.stdout

    @contextmanager
    def within(self, wait_s: float) -> Iterator[threading.Event]:
        """Kill it if the block takes longer; the event says that this happened."""
        with _killed_after(self._process, wait_s) as late:
            yield late

    def tell(self, order: bytes) -> None:
        """Write to its stdin. A program that has ended is told nothing: its exit code says why."""
        with suppress(BrokenPipeError):
            self._stdin.write(order)
            self._stdin.flush()

    def line(self, max_bytes: int) -> bytes:
        """Read a line of its stdout; empty where it ended."""
        return self._stdout.readline(max_bytes)

    def read(self, count: int) -> bytes:
        """Read `count` bytes, or fewer where it ended."""
        return self._stdout.read(count)

    def wait(self) -> int:
        """Wait for its end, and return its exit code; negative for a signal."""
        return self._process.wait()


@contextmanager
def talk(argv: Sequence[str]) -> Iterator[Talk]:
    """Start a program to talk to; it is killed when the block ends. Raises OSError."""
    with subprocess.Popen(  # noqa: S603
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as process:
        try:
            yield Talk(process)
        finally:
            _kill(process)
            if process.stdin is not None:
                with suppress(BrokenPipeError):  # what it did not take is flushed once more
                    process.stdin.close()


@contextmanager
def beside(argv: Sequence[str], environ: Mapping[str, str]) -> Iterator[None]:
    """Have a program run until the block ends. Where it does not start, the block runs without it.

    It is looked for in the PATH of `environ`. After kill -9 it runs on, unless it watches for that.
    """
    program = found(argv[0], environ.get("PATH"))
    if program is None:
        yield
        return
    try:
        process = subprocess.Popen(  # noqa: S603
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
    except OSError:
        yield
        return
    try:
        yield
    finally:
        _kill(process)
        process.wait()


@contextmanager
def _killed_after(
    process: subprocess.Popen[bytes], wait_s: float | None
) -> Iterator[threading.Event]:
    """Kill the program's group after `wait_s`, and at once where the block raises."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(wait_s, stop) if wait_s is not None else None
    try:
        if timer:
            timer.start()
        yield late
    except BaseException:
        _kill(process)
        raise
    finally:
        if timer:
            timer.cancel()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the group. A process that was waited for is gone, and its number may be another's."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
