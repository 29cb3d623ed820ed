"""Judging in a process of its own, so that a hostile answer costs seconds and no more.

Law: one reading of one answer takes LIMIT_S at most. Where it takes longer, takes too much memory
or crashes, its verdict is UNJUDGED, and the next answer is judged by a fresh process.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from importlib.util import find_spec
from types import TracebackType
from typing import Self

from qvq_mlx.core.errors import QvqError, UsageError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.evaluate.gold import Gold, Reading, Score, Verdict
from qvq_mlx.records.typed import typed

LIMIT_S = 30.0
"""Of one reading; OlympiadBench's judge in VLMEvalKit has the same."""
_START_LIMIT_S = 120.0
_UNJUDGED = Reading(Verdict.UNJUDGED, None)


_PACKAGES = ("sympy", "math_verify", "antlr4", "pyarrow")


def check_installed() -> None:
    """Raise UsageError where a package that judging needs is missing."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"an evaluation needs packages that are not installed: {', '.join(missing)}",
            RunProgram(("pip", "install", "qvq-mlx[eval]")),
        )


class Judge:
    """A process that judges answers; it starts with the first one. Close it at the end."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def score(self, gold: Gold, answer: str) -> Score:
        """Judge an answer in both readings. Raises QvqError where no process can be started."""
        strict = self._reading("strict", gold, answer)
        return Score(strict, self._reading("canonical", gold, answer))

    def close(self) -> None:
        """End the process. The judge may be used again afterwards."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def _reading(self, which: str, gold: Gold, answer: str) -> Reading:
        task = {
            "reading": which,
            "kind": type(gold).__name__,
            "gold": asdict(gold),
            "answer": answer,
        }
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(task).encode() + b"\n")
            process.stdin.flush()
            line = _line(process, self._limit_s)
        except BrokenPipeError:
            line = b""
        if not line:
            self.close()
            return _UNJUDGED
        return typed(Reading, json.loads(line))

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            return self._process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "qvq_mlx.evaluate.scoring.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,  # a Ctrl-C is the run's to deal with
        )
        if _line(self._process, _START_LIMIT_S) != b"ready\n":
            self.close()
            raise QvqError("the process that judges answers does not start")
        return self._process


def _line(process: subprocess.Popen[bytes], limit_s: float) -> bytes:
    """Return the next line of a process; empty where it ends or takes longer than `limit_s`."""
    assert process.stdout is not None
    descriptor, end, line = process.stdout.fileno(), time.monotonic() + limit_s, b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        part = os.read(descriptor, 65536) if ready else b""
        if not part:
            return b""
        line += part
    return line
