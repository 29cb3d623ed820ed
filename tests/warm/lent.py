"""A server that lends a scripted engine, in this process, and processes that serve the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qvq_mlx.serve.engine_thread import EngineThread
from qvq_mlx.serve.lending import Lending, Served
from qvq_mlx.settings import config
from qvq_mlx.warm.places import folder_for, sockets
from tests.conftest import ROOT, ScriptedEngine, World
from tests.support.waiting import eventually

Build = Callable[..., World]
SAID = ("I look.\n\n", "**Final Answer**\n\n", "lent", " words")
OWN = ("Let me see.\n\n", "**Final Answer**\n\n", "own", " words")
PICTURE = str(ROOT / "examples" / "shapes.png")
QUESTION = ("ask", "-m", "tiny", "-i", PICTURE, "-Q", "How many?")


@contextmanager
def lending(world: Build, engine: ScriptedEngine | None = None) -> Iterator[EngineThread]:
    """Lend an engine for as long as the block lasts."""
    env = world(engine=engine or ScriptedEngine(SAID)).env
    settings = config.read(env)
    thread = EngineThread(env, settings)
    try:
        served = Served("tiny", "qvq-tiny", "http://127.0.0.1:1", None, thread.close)
        with Lending(served, thread, settings):
            yield thread
            thread.close()
    finally:
        thread.close()


def started(home: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a server of the embedded model, and wait until it lends."""
    environ = {**os.environ, "QVQ_HOME": str(home), "HOME": str(home)}
    command = [sys.executable, "-m", "qvq_mlx", "serve", "-m", "tiny", "--port", "0", *options]
    server = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=-3, stderr=-3)
    mine = f"{server.pid}.sock"
    eventually(
        lambda: mine in [path.name for path in sockets_in(home)] or server.poll() is not None
    )
    assert server.poll() is None
    return server


def sockets_in(home: Path) -> list[Path]:
    """Return the sockets of the servers of a home."""
    return sockets(folder_for(home / "cache"))


def killed(server: subprocess.Popen[bytes]) -> None:
    """End a server without a chance to tidy up."""
    server.send_signal(signal.SIGKILL)
    server.wait()
