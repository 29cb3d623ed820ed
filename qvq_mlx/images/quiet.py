"""Keeps what libraries write to stderr by themselves away from the screen.

Law: only for as long as the context is open, and only for this process; Python's own `sys.stderr`
goes the same way meanwhile, so nothing is to be said within.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def muted() -> Iterator[None]:
    """Lead file descriptor 2 nowhere."""
    try:
        stderr = os.dup(2)
    except OSError:  # stderr is closed, so it is quiet already
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
