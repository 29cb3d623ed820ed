"""The real world as an `Env`: the process's own streams, variables and clock."""

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
    from qvq_mlx.core.events import Progress
    from qvq_mlx.core.machine import Machine
    from qvq_mlx.core.network import Network
    from qvq_mlx.core.remedies import Message, Remedy
    from qvq_mlx.core.setup import Checkpoint, Setup
    from qvq_mlx.core.tokens import Control


def real_env() -> Env:
    """Return the world of the real process."""
    return Env(
        stdin=sys.stdin,
        stdout=sys.stdout,
        stderr=sys.stderr,
        spelling=_CommandLine(),
        environ=os.environ,
        home=Path.home(),
        clock=time.monotonic,
        sleep=time.sleep,
        now=_now,
        terminal_size=terminal_size,
        load_engine=_load_engine,
        forbid_network=_forbid_network,
        machine=_machine,
        watch_network=_watch_network,
        in_script=in_script,
    )


class _CommandLine:
    """The spelling of `cli.spelling`, imported when there is something to say."""

    def sentence(self, message: Message) -> str:
        """As `CommandLine` spells it."""
        from qvq_mlx.cli.spelling import CommandLine

        return CommandLine().sentence(message)

    def remedy(self, remedy: Remedy | None) -> str:
        """As `CommandLine` spells it."""
        from qvq_mlx.cli.spelling import CommandLine

        return CommandLine().remedy(remedy)


def _now() -> datetime:
    from datetime import datetime

    return datetime.now().astimezone()


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
