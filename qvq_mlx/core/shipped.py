"""Finds files that are shipped with the program and are no code."""

from __future__ import annotations

from pathlib import Path


def shipped(installed: str, checked_out: str) -> Path:
    """Return a file or folder: `installed` in the package, `checked_out` in a checkout."""
    package = Path(__file__).parents[1]
    place = package / installed
    return place if place.exists() else package.parent / checked_out
