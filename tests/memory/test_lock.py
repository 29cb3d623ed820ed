"""What does not fit is refused, and two big models are never loaded at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from qvq_mlx.core.errors import BigModelBusyError, ExitCode
from qvq_mlx.core.events import Notice
from qvq_mlx.core.tokens import Control
from qvq_mlx.memory.lock import BigModelLock
from qvq_mlx.memory.machine import hypothetical
from tests.conftest import ScriptedEngine, World
from tests.store.test_store import make_snapshot

Build = Callable[..., World]
GIB = 2**30
HOLD = """
import sys, time
from pathlib import Path
from qvq_mlx.core.tokens import Control
from qvq_mlx.memory.lock import BigModelLock
turn = BigModelLock(Path(sys.argv[1]), time.sleep)
for _ in turn.take(Control(), wait=True): pass
print("held", flush=True)
time.sleep(60)
"""


def run(steps):
    """The notices of a generator, and what it returned."""
    said = []
    while True:
        try:
            said.append(next(steps))
        except StopIteration as stop:
            return said, stop.value


@pytest.fixture
def holder(tmp_path: Path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_nobody_holds_it(tmp_path: Path) -> None:
    turn = BigModelLock(tmp_path / "new", lambda _s: None)
    assert run(turn.take(Control(), wait=False)) == ([], True)
    turn.release()
    turn.release()


def test_the_second_waits_until_the_holder_is_killed(tmp_path: Path, holder) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            os.kill(holder.pid, signal.SIGKILL)
            holder.wait()

    turn = BigModelLock(tmp_path, sleep)
    said, got = run(turn.take(Control(), wait=True))
    assert said == [Notice("waiting", f"waiting for another qvq (pid {holder.pid}) to finish")]
    assert (got, len(slept)) == (True, 3)
    turn.release()


def test_who_does_not_want_to_wait_is_told(tmp_path: Path, holder) -> None:
    turn = BigModelLock(tmp_path, lambda _s: None)
    with pytest.raises(BigModelBusyError, match=f"pid {holder.pid}") as caught:
        run(turn.take(Control(), wait=False))
    assert caught.value.exit_code == ExitCode.NO_MEMORY
    turn.release()


def test_ctrl_c_leaves_the_queue(tmp_path: Path, holder) -> None:
    control = Control()
    turn = BigModelLock(tmp_path, lambda _s: control.stop())
    assert run(turn.take(control, wait=True))[1] is False
    turn.release()


@pytest.fixture
def big(world: Build, tmp_path: Path) -> Callable[..., World]:
    """A world with the 4-bit QVQ on disk, as a file of its size without its bytes."""
    folder = make_snapshot(tmp_path / "hub", "mlx-community/QVQ-72B-Preview-4bit")
    size = 41_300_000_000
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    weights = folder / "model.safetensors"
    weights.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(weights, 8 + len(header) + size)
    Image.new("RGB", (300, 300)).save(tmp_path / "a.png")

    def build(memory_gib: int, **options) -> World:
        w = world(
            engine=ScriptedEngine(["**Final Answer**\n\n", "two"]),
            environ={"HF_HUB_CACHE": str(tmp_path / "hub")},
            **options,
        )
        w.env = replace(w.env, machine=lambda: hypothetical(memory_gib * GIB))
        return w

    return build


def ask(w: World, tmp_path: Path, *options: str) -> int:
    return w.run("ask", "-m", "qvq", str(tmp_path / "a.png"), "How many?", *options)


def test_what_does_not_fit_is_refused_before_the_load(big, tmp_path: Path) -> None:
    w = big(48)
    assert ask(w, tmp_path) == ExitCode.NO_MEMORY
    assert "error[does-not-fit]: qvq-72b-preview does not fit: 40." in w.err
    assert "try: qvq fit qvq-72b-preview" in w.err
    assert w.out == ""


def test_force_overrides_it_with_one_line(big, tmp_path: Path) -> None:
    w = big(48, err_tty=True)
    assert ask(w, tmp_path, "--force", "-o", str(tmp_path / "answer.txt")) == ExitCode.OK
    assert w.err.count("--force was given") >= 1
    assert (tmp_path / "answer.txt").read_text() == "two\n"


def test_a_tight_fit_is_said_only_where_a_person_watches(big, tmp_path: Path) -> None:
    w = big(60)
    assert ask(w, tmp_path) == ExitCode.OK
    assert (w.out, w.err) == ("two\n", "")
    w = big(60, err_tty=True)
    assert ask(w, tmp_path) == ExitCode.OK
    assert "is a tight fit" in w.err
    w = big(128, err_tty=True)
    assert ask(w, tmp_path) == ExitCode.OK
    assert "fit" not in w.err


def test_a_second_run_is_told_or_waits(big, tmp_path: Path) -> None:
    holder = BigModelLock(tmp_path / "qvq" / "cache", lambda _s: None)
    run(holder.take(Control(), wait=True))
    w = big(128)
    assert ask(w, tmp_path, "--no-wait") == ExitCode.NO_MEMORY
    assert "error[another-qvq]" in w.err
    w = big(128, err_tty=True)
    w.env = replace(w.env, sleep=lambda _s: holder.release())
    assert ask(w, tmp_path) == ExitCode.OK
    assert f"waiting for another qvq (pid {os.getpid()}) to finish" in w.err


def test_a_small_model_looks_at_nothing(world: Build, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300)).save(tmp_path / "a.png")

    def fail():
        raise AssertionError("the machine was asked")

    w = world(["**Final Answer**\n\n", "two"])
    w.env = replace(w.env, machine=fail)
    assert w.run("ask", "-m", "tiny", str(tmp_path / "a.png"), "How many?") == ExitCode.OK
    assert not (tmp_path / "qvq" / "cache").exists()
