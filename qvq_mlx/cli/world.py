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
        forbid_network=_forbid_network,
        machine=_machine,
        watch_network=_watch_network,
    )


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


def _forbid_network() -> None:
    from qvq_mlx.run.network import forbid_network  # few commands need it

    forbid_network()


def _watch_network() -> Callable[[], Network]:
    from qvq_mlx.run.network import watch_network

    return watch_network()


def _machine() -> Machine:
    from qvq_mlx.memory.machine import read_machine

    return read_machine(Path.home())


def _load_engine(
    checkpoint: Checkpoint, setup: Setup, control: Control
) -> Generator[Progress, None, Engine | None]:
    from qvq_mlx import engine

    return (yield from engine.load(checkpoint, setup, control))
