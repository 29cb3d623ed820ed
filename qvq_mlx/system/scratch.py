"""A place for other programs' files: a folder that is gone when the block ends.

It lies in $TMPDIR, maybe on another volume than what is made of them, so nothing is renamed from
there. Only its owner can read it. Its user holds a lock on it; after kill -9 it stays, without
one, until `sweep_scratch`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from qvq_mlx.system.locks import Locking, try_lock

_PREFIX = "qvq-scratch-"
_NAME = re.compile(rf"{_PREFIX}[a-z0-9_]{{8}}")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder. Raises OSError."""
    with TemporaryDirectory(prefix=_PREFIX) as name:
        descriptor = os.open(name, _OPENING)
        try:
            try_lock(descriptor, shared=True)
            yield Path(name)
        finally:
            os.close(descriptor)


def sweep_scratch() -> int:
    """Remove the folders of this user that killed processes left. Returns how many. Never raises.

    Where the file system has no locks nobody can tell, and they stay.
    """
    removed = 0
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).iterdir():
            if _NAME.fullmatch(path.name):
                with suppress(OSError):
                    removed += _remove_abandoned(path)
    return removed


def _remove_abandoned(path: Path) -> bool:
    descriptor = os.open(path, _OPENING)
    try:
        mine = os.fstat(descriptor).st_uid == os.geteuid()
        if not mine or try_lock(descriptor) is not Locking.TAKEN:
            return False
        shutil.rmtree(path)
        return True
    finally:
        os.close(descriptor)


_OPENING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
