"""What a check needs of the machine, and how it says that it is not here."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "tiny"


class NotHereError(Exception):
    """A check needs what this machine has not."""


def needs_metal() -> None:
    """Raise NotHereError where MLX has no Metal."""
    import mlx.core as mx

    if not mx.metal.is_available():
        raise NotHereError("no Metal here")


def needs_macos() -> None:
    """Raise NotHereError on any other system."""
    if sys.platform != "darwin":
        raise NotHereError("no macOS here")
