"""Waiting for what happens, and never for a time to pass."""

from __future__ import annotations

import time
from collections.abc import Callable

CEILING_S = 600.0
"""So long a test waits for what never happens. It is reached by a fault, and by no busy machine."""


def eventually(happens: Callable[[], bool], what: Callable[[], object] = lambda: "") -> None:
    """Return as soon as `happens()`; `what` tells what there is instead when it never does."""
    end = time.monotonic() + CEILING_S
    while not happens():
        assert time.monotonic() < end, f"it did not happen within {CEILING_S:.0f} s: {what()}"
        time.sleep(0.002)
