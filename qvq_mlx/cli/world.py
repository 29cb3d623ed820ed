"""The real world as an `Env`: the process's own streams, variables and clock."""

from __future__ import annotations

import os
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path

from qvq_mlx import engine
from qvq_mlx.core.env import Env


def real_env() -> Env:
    """What `qvq` runs in."""
    return Env(
        stdin=sys.stdin,
        stdout=sys.stdout,
        stderr=sys.stderr,
        environ=os.environ,
        home=Path.home(),
        clock=time.monotonic,
        now=lambda: datetime.now().astimezone(),
        terminal_size=shutil.get_terminal_size,
        load_engine=engine.load,
        forbid_network=forbid_network,
    )


def forbid_network() -> None:
    """Make every connection and name look-up of this process fail, whatever library asks.

    An audit hook cannot be taken back, which is the point.
    """
    sys.addaudithook(_refuse)


def quiet_exit(env: Env) -> None:
    """Flush; where the reader of stdout is gone, let the interpreter end without a complaint."""
    try:
        env.stdout.flush()
        env.stderr.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise PermissionError(f"--offline: {event} was refused: {arguments[-1]!r}")
