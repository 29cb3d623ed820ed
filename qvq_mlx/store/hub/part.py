"""The bytes of a file that are here, on disk: appended, hashed as they come, renamed at the end.

Law: a byte counts when the system has it, so that a killed process loses none; the next one hashes
what it finds before it goes on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.errors import DiskFullError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.store.digests import Digest, blocks, digest_for
from qvq_mlx.store.download import RemoteFile
from qvq_mlx.store.layout import RepoFolder
from qvq_mlx.system.files import make_link, move
from qvq_mlx.system.space import free_bytes


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk, so that a test can fill it, or have it without links."""

    free_bytes: Callable[[Path], int] = free_bytes
    write: Callable[[int, bytes], int] = os.write
    link: Callable[[Path, str], None] = make_link


class PartFile:
    """A part on disk, open for as long as the block runs; `finish` makes it the blob."""

    def __init__(self, folder: RepoFolder, file: RemoteFile, disk: Disk) -> None:
        self._path = folder.part(file.blob)
        self._final = folder.blob(file.blob)
        self._file = file
        self._disk = disk
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_symlink():  # nobody's: what it leads to is not written to
            self._path.unlink()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o666)
        self._digest: Digest = digest_for(file.blob, file.size_bytes)
        self._size_bytes = 0
        if os.fstat(self._descriptor).st_size > file.size_bytes:
            self.restart()
            return
        for block in blocks(self._path):
            self._digest.update(block)
            self._size_bytes += len(block)

    @property
    def size_bytes(self) -> int:
        """Return the number of bytes that are here."""
        return self._size_bytes

    def append(self, data: bytes) -> None:
        """Add bytes. Raises DiskFullError, with what fitted kept."""
        while data:
            try:
                written = self._disk.write(self._descriptor, data)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
                raise DiskFullError(
                    f"{self._file.path}: the disk of {self._path.parent} is full after"
                    f" {self._size_bytes:,} of {self._file.size_bytes:,} bytes, which are kept",
                    RunProgram(("df", "-h", str(self._path.parent))),
                ) from error
            self._digest.update(data[:written])
            self._size_bytes += written
            data = data[written:]

    def blob(self) -> str:
        """The hash of all bytes."""
        return self._digest.hexdigest()

    def restart(self) -> None:
        """Forget the bytes."""
        os.ftruncate(self._descriptor, 0)
        self._digest = digest_for(self._file.blob, self._file.size_bytes)
        self._size_bytes = 0

    def finish(self) -> None:
        """Make the part the blob; a damaged file under that name goes."""
        os.fsync(self._descriptor)
        move(self._path, self._final)

    def close(self) -> None:
        """Leave the bytes where they are."""
        os.close(self._descriptor)
