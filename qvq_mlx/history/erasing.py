"""Runs that go, and what they alone needed.

Law: a run that is being written stays. A picture below `pictures/` goes when no run that is left
names its hash. A run names its pictures in its first line, which is written before they are kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from qvq_mlx.core.rounds import ATTACHMENTS
from qvq_mlx.history.files import NEW, WHOLE, File, files, names_in, take
from qvq_mlx.history.index import forget_erased
from qvq_mlx.history.latest import forget_asked
from qvq_mlx.system.files import remove_leftovers

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
    folders = set()
    for file in found:
        folders.add(file.folder)
        size_bytes = _remove(file)
        if size_bytes is None:
            busy.append(file)
        else:
            runs += 1
            freed_bytes += size_bytes
    for folder in folders:
        forget_erased(folder)
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
    # listed before the runs are: whoever keeps one more has named it by then
    names = {name for name in names_in(kept) if _HASH.fullmatch(name.encode(errors="replace"))}
    known = files(folder)
    if not known:
        with suppress(OSError):
            forget_asked(folder)
    for file in known if names else ():
        # wherever a head names it, be it by a key that this version does not know
        names -= {digest.decode() for digest in _HASH.findall(_head(file))}
    freed_bytes = 0
    for name in names:
        with suppress(OSError):
            facts = (kept / name).stat()
            (kept / name).unlink()
            freed_bytes += facts.st_size
    return freed_bytes


def _head(file: File) -> bytes:
    """The first line of a run, which may have ended since it was listed; empty for none."""
    for place in (file.path, file.path.with_suffix(WHOLE)):
        with suppress(OSError), place.open("rb") as opened:
            return opened.readline()
    return b""


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
