"""Runs that go, and what they alone needed.

Law: a run that is being written stays. A picture below `pictures/` goes when no run that is left
names its hash, and not within its first hour: the run that it was kept for may not be there yet.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from qvq_mlx.core.rounds import ATTACHMENTS
from qvq_mlx.history.files import NEW, WHOLE, File, files, names_in, take
from qvq_mlx.system.files import remove_leftovers

_YOUNG_S = 3600.0
_HASH = re.compile(rb"[0-9a-f]{64}")
_AGE = re.compile(r"(\d{1,6})\s*([mhdwy]?)")
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "": timedelta(days=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}


@dataclass(frozen=True, slots=True)
class Erased:
    """Runs that were deleted, and runs skipped because another process is writing them."""

    runs: int
    freed_bytes: int
    busy: tuple[File, ...]


def erase(found: Iterable[File]) -> Erased:
    """Remove runs. Raises OSError."""
    runs = freed_bytes = 0
    busy = []
    for file in found:
        size_bytes = _remove(file)
        if size_bytes is None:
            busy.append(file)
        else:
            runs += 1
            freed_bytes += size_bytes
    return Erased(runs, freed_bytes, tuple(busy))


def older_than(known: Sequence[File], before: datetime) -> list[File]:
    """The runs that began before then."""
    return [file for file in known if file.time is not None and file.time < before]


def all_but(known: Sequence[File], keep: int) -> list[File]:
    """All but the newest `keep`."""
    return list(known[: max(0, len(known) - keep)])


def parse_age(text: str) -> timedelta | None:
    """`90m`, `12h`, `30d` or `30`, `4w`, `1y`; None for anything else."""
    match = _AGE.fullmatch(text.strip().lower())
    return int(match[1]) * _UNITS[match[2]] if match else None


def drop_pictures(folder: Path) -> int:
    """Remove the pictures that no run names any more. Returns the freed bytes."""
    kept = folder / ATTACHMENTS
    names = {name for name in names_in(kept) if _HASH.fullmatch(name.encode(errors="replace"))}
    for file in files(folder) if names else ():
        # wherever a head names it, be it by a key that this version does not know
        with suppress(OSError), file.path.open("rb") as opened:
            names -= {digest.decode() for digest in _HASH.findall(opened.readline())}
    freed_bytes = 0
    for name in names:
        with suppress(OSError):
            facts = (kept / name).stat()
            if time.time() - facts.st_mtime > _YOUNG_S:
                (kept / name).unlink()
                freed_bytes += facts.st_size
    return freed_bytes


def _remove(file: File) -> int | None:
    """The freed bytes; None where the run is being written."""
    if file.is_whole:
        return _unlink(file.path)
    held = take(file.path)
    if held is None:
        return None if file.path.exists() else 0
    try:
        size_bytes = remove_leftovers(file.path.with_suffix(WHOLE))
        size_bytes += _unlink(file.path.with_suffix(NEW)) + _unlink(file.path)
    finally:
        os.close(held)
    return size_bytes


def _unlink(path: Path) -> int:
    try:
        size_bytes = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size_bytes
