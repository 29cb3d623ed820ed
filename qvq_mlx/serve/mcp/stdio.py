"""Runs the server on the process's own streams, until the client closes them or a signal comes.

Law: stdout holds the protocol and nothing else; what a library prints goes to stderr. At the end
what runs is stopped before its next token and saved, and the model is let go of. The lines are read
by a thread that the process does not wait for: a read of stdin that waits cannot be ended.
"""

from __future__ import annotations

import asyncio
import math
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.request import Policy, Request
from qvq_mlx.run.choose import model_for
from qvq_mlx.run.groups import limits_of
from qvq_mlx.run.signals import ending
from qvq_mlx.run.world import World
from qvq_mlx.serve.engine_thread import EngineThread
from qvq_mlx.serve.keep import parse_keep
from qvq_mlx.serve.mcp.server import Shared, server_for

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


KEEP = "10m"
"""An idle model is let go of after so long: an agent's session may be open for days."""


def serve(
    world: World,
    model: str | None,
    budget: str | None,
    named: tuple[Path, ...],
    keep: str | None = None,
    *,
    save: bool,
) -> ExitCode:
    """Serve the client that started this process; connections are refused from now on.

    `model`, `budget` and `save` hold for every question; `named` places may be read besides the
    client's roots. A model that is idle for the time `keep` is let go of. Raises a QvqError where
    a signal ended it, or no model can be asked, and UsageError for what is no time.
    """
    env, settings = world.env, world.settings
    policy = Policy(offline=True, save=save)
    base = Request("", (), model_for(env, settings, model), limits=limits_of(budget), policy=policy)
    world.forbid_network()
    engine = EngineThread(env, settings, parse_keep(keep or KEEP))
    try:
        server = server_for(engine, base, env, settings, Shared(named, Path.cwd()))
        number = anyio.run(_serve, server, env.stdin)
    finally:
        engine.close()
    if number:
        raise ending(number, "the server was stopped", None)
    return ExitCode.OK


async def _serve(server: Server[None], stdin: TextIO) -> int:
    """Return the signal that ended it; 0: the client left."""
    ended_by = 0

    async def watch(scope: anyio.CancelScope) -> None:
        nonlocal ended_by
        with anyio.open_signal_receiver(*_SIGNALS) as numbers:
            async for number in numbers:
                ended_by = number
                scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        # the transport only iterates over what it is given
        lines = cast("anyio.AsyncFile[str]", _Lines(stdin))
        async with stdio_server(stdin=lines) as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
        group.cancel_scope.cancel()
    return ended_by


class _Lines:
    """The lines of a stream, read by a thread of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._send, self._receive = anyio.create_memory_object_stream[str | None](math.inf)

    async def __aiter__(self) -> AsyncIterator[str]:
        call = asyncio.get_running_loop().call_soon_threadsafe
        thread = threading.Thread(target=self._read, args=(call,), name="qvq-stdin", daemon=True)
        thread.start()
        async for line in self._receive:
            if line is None:
                return
            yield line

    def _read(self, call: Callable[..., object]) -> None:
        """In the thread. Bytes that are no UTF-8 become U+FFFD, as in the SDK's transport."""
        with suppress(RuntimeError, OSError, ValueError):  # the loop, or the stream, was closed
            for line in self._stream.buffer:
                call(self._put, line.decode(errors="replace"))
            call(self._put, None)

    def _put(self, line: str | None) -> None:
        """In the loop."""
        with suppress(anyio.BrokenResourceError):  # the server has ended
            self._send.send_nowait(line)
