"""Lends the served model to other processes of the same user, over a socket of `warm`.

Law: what is lent is the model that is served and no other. A loan takes its turn with the requests
over HTTP. A borrower does what the server would do with a request: it plans, and it keeps the
history; the server keeps nothing of it but prefixes of images, and these only where it may. Whoever
may borrow may also ask what this server is, and end it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from qvq_mlx import __version__
from qvq_mlx.core.env import Engine
from qvq_mlx.core.errors import QvqError
from qvq_mlx.core.events import Event
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.request import Request
from qvq_mlx.core.setup import Drafting, Setup
from qvq_mlx.core.tokens import Control
from qvq_mlx.run.plan import resolve
from qvq_mlx.run.resident import ResidentModel
from qvq_mlx.serve.engine_thread import EngineThread, Loan
from qvq_mlx.settings.config import Settings
from qvq_mlx.system.files import make_private_folder
from qvq_mlx.warm.desk import Desk
from qvq_mlx.warm.frames import Frame, GoneError, receive, send
from qvq_mlx.warm.places import folder_for
from qvq_mlx.warm.servers import END, STATE
from qvq_mlx.warm.sockets import listening, same_user
from qvq_mlx.warm.values import SPOKEN, described

_HELLO_S = 10.0


@dataclass(frozen=True, slots=True)
class Served:
    """The facts of a server: the model as it was named, and its card's name. `end` ends it."""

    named: str
    model: str
    address: str
    keep_s: float | None
    end: Callable[[], None]


class Lending:
    """The socket of one server: open inside `with`. Where none can be made, nothing is lent."""

    def __init__(self, served: Served, engine: EngineThread, settings: Settings) -> None:
        self._served = served
        self._engine = engine
        self._settings = settings
        self._listener: socket.socket | None = None
        self._path = Path()

    def __enter__(self) -> Self:
        """Begin to listen."""
        folder = self._settings.cache_folder
        with suppress(OSError):
            make_private_folder(folder / "warm")
            self._listener, self._path = listening(folder_for(folder))
            threading.Thread(target=self._accept, name="qvq-lend", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more; loans are ended by the engine thread's end."""
        if self._listener is not None:
            with suppress(OSError):
                self._path.unlink()
            with suppress(OSError):  # where another server's socket lies there, both folders stay
                self._path.parent.rmdir()
                (self._settings.cache_folder / "warm").rmdir()
            self._listener.close()

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._meet, args=(line,), name="qvq-loan", daemon=True).start()

    def _meet(self, line: socket.socket) -> None:
        """Read a hello, and lend what it asks for or say that it is not lent."""
        lent = False
        try:
            with suppress(GoneError, LookupError, TypeError, ValueError, QvqError):
                lent = self._lent(line)
        finally:
            if not lent:
                line.close()

    def _lent(self, line: socket.socket) -> bool:
        """Queue a loan. False where there is none, and the connection is to be closed."""
        line.settimeout(_HELLO_S)
        if not same_user(line):
            return False
        hello, _ = receive(line, _too_slow)
        if "asks" in hello:
            self._tell(hello["asks"], line)
            return False
        found = self._asked_for(hello)
        desk = Desk(line)
        if found is None:
            desk.say({"lent": False})
            return False
        resolved, setup = found
        line.settimeout(None)

        def work(resident: ResidentModel) -> None:
            try:
                load = partial(_loaded, resident, hello, resolved, setup)
                desk.serve(load, lambda: self._engine.others_wait)
            finally:
                resident.settle(resolved.checkpoint, alone=bool(hello["alone"]))

        loan = Loan(f"process {hello['pid']}", resolved.card.name, work, desk.let_go)
        busy = self._engine.is_busy
        desk.say({"lent": hello["wait"] or not busy, "waits": busy})
        return (hello["wait"] or not busy) and self._engine.lend(loan)

    def _tell(self, asked: str, line: socket.socket) -> None:
        """Tell the state of this server, or end it. Raises GoneError."""
        if asked == END:
            send(line, {"asks": END})
            self._served.end()
            line.settimeout(None)
            with suppress(OSError):
                line.recv(1)  # whoever asked waits for this process to end
            return
        status, served = self._engine.status, self._served
        state = {
            "asks": STATE,
            "qvq": __version__,
            "model": served.model,
            "address": served.address,
            "loaded": status.model is not None,
            "waiting": status.waiting,
            "idle_s": status.idle_s,
            "keep_s": served.keep_s,
        }
        send(line, state)

    def _asked_for(self, hello: Frame) -> tuple[Resolved, Setup] | None:
        """Return what is asked for, where it is what is served."""
        if hello["spoken"] != SPOKEN:
            return None
        resolved = resolve(Request("", (), self._served.named), self._settings)
        own = resolved.setup.draft_model
        asked = hello["draft_model"]
        if hello["checkpoint"] != described(resolved.checkpoint):
            return None
        if asked is not None and (own is None or asked != described(own)):
            return None
        return resolved, Setup(
            Drafting(hello["drafting"]),
            own if asked is not None else None,
            hello["draft_tokens"],
            self._settings.cache_folder if hello["caches"] else None,
            min(hello["cache_max_bytes"], self._settings.cache_max_bytes),
        )


def _loaded(
    resident: ResidentModel, hello: Frame, resolved: Resolved, setup: Setup, control: Control
) -> Generator[Event, None, Engine | None]:
    """The model, its turn on this machine taken first where it has to be alone."""
    if hello["alone"] and not (yield from resident.turn.take(control, wait=bool(hello["wait"]))):
        return None
    return (yield from resident.load(resolved.checkpoint, setup, control))


def _too_slow() -> None:
    raise GoneError("no hello came")
