"""Kills one machine of a split model at any moment, and looks at how the question ends.

    python -m benchmarks.rank_kills [--kills 20] [--seed 0]

Two machines, both processes here, split a small model whose answers do not end (docs/hosts.md). At
a random moment one of the two, chosen at random, gets SIGKILL: while they start, while they join,
within the answer. Looked at is what a person would: exit code 75, one line, how long it took,
whether what was written stands in the history, and whether a process is left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkpoints import checkpoint
from benchmarks.results import Result, report
from tools.make_checkpoint.build import Options

ROOT = Path(__file__).parents[1]
MOST_S = 5.0
"""So long after the kill the question has ended."""
LONGEST_RUN_S = 12.0
"""The kill comes within so many seconds of the start."""
LEFT_S = 3.0
"""A process that follows ends within two seconds of the one that leads (run/host_follow.py)."""
ASK = ("ask", "--draft", "none", "--jsonl", "--max-tokens", "4000")
HOSTS = [{"ssh": host, "ips": ["127.0.0.1"]} for host in ("127.0.0.1", "localhost")]


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a question: `alive` processes of it were left after LEFT_S."""

    code: int
    lines: int
    took_s: float
    alive: int
    saved: bool
    written: bool

    @property
    def well(self) -> bool:
        """True if it is one line, nothing is left, and what was written is kept."""
        told = (self.code, self.lines) == (75, 1)
        return told and not self.alive and (self.saved or not self.written)


def killed(home: Path, rng: random.Random) -> Ended | None:
    """Ask, and kill; None where the question had ended before."""
    model = checkpoint("tiny", Options(), "float32")
    command = [sys.executable, "-m", "qvq_mlx", *ASK, "-m", str(model)]
    command += ["--hosts", str(home / "hosts.json")]
    command += [str(ROOT / "examples" / "shapes.png"), "How many red circles are there?"]
    environ = {**os.environ, "QVQ_HOME": str(home)}
    with (home / "out").open("wb") as out:
        asking = subprocess.Popen(
            command, env=environ, cwd=ROOT, stdout=out, stderr=subprocess.PIPE, text=True
        )
        time.sleep(rng.uniform(0.3, LONGEST_RUN_S))
        machines = _below(asking.pid)
        if not machines or asking.poll() is not None:
            asking.communicate()
            return None
        runs_before, began = _runs(home), time.monotonic()
        os.kill(rng.choice(machines), signal.SIGKILL)
        _, err = asking.communicate()
    took_s = time.monotonic() - began
    time.sleep(LEFT_S)
    said = (home / "out").read_text()
    return Ended(
        code=asking.returncode,
        lines=err.count("\n"),
        took_s=took_s,
        alive=sum(map(_lives, machines)),
        saved=_runs(home) != runs_before,
        written=any(f'"{part}"' in said for part in ("thinking", "answer")),
    )


def _runs(home: Path) -> dict[Path, int]:
    """The saved runs, with the time in ns at which each was written last."""
    return {path: path.stat().st_mtime_ns for path in (home / "history").glob("*.jsonl")}


def _below(pid: int) -> list[int]:
    """The processes that a process started, and those that these started."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True)
    rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [child for child, parent in rows if parent == pid]
    return found + [deeper for child in found for deeper in _below(child)]


def _lives(pid: int) -> bool:
    state = subprocess.run(
        ["ps", "-p", str(pid), "-o", "stat="], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.startswith("Z")


def measure(kills: int, seed: int) -> Iterator[Result]:
    """The bound over the longest end; short of it where any question ended otherwise."""
    rng, ends = random.Random(seed), list[Ended]()  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "hosts.json").write_text(json.dumps(HOSTS))
        while len(ends) < kills:
            if ended := killed(home, rng):
                ends.append(ended)
                print(ended, file=sys.stderr, flush=True)
    longest_s = max(ended.took_s for ended in ends)
    wrong = [ended for ended in ends if not ended.well]
    detail = f"{len(ends)} kills, the longest end {longest_s:.1f} s, {len(wrong)} otherwise"
    yield Result("5 s / the longest end", 0.0 if wrong else MOST_S / longest_s, 1.0, detail)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    report(measure(given.kills, given.seed))
