"""Opens the file that a user named for an output.

Law: an output has the mode of the file that it replaces, else 0600. A link is followed, so that the
link stays and the file behind it is replaced; but not another user's link in a folder where
everybody may write, as the kernel has it (`fs.protected_symlinks`). A pipe, a device or an open
descriptor (`/dev/stdout`) is written to directly. Other names (hard links) of a replaced file keep
the old content.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from qvq_mlx.system.files import PendingFile, write_all

_MOST_LINKS = 40
_OPEN_ALREADY = re.compile(r"/dev/(?:fd/(\d+)|(stdin|stdout|stderr))|/proc/self/fd/(\d+)")
_STANDARD = {"stdin": 0, "stdout": 1, "stderr": 2}


class DirectFile:
    """A pipe, a device or an open descriptor: what is written is out, and cannot be taken back."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor: int = descriptor
        self._is_open = True

    def write(self, content: bytes) -> None:
        """Pass on. Raises OSError."""
        write_all(self.descriptor, content)

    def commit(self) -> None:
        """Close it. Raises OSError."""
        if self._is_open:
            self._is_open = False
            os.close(self.descriptor)

    def discard(self) -> None:
        """Close it. May be called again. Never raises."""
        with suppress(OSError):
            self.commit()


def open_output(path: Path) -> PendingFile | DirectFile:
    """Begin the file that a user named. Raises OSError where it cannot be written."""
    end, descriptor = _followed(path)
    if descriptor is not None:
        return DirectFile(os.dup(descriptor))
    try:
        facts = end.stat()
    except FileNotFoundError:
        return PendingFile(end, sync=True)
    if not stat.S_ISREG(facts.st_mode):
        return DirectFile(os.open(end, os.O_WRONLY | os.O_CLOEXEC))
    if not os.access(end, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(end))
    return PendingFile(end, mode=stat.S_IMODE(facts.st_mode) & 0o777, sync=True)


def write_output(path: Path, content: bytes) -> None:
    """Write the whole of the file that a user named. Raises OSError."""
    output = open_output(path)
    try:
        output.write(content)
        output.commit()
    finally:
        output.discard()


def check_output(path: Path) -> None:
    """Raise the OSError that `open_output` would raise, and change nothing.

    A named pipe is not opened: that would wait for its reader.
    """
    end, descriptor = _followed(path)
    if descriptor is None and not (end.exists() and not end.is_file()):
        open_output(end).discard()


def output_place(path: Path) -> Path:
    """The path with its links followed: what `open_output` writes to. Raises OSError."""
    return _followed(path)[0]


def _followed(path: Path) -> tuple[Path, int | None]:
    """The end of a chain of links, and the descriptor that it stands for, if it does.

    Raises PermissionError for another user's link in a folder where everybody may write.
    """
    end = path
    for _ in range(_MOST_LINKS):
        if spelled := _OPEN_ALREADY.fullmatch(os.path.normpath(end)):
            number, name, on_linux = spelled.groups()
            return end, _STANDARD[name] if name else int(number or on_linux)
        try:
            facts = end.lstat()
        except FileNotFoundError:
            return end, None
        if not stat.S_ISLNK(facts.st_mode):
            return end, None
        folder = end.parent.stat()
        is_open_to_all = folder.st_mode & stat.S_IWOTH and folder.st_mode & stat.S_ISVTX
        if is_open_to_all and facts.st_uid not in (os.geteuid(), folder.st_uid):
            raise PermissionError(errno.EACCES, "it is another user's link", str(end))
        end = end.parent / end.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
