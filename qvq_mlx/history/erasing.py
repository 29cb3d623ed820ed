"""Runs that go, and what they alone needed.

Law: a run that is being written stays. A picture below `pictures/` goes when no run that is left
names its hash. A run names its pictures in its first line, which is written before they are kept.
What was typed in chats goes with the run that it was about.
Where no run is left, what is noted beside them goes too.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from qvq_mlx.core.rounds import ATTACHMENTS
from qvq_mlx.history.files import MAX_BYTES, NEW, TYPED, WHOLE, File, files, names_in, take
from qvq_mlx.history.index import forget_erased, index_files
from qvq_mlx.history.latest import forget_asked, forget_unsaved
from qvq_mlx.history.typed_lines import forget_typed
from qvq_mlx.system.files import remove_leftovers, sweep
from qvq_mlx.system.reading import parse_json

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
    """Runs that were deleted, and runs skipped because another process is writing them.

    `sha256s` are the hashes of the pictures that the deleted ones were about. `folders` are called
    like runs and stay: no run is a folder.
    """

    runs: int
    freed_bytes: int
    busy: tuple[File, ...]
    sha256s: frozenset[str]
    folders: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Pictures that were deleted, and the hashes of those asked about that no run names now."""

    freed_bytes: int
    sha256s: frozenset[str]


def erase(found: Iterable[File]) -> Erased:
    """Remove runs. Raises OSError."""
    runs = freed_bytes = 0
    busy, sha256s, folders = [], set[str](), []
    places: dict[Path, set[str]] = {}
    for file in found:
        told = places.setdefault(file.folder, set())
        if file.path.is_dir() and not file.path.is_symlink():
            folders.append(file.path)
            continue
        head = _head(file)
        named, words = _named_in(head), _words_in(head)
        size_bytes = _remove(file)
        if size_bytes is None:
            busy.append(file)
        else:
            runs += 1
            freed_bytes += size_bytes
            sha256s |= named
            told |= words
    for place, told in places.items():
        forget_erased(place)
        freed_bytes += forget_typed(place, told)
    return Erased(runs, freed_bytes, tuple(busy), frozenset(sha256s), tuple(folders))


def older_than(known: Sequence[File], before: datetime) -> list[File]:
    """The runs that began before then."""
    return [file for file in known if file.time is not None and file.time < before]


def all_but(known: Sequence[File], keep: int) -> list[File]:
    """All but the newest `keep` that can be read, and what is newer than those.

    A file that is no run keeps none alive, and counts for none.
    """
    from qvq_mlx.history.searching import entry_of

    left = keep
    for at in reversed(range(len(known))):
        if not left:
            return list(known[: at + 1])
        left -= entry_of(known[at]) is not None
    return []


def parse_age(text: str) -> timedelta | None:
    """`90m`, `12h`, `30d` or `30`, `4w`, `1y`; None for anything else."""
    match = _AGE.fullmatch(text.strip().lower())
    return int(match[1]) * _UNITS[match[2]] if match else None


def drop_pictures(folder: Path, sha256s: frozenset[str] = frozenset()) -> Dropped:
    """Remove the pictures that no run names any more. `sha256s`: others that are asked about."""
    kept = folder / ATTACHMENTS
    # listed before the runs are: whoever keeps one more has named it by then
    needless = {name for name in names_in(kept) if _HASH.fullmatch(name.encode(errors="replace"))}
    unnamed = set(sha256s)
    known = files(folder)
    for file in known if needless or unnamed else ():
        # wherever a head names it, be it by a key that this version does not know
        named = _named_by(file)
        needless -= named
        unnamed -= named
    freed_bytes = 0
    for name in needless:
        with suppress(OSError):
            freed_bytes += _unlink(kept / name)
    if not known:
        freed_bytes += drop_notes(folder)
    return Dropped(freed_bytes, frozenset(unnamed))


def drop_notes(folder: Path) -> int:
    """Remove what is kept beside runs: what was typed in chats, the index, which run was last."""
    sweep(folder)
    sweep(folder / ATTACHMENTS)
    freed_bytes = 0
    with suppress(OSError):
        forget_asked(folder)
        forget_unsaved(folder)
        freed_bytes = sum(_unlink(path) for path in (folder / TYPED, *index_files(folder)))
    return freed_bytes


def _named_by(file: File) -> set[str]:
    return _named_in(_head(file))


def _named_in(head: bytes) -> set[str]:
    return {sha256.decode() for sha256 in _HASH.findall(head)}


def _words_in(head: bytes) -> set[str]:
    """The question of a run and the names of its pictures, as they may have been typed."""
    try:
        record = parse_json(head)
    except ValueError:
        return set()
    if not isinstance(record, dict):
        return set()
    images = record.get("images")
    named = (
        [one.get("path") for one in images if isinstance(one, dict)]
        if isinstance(images, list)
        else []
    )
    return {word for word in (record.get("question"), *named) if isinstance(word, str)} - {"-"}


def _head(file: File) -> bytes:
    """The first line of a run, which may have ended since it was listed; empty for none."""
    for place in (file.path, file.path.with_suffix(WHOLE)):
        with suppress(OSError):
            descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as opened:  # a pipe in its place is not waited for
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return opened.readline(MAX_BYTES)
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
        size_bytes = path.lstat().st_size  # of a link, which goes though it leads nowhere
        path.unlink()
    except FileNotFoundError:
        return 0
    return size_bytes
