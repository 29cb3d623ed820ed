"""The process that leads the machines of a model: it starts them, and lends its engine.

Law: it ends with the line to the process that started it, and the others end with it. Where one of
them ends first, it gives the reason and ends, too, also in the middle of a pass.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from typing import IO

from qvq_mlx.core.env import Engine
from qvq_mlx.core.errors import DoesNotFitError, ExitCode, HostGoneError
from qvq_mlx.core.events import Event, Progress, Stage
from qvq_mlx.core.remedies import EstimateModel
from qvq_mlx.core.setup import Drafting, Setup
from qvq_mlx.core.sizes import size
from qvq_mlx.core.tokens import Control
from qvq_mlx.records.typed import typed
from qvq_mlx.run.host_follow import (
    GRACE_S,
    JOINED,
    SAID,
    checkpoint_sizes,
    free_ports,
    join,
    spoken,
)
from qvq_mlx.run.hosts import LOCAL, Host, Hosts
from qvq_mlx.system.children import Child
from qvq_mlx.warm.desk import Desk
from qvq_mlx.warm.frames import Frame, receive
from qvq_mlx.warm.values import checkpoint_from

_SSH = (
    *("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=4"),
    *("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"),
)


class Other:
    """Another machine: a process there, its standard input and output."""

    def __init__(self, host: Host) -> None:
        self.host = host
        command = [sys.executable, "-m", "qvq_mlx.run.host_follow"]
        if host.ssh not in LOCAL:
            command = [*_SSH, host.ssh, shlex.join(command)]
        self._child = Child(command, talks=True)
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def line(self) -> IO[bytes]:
        """Its standard input."""
        return self._child.stdin

    def tell(self, frame: Frame) -> None:
        """Send it a line."""
        with suppress(OSError):  # it ended: the answer says why
            self.line.write(json.dumps(frame).encode() + b"\n")
            self.line.flush()

    def answer(self) -> Frame:
        """Wait for its next line. Raises HostGoneError."""
        text = self._child.stdout.readline()
        with suppress(ValueError):
            frame: Frame = json.loads(text)
            if "error" in frame:
                raise HostGoneError(f"{self.host.ssh}: {frame['error']}")
            return frame
        raise HostGoneError(f"{self.host.ssh} {self.end}")

    @property
    def end(self) -> str:
        """Say how it ended."""
        lines = [line for line in self._child.errors if not line.startswith("[ring]")]
        last = lines[-1].removeprefix(SAID) if lines else JOINED
        return "ended" if last == JOINED else f"ended: {last[:200]}"

    def _watch(self) -> None:
        """End this process some time after that one, whatever it waits for."""
        self._child.wait()
        time.sleep(GRACE_S)
        sys.stderr.write(f"{SAID}{self.host.ssh} {self.end}\n")
        sys.stderr.flush()
        os._exit(ExitCode.TRY_AGAIN)


def _load(asked: Frame, control: Control) -> Generator[Event, None, Engine | None]:
    """Start the others, and read all parts of the weights at the same time."""
    yield Progress(Stage.LOAD, 0, 0)
    hosts = typed(Hosts, asked["hosts"])
    checkpoint = checkpoint_from(asked["checkpoint"])
    draft = asked["draft_model"] and checkpoint_from(asked["draft_model"])
    setup = Setup(Drafting(asked["drafting"]), draft, asked["draft_tokens"])
    others = [Other(host) for host in hosts.hosts[1:]]
    # while they start: the ring is made within some seconds from when they are ready
    from qvq_mlx.engine.led import Others
    from qvq_mlx.engine.session import load_session

    ours = spoken()
    for other in others:
        other.tell({"ips": other.host.ips})
    ring = [free_ports(hosts.hosts[0].ips)]
    sizes = checkpoint_sizes(checkpoint.folder)
    part_bytes = sum(sizes.values()) // len(hosts.hosts)  # hardly more than its part of the layers
    for other in others:
        answer = other.answer()
        if answer["spoken"] != ours:
            raise HostGoneError(
                f"{other.host.ssh} has {answer['spoken']}, and this machine has {ours}"
            )
        room_bytes = answer["working_set_bytes"]
        if room_bytes is not None and part_bytes > room_bytes:
            raise DoesNotFitError(
                f"{other.host.ssh} has {size(part_bytes)} of the model to hold, and"
                f" {size(room_bytes)} is what its GPU may use",
                EstimateModel(str(checkpoint.folder)),
            )
        ring.append(answer["ring"])
    for rank, other in enumerate(others, start=1):
        other.tell(
            {
                "rank": rank,
                "ring": ring,
                "envs": hosts.envs,
                "folder": str(checkpoint.folder),
                "sizes": sizes,
            }
        )
    for other in others:
        other.answer()  # it has the weights, and joins
    group = join(0, ring, hosts.envs)
    led = Others(group, [other.line for other in others])
    session = yield from load_session(checkpoint, setup, control, led)
    for other in others:
        other.answer()  # its part is read
    return session


def main(descriptor: int) -> None:
    """Serve the process at the other end of the socket, until it leaves."""
    line = socket.socket(fileno=descriptor)
    asked, _ = receive(line)
    Desk(line).serve(partial(_load, asked), lambda: False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
