"""The real world as an `Env`: the process's own streams, variables and clock."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.env import Env
from qvq_mlx.run import real
from qvq_mlx.system.streams import in_script, terminal_size

if TYPE_CHECKING:
    from qvq_mlx.core.remedies import Message, Remedy


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
        now=real.now,
        terminal_size=terminal_size,
        load_engine=real.load_engine,
        forbid_network=real.forbid_network,
        machine=real.machine,
        watch_network=real.watch_network,
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
