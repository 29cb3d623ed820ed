"""The real machine behind `Env`: clock, engine, network, facts; each is imported when used."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.env import Env
from qvq_mlx.system.streams import in_script, terminal_size

if TYPE_CHECKING:
    from datetime import datetime

    from qvq_mlx.core.env import Engine
    from qvq_mlx.core.events import Notice, Progress
    from qvq_mlx.core.machine import Machine
    from qvq_mlx.core.network import Network
    from qvq_mlx.core.remedies import Spelling
    from qvq_mlx.core.setup import Checkpoint, Setup
    from qvq_mlx.core.tokens import Control


def env(spelling: Spelling) -> Env:
    """Return the world of the real process, with the front end's `spelling`."""
    return Env(
        stdin=sys.stdin,
        stdout=sys.stdout,
        stderr=sys.stderr,
        spelling=spelling,
        environ=os.environ,
        home=Path.home(),
        clock=time.monotonic,
        sleep=time.sleep,
        now=now,
        terminal_size=terminal_size,
        load_engine=load_engine,
        forbid_network=forbid_network,
        machine=machine,
        watch_network=watch_network,
        in_script=in_script,
    )


def now() -> datetime:
    """Return the time of day with its zone."""
    from datetime import datetime

    return datetime.now().astimezone()


def forbid_network() -> None:
    """Make every further connection of this process fail."""
    from qvq_mlx.run import network  # few commands need it

    network.forbid_network()


def watch_network() -> Callable[[], Network]:
    """Watch what this process tries on the network from now on."""
    from qvq_mlx.run import network

    return network.watch_network()


def machine() -> Machine:
    """Read the facts of this computer."""
    from qvq_mlx.memory.machine import Host, read_machine

    return read_machine(Path.home(), Host(working_set=_working_set))


def _working_set() -> int | None:
    """Ask Metal what it may hold, which follows a limit that the owner has set."""
    from qvq_mlx import engine

    engine.import_mlx()
    from qvq_mlx.engine.device import device

    return device().recommended_working_set_bytes


def load_engine(
    checkpoint: Checkpoint, setup: Setup, control: Control
) -> Generator[Progress | Notice, None, Engine | None]:
    """Read a checkpoint from disk; None where `control` stopped it."""
    from qvq_mlx import engine

    return (yield from engine.load(checkpoint, setup, control))
