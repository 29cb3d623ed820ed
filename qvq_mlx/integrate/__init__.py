"""The places where a Mac's user asks without a terminal; `desk` puts qvq there."""

from __future__ import annotations

from enum import StrEnum


class Place(StrEnum):
    """The places where a Mac's user asks without a terminal."""

    FINDER = "finder"
    SHORTCUTS = "shortcuts"
    RAYCAST = "raycast"
