"""A person in front of a terminal: types, resizes, sends signals, pulls plugs, and looks."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyte

from tests.conftest import ROOT

SHELL = Path(__file__).with_name("shell.py")


@dataclass
class Terminal:
    """A window with one program in it. `out` and `err`: descriptors; None is the window."""

    command: Sequence[str]
    environ: dict[str, str]
    out: int | None = None
    err: int | None = None
    columns: int = 80
    rows: int = 24
    raw: bytes = b""
    stops: list[str | None] = field(default_factory=list)
    status: int | None = None
    after: str | None = None
    pid: int = 0
    stopped: bool = False
    reader: int | None = None
    """The other end of `out`: what comes there is passed over."""
    paused: bool = False
    """Ctrl-S holds the output; known once `tell_pauses` was called."""
    _in_packets: bool = False

    def __post_init__(self) -> None:
        self.screen = pyte.HistoryScreen(self.columns, self.rows, history=5000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self._master: int | None
        self._master, slave = pty.openpty()
        self._resized(slave)
        self.before = repr(termios.tcgetattr(slave))
        self._control, theirs = socket.socketpair()
        self._lines = b""
        out, err = (1 if self.out is None else self.out), (2 if self.err is None else self.err)
        kept = [theirs.fileno(), *({out, err} - {1, 2})]
        script = [sys.executable, "-I", "-S", str(SHELL), str(theirs.fileno()), str(out), str(err)]
        self.shell = subprocess.Popen(
            [*script, *self.command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            pass_fds=kept,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **self.environ},
        )
        theirs.close()
        os.close(slave)
        os.set_blocking(self._master, False)

    def look(self, seconds: float) -> None:
        """Take in what the program shows and what the shell says."""
        ends = [end for end in (self._master, self.reader) if end is not None]
        ready = select.select([self._control.fileno(), *ends], [], [], seconds)[0]
        if self.reader in ready and not os.read(self.reader, 65536):
            self.close_reader()
        if self._control.fileno() in ready:
            heard = self._control.recv(4096)
            assert heard or self.status is not None, f"the shell died: {self.raw!r}"
            self._lines += heard
            *lines, self._lines = self._lines.split(b"\n")
            for line in lines:
                self._said(json.loads(line))
        if self._master in ready:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the last one closed it
                data = b""
            if self._in_packets and data:
                self.paused |= bool(data[0] & termios.TIOCPKT_STOP)
                data = data[1:]  # nothing where the first byte tells of something
            self.raw += data
            self._stream.feed(data)

    def tell_pauses(self) -> None:
        """From here on, learn when a Ctrl-S that was typed has come to the terminal."""
        assert self._master is not None
        fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", 1))
        self._in_packets = True

    def until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Look until `ready` or the program ended; False where neither came in time."""
        deadline = time.monotonic() + seconds
        while not ready() and self.status is None:
            if time.monotonic() > deadline:
                return False
            self.look(0.02)
        return True

    def end(self, seconds: float) -> int | None:
        """The exit status as a shell tells it, with all output on the screen; None: it hangs."""
        self.until(lambda: False, seconds)
        for _ in range(3):
            self.look(0.02)
        if self.status is None or self.status >= 0:
            return self.status
        return 128 - self.status

    def type(self, keys: bytes) -> None:
        if self._master is not None:
            with suppress(OSError):  # full, or closed
                os.write(self._master, keys)

    def resize(self, columns: int, rows: int) -> None:
        if self._master is not None:
            self.columns, self.rows = columns, rows
            self._resized(self._master)
            self.screen.resize(rows, columns)

    def send(self, number: int) -> None:
        if self.pid and self.status is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def foreground(self) -> None:
        self.stopped = False
        self._control.sendall(b"fg\n")

    def hang_up(self) -> None:
        """The window is closed."""
        if self._master is not None:
            os.close(self._master)
            self._master = None

    def close_reader(self) -> None:
        if self.reader is not None:
            os.close(self.reader)
            self.reader = None

    def close(self) -> None:
        self.close_reader()
        if self.status is None:
            self.send(signal.SIGKILL)
            self.send(signal.SIGCONT)
        self.hang_up()
        self.shell.kill()
        self.shell.wait()
        self._control.close()

    @property
    def text(self) -> str:
        past = [
            "".join(line[column].data for column in range(self.columns)).rstrip()
            for line in self.screen.history.top
        ]
        return "\n".join([*past, *(line.rstrip() for line in self.screen.display)])

    def _said(self, what: dict[str, object]) -> None:
        match what:
            case {"started": int(pid)}:
                self.pid = pid
            case {"stopped": modes}:
                self.stopped = True
                self.stops.append(modes)  # type: ignore[arg-type]
            case {"ended": int(status), "modes": modes}:
                self.status, self.after = status, modes  # type: ignore[assignment]

    def _resized(self, descriptor: int) -> None:
        size = struct.pack("HHHH", self.rows, self.columns, 0, 0)
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)
