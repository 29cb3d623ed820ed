"""A process that saves runs until it is killed; run by test_kills.

    python -m tests.history.writer FOLDER SEED [LINES]

It says `begun STEM` and `committed STEM` on stdout, each when it is so. With LINES it kills itself
with SIGKILL when it has executed that many lines of qvq_mlx.history.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import FrameType

from qvq_mlx import history
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Notice,
    Progress,
    Stage,
    Stats,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.request import Sampling
from qvq_mlx.records.runs import VERSION, RequestRecord

RUNS = 6


def request(seed: int, number: int) -> RequestRecord:
    question = f"run {number} of {seed}? 多少 \ud800"
    return RequestRecord(VERSION, "request", question, "tiny", (), None, 512, Sampling())


def events(seed: int, number: int) -> Iterator[Event]:
    """A legal stream that follows from its two numbers."""
    draw = random.Random(f"{seed}/{number}")
    yield Progress(Stage.LOAD, 1, 1)
    tokens = 0
    for _ in range(draw.randint(0, 3)):
        for _ in range(draw.randint(0, 30)):
            tokens += 1
            yield ThinkingDelta(draw.choice(("so ", "红色", "\n", "\x1b[2J", '"\\', "é" * 90)), 1)
        yield Notice("note", "a notice")
        yield AnswerDelta("**Final", 1)
        yield AnswerRetracted("**Final")
    yield AnswerDelta(f"\\boxed{{{number}}}", 1)
    stats = Stats(generated_tokens=tokens + 1)
    yield Done(StopReason.END, AnswerSource.MARKER, True, False, stats)


def _kill_after(lines: int) -> None:
    """SIGKILL at a place that follows from a number, not from the machine's mood."""
    left = lines

    def trace(frame: FrameType, event: str, _argument: object) -> object:
        nonlocal left
        if "qvq_mlx/history" not in frame.f_code.co_filename:
            return None
        if event == "line":
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)  # type: ignore[arg-type]


def main(folder: Path, seed: int, lines: int) -> None:
    if lines:
        _kill_after(lines)
    for number in range(RUNS):
        now = datetime.now().astimezone()
        for event in history.record(events(seed, number), request(seed, number), folder, now):
            if isinstance(event, Done):
                print(f"committed {number}", flush=True)
    sys.settrace(None)
    print("lines", lines, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
