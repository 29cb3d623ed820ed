"""Keeps a Mac awake for as long as a long piece of work takes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def awake(environ: Mapping[str, str]) -> Iterator[None]:
    """`caffeinate` where there is one (macOS): no idle sleep until the block ends.

    It watches this process, so it ends with it, also after kill -9. Where it is missing, or does
    not start, the work is done all the same.
    """
    command = shutil.which("caffeinate", path=environ.get("PATH"))
    if command is None:
        yield
        return
    try:
        guard = subprocess.Popen(  # noqa: S603 - the name is fixed
            [command, "-i", "-w", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        yield
        return
    try:
        yield
    finally:
        guard.terminate()
        guard.wait()
