"""The world of a Python program as an `Env`: its clock, variables and home, and no streams."""

from __future__ import annotations

import os
import time
from io import BytesIO, TextIOWrapper
from pathlib import Path

from qvq_mlx.core.env import Env
from qvq_mlx.core.remedies import Message, Remedy, parts_of
from qvq_mlx.run import real


def environment() -> Env:
    """The process, but for its streams: stdin is empty, and what is printed goes nowhere."""
    return Env(
        stdin=_silence(),
        stdout=_silence(),
        stderr=_silence(),
        spelling=_Arguments(),
        environ=os.environ,
        home=Path.home(),
        clock=time.monotonic,
        sleep=time.sleep,
        now=real.now,
        terminal_size=lambda: os.terminal_size((80, 24)),
        load_engine=real.load_engine,
        forbid_network=real.forbid_network,
        machine=real.machine,
        watch_network=real.watch_network,
        in_script=lambda: True,
    )


def _silence() -> TextIOWrapper:
    return TextIOWrapper(BytesIO(), encoding="utf-8")


class _Arguments:
    """The spelling of a program: a field is the argument's name, and there is no command to run."""

    def sentence(self, message: Message) -> str:
        """`message` with each field under its neutral name."""
        return "".join(parts_of(message))

    def remedy(self, _remedy: Remedy | None) -> str:
        """'': the program decides what to do next."""
        return ""
