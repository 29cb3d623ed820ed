"""The machines that a model is split among: MLX's hostfile, and the loader that uses them.

Law: a process of its own leads on this machine (run/host_lead.py), and lends its engine to this one
as a server does: so whatever becomes of the others, this process goes on, and says it in one line.
A question that comes after that has the machines start again.

The file is what `mlx.distributed_config` writes. Its first host is this machine.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from qvq_mlx.core.clip import Visual
from qvq_mlx.core.env import Engine, EngineLoader
from qvq_mlx.core.errors import HostGoneError, QvqError, UsageError
from qvq_mlx.core.events import Event, Progress, Stage
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Control, Prompt
from qvq_mlx.records.doctor import Ring, RingMachine
from qvq_mlx.records.typed import typed
from qvq_mlx.run.host_follow import JOINED, SAID
from qvq_mlx.system.children import Child
from qvq_mlx.system.reading import read_bytes
from qvq_mlx.warm.borrowing import BorrowedEngine, Own
from qvq_mlx.warm.client import Line
from qvq_mlx.warm.frames import GoneError, receive, send
from qvq_mlx.warm.values import of_checkpoint

_MAX_BYTES = 2**20
LOCAL = ("127.0.0.1", "localhost")
"""Hosts that are reached without ssh."""


@dataclass(frozen=True, slots=True)
class Host:
    """A machine: the name that ssh knows it by, and its addresses in the ring."""

    ssh: str
    ips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hosts:
    """Machines in the order of the ring, and variables (`NAME=value`) that all of them set."""

    hosts: tuple[Host, ...]
    envs: tuple[str, ...] = ()


def read_hosts(path: Path) -> Hosts:
    """Read MLX's hostfile. Raises UsageError."""
    try:
        found = json.loads(read_bytes(path, _MAX_BYTES))
        listed = found if isinstance(found, list) else found["hosts"]
        said = {} if isinstance(found, list) else found
        hosts = tuple(Host(str(one["ssh"]), tuple(map(str, one.get("ips", ())))) for one in listed)
        envs = tuple(map(str, said.get("envs", ())))
        backend = str(said.get("backend", ""))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path} is no hostfile of MLX's") from None
    if backend not in ("", "any", "ring"):
        raise UsageError(f"{path} asks for the backend {backend[:40]}; this version speaks ring")
    if len(hosts) < 2:
        raise UsageError(f"{path} names fewer than two machines")
    for host in hosts:
        if host.ssh.startswith("-"):
            raise UsageError(f"{path}: {host.ssh[:60]} is no name of a machine")
        if not host.ips:
            raise UsageError(f"{path} gives no address of {host.ssh[:60]}")
    return Hosts(hosts, envs)


def loader(hosts: Hosts) -> EngineLoader:
    """Return what loads a checkpoint onto all of these machines."""

    def load(
        checkpoint: Checkpoint, setup: Setup, control: Control
    ) -> Generator[Progress, None, Engine | None]:
        yield Progress(Stage.LOAD, 0, 0)
        ours, theirs = socket.socketpair()
        with theirs:
            leader = _started("qvq_mlx.run.host_lead", theirs)
        send(
            ours,
            {
                "hosts": asdict(hosts),
                "checkpoint": of_checkpoint(checkpoint),
                "drafting": setup.drafting,
                "draft_model": setup.draft_model and of_checkpoint(setup.draft_model),
                "draft_tokens": setup.draft_tokens,
            },
        )
        ours.settimeout(0.05)
        again = partial(load, checkpoint, setup)
        engine = _HostsEngine(Line(ours, leader.pid), leader, control, again)
        return engine if (yield from engine.progress()) else None

    return load


def checked(hosts: Hosts, model: str | None, folder: Path | None) -> Ring:
    """Look at the machines, at the files of a model there, and at the ring. Loads nothing."""
    ours, theirs = socket.socketpair()
    with theirs:
        checking = _started("qvq_mlx.run.host_check", theirs)
    send(ours, {"hosts": asdict(hosts), "folder": folder and str(folder)})
    found = Ring(model=model)
    try:
        with ours:
            said, _ = receive(ours)
            machines = typed(tuple[RingMachine, ...], said["machines"])
            found = replace(found, machines=machines, fault=said.get("fault"))
            if not said.get("well"):
                return found
            speeds, _ = receive(ours)
    except GoneError:
        checking.wait()
        return replace(found, fault=_reason(checking) or "the process that asks them ended")
    return replace(found, sum_s=speeds["sum_s"], bytes_per_s=speeds["bytes_per_s"])


def _started(module: str, line: socket.socket) -> Child:
    """Start a module as a process of its own, with the other end of a socket."""
    argv = [sys.executable, "-m", module, str(line.fileno())]
    return Child(argv, passed=[line.fileno()], talks=False)


def _reason(child: Child) -> str:
    """The reason that it gave for its end; empty where it gave none."""
    said = [line.removeprefix(SAID) for line in child.errors if line.startswith(SAID)]
    return "" if not said or said[-1] == JOINED else said[-1]


class _HostsEngine(BorrowedEngine):
    """The engine of the process that leads."""

    def __init__(self, line: Line, leader: Child, control: Control, again: Own) -> None:
        """`again`: have them start again."""
        super().__init__(line, self._never, control)
        self._leader = leader
        self._again = again

    def prompt(
        self,
        question: str,
        pictures: Sequence[Visual],
        system: str | None,
        rounds: Sequence[Round] = (),
        *,
        labelled: bool = True,
        inline: bool = False,
        thinks: bool = True,
    ) -> Prompt:
        """As the engine's: a question begins with it, so here they start again if they have to."""
        if self._own is None and self._leader.ended:
            # the control is that of the question for which they were started first
            self._load_own = lambda _: self._again(Control())
        return super().prompt(
            question, pictures, system, rounds, labelled=labelled, inline=inline, thinks=thinks
        )

    def progress(self) -> Generator[Progress, None, bool]:
        """Load, here and there. False where the control stopped it."""
        steps = self.loaded()
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                return bool(stop.value)
            assert isinstance(step, Progress)
            yield step

    def _never(self, _control: Control) -> Generator[Event, None, Engine | None]:
        raise self._gone
        yield

    @property
    def _gone(self) -> QvqError:
        """Say why it ended, where it said so."""
        return HostGoneError(_reason(self._leader) or "the process that leads the machines ended")
