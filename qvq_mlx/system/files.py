"""Writes files that appear whole or not at all, and makes folders that only their owner may enter.

Law: content goes into a file with a random name in the target's own folder, which is made with
O_EXCL and O_NOFOLLOW and mode 0600; it is renamed over the target when it is whole. Until then the
target is as it was. A writer that fails removes its file. A writer that is killed leaves it; its
lock is free then, and the next writer in that folder removes it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from qvq_mlx.system.locks import Locking, lock_new, try_lock

_TEMPORARY = re.compile(r"\.qvq-[0-9a-f]{16}\..*", re.DOTALL)
_YOUNG_S = 60.0
"""A younger file may be another writer's that has not locked it yet."""
_FORGOTTEN_S = 7 * 86_400.0
"""The same where the file system has no locks, so that nobody can say who writes it."""
_NAME_BYTES = 200
"""Of the target's name, within the temporary one: a name has 255 at most."""
_SUFFIX = ".new"
"""No search for the target's kind of file finds it."""


class PendingFile:
    """A file in the making. Write to `descriptor` or `path`; `commit` gives it its name.

    As a context manager it discards what was not committed.
    """

    def __init__(
        self,
        target: Path,
        *,
        mode: int | None = 0o600,
        sync: bool = False,
        flags: int = 0,
        suffix: str = _SUFFIX,
    ) -> None:
        """`mode`: of the file in the end; None: what the umask leaves of 0666, from the beginning.

        `sync`: wait for the disk. `flags`: more of them, for `open`. `suffix`: of the temporary
        name, for who goes by it. The target's folder exists. Raises OSError.
        """
        sweep(target.parent)
        self._target = target
        self._mode = mode
        self._sync = sync
        self.path = _temporary_for(target, suffix)
        flags |= os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.descriptor = os.open(self.path, flags, 0o666 if mode is None else 0o600)
        self._is_open = True
        try:
            if mode is not None:
                _set_mode(self.descriptor, 0o600)  # a umask may have taken the owner's own rights
            lock_new(self.descriptor)
        except BaseException:
            self.discard()
            raise

    def write(self, content: bytes) -> None:
        """Add to it. Raises OSError."""
        write_all(self.descriptor, content)

    def commit(self, target: Path | None = None) -> None:
        """Give it the target's name, or another one in the same folder.

        Raises OSError; then nothing was replaced, and `discard` is still to be called.
        """
        if self._mode is not None and self._mode != 0o600:
            _set_mode(self.descriptor, self._mode)
        if self._sync:
            with _where_it_can():
                os.fsync(self.descriptor)
        self.path.replace(target or self._target)
        self._close()
        if self._sync:
            with suppress(OSError):  # the content is safe; the name is as safe as the system can
                sync_folder(self._target.parent)

    def discard(self) -> None:
        """Remove it, unless it was committed. May be called again. Never raises."""
        if self._is_open:
            with suppress(OSError):
                self.path.unlink()
            with suppress(OSError):
                self._close()

    def _close(self) -> None:
        self._is_open = False
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


def write_private(path: Path, content: bytes, *, sync: bool = False) -> None:
    """Put `content` at `path`, readable by its owner only. Makes the folder. Raises OSError."""
    make_private_folder(path.parent)
    with PendingFile(path, sync=sync) as pending:
        pending.write(content)
        pending.commit()


def write_shared(path: Path, content: bytes) -> None:
    """The same for a file whose readers the umask says. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with PendingFile(path, mode=None) as pending:
        pending.write(content)
        pending.commit()


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, with mode 0700 at any umask.

    A folder that exists stays as it is. Raises OSError.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        if folder == folder.parent:
            break
        folder = folder.parent
    for place in reversed(missing):
        try:
            place.mkdir(mode=0o700)
        except FileExistsError:
            if not place.is_dir():
                raise
        else:
            with _where_it_can():
                place.chmod(0o700)


def make_link(path: Path, target: str) -> None:
    """Make a symbolic link, in one step where another file has that name. Raises OSError."""
    fresh = _temporary_for(path, _SUFFIX)
    fresh.symlink_to(target)
    try:
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def move(source: Path, target: Path) -> None:
    """Rename a file or folder in one step, on one volume. Raises OSError."""
    source.replace(target)


def is_temporary(name: str) -> bool:
    """True for the name of a file in the making."""
    return _TEMPORARY.fullmatch(name) is not None


def sweep(folder: Path) -> None:
    """Remove what killed writers of this user left in a folder. Never raises."""
    for path in _temporaries(folder):
        with suppress(OSError):
            _remove_abandoned(path, _YOUNG_S)


def remove_leftovers(target: Path) -> int:
    """Remove what killed writers of `target` left, however young. Returns the freed bytes.

    The caller holds a lock, or knows otherwise, that nobody begins to write `target` now.
    """
    ending = f".{_shortened(target.name)}{_SUFFIX}"
    freed_bytes = 0
    for path in _temporaries(target.parent):
        if path.name.endswith(ending):
            with suppress(OSError):
                freed_bytes += _remove_abandoned(path, 0.0)
    return freed_bytes


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte. Raises OSError, with some of them written."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporaries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return [folder / entry.name for entry in found if is_temporary(entry.name)]
    except OSError:
        return []


def _set_mode(descriptor: int, mode: int) -> None:
    with _where_it_can():
        os.fchmod(descriptor, mode)


@contextmanager
def _where_it_can() -> Iterator[None]:
    """Pass over the refusal of a volume that has no modes or no sync (FAT, exFAT, SMB)."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise


def _remove_abandoned(path: Path, least_age_s: float) -> int:
    """Remove a temporary file of this user that nobody writes. Returns the freed bytes."""
    facts = path.lstat()
    age_s = time.time() - facts.st_mtime
    if facts.st_uid != os.geteuid() or age_s < least_age_s:
        return 0
    if stat.S_ISLNK(facts.st_mode):
        path.unlink()
        return 0
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        locking = try_lock(descriptor)
        forgotten = locking is Locking.UNSUPPORTED and age_s > _FORGOTTEN_S
        if not (locking is Locking.TAKEN or forgotten):
            return 0
        path.unlink()
        return facts.st_size
    finally:
        os.close(descriptor)


def _temporary_for(target: Path, suffix: str) -> Path:
    """A name beside `target` that nobody can guess."""
    return target.with_name(f".qvq-{os.urandom(8).hex()}.{_shortened(target.name)}{suffix}")


def _shortened(name: str) -> str:
    while len(os.fsencode(name)) > _NAME_BYTES:
        name = name[:-1]
    return name
