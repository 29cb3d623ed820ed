"""Other programs that hand over a picture: found on PATH, bounded in time and in bytes.

They get no stdin, and what they write to stderr goes into an error's one line.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. `said` is stderr on one line; `late`: it was killed for its time."""

    code: int
    output: bytes
    said: str
    late: bool = False


def found(name: str, path: str | None) -> str | None:
    """Where the program lies, in `path` or where this process looks; None where it does not."""
    return shutil.which(name, path=path)


def run(argv: Sequence[str], max_bytes: int, wait_s: float | None = WAIT_S) -> Ran:
    """Run it to its end, or until it says more than `max_bytes`, or `wait_s` (None: no limit).

    `output` may hold one byte more than `max_bytes`: then there was more. Raises OSError.
    """
    late = threading.Event()
    with subprocess.Popen(  # noqa: S603
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,  # so that what it started ends with it
    ) as process:
        stdout, stderr = process.stdout, process.stderr
        assert stdout is not None, "asked for"
        assert stderr is not None, "asked for"

        def kill() -> None:
            with suppress(ProcessLookupError, PermissionError):  # it has ended by itself
                os.killpg(process.pid, signal.SIGKILL)

        def stop() -> None:
            late.set()
            kill()

        timer = threading.Timer(wait_s, stop) if wait_s is not None else None
        said = bytearray()
        drain = threading.Thread(target=lambda: said.extend(stderr.read(4096)), daemon=True)
        try:
            if timer:
                timer.start()
            drain.start()
            output = stdout.read(max_bytes + 1)
            if len(output) > max_bytes:
                kill()
            code = process.wait()
        except BaseException:
            kill()
            raise
        finally:
            if timer:
                timer.cancel()
        drain.join(1.0)
    words = " ".join(said.decode(errors="replace").split())[:120]
    return Ran(code, output, words, late.is_set())
