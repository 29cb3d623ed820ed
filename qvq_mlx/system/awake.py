"""Keeps a Mac awake for as long as a long piece of work takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager

from qvq_mlx.system.programs import beside


def awake(environ: Mapping[str, str]) -> AbstractContextManager[None]:
    """`caffeinate` where there is one (macOS): no idle sleep until the block ends.

    It watches this process, so it ends with it, also after kill -9. Where it is missing, or does
    not start, the work is done all the same.
    """
    return beside(["caffeinate", "-i", "-w", str(os.getpid())], environ)
