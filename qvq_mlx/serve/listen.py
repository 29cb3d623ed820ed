"""Listens on a socket until a signal comes, and ends every reply honestly.

Law: the socket is bound before anything is said, and nothing but this machine reaches it unless the
user named another address; then a token is needed. When it ends, what runs is stopped between two
tokens and its reply is finished (`length`), what waits is refused, and both are in the history.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from dataclasses import dataclass
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from qvq_mlx.core.errors import BusyError, UsageError
from qvq_mlx.core.remedies import Field, RunProgram
from qvq_mlx.core.tokens import Control
from qvq_mlx.run.choose import model_for
from qvq_mlx.run.signals import Interrupts, handled
from qvq_mlx.run.world import World
from qvq_mlx.serve.app import App
from qvq_mlx.serve.engine_thread import EngineThread
from qvq_mlx.serve.exchange import Server
from qvq_mlx.serve.gate import LOOPBACK, Gate
from qvq_mlx.serve.keep import parse_keep
from qvq_mlx.serve.lending import Lending, Served
from qvq_mlx.store import registry

TOKEN = "QVQ_SERVE_TOKEN"  # noqa: S105  the name of a variable
_POLL_S = 0.1
_CONNECTIONS = 256
HEAD_S = 10.0


@dataclass(frozen=True, slots=True)
class Listening:
    """Address and manner of listening. `port` 0: any that is free; `keep_s` None: it stays loaded.

    `hosts` are further names of this server, `origins` sites whose pages may ask.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    keep_s: float | None = None
    may_fetch: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


class _Connection(H11Protocol):
    """A connection that is closed where the head of a request takes longer than HEAD_S.

    Without it 256 clients that send half a line keep everybody else out. The body has its own bound
    (`gate`), and a connection between two requests has uvicorn's.
    """

    _head_ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._time_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._let_be()

    def _time_head(self) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first head
        if cycle is not None and not cycle.response_complete:
            self._let_be()
        elif self._head_ends is None:
            self._head_ends = self.loop.call_later(HEAD_S, self.transport.close)

    def _let_be(self) -> None:
        if self._head_ends is not None:
            self._head_ends.cancel()
            self._head_ends = None


class HttpServer:
    """One server. `run` returns after `stop`; in the main thread also after a signal."""

    def __init__(self, app: App, engine: EngineThread, listener: socket.socket) -> None:
        self._engine = engine
        self._listener = listener
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                app,
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_CONNECTIONS,
            )
        )

    @property
    def address(self) -> str:
        """Return the address as a browser takes it."""
        host, port = self._listener.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self) -> None:
        """Serve. The engine is closed at the end, however it ends."""
        try:
            asyncio.run(self._run())
        finally:
            self._engine.close()
            self._listener.close()

    def stop(self) -> None:
        """Begin to end. From any thread."""
        self._uvicorn.should_exit = True

    async def _run(self) -> None:
        ending = asyncio.ensure_future(self._end_replies())
        await self._uvicorn.serve(sockets=[self._listener])
        await ending

    async def _end_replies(self) -> None:
        """Once the server is to end, end what runs: uvicorn waits for it."""
        while not self._uvicorn.should_exit:
            await asyncio.sleep(_POLL_S)
        await asyncio.to_thread(self._engine.close)


def listening(
    host: str,
    port: int,
    keep: str | None,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    *,
    may_fetch: bool,
) -> Listening:
    """Read how a person says to listen; `names` are hosts and origins. Raises UsageError."""
    return Listening(host, port, parse_keep(keep), may_fetch, *names)


def serve(named: str | None, how: Listening, world: World) -> None:
    """Serve the model that is `named` until a signal comes; None: the one that `ask` would take.

    Raises a QvqError before that where it cannot.
    """
    env, settings = world.env, world.settings
    model = model_for(env, settings, named)
    card, _ = registry.resolve(model, settings.hub_cache, settings.cards_folder)
    gate = gate_for(how, env.environ.get(TOKEN, ""))
    listener = bound(how.host, how.port)
    engine = EngineThread(env, settings, how.keep_s)
    server = HttpServer(
        App(Server(env, card, engine, gate, how.may_fetch, world.kv_bits)), engine, listener
    )
    said = f"{card.name} is served at {server.address} (Ctrl-C ends it)\n"
    if gate.token and not env.environ.get(TOKEN):
        said += f"token: {gate.token}\n"
    env.stderr.write(said)
    env.stderr.flush()
    served = Served(model, card.name, server.address, how.keep_s, server.stop)
    lending = Lending(served, engine, settings)
    with (
        lending,
        handled(Interrupts(Control(), can_conclude=False)),
    ):  # uvicorn raises its signal again
        server.run()


def gate_for(how: Listening, token: str) -> Gate:
    """Return who may ask. Beyond this machine a token is made where none is given."""
    origins = frozenset(origin.lower().rstrip("/") for origin in how.origins)
    if how.host not in LOOPBACK:
        return Gate(frozenset(), origins, token or secrets.token_urlsafe(24))
    named = frozenset(name.lower() for name in how.hosts)
    return Gate(LOOPBACK | named, origins, token)


def bound(host: str, port: int) -> socket.socket:
    """Bind and listen. Raises BusyError for a port in use, UsageError for no address of ours."""
    plain = host.strip("[]")
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    try:
        return socket.create_server((plain, port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            who = RunProgram(("lsof", "-i", f":{port}"))
            raise BusyError((f"port {port} of {host} is in use (", Field.PORT, ")"), who) from None
        reason = error.strerror or str(error)
        raise UsageError(
            (f"nothing can listen on {host[:80]} port {port} (", Field.HOST, f"): {reason}")
        ) from None
