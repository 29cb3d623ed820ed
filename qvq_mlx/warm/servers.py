"""Asks the running servers of this user what they are, and to end.

Law: a server of any version of qvq answers both questions: they are not part of what a borrower
speaks. A socket at which nobody listens is no server.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qvq_mlx.records.servers import ServerEntry
from qvq_mlx.records.typed import typed
from qvq_mlx.system.footprint import footprint_bytes
from qvq_mlx.warm.frames import Frame, GoneError, receive, send
from qvq_mlx.warm.places import sockets
from qvq_mlx.warm.sockets import same_user

STATE, END = "state", "end"
"""The values of `asks` in a hello that asks for no model."""
_ANSWER_S = 3.0
_END_S = 60.0
"""A server ends what it runs between two tokens, or two parts of a prompt."""


def running(folder: Path) -> tuple[ServerEntry, ...]:
    """Return the servers that listen in `folder`, the highest process id first."""
    found = (_entry(path) for path in sockets(folder))
    return tuple(entry for entry in found if entry is not None)


def ended(folder: Path, pid: int) -> bool:
    """Ask a server to end, and wait until its process has. False where it does not answer, or
    still ends what it does after a minute.
    """
    path = folder / f"{pid}.sock"
    with _line(path) as line:
        if line is None:
            return True
        try:
            _answer(line, END)
            line.settimeout(_END_S)
            return line.recv(1) == b""  # its process is gone, and its end of the connection too
        except TimeoutError:
            return False
        except (OSError, GoneError):  # somebody may have killed it
            with _line(path) as still:
                return still is None


def _entry(path: Path) -> ServerEntry | None:
    pid = int(path.stem)
    with _line(path) as line:
        if line is None:
            return None
        silent = ServerEntry(pid, answers=False, memory_bytes=footprint_bytes(pid))
        try:
            said = _answer(line, STATE)
            own = {"pid": pid, "answers": True, "memory_bytes": silent.memory_bytes}
            return typed(ServerEntry, {**said, **own})
        except (OSError, GoneError, ValueError):
            return silent


@contextmanager
def _line(path: Path) -> Iterator[socket.socket | None]:
    """Connect to a server of this user; None where nobody listens, or somebody else."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(_ANSWER_S)
        connected: socket.socket | None = None
        with suppress(ConnectionRefusedError, FileNotFoundError):
            line.connect(str(path))
            connected = line if same_user(line) else None
        yield connected


def _answer(line: socket.socket, asks: str) -> Frame:
    """Raises GoneError, and OSError."""
    send(line, {"asks": asks})
    answer, _ = receive(line, _refuse)
    if answer.get("asks") != asks:
        raise GoneError("it speaks of something else")
    return answer


def _refuse() -> None:
    raise GoneError("it does not answer")
