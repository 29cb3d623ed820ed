"""How much longer a question takes whose model a server lends, against one with the model at hand.

    python -m benchmarks.lent [--rounds 31] [ARGUMENTS OF qvq ask]

Both are `main(["ask", ...])` in this process, in pairs whose order changes, from the command line
to the exit code, into a pipe: once with a loaded engine, once over the socket of a server in
another process that has the same model loaded. Nothing is drafted, so that each token is a pull.
Both share the history and the cache of image prefixes. What the socket adds is the median of the
pairs' differences. On a busy machine wall time says as much of the others, either way; so the least
of each side and the processor time of both processes are told too.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.results import Result, report
from qvq_mlx.cli.main import main
from qvq_mlx.cli.world import real_env
from qvq_mlx.core.env import Engine
from qvq_mlx.core.events import Notice, Progress
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Control
from qvq_mlx.warm.places import folder_for
from qvq_mlx.warm.servers import ended, running

QUESTION = ("-m", "tiny", "-i", "examples/shapes.png", "-Q", "How many red circles are there?")
MOST_S = 0.060
"""What the socket may add."""


class LoadedOnce:
    """Reads the checkpoint for the first question only."""

    engine: Engine

    def load(
        self, checkpoint: Checkpoint, setup: Setup, control: Control
    ) -> Generator[Progress | Notice, None, Engine | None]:
        """An `EngineLoader`."""
        if not hasattr(self, "engine"):
            from qvq_mlx.engine import load

            found = yield from load(checkpoint, setup, control)
            assert found is not None
            self.engine = found
        return self.engine


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of one question: all of it, to the first token, and from there to the last; and of
    the processors, in this process and in the server.
    """

    whole_s: float
    first_s: float
    decode_s: float
    spent_s: float


def asked(once: LoadedOnce, arguments: Sequence[str], home: Path, server: int | None) -> Took:
    """Ask once; `server` is the process that has to answer, None: this one."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    env = replace(
        real_env(),
        stdout=out,
        stderr=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"),
        environ={"QVQ_HOME": str(home)},
        load_engine=once.load,
    )
    where = [] if server else ["--no-server"]
    spent_s, began = _spent_s(server), time.perf_counter()
    assert main(["ask", "--json", "--draft", "none", *where, *arguments], env) == 0
    whole_s, spent_s = time.perf_counter() - began, _spent_s(server) - spent_s
    out.seek(0)
    stats = json.loads(out.read())["stats"]
    assert stats["server_pid"] == server
    return Took(whole_s, stats["first_token_s"], stats["decode_s"], spent_s)


def _spent_s(server: int | None) -> float:
    """Processor time of this process, and of a server where the system tells it (Linux)."""
    stat = Path(f"/proc/{server}/stat")
    if server is None or not stat.exists():
        return time.process_time()
    ticks = stat.read_text("ascii").rpartition(")")[2].split()[11:13]
    return time.process_time() + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def measure(rounds: int, arguments: Sequence[str] = QUESTION) -> Iterator[Result]:
    """The bound over what the socket adds."""
    once = LoadedOnce()
    own: list[Took] = []
    lent: list[Took] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        command = [sys.executable, "-m", "qvq_mlx", "serve", "--port", "0"]
        command += _model_of(arguments)
        environ = {"QVQ_HOME": folder, "HOME": folder}
        with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as server:
            sockets = folder_for(home / "cache")
            while not running(sockets):
                assert server.poll() is None, "the server did not start"
                time.sleep(0.05)
            for turn in range(rounds + 1):
                pair = [(own, None), (lent, server.pid)]
                for found, pid in pair if turn % 2 else reversed(pair):
                    took = asked(once, arguments, home, pid)
                    if turn:  # the first round loads and fills the cache
                        found.append(took)
            assert ended(sockets, server.pid)
    added_s = statistics.median(b.whole_s - a.whole_s for a, b in zip(own, lent, strict=True))
    detail = f"{_told(lent)} against {_told(own)}; {added_s * 1e3:.0f} ms more, {rounds} pairs"
    yield Result("60 ms / what the socket adds", MOST_S / max(added_s, 1e-3), 1.0, detail)


def _model_of(arguments: Sequence[str]) -> Sequence[str]:
    """Return the option that names the model, and the name."""
    at = arguments.index("-m")
    return arguments[at : at + 2]


def _told(found: Sequence[Took]) -> str:
    whole_s = statistics.median(took.whole_s for took in found)
    first_s = statistics.median(took.first_s for took in found)
    decode_s = statistics.median(took.decode_s for took in found)
    spent_s = statistics.mean(took.spent_s for took in found)
    parts = f"first token {first_s * 1e3:.0f}, decode {decode_s * 1e3:.0f}"
    parts += f", processor {spent_s * 1e3:.0f}"
    least_s = min(took.whole_s for took in found)
    return f"{whole_s * 1e3:.0f} ms (least {least_s * 1e3:.0f}, {parts})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=31)
    given, rest = parser.parse_known_args()
    report(measure(given.rounds, rest or QUESTION))
