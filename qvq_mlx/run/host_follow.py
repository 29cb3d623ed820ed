"""The process of another machine of a model: it is told by lines, and ends with them.

A line is JSON. The first one asks for ports, the second one for a part of a model's weights, or to
measure the ring and no more; all others are for engine/follower.py. An error is answered in one
line, and is the end.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from qvq_mlx import __version__
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.memory.machine import read_machine
from qvq_mlx.system.children import scratch_file

SAID = "qvq: "
"""Before the reason that a process gives as the last line of its errors."""
JOINED = "joined"
"""In the place of a reason: it ended after that, and could not say why."""
GRACE_S = 2.0
"""After a machine ended: by then the pass that waited for it has failed, if it ever will."""
_JOIN_S = 3.5
"""The ring is made within so long, from when all machines are ready for it."""


def spoken() -> str:
    """Return the versions that all machines have to share."""
    from qvq_mlx.engine.library import versions

    return f"version {__version__}, {versions()}"


def free_ports(ips: Sequence[str]) -> list[str]:
    """Return `address:port` for each address of this machine. Raises OSError for any other."""
    with ExitStack() as stack:
        found = []
        for ip in ips:
            line = stack.enter_context(socket.socket())
            try:
                line.bind((ip, 0))
            except OSError as error:
                raise OSError(f"{ip} is no address of this machine: {error.strerror}") from None
            found.append(f"{ip}:{line.getsockname()[1]}")
        return found


def checkpoint_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file that all machines need alike."""
    files = [folder / "config.json", *folder.glob("[!.]*.safetensors")]
    return {path.name: path.stat().st_size for path in files if path.is_file()}


def join(rank: int, ring: Sequence[Sequence[str]], envs: Sequence[str]) -> Any:  # noqa: ANN401
    """Join MLX's ring; returns its group. Raises RuntimeError."""
    for one in envs:
        name, _, value = one.partition("=")
        os.environ[name] = value
    with scratch_file(json.dumps(ring)) as file:
        os.environ |= {"MLX_HOSTFILE": str(file), "MLX_RANK": str(rank)}
        from qvq_mlx.engine.ring import joined

        # MLX waits for a machine that is gone without an end, and lets no other thread run: the
        # system ends this process then
        _say(f"the machines do not reach each other at {ring}")
        signal.setitimer(signal.ITIMER_REAL, _JOIN_S)
        try:
            return joined()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _say(JOINED)


def _say(reason: str) -> None:
    sys.stderr.write(f"{SAID}{reason}\n")
    sys.stderr.flush()


class Told:
    """The lines of the process that leads. This one ends with them, whatever it waits for."""

    def __init__(self, lines: IO[bytes]) -> None:
        self._lines = lines
        self._heard: SimpleQueue[bytes] = SimpleQueue()
        threading.Thread(target=self._hear, daemon=True).start()

    def next(self) -> bytes:
        """Wait for a line; b"" where there are no more."""
        return self._heard.get()

    def _hear(self) -> None:
        while line := self._lines.readline():
            self._heard.put(line)
        self._heard.put(b"")
        time.sleep(GRACE_S)
        os._exit(ExitCode.TRY_AGAIN)


def _follow(told_next: Callable[[], bytes], answers: IO[bytes]) -> None:
    def answer(**frame: object) -> None:
        answers.write(json.dumps(frame).encode() + b"\n")
        answers.flush()

    try:
        ports = free_ports(json.loads(told_next())["ips"])
        room_bytes = read_machine(Path.home()).working_set_bytes
        answer(spoken=spoken(), ring=ports, working_set_bytes=room_bytes)
        told = json.loads(told_next())
        folder = Path(told["folder"])
        found = checkpoint_sizes(folder) == told["sizes"]
        if told.get("measure"):
            answer(found=found)
            _measure(told)
            answer(measured=True)
            return
        if not found:
            answer(error=f"the weights of the model are not in {folder}, or are other ones")
            return
        from qvq_mlx.engine.follower import Follower, load_layers

        answer(found=True)  # and ready: the other machines do not wait for an import
        group = join(told["rank"], told["ring"], told["envs"])
        follower = Follower(load_layers(folder, group))
        answer(read=True)
    except Exception as error:
        answer(error=" ".join(f"{error}".split())[:300] or type(error).__name__)
        return
    while line := told_next():
        follower.do(json.loads(line))


def _measure(told: dict[str, Any]) -> None:
    from qvq_mlx.engine.ring import measured

    measured(join(told["rank"], told["ring"], told["envs"]))


def main() -> None:
    """Follow standard input; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _follow(Told(sys.stdin.buffer).next, answers)
    sys.stderr.flush()
    os._exit(ExitCode.OK)  # a thread still reads: Python aborts where it ends and finds one


if __name__ == "__main__":
    main()
