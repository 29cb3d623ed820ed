"""What a check needs of the machine, and how it says that it is not here."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "tiny"


class NotHereError(Exception):
    """A check needs what this machine has not."""


def has_metal() -> bool:
    """True where MLX has Metal."""
    import mlx.core as mx

    return mx.metal.is_available()


def needs_metal() -> None:
    """Raise NotHereError where MLX has no Metal."""
    if not has_metal():
        raise NotHereError("no Metal here")


def needs_macos() -> None:
    """Raise NotHereError on any other system."""
    if sys.platform != "darwin":
        raise NotHereError("no macOS here")
