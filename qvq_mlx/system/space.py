"""Asks how much of a disk is free."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Space:
    """A volume's size, and what this user may still write to it."""

    total_bytes: int
    free_bytes: int


def space(path: Path) -> Space:
    """The volume that holds `path`, or will hold it: the nearest folder that exists is asked.

    Raises OSError.
    """
    place = path.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    facts = os.statvfs(place)
    return Space(facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize)


def free_bytes(path: Path) -> int:
    """Bytes that may still be written where `path` is or will be. Raises OSError."""
    return space(path).free_bytes
