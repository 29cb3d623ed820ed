"""Locks files with flock, so that two processes do not write the same thing.

Law: only EWOULDBLOCK means that another process holds a lock. Every other refusal (ENOTSUP on SMB,
ENOLCK on NFS, ENOSYS) means that this file system has no locks: the work is done without one, and
nobody waits for a lock that can never be had. A descriptor with a lock is closed on exec, and the
kernel takes the lock from a process that ends, however it ends.

Not covered: two computers that write to one network volume without locks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

Flock = Callable[[int, int], None]
"""Descriptor and operation, as `fcntl.flock`; a test gives a stand-in."""

_TRIES = 100
_MOMENTS, _MOMENT_S = 1000, 0.001


class Locking(Enum):
    """The result of a try to lock a file."""

    TAKEN = auto()
    HELD = auto()
    """By another process, or by another descriptor of this one."""
    UNSUPPORTED = auto()
    """The file system has no locks."""

    @property
    def may_go_on(self) -> bool:
        """True unless another process holds the lock."""
        return self is not Locking.HELD


def try_lock(descriptor: int, *, shared: bool = False, flock: Flock = fcntl.flock) -> Locking:
    """Lock an open file until its descriptor is closed. Never waits.

    Raises OSError only for a descriptor that is not open.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return Locking.HELD
    except OSError as error:
        if error.errno == errno.EBADF:
            os.fstat(descriptor)  # NFS says EBADF too, of a file that is open for reading alone
        return Locking.UNSUPPORTED
    return Locking.TAKEN


def lock_new(descriptor: int) -> Locking:
    """Lock a file that this process has just made.

    Others hold it for a moment at most, to find out whether anybody writes it: up to a second is
    waited for them. Raises OSError as `try_lock` does.
    """
    for _ in range(_MOMENTS):
        if (locking := try_lock(descriptor)) is not Locking.HELD:
            return locking
        time.sleep(_MOMENT_S)
    return Locking.HELD


class LockFile:
    """A file that exists to be locked. `try_take`, then `release` in a `finally`.

    The file holds the process id of its holder, which serves only the sentence that is shown.
    """

    def __init__(self, path: Path, *, mode: int = 0o600, flock: Flock = fcntl.flock) -> None:
        self._path = path
        self._mode = mode
        self._flock = flock
        self._descriptor: int | None = None

    def try_take(self) -> Locking:
        """Lock the file, and make it where it is missing. Its folder exists.

        Raises OSError where the file cannot be opened, or is a link or no regular file.
        """
        for _ in range(_TRIES):
            descriptor = self._opened()
            locking = try_lock(descriptor, flock=self._flock)
            if locking is Locking.HELD:
                os.close(descriptor)
                return locking
            if not _is_at(self._path, descriptor):  # its holder removed it when it was done
                os.close(descriptor)
                continue
            self._descriptor = descriptor
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            return locking
        raise OSError(errno.EAGAIN, "the lock file does not stay", str(self._path))

    def release(self, *, remove: bool = False) -> None:
        """Let go of the lock, and of the file where `remove` says so. May be called again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            if remove:
                self._path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def holder(self) -> int | None:
        """The process id of the holder; None where the file does not say."""
        try:
            descriptor = os.open(self._path, _READING)
        except OSError:
            return None
        try:
            said = os.pread(descriptor, 20, 0).strip()
        except OSError:  # SMB does not let others read what is locked
            return None
        finally:
            os.close(descriptor)
        return int(said) if said.isdigit() else None

    def _opened(self) -> int:
        descriptor = os.open(self._path, _READING_AND_WRITING | os.O_CREAT, self._mode)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(self._path))


_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READING_AND_WRITING = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _is_at(path: Path, descriptor: int) -> bool:
    """True if `path` still names the open file."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
