"""Files that qvq keeps to save time, and may lose at any moment: the prefix cache's folder.

Law: a file appears whole or not at all (written aside, then renamed), and its name carries the
sha256 of its content: what does not match is not believed and is removed. The files together stay
under a cap, the least recently used go first, and the last 10 % of the disk are never touched.

The standard library alone: `qvq cache` needs no model.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_SUFFIX = ".safetensors"
_FREE_SHARE = 0.1
_ASIDE = ".writing-"
_ABANDONED_S = 3600
"""A file that is written for so long belongs to a process that was killed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept file. `used` is seconds since the epoch, of its last use."""

    path: Path
    size_bytes: int
    used: float


def _disk(folder: Path) -> tuple[int, int]:
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """Files by key in one folder, which need not exist. `cap_bytes` 0 keeps nothing.

    `disk` gives total and free bytes of the disk that a folder lies on.
    """

    folder: Path
    cap_bytes: int
    disk: Callable[[Path], tuple[int, int]] = _disk

    def find(self, key: str) -> Path | None:
        """The file of `key`, its content checked. Counts as a use."""
        for path in self.folder.glob(f"{key}.*{_SUFFIX}"):
            stated = path.name.removesuffix(_SUFFIX).rsplit(".", 1)[-1]
            if _checksum(path) == stated:
                with contextlib.suppress(OSError):
                    os.utime(path)
                return path
            _remove(path)
        return None

    def has(self, key: str) -> bool:
        """Whether there is a file of `key`, checked or not."""
        return any(self.folder.glob(f"{key}.*{_SUFFIX}"))

    def put(self, key: str, size_bytes: int, write: Callable[[Path], None]) -> bool:
        """Keep what `write` puts at the path that it is given; about `size_bytes` of it.

        False where there is no room for it, or the disk refuses.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._make_room(size_bytes):
                return False
            with _aside(self.folder) as aside:
                write(aside)
                checksum = _checksum(aside)
                aside.replace(self.folder / f"{key}.{checksum}{_SUFFIX}")
        except (OSError, RuntimeError):  # mlx reports a full disk as RuntimeError
            return False
        return True

    def entries(self) -> list[Entry]:
        """What is kept, the least recently used first."""
        return [entry for entry in self._files() if not entry.path.name.startswith(_ASIDE)]

    def clear(self) -> list[Entry]:
        """Remove everything that is kept, and return what was there."""
        entries = self.entries()
        for entry in entries:
            _remove(entry.path)
        self._sweep()
        return entries

    def _files(self) -> list[Entry]:
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append(Entry(path, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: entry.used)

    def _sweep(self) -> None:
        """Remove what killed processes left half written."""
        for entry in self._files():
            if entry.path.name.startswith(_ASIDE) and time.time() - entry.used > _ABANDONED_S:
                _remove(entry.path)

    def _make_room(self, size_bytes: int) -> bool:
        """Remove the least recently used until `size_bytes` more fit; False where they never do."""
        if size_bytes > self.cap_bytes:
            return False
        self._sweep()
        entries = self.entries()
        held = sum(entry.size_bytes for entry in entries)
        total, free = self.disk(self.folder)
        spare = free - int(_FREE_SHARE * total)
        if size_bytes > spare + held:
            return False
        while held + size_bytes > self.cap_bytes or size_bytes > spare:
            oldest = entries.pop(0)
            _remove(oldest.path)
            held -= oldest.size_bytes
            spare += oldest.size_bytes
        return True


def prefixes_in(cache_folder: Path, cap_bytes: int) -> KeptFiles:
    """The image prefixes among qvq's caches."""
    return KeptFiles(cache_folder / "prefixes", cap_bytes)


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` at `path` whole or not at all. A disk that refuses is not an error."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _aside(path.parent) as aside:
            aside.write_bytes(content)
            aside.replace(path)


@contextlib.contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A path in `folder` that nobody else has, gone afterwards unless it was renamed."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=_ASIDE, suffix=_SUFFIX)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _checksum(path: Path) -> str:
    """Half of the sha256 of a file, in hex; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError:
        return ""


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
