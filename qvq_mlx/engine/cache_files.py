"""Files that qvq keeps to save time, and may lose at any moment: the prefix cache's folder.

Law: a file appears whole or not at all, is readable by its owner only, and its name carries the
sha256 of its content: what does not match is not believed and is removed. The files together stay
under a cap, the least recently used go first, and the last 10 % of the disk are never touched.

The standard library alone: `qvq cache` needs no model.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.system.files import PendingFile, make_private_folder, sweep
from qvq_mlx.system.reading import parse_json
from qvq_mlx.system.space import Space, space

_SUFFIX = ".safetensors"
_FREE_SHARE = 0.1
_ABOUT = "pictures"
_HEADER_BYTES = 2**20
"""Two arrays a layer: 160 layers have 20 kB."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept file. `used` is seconds since the epoch, of its last use."""

    path: Path
    size_bytes: int
    used: float


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """Files by key in one folder, which need not exist. `cap_bytes` 0 keeps nothing.

    `disk` gives the size of the volume that a folder lies on.
    """

    folder: Path
    cap_bytes: int
    disk: Callable[[Path], Space] = space

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

    def drop(self, path: Path) -> None:
        """Remove a file that `find` gave and that is not what it should be."""
        _remove(path)

    def has(self, key: str) -> bool:
        """True if there is a file of `key`, checked or not."""
        return any(self.folder.glob(f"{key}.*{_SUFFIX}"))

    def put(self, key: str, size_bytes: int, write: Callable[[Path], None]) -> bool:
        """Keep what `write` puts at the path that it is given; about `size_bytes` of it.

        False where there is no room for it, or the disk refuses.
        """
        try:
            make_private_folder(self.folder)
            if not self._make_room(size_bytes):
                return False
            with PendingFile(self.folder / key, suffix=_SUFFIX) as pending:
                write(pending.path)
                checksum = _checksum(pending.path)
                pending.commit(self.folder / f"{key}.{checksum}{_SUFFIX}")
        except (OSError, RuntimeError):  # mlx reports a full disk as RuntimeError
            return False
        return True

    def entries(self) -> list[Entry]:
        """Return the files that are kept, the least recently used first."""
        found = []
        for path in self.folder.glob(f"[!.]*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append(Entry(path, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: entry.used)

    def clear(self) -> list[Entry]:
        """Remove everything that is kept, and return what was there."""
        entries = self.entries()
        for entry in entries:
            _remove(entry.path)
        sweep(self.folder)
        return entries

    def about(self) -> frozenset[str]:
        """Return the hashes of the pictures of which something is kept."""
        told = (_pictures_of(entry.path) for entry in self.entries())
        return frozenset().union(*(known for known in told if known))

    def drop_about(self, sha256s: AbstractSet[str]) -> int:
        """Remove what was computed of one of these pictures, alone or among others.

        A file that does not say of which goes too. Returns the freed bytes.
        """
        freed_bytes = 0
        for entry in self.entries() if sha256s else ():
            about = _pictures_of(entry.path)
            if about is None or about & sha256s:
                _remove(entry.path)
                freed_bytes += entry.size_bytes
        return freed_bytes

    def _make_room(self, size_bytes: int) -> bool:
        """Remove the least recently used until `size_bytes` more fit; False where they never do."""
        if size_bytes > self.cap_bytes:
            return False
        sweep(self.folder)
        entries = self.entries()
        held = sum(entry.size_bytes for entry in entries)
        volume = self.disk(self.folder)
        spare = volume.free_bytes - int(_FREE_SHARE * volume.total_bytes)
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


def noted(sha256s: Iterable[str]) -> dict[str, str]:
    """The metadata of a file that was computed of these pictures."""
    return {_ABOUT: " ".join(sha256s)}


def _pictures_of(path: Path) -> set[str] | None:
    """The hashes of the pictures that a file is about; None where it does not say."""
    try:
        with path.open("rb") as file:
            size_bytes = min(int.from_bytes(file.read(8), "little"), _HEADER_BYTES)
            header = parse_json(file.read(size_bytes))
    except (OSError, ValueError):
        return None
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    about = metadata.get(_ABOUT) if isinstance(metadata, dict) else None
    return set(about.split()) if isinstance(about, str) else None


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
