"""Keeps what libraries say by themselves away from the screen.

Law: only for as long as the context is open, and only for this process. Under `muted`, Python's own
`sys.stderr` goes the same way, so nothing is to be said within.
"""

from __future__ import annotations

import os
import warnings
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


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that PIL warns of or logs reaches the screen: what matters is raised."""
    import logging

    logger = logging.getLogger("PIL")
    silence = logging.NullHandler()  # without a handler, logging writes errors to stderr
    logger.addHandler(silence)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(silence)
