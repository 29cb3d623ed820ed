"""Seeded runs on a real pseudo-terminal: keys, resizes, signals and unplugged ends at every stage.

Every fifth run is the whole program with the embedded model, held to 30 tokens/s; the others run
the same `qvq_mlx.cli.run` with an engine that needs no model (`tests.support.pseudo.program`), so
that every stage lasts.
"""

from __future__ import annotations

import ast
import json
import os
import pty
import random
import re
import select
import shlex
import shutil
import signal
import sys
import termios
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from qvq_mlx.history.files import PART
from tests.conftest import EXAMPLES, ROOT
from tests.support import seeds
from tests.support.pseudo.terminal import Terminal
from tests.support.waiting import CEILING_S, eventually

QUESTION = "How many red circles are there?"
SEEDS = seeds.numbers(15, 17)  # every plug and stage, real and scripted
AT_ONCE = 3

STAGES = {
    "load": b"load",
    "encode": b"encode",
    "prefill": b"prefill",
    "thinking": b"Thinking",
    "answer": b"word",
}
ENDINGS = {"interrupt", "end"}  # a signal may also come while what has ended is shown
DONE = {0, 3}  # it ended before what we did reached it
KEYS = [b"t", b"\x0f", b"a", b"?", b"\x1b[A", b"xyz", b"\x1bOP", b"\r\n", b"\x13\x11", b"a" * 5000]


@dataclass(frozen=True)
class Plug:
    """What ends a run, and the exit codes that it may then have."""

    do: Callable[[Terminal], None]
    codes: set[int]
    bears_done: bool = True  # the saved run ends with `done`
    # it may strike while the run is being saved, which is then listed as torn
    at_once: bool = False


def _twice(number: int) -> Callable[[Terminal], None]:
    def do(t: Terminal) -> None:
        t.send(number)
        t.look(0.01)
        t.send(number)

    return do


def _thrice_typed(t: Terminal) -> None:
    for _ in range(3):
        t.type(b"\x03")
        t.look(0.05)


def _q_twice(t: Terminal) -> None:
    t.look(0.4)
    t.type(b"q")
    t.until(lambda: b"q again" in t.raw, 2)
    t.look(0.1)
    t.type(b"q")


PLUGS = {
    "none": Plug(lambda _t: None, set()),
    "ctrl-c": Plug(lambda t: t.type(b"\x03"), {130}),
    "ctrl-c twice": Plug(lambda t: (t.type(b"\x03"), t.look(0.1), t.type(b"\x03")), {130}),  # type: ignore[arg-type, return-value]
    "ctrl-c thrice": Plug(_thrice_typed, {130}, at_once=True),
    "q": Plug(_q_twice, {130}),
    "TERM": Plug(lambda t: t.send(signal.SIGTERM), {143}),
    "TERM twice": Plug(_twice(signal.SIGTERM), {143}, at_once=True),
    "HUP": Plug(lambda t: t.send(signal.SIGHUP), {129}),
    "window closed": Plug(Terminal.hang_up, {129}),
    "KILL": Plug(lambda t: t.send(signal.SIGKILL), {137}, bears_done=False),
    "reader gone": Plug(lambda t: t.close_reader(), {141}),
    "crash": Plug(lambda _t: None, {1}, bears_done=False),
}


def _stop_and_go(number: int | None) -> Callable[[Terminal, random.Random], None]:
    def do(t: Terminal, rng: random.Random) -> None:
        if number is None:
            t.type(b"\x1a")
        else:
            t.send(number)
        if t.until(lambda: t.stopped, 5) and t.stopped:
            if rng.random() < 0.3:
                t.resize(rng.randrange(20, 120), rng.randrange(6, 40))
            t.foreground()

    return do


STEPS: list[Callable[[Terminal, random.Random], None]] = [
    lambda t, rng: t.type(rng.choice(KEYS)),
    lambda t, rng: t.resize(rng.randrange(20, 160), rng.randrange(5, 50)),
    lambda t, rng: t.look(rng.random() / 2),
    _stop_and_go(None),
    _stop_and_go(signal.SIGSTOP),
]


@dataclass(frozen=True)
class Outcome:
    """What a run came to; `faults` is empty where all is as it should be."""

    plug: str
    stage: str
    real: bool
    code: int | None
    seconds: float
    faults: tuple[str, ...]
    modes_left: frozenset[str]


def run(seed: int, home: Path) -> Outcome:
    rng = random.Random(seed)
    names = list(PLUGS)
    name, stage = names[seed % len(names)], list(STAGES)[seed // len(names) % len(STAGES)]
    real = seed % 5 == 0 and name != "crash"
    plug = PLUGS[name]
    piped = name == "reader gone" or rng.random() < 0.25
    reader, writer = os.pipe() if piped else (None, None)
    options = rng.choice([[], [], ["-v"], ["-q"], ["--thinking", "full"], ["--thinking", "line"]])
    if piped:
        options = [*options, *rng.choice([[], ["--jsonl"], ["--json"]])]
    t = Terminal(
        [
            sys.executable, "-m", "qvq_mlx" if real else "tests.support.pseudo.program",
            "ask", "-m", "tiny", str(EXAMPLES / "shapes.png"), QUESTION, *options,
        ],
        {
            "QVQ_HOME": str(home),
            "QVQ_PACE": "30" if real else "0",
            "QVQ_TEST_CRASH": str(rng.randrange(60)) if name == "crash" else "-1",
        },
        out=writer,
        columns=rng.choice([20, 40, 80, 200]),
        rows=rng.choice([8, 24, 60]),
    )  # fmt: skip
    if writer is not None:
        os.close(writer)
    t.reader = reader
    begun = time.monotonic()
    try:
        for _ in range(rng.randrange(3)):
            t.until(lambda: STAGES[rng.choice(list(STAGES))] in t.raw, rng.random())
            rng.choice(STEPS)(t, rng)
        t.until(lambda: STAGES[stage] in t.raw, 10 if real else 4)
        plug.do(t)
        code = t.end(CEILING_S)
        faults = _faults(t, plug, name, code, home)
        left = _differing(t.before, t.after) if t.after else frozenset()
        return Outcome(name, stage, real, code, time.monotonic() - begun, faults, left)
    finally:
        t.close()


def _faults(t: Terminal, plug: Plug, name: str, code: int | None, home: Path) -> tuple[str, ...]:
    found = []
    allowed = DONE | plug.codes
    if code not in allowed:
        found.append(f"exit code {code}, allowed {sorted(allowed)}")
    text = t.text
    if name == "crash":
        text = text.replace("(this is a bug)", "")
    words = ("Traceback", "Exception ignored", "(this is a bug)", "Error in")
    found += [f"{word!r} is on the screen" for word in words if word in text]
    if code != 137:
        if t.after is not None and t.after != t.before:
            found.append(f"modes differ: {_differing(t.before, t.after)}")
        if name != "window closed" and t.screen.cursor.hidden:
            found.append("the cursor is hidden")
        if name != "window closed" and "tok/s" in "\n".join(t.screen.display):
            found.append("the live area is still there")
    runs = list((home / "history").glob("*.jsonl"))
    parts = list((home / "history").glob(f"*{PART}"))
    if parts and plug.bears_done and not plug.at_once:
        found.append(f"not saved whole: {parts[0].name}")
    if code in (0, 3) and not runs:
        found.append("the run is not saved")
    for path in runs:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        ended = records[-1]["type"] == "done"
        if code in (0, 3) or (plug.bears_done and code != 1):
            if not ended:
                found.append(f"no done in {path.name}: {records[-1]}")
            elif code in (129, 130, 143) and records[-1]["stop_reason"] not in ENDINGS:
                found.append(f"saved as {records[-1]['stop_reason']}")
    return tuple(found)


def _differing(before: str, after: str) -> frozenset[str]:
    """The names of the local modes, and the numbers of the other fields, that differ."""
    old, new = ast.literal_eval(before), ast.literal_eval(after)
    names = {
        name
        for name in ("ECHO", "ICANON", "ISIG", "IEXTEN")
        if (old[3] ^ new[3]) & getattr(termios, name)
    }
    return frozenset(names | {f"field {n}" for n in range(7) if n != 3 and old[n] != new[n]})


@pytest.mark.seeded
def test_whatever_happens_the_terminal_is_whole_and_the_exit_code_says_what(tmp_path: Path) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda seed: run(seed, tmp_path / str(seed)), SEEDS))
    wrong = {seed: one for seed, one in zip(SEEDS, outcomes, strict=True) if one.faults}
    assert not wrong, "\n".join(f"{seed}: {one}" for seed, one in wrong.items())
    assert {one.modes_left for one in outcomes if one.code != 137} == {frozenset()}


def test_after_ctrl_s_a_kill_still_ends_it(tmp_path: Path) -> None:
    """A write to a terminal that was told to wait does not come back by itself."""
    writes = tmp_path / "writes"
    t = Terminal(
        [
            sys.executable, "-m", "tests.support.pseudo.program",
            "ask", "-m", "tiny", str(EXAMPLES / "shapes.png"), QUESTION,
        ],
        {"QVQ_HOME": str(tmp_path), "QVQ_TEST_WRITES": str(writes)},
    )  # fmt: skip
    try:
        assert t.until(lambda: b"Thinking" in t.raw, CEILING_S)
        t.tell_pauses()
        t.type(b"\x13")
        assert t.until(lambda: t.paused, CEILING_S)  # a kill that came before would be no test
        assert t.until(lambda: writes.read_bytes().endswith(b"("), CEILING_S)  # and stays there
        assert t.status is None
        t.send(signal.SIGTERM)
        assert t.end(CEILING_S) == 143
        assert t.after == t.before
    finally:
        t.close()


STARTS = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "-i"],
}


@pytest.mark.parametrize("shell", STARTS)
def test_the_next_prompt_restores_what_kill_9_left(tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    environ = {**os.environ, "QVQ_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(shell, [shell, *STARTS[shell]], environ)
    try:
        before = _modes_in(terminal, "first")
        program = (
            "import runpy; runpy.run_module('tests.support.pseudo.program', run_name='__main__')"
        )
        # the shell is told the process id, so that nothing else can be hit
        code = f"import os; print('pid', os.getpid(), 'dip', flush=True); {program}"
        command = shlex.join(
            [sys.executable, "-c", code, "ask", "-m", "tiny", str(EXAMPLES / "shapes.png"), "why"]
        )
        os.write(terminal, command.encode() + b"\r")
        seen = _read_until(terminal, b"Thinking")
        running = re.search(rb"pid (\d+) dip", seen)
        assert running is not None, seen
        assert not termios.tcgetattr(terminal)[3] & (termios.ECHO | termios.ICANON)
        os.kill(int(running[1]), signal.SIGKILL)
        eventually(lambda: _reaped(int(running[1])))
        assert _modes_in(terminal, "second") == before
    finally:
        os.close(terminal)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _reaped(pid: int) -> bool:
    """Whether the shell has seen that the process ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _modes_in(terminal: int, mark: str) -> bytes:
    """What a command of the shell finds: `stty -g` between two marks."""
    os.write(terminal, f"stty -g; echo {mark}''mark\r".encode())
    seen = _read_until(terminal, f"{mark}mark".encode())
    return re.findall(rb"[0-9a-f]+(?::[0-9a-f]+){10,}", seen)[-1]


def _read_until(terminal: int, what: bytes) -> bytes:
    seen, deadline = b"", time.monotonic() + CEILING_S
    while what not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 4096)
    return seen
