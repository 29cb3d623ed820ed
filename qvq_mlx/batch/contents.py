"""Tells pictures by the bytes of their files.

Law: a file that was read is read again where anything of it changed: its place on the disk, its
size, or one of the times at which it was written and at which its entry was changed.
"""

from __future__ import annotations

import hashlib
import os
import stat

from qvq_mlx.core.errors import QvqError
from qvq_mlx.images.paths import place_of

_REMEMBERED = 64  # files: questions about the same pictures stand together
_AT_ONCE_BYTES = 2**20

_Facts = tuple[int, int, int, int, int]


class Contents:
    """Hashes files, and remembers the last ones."""

    def __init__(self) -> None:
        self._known: dict[_Facts, str] = {}

    def of(self, source: str) -> str:
        """sha256 of a file's bytes; what is no file, or cannot be read, stands for itself."""
        try:
            path = place_of(source)
            status = os.stat(path)  # noqa: PTH116  (a Path of each takes longer than the call)
            if stat.S_ISREG(status.st_mode):  # a pipe would be empty afterwards
                return self._known.get(_facts(status)) or self._read(path)
        except (OSError, ValueError, QvqError):
            pass
        return f"unread {source}"

    def _read(self, path: str) -> str:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            facts, digest = _facts(os.fstat(descriptor)), hashlib.sha256()
            while part := os.read(descriptor, _AT_ONCE_BYTES):
                digest.update(part)
        finally:
            os.close(descriptor)
        found = self._known[facts] = digest.hexdigest()
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]  # the oldest
        return found


def _facts(status: os.stat_result) -> _Facts:
    """The numbers of a file that change when it is written to or replaced."""
    place = status.st_dev, status.st_ino
    return (*place, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
