"""Keeps a Mac awake for as long as a long piece of work takes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from qvq_mlx.system.programs import beside

_held = Lock()  # by the work that keeps the machine awake


@contextmanager
def awake(environ: Mapping[str, str]) -> Iterator[None]:
    """Run `caffeinate` where there is one (macOS): no idle sleep until the block ends.

    It watches this process, so it ends with it, also after kill -9. Where it is missing, or does
    not start, the work is done all the same. Work within such work, as an item of a batch, starts
    no second one.
    """
    if not _held.acquire(blocking=False):
        yield
        return
    try:
        with beside(["caffeinate", "-i", "-w", str(os.getpid())], environ):
            yield
    finally:
        _held.release()
