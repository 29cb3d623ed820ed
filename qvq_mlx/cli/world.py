"""The real world as an `Env`: the process's own streams, variables and clock."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.cli.spelling import CommandLine
from qvq_mlx.core.env import Env

if TYPE_CHECKING:
    from datetime import datetime

    from qvq_mlx.core.env import Engine
    from qvq_mlx.core.events import Progress
    from qvq_mlx.core.machine import Machine
    from qvq_mlx.core.network import Network
    from qvq_mlx.core.setup import Checkpoint, Setup
    from qvq_mlx.core.tokens import Control


NETWORK_MODULES = (
    *("huggingface_hub", "transformers", "requests", "httpx", "httpx2", "urllib3", "aiohttp"),
    *("http.client", "urllib.request", "ssl"),
)
"""What talks to servers. `socket` is not among them: the standard library loads it for less."""


def real_env() -> Env:
    """What `qvq` runs in."""
    return Env(
        stdin=sys.stdin,
        stdout=sys.stdout,
        stderr=sys.stderr,
        spelling=CommandLine(),
        environ=os.environ,
        home=Path.home(),
        clock=time.monotonic,
        sleep=time.sleep,
        now=_now,
        terminal_size=_terminal_size,
        load_engine=_load_engine,
        forbid_network=forbid_network,
        machine=_machine,
        watch_network=watch_network,
    )


def forbid_network() -> None:
    """Make every connection and name look-up of this process fail, whatever library asks.

    An audit hook cannot be taken back, which is the point.
    """
    sys.addaudithook(_refuse)


def watch_network() -> Callable[[], Network]:
    """Note every `socket.*` audit event from now on. Call it before `forbid_network`, whose hook
    would otherwise keep an event from this one.
    """
    from qvq_mlx.core.network import Network

    seen: list[str] = []

    def note(event: str, _arguments: tuple[object, ...]) -> None:
        if event.startswith("socket."):
            seen.append(event)

    def found() -> Network:
        loaded = tuple(name for name in NETWORK_MODULES if name in sys.modules)
        return Network(tuple(seen), loaded, NETWORK_MODULES)

    sys.addaudithook(note)
    return found


def open_standard_streams() -> None:
    """Put /dev/null where a standard stream was closed (`qvq ... <&-`).

    Otherwise the next file that is opened, the weights' say, takes the stream's place.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


def flushed(env: Env) -> bool:
    """Flush both streams; False where the reader of stdout is gone.

    What cannot be written any more (a closed pipe, a terminal that went away) goes to /dev/null:
    the interpreter would try once more when it ends, and complain.
    """
    read = True
    for stream in (env.stdout, env.stderr):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            read = read and not isinstance(error, BrokenPipeError)
    return read


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise PermissionError(f"--offline: {event} was refused: {arguments[-1]!r}")


def _now() -> datetime:
    from datetime import datetime

    return datetime.now().astimezone()


def _terminal_size() -> os.terminal_size:
    """Of the first of our streams that is a terminal; 80x24 where none is."""
    for stream in (sys.stdout, sys.stderr, sys.stdin):
        try:
            size = os.get_terminal_size(stream.fileno())
        except (OSError, ValueError, AttributeError):  # closed, redirected, or none at all
            continue
        if size.columns and size.lines:
            return size
    return os.terminal_size((80, 24))


def _machine() -> Machine:
    from qvq_mlx.memory.machine import read_machine

    return read_machine(Path.home())


def _load_engine(
    checkpoint: Checkpoint, setup: Setup, control: Control
) -> Generator[Progress, None, Engine | None]:
    from qvq_mlx import engine

    return (yield from engine.load(checkpoint, setup, control))
